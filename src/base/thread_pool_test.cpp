#include "base/thread_pool.hpp"

#include "stella/error.hpp"

#include <atomic>
#include <future>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace stella {
namespace {

TEST(ThreadPool, RunsEverythingQueuedBeforeItsDestructorReturns) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool(2, "test");
    for (int i = 0; i < 100; ++i) pool.post([&] { ++done; });
  }
  EXPECT_EQ(done, 100);
}

TEST(ThreadPool, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  {
    ThreadPool pool(1, "test");
    for (int i = 0; i < 50; ++i) pool.post([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 50U);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(order[i], i);
}

TEST(ThreadPool, TakesMoveOnlyJobs) {
  ThreadPool pool(1, "test");
  std::promise<int> answer;
  std::future<int> future = answer.get_future();
  pool.post([answer = std::move(answer)]() mutable { answer.set_value(7); });
  EXPECT_EQ(future.get(), 7);
}

TEST(ThreadPool, AJobThatThrowsEndsNothingButItself) {
  ThreadPool pool(1, "test");
  std::promise<std::string> failed;
  Completion<int> done = [&](const std::exception_ptr& error, int) {
    try {
      std::rethrow_exception(error);
    } catch (const Error& e) {
      failed.set_value(e.code().message());
    }
  };
  pool.post([done = std::move(done)] { throw std::bad_alloc(); });
  EXPECT_EQ(failed.get_future().get(), "out of memory");
  std::promise<void> next;
  pool.post([&] { next.set_value(); });
  next.get_future().get();
}

TEST(ThreadPool, AfterItsEndJobsAreDroppedAndTheirCompletionsHearOfIt) {
  ThreadPool pool(2, "test");
  std::atomic<int> ran = 0;
  pool.post([&] {
    ++ran;
    pool.post([&] { ++ran; });  // by a job: runs all the same
  });
  pool.stop();
  pool.stop();
  EXPECT_EQ(ran, 2);
  std::optional<Errc> errc;
  Completion<int> done = [&](const std::exception_ptr& error, int) {
    try {
      std::rethrow_exception(error);
    } catch (const Error& e) {
      errc = e.errc();
    }
  };
  pool.post([done = std::move(done)] {});
  EXPECT_EQ(errc, Errc::shut_down);
}

TEST(Completion, IsCalledOnce) {
  int calls = 0;
  {
    Completion<int> done = [&](const std::exception_ptr&, int) { ++calls; };
    done(nullptr, 1);
    done(nullptr, 2);
  }
  EXPECT_EQ(calls, 1);
  {
    Completion<int> replaced = [&](const std::exception_ptr& error, int) { calls += error ? 10 : 100; };
    replaced = Completion<int>();
  }
  EXPECT_EQ(calls, 11);
}

class TeamTest : public testing::TestWithParam<std::size_t> {};

TEST_P(TeamTest, EachTaskRunsOnceWithAValidWorker) {
  ParallelTeam team(GetParam());
  EXPECT_EQ(team.size(), std::max<std::size_t>(1, GetParam()));
  for (const TaskOrder order : {TaskOrder::shared, TaskOrder::apart}) {
    for (const std::size_t tasks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<std::atomic<int>> runs(tasks);
      team.run(
          tasks,
          [&](std::size_t task, std::size_t worker) {
            ASSERT_LT(worker, team.size());
            ++runs[task];
          },
          order);
      for (const auto& count : runs) EXPECT_EQ(count, 1);
    }
  }
}

TEST_P(TeamTest, ApartEachWorkerGoesThroughAPartBeforeItHelpsWithOthers) {
  ParallelTeam team(GetParam());
  const std::size_t workers = team.size();
  constexpr std::size_t kEach = 100;
  std::vector<std::vector<std::size_t>> taken(workers);
  team.run(
      workers * kEach, [&](std::size_t task, std::size_t worker) { taken[worker].push_back(task); }, TaskOrder::apart);
  for (std::size_t worker = 0; worker < workers; ++worker) {
    std::vector<std::size_t> parts;
    for (std::size_t i = 0; i < taken[worker].size(); ++i) {
      const std::size_t task = taken[worker][i];
      const std::size_t part = (task / kEach + workers - worker) % workers;  // 0 is its own, then the next worker's
      if (!parts.empty() && parts.back() == part) {
        EXPECT_GT(task, taken[worker][i - 1]);
      } else {
        EXPECT_TRUE(parts.empty() || parts.back() < part);
        parts.push_back(part);
      }
    }
  }
}

TEST_P(TeamTest, ManyShortRounds) {
  ParallelTeam team(GetParam());
  std::atomic<std::size_t> sum = 0;
  for (int round = 0; round < 2000; ++round) {
    const TaskOrder order = round % 2 == 0 ? TaskOrder::shared : TaskOrder::apart;
    team.run(
        3, [&](std::size_t task, std::size_t) { sum += task; }, order);
  }
  EXPECT_EQ(sum, 2000U * 3);
}

TEST_P(TeamTest, AnExceptionReachesTheCallerAndTheTeamGoesOn) {
  ParallelTeam team(GetParam());
  std::atomic<int> ran = 0;
  EXPECT_THROW(team.run(10,
                        [&](std::size_t task, std::size_t) {
                          ++ran;
                          if (task == 4) throw std::runtime_error("task 4");
                        }),
               std::runtime_error);
  EXPECT_EQ(ran, 10);
  team.run(10, [&](std::size_t, std::size_t) { ++ran; });
  EXPECT_EQ(ran, 20);
}

INSTANTIATE_TEST_SUITE_P(Sizes, TeamTest, testing::Values(0, 1, 2, 5));

TEST(UsableProcessors, IsAtLeastOne) {
  EXPECT_GE(usable_processors(), 1U);
}

}  // namespace
}  // namespace stella
