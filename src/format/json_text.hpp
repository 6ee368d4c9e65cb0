// JSON as it is written: compact, and safe to show on a terminal.
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stella::format {

/// Appends the shortest decimal that reads back to the same float32. Not for NaN or infinities, which JSON lacks.
void append_float(std::string& out, float value);

/// Appends a JSON string with its quotes. Escaped is what JSON demands and what a terminal would obey; bytes that are
/// not UTF-8, as a file's name may hold them, become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

/// Bytes of the character that `text` starts with where a terminal would obey and not show it (base/text.hpp), else 0.
std::size_t unseen_bytes(std::string_view text) noexcept;
/// Appends "\u009b" for it.
void append_json_escape(std::string& out, std::string_view character);

/// Puts JSON together piece by piece and sets the commas. Objects and arrays are closed by whoever opens them.
class JsonText {
 public:
  JsonText& begin_object() { return begin('{'); }
  JsonText& end_object() { return end('}'); }
  JsonText& begin_array() { return begin('['); }
  JsonText& end_array() { return end(']'); }
  JsonText& key(std::string_view name);

  JsonText& value(std::string_view text);
  JsonText& value(const std::string& text) { return value(std::string_view(text)); }
  JsonText& value(const char* text) { return value(std::string_view(text)); }
  template <std::integral T>
  JsonText& value(T number) {
    if constexpr (std::same_as<T, bool>) {
      return raw(number ? "true" : "false");
    } else {
      return raw(std::to_string(number));
    }
  }
  JsonText& value(float number);
  /// Throws std::domain_error where one is not finite.
  JsonText& value(std::span<const float> numbers);
  /// null where there is none.
  template <class T>
  JsonText& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : raw("null");
  }
  template <class T>
  JsonText& value(const std::vector<T>& values) {
    begin_array();
    for (const T& one : values) value(one);
    return end_array();
  }
  /// What is JSON already.
  JsonText& raw(std::string_view json);

  template <class T>
  JsonText& member(std::string_view name, const T& one) {
    key(name);
    return value(one);
  }

  /// An array; `put(*this, item)` puts each.
  template <class Items, class Put>
  JsonText& list(std::string_view name, const Items& items, Put&& put) {
    key(name).begin_array();
    for (const auto& item : items) put(*this, item);
    return end_array();
  }

  /// What was put together; it begins anew.
  std::string take();

 private:
  JsonText& begin(char bracket);
  JsonText& end(char bracket);
  void separate();

  std::string text_;
  bool first_ = true;  // no comma before what comes next
};

}  // namespace stella::format
