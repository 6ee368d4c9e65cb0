// Which processors share a cache and a memory, and how compute threads are laid out over them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

namespace stella {

/// Numbers of logical processors, ascending.
using Processors = std::vector<int>;

/// A team of threads that compute together.
struct TeamPlan {
  std::size_t threads = 1;
  Processors processors{};  // which its threads keep to; empty: any
};

/// Those that this process's affinity mask allows; empty where the system does not say.
Processors allowed_processors();

/// `allowed`, in groups that share the last level of cache and the NUMA node, neighbours side by side. One group where
/// the system says nothing of them. `root` is where /sys is looked for.
std::vector<Processors> processor_groups(const Processors& allowed, const std::filesystem::path& root = "/");

/// `threads` in `teams`. With 0 teams: one for each group, but none of fewer than four threads, and a single one up to
/// eight threads. A single team keeps to no processors. `threads` and the number of teams are at least 1 in what comes
/// back, and no team is without a thread.
std::vector<TeamPlan> plan_teams(std::size_t threads, std::size_t teams, const std::vector<Processors>& groups);

/// From now on this thread runs on these processors only; on all as before where there are none or the system refuses.
void keep_to(const Processors& processors) noexcept;

}  // namespace stella
