#include "engine/memory_budget.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using Grant = MemoryBudget::Grant;

TEST(MemoryBudget, GrantsWhatIsFreeAndNoByteMore) {
  MemoryBudget budget(100);
  const std::optional<Grant> first = budget.reserve(60);
  ASSERT_TRUE(first);
  EXPECT_EQ(budget.granted(), 60U);
  EXPECT_FALSE(budget.reserve(41));
  EXPECT_EQ(budget.granted(), 60U);
  const std::optional<Grant> rest = budget.reserve(40);
  EXPECT_TRUE(rest);
  EXPECT_EQ(budget.free(), 0U);
  EXPECT_TRUE(budget.reserve(0));
  EXPECT_FALSE(budget.reserve(std::numeric_limits<std::uint64_t>::max()));
}

TEST(MemoryBudget, AGrantGivesBackWhatItShrinksByAndTheRestAtItsEnd) {
  MemoryBudget budget(100);
  {
    std::optional<Grant> grant = budget.reserve(80);
    grant->shrink_to(50);
    EXPECT_EQ(grant->bytes(), 50U);
    EXPECT_EQ(budget.granted(), 50U);
    grant->shrink_to(70);  // never grows
    EXPECT_EQ(grant->bytes(), 50U);
    EXPECT_EQ(budget.granted(), 50U);
  }
  EXPECT_EQ(budget.granted(), 0U);
  EXPECT_EQ(budget.peak(), 80U);
}

TEST(MemoryBudget, GrantsThatAreMovedCountOnce) {
  MemoryBudget budget(100);
  Grant kept;
  {
    std::optional<Grant> grant = budget.reserve(30);
    kept = *std::move(grant);
    const Grant moved = std::move(kept);
    EXPECT_EQ(budget.granted(), 30U);
  }
  EXPECT_EQ(budget.granted(), 0U);
  EXPECT_EQ(kept.bytes(), 0U);
}

TEST(MemoryBudget, IsNeverExceededAndAlwaysTheSumOfItsGrants) {
  constexpr std::uint64_t kLimit = 1000;
  MemoryBudget budget(kLimit);
  std::vector<Grant> grants;
  std::mt19937 random(7);
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t bytes = random() % 400;
    if (const std::size_t at = random() % 3; at == 0 && !grants.empty()) {
      grants.erase(grants.begin() + static_cast<std::ptrdiff_t>(random() % grants.size()));
    } else if (at == 1 && !grants.empty()) {
      grants[random() % grants.size()].shrink_to(bytes);
    } else if (std::optional<Grant> grant = budget.reserve(bytes)) {
      grants.push_back(*std::move(grant));
    }
    std::uint64_t sum = 0;
    for (const Grant& grant : grants) sum += grant.bytes();
    ASSERT_EQ(budget.granted(), sum);
    ASSERT_LE(sum, kLimit);
    ASSERT_LE(budget.peak(), kLimit);
  }
}

}  // namespace
}  // namespace stella::engine
