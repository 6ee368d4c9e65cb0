#include "engine/shared_once.hpp"

#include "base/thread_pool.hpp"
#include "engine/join.hpp"
#include "engine/test_support.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using test::error_of;
using test::Gate;
using test::Result;
using Value = std::shared_ptr<const int>;

/// Attempts that the test completes by hand.
class Attempts {
 public:
  ~Attempts() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    outcomes_.clear();  // what still waits ends
  }
  std::shared_ptr<SharedOnce<int>> once() {
    return SharedOnce<int>::create(threads_, [this](const std::stop_token& stop) {
      std::future<Value> outcome;
      {
        const std::lock_guard lock(mutex_);
        if (closed_) throw Error(Errc::cancelled, "the test is over");
        stops_.push_back(stop);
        outcome = outcomes_.emplace_back().get_future();
        changed_.notify_all();
      }
      return outcome.get();
    });
  }
  /// Waits until so many have begun, and says how many have.
  std::size_t count(std::size_t expected) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60), [&] { return outcomes_.size() >= expected; });
    return outcomes_.size();
  }
  bool is_stopped(std::size_t attempt) {
    const std::lock_guard lock(mutex_);
    return stops_[attempt].stop_requested();
  }
  void succeed(std::size_t attempt, int value) {
    const std::lock_guard lock(mutex_);
    outcomes_[attempt].set_value(std::make_shared<const int>(value));
  }
  void fail(std::size_t attempt) {
    const std::lock_guard lock(mutex_);
    outcomes_[attempt].set_exception(std::make_exception_ptr(Error(Errc::io_error, "broken")));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  std::vector<std::stop_token> stops_;
  std::deque<std::promise<Value>> outcomes_;
  ThreadPool threads_{1, "attempts", 8};
};

TEST(SharedOnce, ConcurrentCallersShareOneAttemptAndLaterOnesItsValue) {
  Attempts attempts;
  const auto once = attempts.once();
  std::vector<Result<Value>> results(3);
  for (auto& result : results) once->get({}, result.completion());
  ASSERT_EQ(attempts.count(1), 1U);
  EXPECT_FALSE(results[0].is_ready());
  attempts.succeed(0, 7);
  for (auto& result : results) EXPECT_EQ(*result.get(), 7);
  Result<Value> later;
  once->get({}, later.completion());
  EXPECT_EQ(*later.get(), 7);
  EXPECT_EQ(attempts.count(1), 1U);
}

TEST(SharedOnce, LetsGoOfItsValueAndMakesAnotherForTheNext) {
  ThreadPool threads(1, "attempts");
  int made = 6;
  const auto once =
      SharedOnce<int>::create(threads, [&](const std::stop_token&) { return std::make_shared<const int>(++made); });
  Value held = once->wait({});
  const std::weak_ptr<const int> watched = held;
  once->reset();
  EXPECT_EQ(once->peek(), nullptr);
  EXPECT_EQ(*held, 7);
  held = nullptr;
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(*once->wait({}), 8);
  EXPECT_NE(once->peek(), nullptr);
}

TEST(SharedOnce, AnAttemptUnderWaySurvivesAReset) {
  Attempts attempts;
  const auto once = attempts.once();
  Result<Value> result;
  once->get({}, result.completion());
  ASSERT_EQ(attempts.count(1), 1U);
  once->reset();
  attempts.succeed(0, 8);
  EXPECT_EQ(*result.get(), 8);
  EXPECT_NE(once->peek(), nullptr);
}

TEST(SharedOnce, ValuesThatWaitForEachOtherAreMadeOnASingleThread) {
  ThreadPool threads(1, "attempts");
  Gate gate;
  threads.post([&] { gate.pass(); });  // so that all are queued before one is begun
  const auto first =
      SharedOnce<int>::create(threads, [](const std::stop_token&) { return std::make_shared<const int>(1); });
  const auto second = SharedOnce<int>::create(
      threads, [&](const std::stop_token& stop) { return std::make_shared<const int>(*first->wait(stop) + 1); });
  const auto third = SharedOnce<int>::create(threads, [&](const std::stop_token& stop) {
    return std::make_shared<const int>(*second->wait(stop) + *first->wait(stop));
  });
  std::vector<Result<Value>> results(3);
  third->get({}, results[2].completion());
  second->get({}, results[1].completion());
  first->get({}, results[0].completion());
  gate.open();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*results[static_cast<std::size_t>(i)].get(), i + 1);
}

