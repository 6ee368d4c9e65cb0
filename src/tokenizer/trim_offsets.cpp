#include "tokenizer/trim_offsets.hpp"

#include "base/utf8.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/unicode.hpp"

#include <algorithm>

namespace stella::tokenizer {
namespace {

bool is_space(const CharTable& table, const char* at) noexcept {
  const char32_t c = utf8::decode(at).value;
  return c == byte_character(' ') || (table.info(c) & kWhite) != 0;
}

TokenOffsets trimmed(std::string_view text, TokenOffsets offsets, std::size_t leading, std::size_t trailing) {
  for (; leading > 0 && offsets.start < offsets.stop; --leading) {
    offsets.start += utf8::decode(text.data() + offsets.start).length;
  }
  std::size_t stop = offsets.stop;
  for (; trailing > 0; --trailing) {
    if (stop == 0) return offsets;  // all or none, as in the library
    stop = static_cast<std::size_t>(utf8::previous(text.data() + stop) - text.data());
  }
  offsets.stop = std::max(stop, offsets.start);
  return offsets;
}

}  // namespace

TokenSpaces::TokenSpaces(std::string_view token) {
  const CharTable& table = CharTable::instance();
  const char* const begin = token.data();
  const char* const end = begin + token.size();
  for (const char* at = begin; at != end && is_space(table, at); at += utf8::decode(at).length) ++leading;
  for (const char* at = end; at != begin && is_space(table, utf8::previous(at)); at = utf8::previous(at)) ++trailing;
}

void trim_offsets(std::span<const TrimOffsets> trims, std::string_view text, bool with_template,
                  std::span<const TokenSpaces> spaces, std::span<TokenOffsets> offsets) {
  for (const TrimOffsets& trim : trims) {
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      const bool first = (i == 0 && !(with_template && trim.after_template)) || offsets[i].start == 0;
      const bool keep = first && trim.add_prefix_space && spaces[i].leading == 1;
      offsets[i] = trimmed(text, offsets[i], keep ? 0 : spaces[i].leading, spaces[i].trailing);
    }
  }
}

}  // namespace stella::tokenizer
