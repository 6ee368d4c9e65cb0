#include "server/admission.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

using std::chrono::seconds;

TEST(RetryAfter, IsTheTimeThatTheTextsTake) {
  EXPECT_EQ(retry_after(100, 10, 0.5), 10);
  EXPECT_EQ(retry_after(100, 10, 0), 8);
  EXPECT_EQ(retry_after(100, 10, 1), 13);
  EXPECT_EQ(retry_after(1, 1000, 0), 1);
  EXPECT_EQ(retry_after(1'000'000, 1, 1), 60);
  EXPECT_EQ(retry_after(100, 0, 0), 1);
}

TEST(Admission, CountsTexts) {
  Admission admission(10);
  {
    const auto first = admission.enter(6);
    ASSERT_TRUE(first);
    EXPECT_FALSE(admission.enter(5));
    EXPECT_TRUE(admission.enter(4));
    EXPECT_EQ(admission.under_way(), 6);
  }
  EXPECT_EQ(admission.under_way(), 0);
  EXPECT_FALSE(admission.enter(11));
}

TEST(Admission, MeasuresItsRate) {
  std::chrono::steady_clock::time_point now{};
  Admission admission(100, [&now] { return now; });
  for (int second = 0; second < 100; ++second) {
    auto permit = admission.enter(10);
    now += seconds(1);
  }
  const auto waiting = admission.enter(100);
  EXPECT_EQ(admission.seconds_to_wait(0.5), 10);
}

}  // namespace
}  // namespace stella::server
