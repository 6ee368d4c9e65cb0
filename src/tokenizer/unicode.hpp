// Character properties as the Hugging Face tokenizers library 0.23.3 sees them; no other Unicode data gives the same.
#pragma once

#include "base/immortal.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace stella::tokenizer {

/// Bits of CharTable::info. The first twelve are the generator's; their names say which part of the library asks.
enum CharBits : std::uint32_t {
  kLetter = 1U << 0,       ///< \p{L} of the Split pre-tokenizer's regular expressions.
  kNumber = 1U << 1,       ///< \p{N} of the same.
  kSpace = 1U << 2,        ///< \s of the same.
  kWord = 1U << 3,         ///< \w beside an added token with single_word.
  kWhite = 1U << 4,        ///< Whitespace of BertPreTokenizer, and \s beside an added token with lstrip or rstrip.
  kDropped = 1U << 5,      ///< Removed by BertNormalizer's clean_text.
  kBlanked = 1U << 6,      ///< Turned into a space by clean_text.
  kPunctuation = 1U << 7,  ///< Isolated by BertPreTokenizer.
  kMark = 1U << 8,         ///< Non-spacing mark, removed by strip_accents.
  kCjk = 1U << 9,          ///< Spaced by handle_chinese_chars.
  kCombining = 1U << 10,   ///< Mark of any kind, removed by the normalizer StripAccents.
  kNumeric = 1U << 11,     ///< Number of the pre-tokenizer Digits.
  kDecomposes = 1U << 12,  ///< Has a canonical decomposition.
  kUppercase = 1U << 13,   ///< Has a lowercase form other than itself.
  /// Cannot be the start of a stretch that composes on its own: it may combine with what precedes it, or is not
  /// composed.
  kNotComposed = 1U << 14,
};

/// The properties of all code points. Immutable; const members are thread-safe.
class CharTable {
 public:
  /// The one table, unpacked at the first call.
  static const CharTable& instance();

  /// CharBits and, in the top byte, the combining rank: 0 for a starter, otherwise ordered as canonical combining
  /// classes.
  std::uint32_t info(char32_t c) const noexcept { return blocks_[std::size_t{index_[c >> 8]} << 8 | (c & 0xFF)]; }
  /// info() of the ASCII characters.
  const std::uint32_t* ascii() const noexcept { return blocks_.data(); }

  /// The full canonical decomposition; empty where kDecomposes is not set, and for Hangul syllables.
  std::span<const std::uint32_t> decomposition(char32_t c) const noexcept;
  /// The primary composite of two code points, or 0. Hangul included.
  char32_t compose(char32_t first, char32_t second) const noexcept;
  /// One to three code points; `buffer` holds a single one.
  std::span<const std::uint32_t> lowercase(char32_t c, std::uint32_t& buffer) const noexcept;

 private:
  friend class Immortal<CharTable>;
  CharTable();
  std::uint32_t& slot(char32_t c);
  void index_decompositions();
  void index_lowercase();
  void fill_blocks();

  std::array<std::uint16_t, 0x1100> index_{};  // (block of 256 code points) → place in blocks_
  std::vector<std::uint32_t> blocks_;          // (distinct blocks × 256)
  std::vector<std::uint16_t> shared_;          // places of blocks that hold one value and stand for several
  std::vector<std::pair<std::uint32_t, std::span<const std::uint32_t>>> decompositions_;  // sorted by code point
  std::vector<std::pair<std::uint64_t, std::uint32_t>> compositions_;  // sorted by first << 32 | second
};

inline std::uint32_t combining_rank(std::uint32_t info) noexcept {
  return info >> 24;
}

/// Hangul syllables decompose and compose by arithmetic (Unicode standard, section 3.12).
namespace hangul {
inline constexpr char32_t kSyllables = 0xAC00, kLeading = 0x1100, kVowel = 0x1161, kTrailing = 0x11A7;
inline constexpr char32_t kLeadingCount = 19, kVowelCount = 21, kTrailingCount = 28;
inline constexpr char32_t kSyllableCount = kLeadingCount * kVowelCount * kTrailingCount;
inline bool is_syllable(char32_t c) noexcept {
  return c - kSyllables < kSyllableCount;
}
}  // namespace hangul

}  // namespace stella::tokenizer
