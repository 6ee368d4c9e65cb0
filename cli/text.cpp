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
