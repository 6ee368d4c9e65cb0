#include "hub/download/piece_plan.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

using std::chrono::milliseconds;
using Piece = PiecePlan::Piece;

constexpr std::uint64_t kMega = 1'000'000;
constexpr PieceLimits kLimits{.smallest = kMega, .largest = 64 * kMega, .connections = 16};
const PiecePlan::Time kStart{};

PiecePlan plan_of(std::optional<std::uint64_t> size, const RangeSet& there = {}, PieceLimits limits = kLimits) {
  PiecePlan plan(limits);
  plan.begin(there, size);
  return plan;
}

// A piece of `bytes` that came in `seconds`, after a first byte that took `latency` seconds.
void bring(PiecePlan& plan, std::uint64_t bytes, double latency, double seconds) {
  Piece* const piece = plan.next(kStart);
  ASSERT_NE(piece, nullptr);
  const auto after = [](double s) {
    return kStart + std::chrono::duration_cast<milliseconds>(std::chrono::duration<double>(s));
  };
  EXPECT_EQ(plan.took(*piece, bytes, after(latency)), bytes);
  plan.measure(*piece, after(latency + seconds));
  plan.release(*piece);
}

TEST(PiecePlan, ASmallBodyIsOneRequestWithoutARange) {
  PiecePlan plan = plan_of(3 * kMega);
  const Piece* piece = plan.next(kStart);
  ASSERT_NE(piece, nullptr);
  EXPECT_TRUE(piece->whole);
  EXPECT_EQ(piece->position, 0U);
  EXPECT_EQ(piece->end, 3 * kMega);
  EXPECT_EQ(plan.next(kStart), nullptr);
}

TEST(PiecePlan, PiecesFollowOneAnotherAndGetSmallerTowardsTheEnd) {
  PiecePlan plan = plan_of(1000 * kMega);
  std::uint64_t at = 0;
  std::uint64_t before = UINT64_MAX;
  while (Piece* piece = plan.next(kStart)) {
    ASSERT_EQ(piece->position, at);
    EXPECT_FALSE(piece->whole);
    const bool last = piece->end == 1000 * kMega;
    EXPECT_TRUE(last || piece->left() <= before);
    EXPECT_GE(piece->left(), last ? 2 * kMega : 4 * kMega) << "no latency is known yet, and there are no crumbs";
    before = piece->left();
    at = piece->end;
    if (last) break;
  }
  EXPECT_EQ(at, 1000 * kMega);
}

TEST(PiecePlan, OneConnectionTakesEverythingAtOnce) {
  PieceLimits limits = kLimits;
  limits.connections = 1;
  RangeSet there;
  there.add(0, kMega);
  there.add(2 * kMega, 3 * kMega);
  PiecePlan plan = plan_of(100 * kMega, there, limits);
  const Piece* const piece = plan.next(kStart);
  EXPECT_EQ(piece->position, kMega);
  EXPECT_EQ(piece->end, 2 * kMega);
  EXPECT_EQ(plan.next(kStart)->end, 100 * kMega);
}

