// Texts in the columns of a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stella::cli {

/// Columns that valid UTF-8 takes: two for wide characters (CJK, emoji), none for combining marks.
std::size_t columns_of(std::string_view text);

/// The start of a text on one line of at most `columns`, "…" at the end where some is missing. What a terminal would
/// obey is shown as an escape.
std::string fit_columns(std::string_view text, std::size_t columns);

/// Spaces up to `columns` behind the text.
std::string pad_columns(std::string text, std::size_t columns);

}  // namespace stella::cli
