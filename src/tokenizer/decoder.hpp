// The decoder of a tokenizer.json: tokens to text.
#pragma once

#include "tokenizer/budget.hpp"
#include "tokenizer/simple_normalizers.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace stella::tokenizer {

/// Each is a decoder of the library, which turns a list of tokens, valid UTF-8, into another; they say the same as
/// there, and nothing where the library panics on a token that is empty.
using DecodedTokens = std::vector<std::string>;

/// Spaces between words, and none before the tokens that continue one.
struct WordPieceDecoder {
  std::string prefix;    // of tokens that continue a word
  bool cleanup = false;  // no spaces before punctuation and English contractions
  void apply(DecodedTokens& tokens) const;
};

/// The bytes that the characters of the tokens stand for, as one string; what is no UTF-8 becomes U+FFFD.
struct ByteLevelDecoder {
  void apply(DecodedTokens& tokens) const;
};

/// A space in the place of each suffix, but for the last token.
struct BpeDecoder {
  std::string suffix;  // not empty
  void apply(DecodedTokens& tokens) const;
};

/// Bytes written as tokens like <0x0A> become characters, or U+FFFD each.
struct ByteFallbackDecoder {
  void apply(DecodedTokens& tokens) const;
};

/// One token of all.
struct FuseDecoder {
  void apply(DecodedTokens& tokens) const;
};

/// Up to `start` times `content` at a token's start goes, and up to `stop` times at its end.
struct StripDecoder {
  std::string content;  // one character
  std::size_t start = 0;
  std::size_t stop = 0;
  void apply(DecodedTokens& tokens) const;
};

struct ReplaceDecoder {
  ReplaceNormalizer replace;
  /// Throws Error(limit_exceeded) where the budget does not suffice.
  void apply(DecodedTokens& tokens, Budget& budget) const;
};

using Decoder = std::variant<WordPieceDecoder, ByteLevelDecoder, BpeDecoder, ByteFallbackDecoder, FuseDecoder,
                             StripDecoder, ReplaceDecoder>;

/// What the decoders, one after the other, make of `tokens`.
std::string decode(std::span<const Decoder> decoders, DecodedTokens tokens);

}  // namespace stella::tokenizer
