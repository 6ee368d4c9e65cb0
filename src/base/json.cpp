// Boost.JSON's implementation, compiled once for the whole library.
#include <boost/json/src.hpp>