TEST(SharedOnce, AThreadThatWaitsLeavesAsSoonAsItIsStopped) {
  Attempts attempts;
  const auto once = attempts.once();
  Result<Value> stays;
  once->get({}, stays.completion());
  ASSERT_EQ(attempts.count(1), 1U);
  std::stop_source stop;
  std::string message;
  {
    const std::jthread waiter([&] { message = error_of([&] { once->wait(stop.get_token()); }, Errc::cancelled); });
    stop.request_stop();
  }
  EXPECT_THAT(message, testing::StartsWith("cancelled"));
  EXPECT_FALSE(attempts.is_stopped(0));
  attempts.succeed(0, 1);
  EXPECT_EQ(*stays.get(), 1);
}

TEST(SharedOnce, AStopReachesTheAttemptThatTheWaitingThreadMakesItself) {
  ThreadPool threads(1, "attempts");
  Gate begun;
  Completion<int> kept;
  const auto once = SharedOnce<int>::create(threads, [&](const std::stop_token& stop) {
    Awaited<int> never([&](const std::stop_token&, Completion<int> done) { kept = std::move(done); });
    begun.pass();
    return std::make_shared<const int>(never.get(stop));
  });
  std::stop_source stop;
  std::string message;
  {
    const std::jthread waiter([&] { message = error_of([&] { once->wait(stop.get_token()); }, Errc::cancelled); });
    ASSERT_TRUE(begun.wait_for_arrivals(1));
    stop.request_stop();
    begun.open();
  }
  EXPECT_THAT(message, testing::StartsWith("cancelled"));
}

TEST(SharedOnce, AFailureFailsThoseWhoWaitAndTheNextCallTriesAgain) {
  Attempts attempts;
  const auto once = attempts.once();
  Result<Value> first;
  Result<Value> second;
  once->get({}, first.completion());
  once->get({}, second.completion());
  ASSERT_EQ(attempts.count(1), 1U);
  attempts.fail(0);
  EXPECT_EQ(first.message(Errc::io_error), "broken");
  EXPECT_EQ(second.message(Errc::io_error), "broken");
  EXPECT_EQ(once->peek(), nullptr);
  Result<Value> third;
  once->get({}, third.completion());
  ASSERT_EQ(attempts.count(2), 2U);
  attempts.succeed(1, 3);
  EXPECT_EQ(*third.get(), 3);
}

TEST(SharedOnce, OneWaiterLeavesTheOthersStay) {
  Attempts attempts;
  const auto once = attempts.once();
  std::stop_source leaver;
  Result<Value> leaves;
  Result<Value> stays;
  once->get(leaver.get_token(), leaves.completion());
  once->get({}, stays.completion());
  ASSERT_EQ(attempts.count(1), 1U);
  leaver.request_stop();
  EXPECT_THAT(leaves.message(Errc::cancelled), testing::StartsWith("cancelled"));
  EXPECT_FALSE(attempts.is_stopped(0));
  attempts.succeed(0, 1);
  EXPECT_EQ(*stays.get(), 1);
}

TEST(SharedOnce, TheLastWaiterToLeaveStopsTheAttemptAndTheNextStartsAnother) {
  Attempts attempts;
  const auto once = attempts.once();
  std::stop_source leaver;
  Result<Value> leaves;
  once->get(leaver.get_token(), leaves.completion());
  ASSERT_EQ(attempts.count(1), 1U);
  leaver.request_stop();
  EXPECT_THAT(leaves.message(Errc::cancelled), testing::StartsWith("cancelled"));
  EXPECT_TRUE(attempts.is_stopped(0));
  Result<Value> next;
  once->get({}, next.completion());
  ASSERT_EQ(attempts.count(2), 2U);
  attempts.fail(0);  // the abandoned attempt ends; it is nobody's
  EXPECT_FALSE(next.is_ready());
  attempts.succeed(1, 9);
  EXPECT_EQ(*next.get(), 9);
}

