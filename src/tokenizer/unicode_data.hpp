// The generated Unicode tables (tools/unicode/make_unicode_tables.py), packed; unicode.hpp unpacks them.
#pragma once

#include <cstdint>
#include <span>

namespace stella::tokenizer {

/// `count` code points from `first`, `step` apart, whose lowercase is `difference` away.
struct LowercaseRun {
  std::uint32_t first;
  std::uint16_t count;
  std::uint16_t step;
  std::int32_t difference;
};

/// First code point of a run << 12 | the low twelve bits of CharBits.
std::span<const std::uint64_t> class_runs();
/// First code point of a run << 8 | combining rank.
std::span<const std::uint32_t> combining_runs();
std::span<const LowercaseRun> lowercase_runs();
/// Repeated: code point << 3 | length, then `length` code points.
std::span<const std::uint32_t> lowercase_several();
/// Repeated: code point << 4 | composes << 3 | length, then `length` code points; without the Hangul syllables.
std::span<const std::uint32_t> decompositions();

}  // namespace stella::tokenizer
