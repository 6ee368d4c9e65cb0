// Text by others, made fit to be shown.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stella {

/// Most bytes of an error's line.
inline constexpr std::size_t kMaxLineBytes = 4096;

/// Whether a terminal would obey `c` and not show it; newline and tab count as shown.
bool is_obeyed(char32_t c) noexcept;

/// What a terminal would obey and not show is written as an escape (\x1b, \u202e): control characters but newline and
/// tab (C0, DEL, C1), separators of lines, overrides of direction, and bytes that are not UTF-8. The result is UTF-8.
std::string printable(std::string_view text);

/// The same on one line of at most `max_bytes` (at least 8): newlines and tabs become spaces, those at the end go, and
/// "…" stands for what is cut off.
std::string printable_line(std::string_view text, std::size_t max_bytes = kMaxLineBytes);

}  // namespace stella
