#include "server/observe/bounded_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(BoundedQueue, WhatIsTooMuchIsDroppedAndCounted) {
  BoundedQueue<int> queue(3);
  for (int i = 0; i < 5; ++i) queue.add(i);
  EXPECT_EQ(queue.dropped(), 2U);
  EXPECT_THAT(queue.take(), Optional(ElementsAre(0, 1, 2)));
  queue.add(7);
  EXPECT_EQ(queue.dropped(), 2U);
  EXPECT_THAT(queue.take(), Optional(ElementsAre(7)));
}

TEST(BoundedQueue, AfterTheEndTheRestIsGiven) {
  BoundedQueue<int> queue(3);
  queue.add(1);
  queue.end();
  queue.add(2);
  EXPECT_THAT(queue.take(), Optional(ElementsAre(1)));
  EXPECT_EQ(queue.take(), std::nullopt);
  EXPECT_EQ(queue.dropped(), 1U);
}

}  // namespace
}  // namespace stella::server
