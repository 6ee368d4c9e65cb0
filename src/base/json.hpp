// Boost.JSON under a name of the library's own, stella::json: a program that has another Boost.JSON, compiled or
// linked, meets no symbol of ours.
#pragma once

#define json stella_json  // boost::json; no header of Boost.JSON has the word in another sense
#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>
#undef json

namespace stella {
namespace json = boost::stella_json;
}
