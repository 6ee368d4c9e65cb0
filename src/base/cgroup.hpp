// What the control groups of this process, and the machine, leave it of processor time and memory. `root` is where
// /proc and /sys are looked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace stella {

/// Processors' worth of time in each period, the least that any group from this process's own up to the top allows, of
/// either version; nothing where none sets a limit.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

/// Bytes that this process may use at the most: the machine's, or the least limit of its groups. 0 where that cannot be
/// found out.
std::uint64_t usable_memory(const std::filesystem::path& root = "/");

/// Bytes that could be allocated now without the kernel having to end a process: what the machine has available, or the
/// least that a limit of its groups leaves beside what they use and cannot drop. Nothing where that cannot be found
/// out.
std::optional<std::uint64_t> available_memory(const std::filesystem::path& root = "/");

}  // namespace stella
