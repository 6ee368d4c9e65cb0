// Numbers and strings as the outputs write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stella::cli {

/// Appends the shortest decimal that reads back to the same float32. Not for NaN or infinities, which JSON lacks.
void append_float(std::string& out, float value);

/// Appends `[v,v,…]`; throws std::domain_error where a value is not finite.
void append_floats(std::string& out, const std::vector<float>& values);

/// Appends a JSON string with its quotes. Escaped is what JSON demands and what a terminal would obey; bytes that are
/// not UTF-8, as a file's name may hold them, become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

/// Bytes of the character that `text` starts with where a terminal would obey and not show it (base/text.hpp), else 0.
std::size_t unseen_bytes(std::string_view text) noexcept;
/// Appends "\u009b" for it.
void append_json_escape(std::string& out, std::string_view character);

/// "256,1024" → {256, 1024}. Throws Failure(kBadInput) that names the option.
std::vector<std::size_t> parse_dimensions(const std::string& list);

/// "256, 1024"
std::string join(const std::vector<std::size_t>& numbers, std::string_view separator = ", ");

/// "1.74 GB", "812 kB", "17 B" (powers of 1000, as the hub shows sizes).
std::string format_bytes(std::uint64_t bytes);

/// "1:02:03" or "2:03".
std::string format_duration(double seconds);

/// "1,234,567"
std::string with_separators(std::uint64_t number);

}  // namespace stella::cli
