#include "engine/circuit_breaker.hpp"

#include <chrono>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using std::chrono::seconds;
using Outcome = CircuitBreaker::Outcome;
using State = CircuitBreaker::State;
using Ticket = CircuitBreaker::Ticket;

/// A breaker with the rules of the pool, and a clock that only the test moves.
class Breaker : public testing::Test {
 protected:
  bool request(Outcome outcome) {
    const std::optional<Ticket> ticket = breaker_.admit(now_);
    if (ticket) breaker_.settle(*ticket, outcome, now_);
    return ticket.has_value();
  }
  void fail(int times) {
    for (int i = 0; i < times; ++i) EXPECT_TRUE(request(Outcome::failure)) << i;
  }
  State state() const { return breaker_.state(now_); }

  CircuitBreaker breaker_{{.failures = 5, .rest = seconds(60), .successes = 3}};
  CircuitBreaker::TimePoint now_{};
};

TEST_F(Breaker, OpensAtTheFifthFailureInARow) {
  fail(4);
  EXPECT_EQ(state(), State::closed);
  fail(1);
  EXPECT_EQ(state(), State::open);
  EXPECT_FALSE(request(Outcome::success));
}

TEST_F(Breaker, ASuccessBreaksTheRowAndWhatIsNeitherDoesNot) {
  fail(4);
  EXPECT_TRUE(request(Outcome::success));
  fail(4);
  EXPECT_TRUE(request(Outcome::neither));
  EXPECT_EQ(state(), State::closed);
  fail(1);
  EXPECT_EQ(state(), State::open);
}

TEST_F(Breaker, RestsForItsTimeAndThenThreeSuccessesCloseIt) {
  fail(5);
  now_ += seconds(59);
  EXPECT_FALSE(request(Outcome::success));
  EXPECT_EQ(breaker_.open_until(), now_ + seconds(1));
  now_ += seconds(1);
  EXPECT_EQ(state(), State::half_open);
  EXPECT_TRUE(request(Outcome::success));
  EXPECT_TRUE(request(Outcome::success));
  EXPECT_EQ(state(), State::half_open);
  EXPECT_TRUE(request(Outcome::success));
  EXPECT_EQ(state(), State::closed);
  fail(4);
  EXPECT_EQ(state(), State::closed);  // counted from the beginning
}

TEST_F(Breaker, AFailureWhileHalfOpenOpensItForAnotherRest) {
  fail(5);
  now_ += seconds(60);
  EXPECT_TRUE(request(Outcome::success));
  fail(1);
  EXPECT_EQ(state(), State::open);
  EXPECT_EQ(breaker_.open_until(), now_ + seconds(60));
  now_ += seconds(60);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(request(Outcome::success));
  EXPECT_EQ(state(), State::closed);
}

TEST_F(Breaker, HalfOpenItLetsThroughNoMoreThanTheMissingSuccesses) {
  fail(5);
  now_ += seconds(60);
  std::vector<Ticket> probes;
  for (int i = 0; i < 3; ++i) probes.push_back(breaker_.admit(now_).value());
  EXPECT_FALSE(breaker_.admit(now_));
  breaker_.settle(probes[0], Outcome::neither, now_);  // cancelled: its place is free again
  probes[0] = breaker_.admit(now_).value();
  EXPECT_FALSE(breaker_.admit(now_));
  breaker_.settle(probes[0], Outcome::success, now_);
  EXPECT_FALSE(breaker_.admit(now_));  // one success, two under way
  breaker_.settle(probes[1], Outcome::success, now_);
  breaker_.settle(probes[2], Outcome::success, now_);
  EXPECT_EQ(state(), State::closed);
}

TEST_F(Breaker, FailuresSideBySideCountOnce) {
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(state(), State::closed);
    std::vector<Ticket> together;
    for (int i = 0; i < 8; ++i) together.push_back(breaker_.admit(now_).value());
    for (const Ticket& ticket : together) breaker_.settle(ticket, Outcome::failure, now_);
  }
  EXPECT_EQ(state(), State::open);
}

TEST_F(Breaker, WhatWasAdmittedBeforeItChangedCountsNoMore) {
  const Ticket early = breaker_.admit(now_).value();
  const Ticket late = breaker_.admit(now_).value();
  fail(5);
  now_ += seconds(60);
  const Ticket probe = breaker_.admit(now_).value();
  breaker_.settle(early, Outcome::failure, now_);
  EXPECT_EQ(state(), State::half_open);
  breaker_.settle(late, Outcome::success, now_);
  breaker_.settle(probe, Outcome::success, now_);
  EXPECT_TRUE(request(Outcome::success));
  EXPECT_EQ(state(), State::half_open);  // two, not three
  EXPECT_TRUE(request(Outcome::success));
  EXPECT_EQ(state(), State::closed);
}

}  // namespace
}  // namespace stella::engine
