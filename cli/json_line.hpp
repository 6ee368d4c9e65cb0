// One line of JSON Lines: looked through once, and only what is asked for is built in memory. Neither Boost.JSON nor
// simdjson does this: values that are carried along keep every digit, all of the line is checked, errors name the byte,
// and a line may be deep without touching the stack.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stella::cli {

/// Levels of arrays and objects in one another.
inline constexpr std::size_t kMaxJsonDepth = 10'000;

struct JsonFields {
  std::string text = "text";        ///< Holds the text.
  std::vector<std::string> keep{};  ///< Whose values are carried along.
};

struct JsonLine {
  std::string text{};
  /// The value of each of `keep`, as it was written but without white space, and with DEL and C1 escaped; "null" where
  /// the object does not have it or the line is a string. Numbers keep all their digits.
  std::vector<std::string> kept{};
};

/// Reads a string, or an object whose field `text` is one; of equal keys the last counts. `line` is valid UTF-8. Throws
/// std::invalid_argument that says what is wrong, without file and line.
JsonLine parse_json_line(std::string_view line, const JsonFields& fields);

}  // namespace stella::cli
