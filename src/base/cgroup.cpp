#include "base/cgroup.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace stella {
namespace {

namespace fs = std::filesystem;

/// "150000 100000": microseconds of processor time in each period; "max" is no limit.
std::optional<double> quota_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0;
  double period = 0;
  if (file >> quota >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

/// The same in two files; -1 is no limit.
std::optional<double> quota_v1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

/// Of a file that holds one number; "max" is no limit.
std::optional<std::uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/// The number behind `key` in a file of such lines: "inactive_file 4096", "MemTotal:  24689364 kB".
std::optional<std::uint64_t> read_field(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t number = 0;
    if (words >> name >> number && name == key) return number;
  }
  return std::nullopt;
}

/// What a limit leaves: the group's use counts but for the files that the kernel can drop.
std::uint64_t headroom(std::uint64_t limit, std::optional<std::uint64_t> used, std::optional<std::uint64_t> droppable) {
  const std::uint64_t kept = used.value_or(0) - std::min(used.value_or(0), droppable.value_or(0));
  return limit - std::min(limit, kept);
}

std::optional<std::uint64_t> limit_v2(const fs::path& group) {
  return read_number(group / "memory.max");
}

/// Without a limit that is a number beyond every machine's memory.
std::optional<std::uint64_t> limit_v1(const fs::path& group) {
  return read_number(group / "memory.limit_in_bytes");
}

std::optional<std::uint64_t> headroom_v2(const fs::path& group) {
  const auto limit = limit_v2(group);
  if (!limit) return std::nullopt;
  return headroom(*limit, read_number(group / "memory.current"), read_field(group / "memory.stat", "inactive_file"));
}

std::optional<std::uint64_t> headroom_v1(const fs::path& group) {
  const auto limit = limit_v1(group);
  if (!limit) return std::nullopt;
  return headroom(*limit, read_number(group / "memory.usage_in_bytes"),
                  read_field(group / "memory.stat", "total_inactive_file"));
}

template <class T>
using OfGroup = std::optional<T> (*)(const fs::path&);

/// Of `group` under `mount` and of those that it lies in. Inside a container the file names may be the host's: then
/// only the mount itself, the container's own group, is there.
template <class T>
void take_least(std::optional<T>& least, const fs::path& mount, const std::string& group, OfGroup<T> value_of) {
  for (fs::path at = fs::path(group).relative_path();; at = at.parent_path()) {
    const bool outside = std::find(at.begin(), at.end(), "..") != at.end();
    if (const auto value = outside ? std::nullopt : value_of(at.empty() ? mount : mount / at)) {
      least = least ? std::min(*least, *value) : *value;
    }
    if (at.empty()) return;
  }
}

bool has(const std::string& controllers, const std::string& controller) {
  return ("," + controllers + ",").find("," + controller + ",") != std::string::npos;
}

/// The least of what the groups of this process say by `controller`, each version's read by a function of its own.
template <class T>
std::optional<T> least_of_groups(const fs::path& root, const std::string& controller, OfGroup<T> of_v2,
                                 OfGroup<T> of_v1) {
  const fs::path mounts = root / "sys/fs/cgroup";
  std::optional<T> least;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      take_least(least, mounts, group, of_v2);
      take_least(least, mounts / "unified", group, of_v2);
    } else if (has(controllers, controller)) {
      take_least(least, mounts / controllers, group, of_v1);
      if (controllers != controller) take_least(least, mounts / controller, group, of_v1);
    }
  }
  return least;
}

/// In bytes.
std::optional<std::uint64_t> of_machine(const fs::path& root, const std::string& field) {
  const auto kibibytes = read_field(root / "proc/meminfo", field);
  return kibibytes ? std::optional(*kibibytes << 10U) : std::nullopt;
}

}  // namespace

std::optional<double> cpu_quota(const fs::path& root) {
  return least_of_groups<double>(root, "cpu", quota_v2, quota_v1);
}

std::uint64_t usable_memory(const fs::path& root) {
  const auto machine = of_machine(root, "MemTotal:");
  const auto groups = least_of_groups<std::uint64_t>(root, "memory", limit_v2, limit_v1);
  return std::min(machine.value_or(groups.value_or(0)), groups.value_or(machine.value_or(0)));
}

std::optional<std::uint64_t> available_memory(const fs::path& root) {
  const auto machine = of_machine(root, "MemAvailable:");
  const auto groups = least_of_groups<std::uint64_t>(root, "memory", headroom_v2, headroom_v1);
  if (machine && groups) return std::min(*machine, *groups);
  return machine ? machine : groups;
}

}  // namespace stella
