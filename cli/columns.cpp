#include "cli/columns.hpp"

#include "base/text.hpp"
#include "base/utf8.hpp"

#include <algorithm>

#include <utf8proc.h>

namespace stella::cli {
namespace {

std::size_t columns_of(char32_t c) {
  return static_cast<std::size_t>(std::max(0, utf8proc_charwidth(static_cast<utf8proc_int32_t>(c))));
}

}  // namespace

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const utf8::Decoded character = utf8::decode(text.data() + at);
    columns += columns_of(character.value);
    at += character.length;
  }
  return columns;
}

std::string fit_columns(std::string_view text, std::size_t columns) {
  // No character takes more than four bytes, and hardly one has more than a few marks that take no column.
  const std::string line = printable_line(text, std::max<std::size_t>(16 * columns, 256));
  std::size_t taken = 0;
  std::size_t cut = 0;  // where the last character that leaves room for "…" ends
  for (std::size_t at = 0; at < line.size();) {
    const utf8::Decoded character = utf8::decode(line.data() + at);
    taken += columns_of(character.value);
    if (taken > columns) return line.substr(0, cut) + "…";
    at += character.length;
    if (taken < columns) cut = at;
  }
  return line;
}

std::string pad_columns(std::string text, std::size_t columns) {
  const std::size_t taken = columns_of(text);
  if (taken < columns) text.append(columns - taken, ' ');
  return text;
}

}  // namespace stella::cli
