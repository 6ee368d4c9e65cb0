// JSON files of a checkpoint, read with errors that say which file and which key.
#pragma once

#include "base/json.hpp"
#include "weights/json_limits.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace stella::weights {

/// Parses `text` as Python's json module does, which wrote it: NaN and Infinity are numbers (here all infinite), of a
/// key that an object holds twice the last counts. A byte-order mark at the start is skipped. Throws
/// Error(malformed_file) with `file`, line and column, and Error(limit_exceeded) for what is larger than
/// kMaxJsonBytes or deeper than kMaxJsonDepth.
json::value parse_json(std::string_view text, const std::string& file);

/// "line 3, column 7", as in messages.
std::string json_place(std::string_view text, std::size_t offset);

/// One JSON object of `file`. Views the object: keep the parsed value alive. Every getter throws Error(malformed_file)
/// naming file and key where the value has the wrong type or range; a key holding null counts as absent.
class JsonObject {
 public:
  JsonObject(const json::value& value, std::string file);

  const json::value* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// A whole number in [low, kLargest], also where it is written as 8192.0.
  std::size_t size(std::string_view key, std::size_t low = 1) const;
  std::size_t size_or(std::string_view key, std::size_t fallback, std::size_t low = 1) const;
  std::optional<std::size_t> optional_size(std::string_view key, std::size_t low = 1) const;
  /// A finite number above zero.
  double positive_or(std::string_view key, double fallback) const;
  bool flag_or(std::string_view key, bool fallback) const;
  std::string text_or(std::string_view key, std::string fallback) const;
  std::string text(std::string_view key) const;

  const std::string& file() const noexcept { return file_; }
  const json::object& items() const noexcept { return *object_; }

  [[noreturn]] void malformed(std::string_view key, const std::string& what) const;
  [[noreturn]] void unsupported(std::string_view key, const std::string& what) const;

  static constexpr std::size_t kLargest = std::size_t{1} << 31;  // keeps every product of two sizes inside 64 bits

 private:
  const json::object* object_;
  std::string file_;
};

}  // namespace stella::weights
