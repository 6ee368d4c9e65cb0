#include "base/utf8.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace stella::utf8 {

namespace {

/// Bytes of the longest beginning of a well-formed sequence at `at`, where no sequence stands, but at least 1.
std::size_t broken_length(const char* at, const char* end) noexcept {
  const auto lead = static_cast<unsigned char>(*at);
  if (lead < 0xE0 || lead > 0xF4 || end - at < 2) return 1;
  const std::array<char, 4> completed = {at[0], at[1], '\x80', '\x80'};
  const std::size_t whole = lead < 0xF0 ? 3 : 4;
  if (sequence_length(completed.data(), completed.data() + whole) == 0) return 1;
  return whole == 4 && end - at > 2 && (static_cast<unsigned char>(at[2]) & 0xC0) == 0x80 ? 3 : 2;
}

}  // namespace

std::size_t sequence_length(const char* at, const char* end) noexcept {
  const auto byte = [at](int i) { return static_cast<unsigned char>(at[i]); };
  const auto left = end - at;
  const auto continues = [&](int i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < left && byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool second = continues(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF);
    return second && continues(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool second = continues(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF);
    return second && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

std::size_t ascii_prefix(const char* at, const char* end) noexcept {
  static_assert(std::endian::native == std::endian::little, "the lowest byte of a word must be the first of the text");
  const char* const begin = at;
  for (; end - at >= 8; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    word &= 0x8080808080808080U;
    if (word != 0) return static_cast<std::size_t>(at - begin) + static_cast<std::size_t>(std::countr_zero(word)) / 8;
  }
  while (at != end && static_cast<unsigned char>(*at) < 0x80) ++at;
  return static_cast<std::size_t>(at - begin);
}

std::size_t find_invalid(std::string_view text) noexcept {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    at += ascii_prefix(at, end);
    while (at != end && static_cast<unsigned char>(*at) >= 0x80) {
      const std::size_t length = sequence_length(at, end);
      if (length == 0) return static_cast<std::size_t>(at - text.data());
      at += length;
    }
  }
  return std::string_view::npos;
}

std::string replace_invalid(std::string_view text) {
  std::string result;
  for (std::size_t bad; (bad = find_invalid(text)) != std::string_view::npos;) {
    result.append(text.substr(0, bad)).append("\uFFFD");
    text.remove_prefix(bad + broken_length(text.data() + bad, text.data() + text.size()));
  }
  return result.append(text);
}

}  // namespace stella::utf8
