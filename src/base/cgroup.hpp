// How much processor time the control groups of this process leave it.
#pragma once

#include <filesystem>
#include <optional>

namespace stella {

/// Processors' worth of time in each period, the least that any group from this process's own up to the top allows, of
/// either version; nothing where none sets a limit. `root` is where /proc and /sys are looked for.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

}  // namespace stella
