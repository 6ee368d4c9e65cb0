#include "hub/http/retry.hpp"

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, DoublesWithJitterAndEnds) {
  RetryPolicy policy;
  policy.first = milliseconds(100);
  policy.longest = milliseconds(400);
  policy.retries = 4;
  Backoff backoff(policy);
  HttpFailure failure;
  failure.retry = true;
  for (const int full : {100, 200, 400, 400}) {
    const auto wait = backoff.next(failure);
    ASSERT_TRUE(wait);
    EXPECT_GE(*wait, milliseconds(full / 2));
    EXPECT_LE(*wait, milliseconds(full));
  }
  EXPECT_FALSE(backoff.next(failure));
  backoff.progress(1);
  EXPECT_TRUE(backoff.next(failure));
}

TEST(Backoff, HonoursWhatIsAskedForUpToTheCap) {
  Backoff backoff(RetryPolicy{});
  HttpFailure failure;
  failure.retry = true;
  failure.wait = milliseconds(3000);
  EXPECT_EQ(backoff.next(failure), milliseconds(3000));
  failure.wait = std::chrono::hours(5);
  EXPECT_EQ(backoff.next(failure), RetryPolicy{}.longest_asked);
  failure.retry = false;
  EXPECT_FALSE(backoff.next(failure));
}

TEST(Backoff, IsBoundedWhateverTheProgress) {
  RetryPolicy policy;
  policy.retries_in_all = 10;
  Backoff backoff(policy);
  HttpFailure failure;
  failure.retry = true;
  int tries = 0;
  while (tries < 1000 && backoff.next(failure)) {
    ++tries;
    backoff.progress(1);  // a peer that sends one byte each time
  }
  EXPECT_EQ(tries, 10);
}

}  // namespace
}  // namespace stella::hub
