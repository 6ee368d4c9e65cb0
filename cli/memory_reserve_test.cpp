#include "cli/memory_reserve.hpp"

#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace stella::cli {
namespace {

constexpr std::size_t kBytes = MemoryReserve::kBlockBytes;
constexpr std::size_t kBlocks = 64;

TEST(MemoryReserve, HasSoManyBlocksThatOverlapNowhere) {
  std::vector<MemoryReserve::Block> blocks(kBlocks);
  MemoryReserve reserve(blocks);
  std::set<std::uintptr_t> taken;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    void* const block = reserve.take(kBytes);
    ASSERT_NE(block, nullptr) << i;
    std::memset(block, 255, kBytes);
    EXPECT_TRUE(reserve.owns(block));
    taken.insert(reinterpret_cast<std::uintptr_t>(block));
  }
  EXPECT_EQ(reserve.take(1), nullptr);
  ASSERT_EQ(taken.size(), kBlocks);
  std::uintptr_t end = 0;
  for (const std::uintptr_t block : taken) {
    EXPECT_EQ(block % alignof(std::max_align_t), 0);
    EXPECT_GE(block, end);
    end = block + kBytes;
  }
}

TEST(MemoryReserve, TakesBackWhatItGave) {
  std::vector<MemoryReserve::Block> blocks(kBlocks);
  MemoryReserve reserve(blocks);
  void* const first = reserve.take(0);
  void* const second = reserve.take(1);
  reserve.give(first);
  reserve.give(second);
  const std::set<void*> again{reserve.take(kBytes), reserve.take(kBytes)};
  EXPECT_EQ(again, (std::set<void*>{first, second}));
}

TEST(MemoryReserve, KnowsItsOwn) {
  std::vector<MemoryReserve::Block> blocks(kBlocks);
  MemoryReserve reserve(blocks);
  EXPECT_EQ(reserve.take(kBytes + 1), nullptr);
  const auto* const bytes = static_cast<const char*>(reserve.take(1));
  const int other = 0;
  EXPECT_FALSE(reserve.owns(&other));
  EXPECT_FALSE(reserve.owns(nullptr));
  EXPECT_FALSE(reserve.owns(bytes - 1));
  EXPECT_TRUE(reserve.owns(bytes + kBytes * kBlocks - 1));
  EXPECT_FALSE(reserve.owns(bytes + kBytes * kBlocks));
}

TEST(MemoryReserve, ServesThreads) {
  std::vector<MemoryReserve::Block> blocks(kBlocks);
  MemoryReserve reserve(blocks);
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id) {
    threads.emplace_back([&reserve, id] {
      for (int round = 0; round < 1000; ++round) {
        auto* const block = static_cast<volatile int*>(reserve.take(kBytes));
        block[2] = id;
        std::this_thread::yield();
        EXPECT_EQ(block[2], id);
        reserve.give(const_cast<int*>(block));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace stella::cli
