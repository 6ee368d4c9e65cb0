#include "base/topology.hpp"

#include "base/thread_pool.hpp"
#include "support/temporary_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;

Processors from_to(int first, int last) {
  Processors processors(static_cast<std::size_t>(last - first + 1));
  std::iota(processors.begin(), processors.end(), first);
  return processors;
}

/// A /sys of our own.
class Topology : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_.path() / "sys/devices/system" / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  /// Of processor `number`: its own first and second level, and the third that it shares.
  void write_caches(int number, const std::string& sharing) {
    const std::string cache = "cpu/cpu" + std::to_string(number) + "/cache/index";
    for (const int level : {1, 1, 2}) {
      const std::string index = cache + std::to_string(indexes_++ % 3);
      write(index + "/level", std::to_string(level));
      write(index + "/shared_cpu_list", std::to_string(number));
    }
    write(cache + "3/level", "3");
    write(cache + "3/shared_cpu_list", sharing);
  }
  std::vector<Processors> groups(const Processors& allowed) const { return processor_groups(allowed, folder_.path()); }

 private:
  test::TemporaryFolder folder_;
  int indexes_ = 0;
};

TEST_F(Topology, WithoutASysAllAreOneGroup) {
  EXPECT_THAT(groups({0, 1, 5}), ElementsAre(ElementsAre(0, 1, 5)));
  EXPECT_THAT(groups({}), IsEmpty());
}

/// One socket of 64 cores with two threads each, whose numbers are 64 apart, in eight groups that share a cache.
TEST_F(Topology, OneSocketOfEightCaches) {
  write("node/online", "0");
  write("node/node0/cpulist", "0-127");
  for (int i = 0; i < 128; ++i) {
    const int first = i % 64 / 8 * 8;
    write_caches(i, std::to_string(first) + "-" + std::to_string(first + 7) + "," + std::to_string(first + 64) + "-" +
                        std::to_string(first + 71));
  }
  const auto all = groups(from_to(0, 127));
  ASSERT_THAT(all, SizeIs(8));
  EXPECT_THAT(all[1], ElementsAre(8, 9, 10, 11, 12, 13, 14, 15, 72, 73, 74, 75, 76, 77, 78, 79));
  // What a container may use of it.
  EXPECT_THAT(groups({6, 7, 8, 70, 127}), ElementsAre(ElementsAre(6, 7, 70), ElementsAre(8), ElementsAre(127)));
  const auto plans = plan_teams(128, 0, all);
  ASSERT_THAT(plans, SizeIs(8));
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(plans[i].threads, 16U);
    EXPECT_EQ(plans[i].processors, all[i]);
  }
}

TEST_F(Topology, TwoNodesWithACacheEach) {
  write("node/online", "0-1");
  write("node/node0/cpulist", "0-9,20-29");
  write("node/node1/cpulist", "10-19,30-39");
  for (int i = 0; i < 40; ++i) write_caches(i, i % 20 < 10 ? "0-9,20-29" : "10-19,30-39");
  const auto all = groups(from_to(0, 39));
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_THAT(all[0], SizeIs(20));
  EXPECT_EQ(all[1].front(), 10);
  EXPECT_EQ(all[1].back(), 39);
}

/// Nodes of one socket (SNC): the cache is said to be shared by all, the memories are two.
TEST_F(Topology, NodesDivideACache) {
  write("node/online", "0,1");
  write("node/node0/cpulist", "0-3");
  write("node/node1/cpulist", "4-7");
  for (int i = 0; i < 8; ++i) write_caches(i, "0-7");
  EXPECT_THAT(groups(from_to(0, 7)), ElementsAre(from_to(0, 3), from_to(4, 7)));
}