TEST(PiecePlan, APieceIsWorthTwiceItsLatency) {
  PiecePlan plan = plan_of(10'000 * kMega);
  bring(plan, 10 * kMega, 0.5, 1.0);  // half a second, 10 MB/s: a request for less than 10 MB is not worth it
  EXPECT_DOUBLE_EQ(plan.latency(), 0.5);
  bring(plan, 10 * kMega, 0.7, 1.0);
  EXPECT_DOUBLE_EQ(plan.latency(), 0.5) << "the least so far";
  std::uint64_t smallest = UINT64_MAX;
  for (const Piece* piece = plan.next(kStart); piece->end != *plan.size(); piece = plan.next(kStart)) {
    smallest = std::min(smallest, piece->left());
  }
  EXPECT_EQ(smallest, 10 * kMega);
}

TEST(PiecePlan, TheLargestRestIsHalvedWhereThatIsWorthARequest) {
  PiecePlan plan = plan_of(24 * kMega);
  std::vector<Piece*> pieces;
  while (pieces.size() < 3) pieces.push_back(plan.next(kStart));
  while (pieces.back()->end != 24 * kMega) pieces.push_back(plan.next(kStart));
  // The first has come but for a little; the last, nothing of it.
  plan.took(*pieces.front(), pieces.front()->left() - 1, kStart + milliseconds(1));
  plan.measure(*pieces.front(), kStart + milliseconds(101));
  auto* const largest = *std::max_element(pieces.begin(), pieces.end(),
                                          [](const Piece* a, const Piece* b) { return a->left() < b->left(); });
  const std::uint64_t position = largest->position;
  const std::uint64_t left = largest->left();
  const Piece* const half = plan.next(kStart);
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(half->position, position + left / 2);
  EXPECT_LE(half->end, position + left);
  EXPECT_EQ(largest->end, half->position);
  EXPECT_TRUE(largest->longer) << "it was asked for more";
  // What is left is in the end too little for another request.
  int splits = 0;
  while (plan.next(kStart) != nullptr) ASSERT_LT(++splits, 100);
}

TEST(PiecePlan, WhatAPieceLeavesUndoneIsAskedForAgain) {
  PiecePlan plan = plan_of(100 * kMega);
  Piece* const first = plan.next(kStart);
  const std::uint64_t end = first->end;
  plan.next(kStart);
  EXPECT_EQ(plan.took(*first, kMega, kStart), kMega);
  EXPECT_EQ(plan.delivering(), 1U);
  plan.release(*first);
  EXPECT_EQ(plan.delivering(), 0U);
  const Piece* const again = plan.next(kStart);
  EXPECT_EQ(again->position, kMega);
  EXPECT_EQ(again->end, end);
  EXPECT_EQ(plan.received(), kMega);
}

TEST(PiecePlan, AServerThatSendsEverythingIsLetDoSo) {
  PiecePlan plan = plan_of(100 * kMega);
  Piece* const first = plan.next(kStart);
  Piece* const second = plan.next(kStart);
  plan.took(*first, kMega, kStart);
  plan.becomes_whole(*second);
  EXPECT_TRUE(plan.is_superseded(*first));
  EXPECT_FALSE(plan.is_superseded(*second));
  plan.release(*first);
  EXPECT_EQ(plan.next(kStart), nullptr) << "no other beside it";
  EXPECT_FALSE(plan.is_news(*second, kMega)) << "the first had that";
  EXPECT_EQ(plan.took(*second, kMega, kStart), 0U);
  EXPECT_TRUE(plan.is_news(*second, 1));
  plan.release(*second);
  const Piece* const again = plan.next(kStart);
  EXPECT_TRUE(again->whole);
  EXPECT_EQ(again->position, 0U);
  EXPECT_EQ(again->end, 100 * kMega);
}

TEST(PiecePlan, ABodyWithoutASizeComesInOnePieceAndEndsWhereItEnds) {
  PiecePlan plan = plan_of(std::nullopt);
  Piece* piece = plan.next(kStart);
  EXPECT_TRUE(piece->whole);
  EXPECT_EQ(piece->end, PiecePlan::kToTheEnd);
  EXPECT_EQ(plan.next(kStart), nullptr);
  plan.took(*piece, 5, kStart);
  plan.release(*piece);
  plan.forget();  // it broke off
  EXPECT_EQ(plan.received(), 0U);
  piece = plan.next(kStart);
  EXPECT_EQ(piece->position, 0U);
  plan.took(*piece, 7, kStart);
  EXPECT_FALSE(plan.all_received());
  plan.release(*piece);
  plan.ends_at(7);
  EXPECT_TRUE(plan.all_received());
  EXPECT_EQ(plan.next(kStart), nullptr);
}

// Whatever breaks off and whatever is split: in the end every byte has come, and none was two pieces' at a time.
TEST(PiecePlan, EveryByteIsOnePiecesOrReceivedOrFree) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t size = 1 + random() % 5000;
    RangeSet there;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t first = random() % size;
      there.add(first, std::min(size, first + random() % 500));
    }
    PiecePlan plan = plan_of(size, there, {.smallest = 20, .largest = 300, .connections = 4});
    std::vector<Piece*> pieces;
    auto now = kStart;
    for (int step = 0; step < 100'000 && !plan.all_received(); ++step) {
      now += milliseconds(1);
      while (pieces.size() < 4) {
        Piece* const piece = plan.next(now);
        if (piece == nullptr) break;
        pieces.push_back(piece);
      }
      ASSERT_FALSE(pieces.empty());
      for (const Piece* a : pieces) {
        for (const Piece* b : pieces) ASSERT_TRUE(a == b || a->end <= b->position || b->end <= a->position);
      }
      const std::size_t at = random() % pieces.size();
      Piece& piece = *pieces[at];
      const std::uint64_t count = std::min<std::uint64_t>(piece.left(), random() % 60);
      ASSERT_EQ(plan.took(piece, count, now), count) << "it was nobody's before";
      if (piece.left() > 0 && random() % 8 != 0) continue;
      plan.measure(piece, now);
      plan.release(piece);
      pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(at));
    }
    EXPECT_EQ(plan.received(), size);
  }
}

}  // namespace
}  // namespace stella::hub
