#include "engine/precision.hpp"

#include "engine/test_support.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using testing::ElementsAre;

std::vector<Precision> ranked(std::vector<RankedPrecision> measured) {
  std::vector<Precision> order;
  for (const RankedPrecision& one : rank_precisions(std::move(measured))) order.push_back(one.precision);
  return order;
}

TEST(Precision, TheFastestGoesFirstAndNothingComesAfterF32) {
  EXPECT_THAT(ranked({{Precision::f32, 1}, {Precision::int16, 2.1}, {Precision::bf16, 4}}),
              ElementsAre(Precision::bf16, Precision::int16, Precision::f32));
  EXPECT_THAT(ranked({{Precision::f32, 1}, {Precision::int16, 0.4}, {Precision::bf16, 0.5}}),
              ElementsAre(Precision::f32));
  EXPECT_THAT(ranked({{Precision::f32, 1}, {Precision::int16, 0.4}, {Precision::bf16, 2}}),
              ElementsAre(Precision::bf16, Precision::f32));
  EXPECT_THAT(ranked({{Precision::f32, 1}}), ElementsAre(Precision::f32));
}

TEST(Precision, WithinFivePercentInt16GoesBeforeBf16BeforeF32) {
  EXPECT_THAT(ranked({{Precision::f32, 1}, {Precision::bf16, 2.0}, {Precision::int16, 1.91}}),
              ElementsAre(Precision::int16, Precision::bf16, Precision::f32));
  EXPECT_THAT(ranked({{Precision::f32, 1}, {Precision::bf16, 2.0}, {Precision::int16, 1.89}}),
              ElementsAre(Precision::bf16, Precision::int16, Precision::f32));
  EXPECT_THAT(ranked({{Precision::f32, 1}, {Precision::bf16, 1.04}}), ElementsAre(Precision::bf16, Precision::f32));
}

TEST(Precision, NearLosslessNeedsBothTheMeanAndTheLeastCosine) {
  EXPECT_TRUE((models::Agreement{0.9999, 0.9995}.reaches(kNearLossless)));
  EXPECT_FALSE((models::Agreement{0.99989, 0.9998}.reaches(kNearLossless)));
  EXPECT_FALSE((models::Agreement{0.99999, 0.9994}.reaches(kNearLossless)));
}

TEST(Precision, MeasuresWhatTheKernelsSupportAgainstF32) {
  weights::EncoderSpec spec;
  spec.hidden = 64;
  spec.intermediate = 128;
  ParallelTeam team(1);
  for (const KernelSet set : {KernelSet::portable, KernelSet::automatic}) {
    const kernels::Kernels& kernels = kernels::select(set);
    const auto measured = measure_precisions(kernels, spec, team);
    ASSERT_FALSE(measured.empty());
    EXPECT_EQ(measured.front().precision, Precision::f32);
    EXPECT_EQ(measured.front().speed, 1);
    for (const RankedPrecision& one : measured) {
      EXPECT_TRUE(kernels::supports(kernels, one.precision));
      EXPECT_GT(one.speed, 0);
      EXPECT_NE(one.precision, Precision::int8);  // lossy: only when asked for
    }
  }
}

TEST(Precision, TheTextsBecomeAPackedBatch) {
  const auto tokenizer = tokenizer::Tokenizer::from_file(std::filesystem::path(STELLA_TEST_DATA) /
                                                         "checkpoints/stella-small-tiny/tokenizer.json");
  const CalibrationTexts texts = calibration_texts(tokenizer);
  EXPECT_EQ(texts.count(), 18U);
  EXPECT_EQ(texts.offsets.front(), 0);
  EXPECT_EQ(static_cast<std::size_t>(texts.offsets.back()), texts.ids.size());
  for (std::size_t i = 0; i < texts.count(); ++i) EXPECT_LT(texts.offsets[i], texts.offsets[i + 1]);
}

}  // namespace
}  // namespace stella::engine
