#include "base/cgroup.hpp"

#include <algorithm>
#include <fstream>
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

/// Of `group` under `mount` and of those that it lies in. Inside a container the file names may be the host's: then
/// only the mount itself, the container's own group, is there.
void take_least(std::optional<double>& least, const fs::path& mount, const std::string& group,
                std::optional<double> (*quota_of)(const fs::path&)) {
  for (fs::path at = fs::path(group).relative_path();; at = at.parent_path()) {
    const bool outside = std::find(at.begin(), at.end(), "..") != at.end();
    if (const auto quota = outside ? std::nullopt : quota_of(at.empty() ? mount : mount / at)) {
      least = least ? std::min(*least, *quota) : *quota;
    }
    if (at.empty()) return;
  }
}

bool has_cpu(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

}  // namespace

std::optional<double> cpu_quota(const fs::path& root) {
  const fs::path mounts = root / "sys/fs/cgroup";
  std::optional<double> least;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      take_least(least, mounts, group, quota_v2);
      take_least(least, mounts / "unified", group, quota_v2);
    } else if (has_cpu(controllers)) {
      take_least(least, mounts / controllers, group, quota_v1);
      if (controllers != "cpu") take_least(least, mounts / "cpu", group, quota_v1);
    }
  }
  return least;
}

}  // namespace stella