TEST_F(Topology, NonsenseInSysIsNoReasonToFail) {
  write("node/online", "x-");
  write("cpu/cpu0/cache/index0/level", "");
  write("cpu/cpu1/cache/index0/level", "3");
  write("cpu/cpu1/cache/index0/shared_cpu_list", "99999999999999999999");
  EXPECT_THAT(groups({0, 1}), ElementsAre(ElementsAre(0, 1)));
}

std::vector<std::size_t> threads_of(const std::vector<TeamPlan>& plans) {
  std::vector<std::size_t> threads;
  for (const TeamPlan& plan : plans) threads.push_back(plan.threads);
  return threads;
}

TEST(Teams, OneOnASmallMachineBoundToNothing) {
  const std::vector<Processors> two_caches{from_to(0, 3), from_to(4, 7)};
  for (const std::size_t threads : {1, 2, 8}) {
    const auto plans = plan_teams(threads, 0, two_caches);
    EXPECT_THAT(threads_of(plans), ElementsAre(threads));
    EXPECT_THAT(plans[0].processors, IsEmpty());
  }
  EXPECT_THAT(threads_of(plan_teams(0, 0, {})), ElementsAre(1));
}

TEST(Teams, NoneIsSmall) {
  // A container's 12 processors of five caches: three teams of four.
  const std::vector<Processors> caches{{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9, 10, 11}};
  const auto plans = plan_teams(12, 0, caches);
  EXPECT_THAT(threads_of(plans), ElementsAre(4, 4, 4));
  EXPECT_THAT(plans[0].processors, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(plans[2].processors, ElementsAre(8, 9, 10, 11));
}

TEST(Teams, AQuotaLeavesFewerThreadsThanProcessors) {
  std::vector<Processors> caches;
  for (int i = 0; i < 8; ++i) caches.push_back(from_to(8 * i, 8 * i + 7));
  EXPECT_THAT(threads_of(plan_teams(6, 0, caches)), ElementsAre(6));
  EXPECT_THAT(threads_of(plan_teams(16, 0, caches)), ElementsAre(4, 4, 4, 4));
}

TEST(Teams, AsManyAsAskedForButNoneWithoutAThread) {
  const std::vector<Processors> one{{0, 1}};
  const auto plans = plan_teams(4, 3, one);
  EXPECT_THAT(threads_of(plans), ElementsAre(1, 1, 2));
  for (const TeamPlan& plan : plans) EXPECT_THAT(plan.processors, ElementsAre(0, 1));
  EXPECT_THAT(threads_of(plan_teams(2, 9, one)), ElementsAre(1, 1));
  // A group of one processor beside a large one.
  EXPECT_THAT(threads_of(plan_teams(4, 2, {{0}, from_to(1, 15)})), ElementsAre(1, 3));
  EXPECT_THAT(threads_of(plan_teams(3, 2, {})), ElementsAre(1, 2));
}

TEST(Teams, HelpersKeepToTheirProcessors) {
  const Processors allowed = allowed_processors();
  if (allowed.empty()) GTEST_SKIP() << "the system does not say which processors there are";
  const Processors last{allowed.back()};
  ParallelTeam team(3, last);
  std::mutex mutex;
  std::vector<Processors> seen(team.size());
  // Each task waits for the others, so that every member has one.
  std::size_t here = 0;
  team.run(team.size(), [&](std::size_t, std::size_t worker) {
    const Processors own = allowed_processors();
    {
      const std::lock_guard lock(mutex);
      seen[worker] = own;
      ++here;
    }
    while (true) {
      const std::lock_guard lock(mutex);
      if (here == seen.size()) return;
    }
  });
  EXPECT_EQ(seen[0], allowed);  // the caller's thread is its own
  for (std::size_t worker = 1; worker < seen.size(); ++worker) EXPECT_EQ(seen[worker], last);
  std::thread([&] {
    keep_to(last);
    EXPECT_EQ(allowed_processors(), last);
    keep_to({});
    EXPECT_EQ(allowed_processors(), last);
  }).join();
}

}  // namespace
}  // namespace stella
