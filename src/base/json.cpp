// Boost.JSON's implementation, compiled once for the whole library.
#include "base/json.hpp"

#define json stella_json
#include <boost/json/src.hpp>
#undef json
