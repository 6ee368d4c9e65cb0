#include "server/admission.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

using std::chrono::seconds;

constexpr AdmissionLimits kLimits{10, 100, 0.5};

TEST(RetryAfter, IsTheTimeThatTheTokensTake) {
  EXPECT_EQ(retry_after(100, 10, 0.5), 10);
  EXPECT_EQ(retry_after(100, 10, 0), 8);
  EXPECT_EQ(retry_after(100, 10, 1), 13);
  EXPECT_EQ(retry_after(1, 1000, 0), 1);
  EXPECT_EQ(retry_after(1'000'000, 1, 1), 60);
  EXPECT_EQ(retry_after(100, 0, 0), 1);
}

TEST(Admission, CountsTexts) {
  Admission admission(kLimits);
  {
    const auto first = admission.enter("a", {6, 6});
    ASSERT_TRUE(first);
    EXPECT_FALSE(admission.enter("b", {5, 5}));
    EXPECT_TRUE(admission.enter("b", {4, 4}));
    EXPECT_EQ(admission.under_way().texts, 6);
    EXPECT_EQ(admission.under_way().tokens, 6);
  }
  EXPECT_EQ(admission.under_way().texts, 0);
  EXPECT_EQ(admission.under_way().tokens, 0);
}

TEST(Admission, CountsTokens) {
  Admission admission(kLimits);
  const auto first = admission.enter("a", {1, 60});
  EXPECT_FALSE(admission.enter("b", {1, 41}));
  EXPECT_TRUE(admission.enter("b", {1, 40}));
}

TEST(Admission, WhatComesAloneIsLetIn) {
  Admission admission(kLimits);
  const auto large = admission.enter("a", {1, 500});
  ASSERT_TRUE(large);
  EXPECT_FALSE(admission.enter("b", {1, 1}));
}

TEST(Admission, LeavesOthersRoom) {
  Admission admission(kLimits);
  const auto first = admission.enter("a", {3, 3});
  EXPECT_FALSE(admission.enter("a", {3, 3}));
  const auto second = admission.enter("a", {2, 2});
  ASSERT_TRUE(second);
  EXPECT_FALSE(admission.enter("a", {1, 1}));
  const auto other = admission.enter("b", {5, 95});
  EXPECT_TRUE(other);
}

TEST(Admission, OneRequestOfAClientMayTakeAll) {
  Admission admission(kLimits);
  EXPECT_TRUE(admission.enter("a", {10, 100}));
}

TEST(Admission, NewLimitsHoldForWhatComes) {
  Admission admission(kLimits);
  const auto first = admission.enter("a", {6, 6});
  admission.set_limits({7, 100, 0.5});
  EXPECT_FALSE(admission.enter("b", {2, 2}));
  EXPECT_TRUE(admission.enter("b", {1, 1}));
}

TEST(Admission, RequestsWithoutTextsCountAsOne) {
  Admission admission(kLimits);
  auto first = admission.enter("a", {0, 0});
  auto second = admission.enter("a", {0, 0});
  EXPECT_EQ(admission.under_way().texts, 2);
  first.reset();
  second.reset();
  EXPECT_EQ(admission.under_way().texts, 0);
}

TEST(Admission, MeasuresItsRateByWhatWasComputedWhileItWasBusy) {
  std::chrono::steady_clock::time_point now{};
  Admission admission({100, 10'000, 1}, [&now] { return now; });
  for (int second = 0; second < 100; ++second) {
    auto given_up = admission.enter("a", {1, 1000});
    auto permit = admission.enter("b", {1, 50});
    permit->set_done();
    now += seconds(1);
    permit.reset();
    given_up.reset();
    now += seconds(60);  // nobody asks
  }
  const auto waiting = admission.enter("a", {1, 500});
  EXPECT_EQ(admission.seconds_to_wait(0.5), 10);
}

}  // namespace
}  // namespace stella::server
