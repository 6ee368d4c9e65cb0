#include "base/cgroup.hpp"

#include "support/temporary_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace stella {
namespace {

/// A /proc and a /sys of our own.
class Groups : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<double> quota() const { return cpu_quota(folder_.path()); }
  std::uint64_t usable() const { return usable_memory(folder_.path()); }
  std::optional<std::uint64_t> available() const { return available_memory(folder_.path()); }

 private:
  test::TemporaryFolder folder_;
};

using CpuQuota = Groups;
using Memory = Groups;

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

constexpr const char* kMachine = "MemTotal:       24000 kB\nMemFree:        1000 kB\nMemAvailable:   16000 kB\n";

TEST_F(Memory, NothingIsKnownWithoutTheSystemsFiles) {
  EXPECT_EQ(usable(), 0U);
  EXPECT_EQ(available(), std::nullopt);
}

TEST_F(Memory, OfTheMachineWhereNoGroupHasALimit) {
  write("proc/meminfo", kMachine);
  write("proc/self/cgroup", "4:memory:/job\n0::/\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(usable(), 24000U * 1024);
  EXPECT_EQ(available(), 16000U * 1024);
}

TEST_F(Memory, TheLeastLimitOfTheNestedGroupsOfTheSecondVersion) {
  write("proc/meminfo", kMachine);
  write("proc/self/cgroup", "0::/batch.slice/job.service\n");
  write("sys/fs/cgroup/batch.slice/memory.max", "10000000\n");
  write("sys/fs/cgroup/batch.slice/memory.current", "9000000\n");
  write("sys/fs/cgroup/batch.slice/memory.stat", "anon 5000000\ninactive_file 3000000\nactive_file 1000000\n");
  write("sys/fs/cgroup/batch.slice/job.service/memory.max", "12000000\n");
  write("sys/fs/cgroup/batch.slice/job.service/memory.current", "2000000\n");
  EXPECT_EQ(usable(), 10000000U);
  EXPECT_EQ(available(), 4000000U);  // of the slice: 10 less the 6 million that cannot be dropped
}

TEST_F(Memory, OfTheFirstVersionInsideAContainerToo) {
  write("proc/meminfo", kMachine);
  write("proc/self/cgroup", "5:memory:/docker/0123\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "8000000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000000\n");
  EXPECT_EQ(usable(), 8000000U);
  EXPECT_EQ(available(), 0U);  // used up
  write("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 5000000\n");
  EXPECT_EQ(available(), 4000000U);
}

TEST_F(Memory, OfTheGroupsAloneWhereTheMachineDoesNotSay) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "5000000\n");
  EXPECT_EQ(usable(), 5000000U);
  EXPECT_EQ(available(), 5000000U);
}

TEST(MemoryOfThisMachine, IsKnown) {
  EXPECT_GT(usable_memory(), 0U);
  EXPECT_GT(available_memory(), 0U);
  EXPECT_LE(available_memory(), usable_memory());
}

}  // namespace
}  // namespace stella
