// Numbers as people read and write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stella::cli {

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
