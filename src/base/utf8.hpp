// UTF-8: validation, and coding of text already known to be valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stella::utf8 {

/// Offset of the first byte that does not belong to a well-formed sequence (RFC 3629: no surrogates, no overlong
/// forms), or npos for valid text.
std::size_t find_invalid(std::string_view text) noexcept;

/// Bytes of the well-formed sequence that starts at `at` and ends at or before `end`, or 0 (table 3-7 of the Unicode
/// standard). `at` must not be `end`.
std::size_t sequence_length(const char* at, const char* end) noexcept;

/// The text with U+FFFD in the place of each longest beginning of a well-formed sequence that is not one, and of each
/// byte that begins none (section 3.9 of the Unicode standard; Rust, Python and browsers do the same).
std::string replace_invalid(std::string_view text);

struct Decoded {
  char32_t value;
  std::uint32_t length;  // bytes, 1…4
};

/// Decodes one code point at `at`, which must start a valid sequence.
inline Decoded decode(const char* at) noexcept {
  const auto byte = [at](int i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(at[i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// Start of the code point that ends before `at`; `at` must not be the start of the text.
inline const char* previous(const char* at) noexcept {
  do {
    --at;
  } while ((static_cast<unsigned char>(*at) & 0xC0) == 0x80);
  return at;
}

inline void append(std::string& to, char32_t c) {
  const auto put = [&to](char32_t byte) { to.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

/// Length of the leading part of [at, end) that is ASCII.
std::size_t ascii_prefix(const char* at, const char* end) noexcept;

}  // namespace stella::utf8
