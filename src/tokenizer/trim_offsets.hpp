// The post-processors that take the spaces at a token's ends out of its offsets (ByteLevel, RobertaProcessing).
#pragma once

#include "stella/request.hpp"

#include <cstddef>
#include <span>
#include <string_view>

namespace stella::tokenizer {

struct TrimOffsets {
  bool add_prefix_space = true;  ///< One space before the first token was put there and is none of the text's.
  bool after_template = false;   ///< What the template adds is there already and counts as tokens.
};

/// Spaces at the ends of what a token is called, in characters.
struct TokenSpaces {
  explicit TokenSpaces(std::string_view token);
  std::size_t leading = 0;
  std::size_t trailing = 0;
};

/// Applies each to the offsets into `text` of its tokens, which have `spaces`.
void trim_offsets(std::span<const TrimOffsets> trims, std::string_view text, bool with_template,
                  std::span<const TokenSpaces> spaces, std::span<TokenOffsets> offsets);

}  // namespace stella::tokenizer
