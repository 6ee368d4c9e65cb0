// JSON by strangers, read strictly.
#pragma once

#include "base/json.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

namespace stella::server {

/// Levels of arrays and objects in one another.
inline constexpr std::size_t kMaxJsonDepth = 64;

/// What was wrong, in words, and where.
class BadJson : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads a whole document. Throws BadJson for anything that RFC 8259 does not allow, and for what it leaves to the
/// reader: keys that appear twice, bytes behind the document, more than kMaxJsonDepth levels, surrogates without their
/// other half, text that is not UTF-8, numbers beyond what a double holds.
json::value parse_json(std::string_view text);

}  // namespace stella::server
