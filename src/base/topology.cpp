#include "base/topology.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <sched.h>
#include <string>
#include <system_error>
#include <utility>

namespace stella {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLeastThreadsOfTeam = 4;
constexpr std::size_t kMostThreadsOfOneTeam = 8;  // up to here a second team is not worth its own passes
constexpr int kMaxProcessors = 8192;              // that the system's masks are asked for

struct FreeSet {
  void operator()(cpu_set_t* set) const noexcept { CPU_FREE(set); }
};

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "0-7,64-71" → its numbers; what is not in that form ends it.
Processors parse_list(const std::string& list) {
  Processors numbers;
  const char* at = list.c_str();
  const auto number = [&](int& value) {
    if (std::isdigit(static_cast<unsigned char>(*at)) == 0) return false;
    for (value = 0; std::isdigit(static_cast<unsigned char>(*at)) != 0 && value < kMaxProcessors; ++at) {
      value = value * 10 + (*at - '0');
    }
    return value < kMaxProcessors;
  };
  for (int first = 0; number(first); ++at) {
    int last = first;
    if (*at == '-' && (++at, !number(last))) break;
    for (int i = first; i <= last; ++i) numbers.push_back(i);
    if (*at != ',') break;
  }
  return numbers;
}

/// Number of the NUMA node of each processor.
std::map<int, int> read_nodes(const fs::path& system) {
  std::map<int, int> nodes;
  for (const int node : parse_list(first_line(system / "node/online"))) {
    for (const int processor : parse_list(first_line(system / ("node/node" + std::to_string(node)) / "cpulist"))) {
      nodes[processor] = node;
    }
  }
  return nodes;
}

/// The first processor that shares this one's last level of cache; -1 where the system does not say.
int first_of_cache(const fs::path& system, int processor) {
  const fs::path cache = system / "cpu" / ("cpu" + std::to_string(processor)) / "cache";
  int first = -1;
  int level = 0;
  constexpr int kMostCaches = 16;
  for (int i = 0; i < kMostCaches; ++i) {
    const fs::path index = cache / ("index" + std::to_string(i));
    const Processors levels = parse_list(first_line(index / "level"));
    if (levels.empty()) break;
    const Processors sharing = parse_list(first_line(index / "shared_cpu_list"));
    if (levels.front() < level || sharing.empty()) continue;
    level = levels.front();
    first = sharing.front();
  }
  return first;
}

std::size_t sum_of_sizes(const std::vector<Processors>& groups) {
  return std::accumulate(groups.begin(), groups.end(), std::size_t{0},
                         [](std::size_t sum, const Processors& group) { return sum + group.size(); });
}

/// Neighbouring groups together, about as many processors to each team; a share of the threads for each processor.
std::vector<TeamPlan> merge_groups(std::size_t threads, std::size_t teams, const std::vector<Processors>& groups) {
  std::vector<TeamPlan> plans(teams);
  const std::size_t all = sum_of_sizes(groups);
  std::size_t before = 0;  // processors of earlier groups
  std::size_t team = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const bool has_share = before * teams / all > team;
    const bool others_need_the_rest = teams - team > groups.size() - g;
    if (g > 0 && (has_share || others_need_the_rest)) ++team;
    Processors& own = plans[team].processors;
    own.insert(own.end(), groups[g].begin(), groups[g].end());
    before += groups[g].size();
  }
  before = 0;
  for (TeamPlan& plan : plans) {
    const std::size_t end = before + plan.processors.size();
    plan.threads = threads * end / all - threads * before / all;
    before = end;
  }
  return plans;
}

/// Several teams to a group.
std::vector<TeamPlan> share_groups(std::size_t threads, std::size_t teams, const std::vector<Processors>& groups) {
  std::vector<TeamPlan> plans(teams);
  for (std::size_t t = 0; t < teams; ++t) {
    if (!groups.empty()) plans[t].processors = groups[t * groups.size() / teams];
    plans[t].threads = threads * (t + 1) / teams - threads * t / teams;
  }
  return plans;
}

}  // namespace

Processors allowed_processors() {
  const std::unique_ptr<cpu_set_t, FreeSet> set(CPU_ALLOC(kMaxProcessors));
  const std::size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  Processors allowed;
  if (!set || ::sched_getaffinity(0, bytes, set.get()) != 0) return allowed;
  for (int i = 0; i < kMaxProcessors; ++i) {
    if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set.get())) allowed.push_back(i);
  }
  return allowed;
}

std::vector<Processors> processor_groups(const Processors& allowed, const fs::path& root) {
  const fs::path system = root / "sys/devices/system";
  const std::map<int, int> nodes = read_nodes(system);
  std::map<std::pair<int, int>, Processors> groups;  // by node and cache
  for (const int processor : allowed) {
    const auto node = nodes.find(processor);
    groups[{node == nodes.end() ? -1 : node->second, first_of_cache(system, processor)}].push_back(processor);
  }
  std::vector<Processors> result;
  for (auto& [key, group] : groups) result.push_back(std::move(group));
  return result;
}

std::vector<TeamPlan> plan_teams(std::size_t threads, std::size_t teams, const std::vector<Processors>& groups) {
  threads = std::max<std::size_t>(threads, 1);
  if (teams == 0) {
    teams = threads <= kMostThreadsOfOneTeam ? 1 : std::min(groups.size(), threads / kLeastThreadsOfTeam);
  }
  teams = std::clamp<std::size_t>(teams, 1, threads);
  if (teams == 1) return {{threads, {}}};
  std::vector<TeamPlan> plans =
      teams <= groups.size() ? merge_groups(threads, teams, groups) : share_groups(threads, teams, groups);
  // A small group may have got none: from the team that has most.
  for (TeamPlan& plan : plans) {
    if (plan.threads > 0) continue;
    --std::max_element(plans.begin(), plans.end(), [](const TeamPlan& a, const TeamPlan& b) {
        return a.threads < b.threads;
      })->threads;
    plan.threads = 1;
  }
  return plans;
}

void keep_to(const Processors& processors) noexcept {
  if (processors.empty()) return;
  const std::unique_ptr<cpu_set_t, FreeSet> set(CPU_ALLOC(kMaxProcessors));
  if (!set) return;
  const std::size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  CPU_ZERO_S(bytes, set.get());
  for (const int processor : processors) CPU_SET_S(static_cast<std::size_t>(processor), bytes, set.get());
  ::sched_setaffinity(0, bytes, set.get());
}

}  // namespace stella
