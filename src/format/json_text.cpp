#include "format/json_text.hpp"

#include "base/text.hpp"
#include "base/utf8.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace stella::format {

void append_float(std::string& out, float value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

std::size_t unseen_bytes(std::string_view text) noexcept {
  const std::size_t length = utf8::sequence_length(text.data(), text.data() + text.size());
  return length != 0 && is_obeyed(utf8::decode(text.data()).value) ? length : 0;
}

void append_json_escape(std::string& out, std::string_view character) {
  std::array<char, 16> escape{};
  std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(utf8::decode(character.data()).value));
  out += escape.data();
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kNamed = "\"\\\n\r\t";
  constexpr std::string_view kNames = "\"\\nrt";
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8::sequence_length(text.data(), text.data() + text.size());
    if (const std::size_t named = kNamed.find(text.front()); named != std::string_view::npos) {
      out += '\\';
      out += kNames[named];
    } else if (length == 0) {
      out += "\ufffd";  // of a file's name, say, that is in no encoding
    } else if (unseen_bytes(text) != 0) {
      append_json_escape(out, text.substr(0, length));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  out += '"';
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

void JsonText::separate() {
  if (!std::exchange(first_, false)) text_ += ',';
}

JsonText& JsonText::begin(char bracket) {
  separate();
  text_ += bracket;
  first_ = true;
  return *this;
}

JsonText& JsonText::end(char bracket) {
  text_ += bracket;
  first_ = false;
  return *this;
}

JsonText& JsonText::key(std::string_view name) {
  separate();
  append_json_string(text_, name);
  text_ += ':';
  first_ = true;
  return *this;
}

JsonText& JsonText::value(std::string_view text) {
  separate();
  append_json_string(text_, text);
  return *this;
}

JsonText& JsonText::value(float number) {
  if (!std::isfinite(number)) throw std::domain_error("JSON has no number that is not finite");
  separate();
  append_float(text_, number);
  return *this;
}

JsonText& JsonText::value(std::span<const float> numbers) {
  begin_array();
  for (const float number : numbers) value(number);
  return end_array();
}

JsonText& JsonText::raw(std::string_view json) {
  separate();
  text_ += json;
  return *this;
}

std::string JsonText::take() {
  first_ = true;
  return std::exchange(text_, {});
}

}  // namespace stella::format
