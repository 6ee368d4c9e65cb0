// What a normalizer works in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace stella::tokenizer {

/// A code point and its combining rank.
struct Ranked {
  char32_t value;
  std::uint32_t rank;
};

/// What a normalizer works in; kept between calls so that text that needs little change needs no allocation.
struct NormalizerScratch {
  std::string text;
  std::vector<Ranked> pending;
};

}  // namespace stella::tokenizer
