#include "cli/text.hpp"

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "cli/failure.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace stella::cli {

void append_float(std::string& out, float value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_floats(std::string& out, const std::vector<float>& values) {
  out += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) throw std::domain_error("a vector holds a value that is not finite");
    if (i != 0) out += ',';
    append_float(out, values[i]);
  }
  out += ']';
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
      out += "\xef\xbf\xbd";  // of a file's name, say, that is in no encoding
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

std::vector<std::size_t> parse_dimensions(const std::string& list) {
  std::vector<std::size_t> dimensions;
  const char* at = list.data();
  const char* const end = list.data() + list.size();
  while (true) {
    std::size_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || value == 0 || (next != end && *next != ',')) {
      throw Failure(kBadInput, "--dim " + list + ": sizes separated by commas are wanted, for example --dim 256,1024");
    }
    for (const std::size_t seen : dimensions) {
      if (seen == value) throw Failure(kBadInput, "--dim " + list + " names " + std::to_string(value) + " twice");
    }
    dimensions.push_back(value);
    if (next == end) return dimensions;
    at = next + 1;
  }
}

std::string join(const std::vector<std::size_t>& numbers, std::string_view separator) {
  std::string out;
  for (const std::size_t number : numbers) {
    if (!out.empty()) out += separator;
    out += std::to_string(number);
  }
  return out;
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = unit == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", decimals, value, kUnits.at(unit));
  return text.data();
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0) || seconds > 359'999) return "-:--";
  const auto whole = static_cast<unsigned>(std::lround(seconds));
  std::array<char, 32> text{};
  if (whole >= 3600) {
    std::snprintf(text.data(), text.size(), "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%u:%02u", whole / 60, whole % 60);
  }
  return text.data();
}

std::string with_separators(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

}  // namespace stella::cli