TEST(SharedOnce, AWaiterThatHasAlreadyStoppedLeavesAtOnce) {
  Attempts attempts;
  const auto once = attempts.once();
  std::stop_source stopped;
  stopped.request_stop();
  Result<Value> result;
  once->get(stopped.get_token(), result.completion());
  EXPECT_THAT(result.message(Errc::cancelled), testing::StartsWith("cancelled"));
}

TEST(SharedOnce, SurvivesWaitersThatComeAndLeaveOnManyThreads) {
  ThreadPool threads(1, "attempts", 4);
  const auto once =
      SharedOnce<int>::create(threads, [](const std::stop_token&) { return std::make_shared<const int>(5); });
  constexpr std::size_t kCallers = 8;
  std::vector<Result<Value>> results(kCallers);
  {
    std::vector<std::jthread> callers;
    for (std::size_t i = 0; i < kCallers; ++i) {
      callers.emplace_back([&, i] {
        std::stop_source source;
        once->get(source.get_token(), results[i].completion());
        if (i % 2 == 0) source.request_stop();
      });
    }
  }
  for (std::size_t i = 0; i < kCallers; ++i) {
    try {
      EXPECT_EQ(*results[i].get(), 5);
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::cancelled);
      EXPECT_EQ(i % 2, 0U);
    }
  }
}

TEST(Join, CompletesOnceWhenAllBranchesHave) {
  int calls = 0;
  int sum = 0;
  auto join = Join::start({}, [&](const std::exception_ptr& error) {
    EXPECT_EQ(error, nullptr);
    ++calls;
  });
  Completion<int> a = join->branch<int>([&](int value) { sum += value; });
  Completion<int> b = join->branch<int>([&](int value) { sum += value; });
  a(nullptr, 1);
  join->close();
  EXPECT_EQ(calls, 0);
  b(nullptr, 2);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(sum, 3);
}

TEST(Join, TheFirstErrorStopsTheRestAndIsTheResult) {
  Result<int> result;
  auto join = Join::start({}, [done = result.completion()](std::exception_ptr error) mutable { done(error, 0); });
  Completion<int> a = join->branch<int>([](int) {});
  Completion<int> b = join->branch<int>([](int) {});
  Completion<int> c = join->branch<int>([](int) { throw Error(Errc::io_error, "unused"); });
  join->close();
  const std::stop_token stop = join->token();
  b(std::make_exception_ptr(Error(Errc::http_error, "first")), 0);
  EXPECT_TRUE(stop.stop_requested());
  EXPECT_FALSE(result.is_ready());
  a(std::make_exception_ptr(Error(Errc::cancelled, "second")), 0);
  c(nullptr, 1);
  EXPECT_EQ(result.message(Errc::http_error), "first");
}

TEST(SharedOnce, AnAttemptThatIsLostFailsThoseWhoWaitAndTheNextCallTriesAgain) {
  ThreadPool ended(1, "attempts");
  ended.stop();
  const auto nobodys =
      SharedOnce<int>::create(ended, [](const std::stop_token&) { return std::make_shared<const int>(2); });
  Result<Value> lost;
  nobodys->get({}, lost.completion());
  EXPECT_THAT(lost.message(Errc::shut_down), testing::HasSubstr("shutting down"));
  ThreadPool threads(1, "attempts");
  bool fails = true;
  const auto once = SharedOnce<int>::create(threads, [&](const std::stop_token&) {
    if (std::exchange(fails, false)) throw std::bad_alloc();
    return std::make_shared<const int>(3);
  });
  Result<Value> thrown;
  once->get({}, thrown.completion());
  EXPECT_THAT(thrown.message(Errc::out_of_memory), testing::StartsWith("out of memory"));
  Result<Value> made;
  once->get({}, made.completion());
  EXPECT_EQ(*made.get(), 3);
}

TEST(Join, PassesTheParentsStopOn) {
  std::stop_source parent;
  Result<int> result;
  auto join = Join::start(parent.get_token(),
                          [done = result.completion()](std::exception_ptr error) mutable { done(error, 0); });
  // A branch that completes inside the stop request, as the engine's own do, and with it the join.
  Attempts never;
  const auto once = never.once();
  once->get(join->token(), join->branch<Value>([](const Value&) {}));
  join->close();
  join.reset();
  parent.request_stop();
  EXPECT_THAT(result.message(Errc::cancelled), testing::StartsWith("cancelled"));
}

}  // namespace
}  // namespace stella::engine
