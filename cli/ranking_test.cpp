#include "cli/ranking.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

TEST(Cosine, OfAnyLengths) {
  const std::vector<float> a{3, 4, 0, 0, 0};
  const std::vector<float> b{30, 40, 0, 0, 0};
  const std::vector<float> c{-4, 3, 0, 0, 0};
  EXPECT_DOUBLE_EQ(cosine(a, b), 1.0);
  EXPECT_DOUBLE_EQ(cosine(a, c), 0.0);
  EXPECT_DOUBLE_EQ(cosine(a, std::vector<float>{-3, -4, 0, 0, 0}), -1.0);
  EXPECT_DOUBLE_EQ(cosine(a, std::vector<float>{1, 1, 1, 1, 1}), 7 / (5 * std::sqrt(5.0)));
  EXPECT_EQ(cosine(a, std::vector<float>(5)), 0.0) << "zero has no direction";
}

TEST(Cosine, TakesTheSmallestAndTheLargestFloats) {
  const std::vector<float> small(3, 1e-38F);
  const std::vector<float> large(3, 3e38F);
  EXPECT_DOUBLE_EQ(cosine(small, large), 1.0);
}

TEST(RankingTest, KeepsTheBestAndOfEqualOnesTheFirst) {
  Ranking ranking(3);
  const std::vector<double> scores{0.1, 0.5, 0.5, 0.9, 0.5, 0.2};
  for (std::size_t i = 0; i < scores.size(); ++i) ranking.offer(scores[i], i, std::to_string(i));
  std::vector<std::string> texts;
  for (const Match& match : ranking.take()) texts.push_back(match.text);
  EXPECT_THAT(texts, testing::ElementsAre("3", "1", "2"));
  EXPECT_TRUE(ranking.take().empty());
}

TEST(RankingTest, HoldsNoMoreThanThereAre) {
  Ranking ranking(~std::size_t{0});
  ranking.offer(0.5, 7, "x");
  const auto matches = ranking.take();
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].index, 7U);
}

}  // namespace
}  // namespace stella::cli
