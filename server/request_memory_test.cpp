#include "server/request_memory.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

using Grant = RequestMemory::Grant;

TEST(RequestMemory, IsNeverMoreThanTheLimit) {
  RequestMemory memory(100);
  RequestMemory::Part first(memory);
  EXPECT_EQ(first.resize(60), Grant::given);
  RequestMemory::Part second(memory);
  EXPECT_EQ(second.resize(41), Grant::busy);
  EXPECT_EQ(second.resize(101), Grant::too_much);
  EXPECT_EQ(second.resize(40), Grant::given);
  EXPECT_EQ(memory.used(), 100);
  EXPECT_EQ(first.resize(61), Grant::busy);
  EXPECT_EQ(first.resize(10), Grant::given);
  EXPECT_EQ(first.grow_to(5), Grant::given);
  EXPECT_EQ(memory.used(), 50);
}

TEST(RequestMemory, GoesWithThePart) {
  RequestMemory memory(100);
  {
    RequestMemory::Part part(memory);
    EXPECT_EQ(part.resize(70), Grant::given);
    RequestMemory::Part moved = std::move(part);
    RequestMemory::Part assigned;
    assigned = std::move(moved);
    EXPECT_EQ(memory.used(), 70);
    EXPECT_EQ(assigned.resize(80), Grant::given);
  }
  EXPECT_EQ(memory.used(), 0);
}

TEST(RequestMemory, ALowerLimitHoldsForWhatComes) {
  RequestMemory memory(100);
  RequestMemory::Part part(memory);
  EXPECT_EQ(part.resize(80), Grant::given);
  memory.set_limit(50);
  EXPECT_EQ(part.resize(70), Grant::given);
  RequestMemory::Part other(memory);
  EXPECT_EQ(other.resize(1), Grant::busy);
}

}  // namespace
}  // namespace stella::server
