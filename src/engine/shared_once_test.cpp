#include "engine/shared_once.hpp"

#include "engine/join.hpp"
#include "engine/test_support.hpp"

#include <memory>
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

using test::Result;
using Value = std::shared_ptr<const int>;

/// Attempts that the test completes by hand.
struct Attempts {
  std::vector<std::stop_token> stops;
  std::vector<Completion<Value>> completions;

  std::shared_ptr<SharedOnce<int>> once() {
    return SharedOnce<int>::create([this](std::stop_token stop, Completion<Value> done) {
      stops.push_back(std::move(stop));
      completions.push_back(std::move(done));
    });
  }
  void succeed(std::size_t attempt, int value) { completions[attempt](nullptr, std::make_shared<const int>(value)); }
  void fail(std::size_t attempt) {
    completions[attempt](std::make_exception_ptr(Error(Errc::io_error, "broken")), nullptr);
  }
};

TEST(SharedOnce, ConcurrentCallersShareOneAttemptAndLaterOnesItsValue) {
  Attempts attempts;
  const auto once = attempts.once();
  std::vector<Result<Value>> results(3);
  for (auto& result : results) once->get({}, result.completion());
  ASSERT_EQ(attempts.completions.size(), 1U);
  EXPECT_FALSE(results[0].is_ready());
  attempts.succeed(0, 7);
  for (auto& result : results) EXPECT_EQ(*result.get(), 7);
  Result<Value> later;
  once->get({}, later.completion());
  EXPECT_EQ(*later.get(), 7);
  EXPECT_EQ(attempts.completions.size(), 1U);
}

TEST(SharedOnce, LetsGoOfItsValueAndMakesAnotherForTheNext) {
  Attempts attempts;
  const auto once = attempts.once();
  Result<Value> first;
  once->get({}, first.completion());
  attempts.succeed(0, 7);
  Value held = first.get();
  const std::weak_ptr<const int> watched = held;
  once->reset();
  EXPECT_EQ(once->peek(), nullptr);
  EXPECT_EQ(*held, 7);
  held = nullptr;
  attempts.completions.clear();
  EXPECT_TRUE(watched.expired());
  Result<Value> second;
  once->get({}, second.completion());
  ASSERT_EQ(attempts.completions.size(), 1U);
  once->reset();  // of nothing: the attempt goes on
  attempts.succeed(0, 8);
  EXPECT_EQ(*second.get(), 8);
  EXPECT_NE(once->peek(), nullptr);
}

TEST(SharedOnce, AFailureFailsThoseWhoWaitAndTheNextCallTriesAgain) {
  Attempts attempts;
  const auto once = attempts.once();
  Result<Value> first;
  Result<Value> second;
  once->get({}, first.completion());
  once->get({}, second.completion());
  attempts.fail(0);
  EXPECT_EQ(first.message(Errc::io_error), "broken");
  EXPECT_EQ(second.message(Errc::io_error), "broken");
  EXPECT_EQ(once->peek(), nullptr);
  Result<Value> third;
  once->get({}, third.completion());
  ASSERT_EQ(attempts.completions.size(), 2U);
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
  leaver.request_stop();
  EXPECT_THAT(leaves.message(Errc::cancelled), testing::StartsWith("cancelled"));
  EXPECT_FALSE(attempts.stops[0].stop_requested());
  attempts.succeed(0, 1);
  EXPECT_EQ(*stays.get(), 1);
}

TEST(SharedOnce, TheLastWaiterToLeaveStopsTheAttemptAndTheNextStartsAnother) {
  Attempts attempts;
  const auto once = attempts.once();
  std::stop_source leaver;
  Result<Value> leaves;
  once->get(leaver.get_token(), leaves.completion());
  leaver.request_stop();
  EXPECT_THAT(leaves.message(Errc::cancelled), testing::StartsWith("cancelled"));
  EXPECT_TRUE(attempts.stops[0].stop_requested());
  Result<Value> next;
  once->get({}, next.completion());
  ASSERT_EQ(attempts.completions.size(), 2U);
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
  std::vector<std::jthread> makers;
  std::mutex mutex;
  const auto once = SharedOnce<int>::create([&](const std::stop_token&, Completion<Value> done) {
    const std::lock_guard lock(mutex);
    makers.emplace_back([done = std::move(done)]() mutable { done(nullptr, std::make_shared<const int>(5)); });
  });
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
  const std::lock_guard lock(mutex);
  makers.clear();
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
  int attempts = 0;
  const auto once = SharedOnce<int>::create([&](const std::stop_token&, Completion<Value> done) {
    if (++attempts == 1) return;  // what held the completion could not be queued
    if (attempts == 2) throw std::bad_alloc();
    done(nullptr, std::make_shared<const int>(3));
  });
  Result<Value> lost;
  once->get({}, lost.completion());
  EXPECT_THAT(lost.message(Errc::shut_down), testing::HasSubstr("shutting down"));
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
  std::vector<Completion<Value>> never;
  auto once = SharedOnce<int>::create(
      [&](const std::stop_token&, Completion<Value> done) { never.push_back(std::move(done)); });
  once->get(join->token(), join->branch<Value>([](const Value&) {}));
  join->close();
  join.reset();
  parent.request_stop();
  EXPECT_THAT(result.message(Errc::cancelled), testing::StartsWith("cancelled"));
}

}  // namespace
}  // namespace stella::engine
