#include "base/cgroup.hpp"

#include "support/temporary_folder.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace stella {
namespace {

/// A /proc and a /sys of our own.
class CpuQuota : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<double> quota() const { return cpu_quota(folder_.path()); }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(CpuQuota, NoneWithoutGroups) {
  EXPECT_EQ(quota(), std::nullopt);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(CpuQuota, OfTheSecondVersionAtTheTopAsInAContainer) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(CpuQuota, OfNestedGroupsTheLeastCounts) {
  write("proc/self/cgroup", "0::/system.slice/batch.slice/job.service\n");
  write("sys/fs/cgroup/system.slice/cpu.max", "800000 100000\n");
  write("sys/fs/cgroup/system.slice/batch.slice/cpu.max", "200000 100000\n");
  write("sys/fs/cgroup/system.slice/batch.slice/job.service/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), 2.0);
  write("sys/fs/cgroup/system.slice/batch.slice/job.service/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CpuQuota, OfTheFirstVersion) {
  write("proc/self/cgroup", "12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n0::/docker/a\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(quota(), 3.0);
  write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(quota(), 2.0);
}

TEST_F(CpuQuota, OfTheFirstVersionInsideAContainerThatSeesItsOwnGroupOnly) {
  write("proc/self/cgroup", "4:cpuacct,cpu:/docker/0123\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2.5);
}

TEST_F(CpuQuota, NothingOutsideTheTreeIsRead) {
  write("proc/self/cgroup", "0::/../../outside\n");
  write("sys/outside/cpu.max", "100000 100000\n");
  write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(quota(), 4.0);
}

}  // namespace
}  // namespace stella
