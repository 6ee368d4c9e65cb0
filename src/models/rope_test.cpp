#include "models/rope.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

namespace stella::models {
namespace {

// Expectations are PyTorch's (tools/reference/stella_reference.py, rope_inv_freq and apply_rope) at nine digits.

TEST(Rope, FrequenciesWithNtkScaling) {
  const std::vector<float> got = rope_frequencies(160000, 2.0, 64);
  ASSERT_EQ(got.size(), 32U);
  EXPECT_NEAR(got[0], 0.978572011, 1.2e-7);
  EXPECT_NEAR(got[1], 0.658501685, 1.2e-7);
  EXPECT_NEAR(got[16], 0.00172988733, 3e-10);
  EXPECT_NEAR(got[31], 4.54442306e-06, 1e-12);
}

TEST(Rope, FrequenciesWithoutScaling) {
  const std::vector<float> got = rope_frequencies(1e6, 1.0, 128);
  ASSERT_EQ(got.size(), 64U);
  EXPECT_EQ(got[0], 1.0F);
  EXPECT_NEAR(got[1], 0.805842221, 1.2e-7);
  EXPECT_NEAR(got[32], 0.00100000005, 2e-10);
  EXPECT_NEAR(got[63], 1.24093776e-06, 3e-13);
}

TEST(Rope, AnglesFarOut) {
  const std::vector<float> frequencies = {0.978572011F, 0.658501685F, 0.00172988733F, 4.54442306e-06F};
  struct Row {
    std::size_t position;
    std::array<double, 4> cos, sin;
  };
  const std::array<Row, 3> rows = {{
      {1, {0.558207929, 0.790910006, 0.99999851, 1}, {0.829701126, 0.611932516, 0.00172988651, 4.54442306e-06}},
      {511,
       {-0.859215975, -0.941433311, 0.634084463, 0.999997318},
       {-0.511613011, -0.337199241, 0.773263812, 0.00232219812}},
      {8191,
       {-0.286198676, -0.946856976, -0.0323344469, 0.999307275},
       {-0.958170295, 0.321654975, 0.999477088, 0.0372147746}},
  }};
  const RopeAngles angles = rope_angles(frequencies, 8192);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(angles.cos[row.position * 4 + i], row.cos[i], 2e-7) << row.position << " " << i;
      EXPECT_NEAR(angles.sin[row.position * 4 + i], row.sin[i], 2e-7) << row.position << " " << i;
    }
  }
}

TEST(Rope, LongerThanTheTableContinuesIt) {
  weights::EncoderSpec spec;
  spec.head_dim = 8;
  spec.max_positions = 32;
  const Rope rope(spec);
  Activations scratch;
  const kernels::RopeTable own = rope.table(32, scratch);
  EXPECT_TRUE(scratch.long_cos.empty());
  const kernels::RopeTable longer = rope.table(33, scratch);
  ASSERT_EQ(scratch.long_cos.size(), 33U * 4);
  for (std::size_t i = 0; i < 32 * 4; ++i) {
    EXPECT_EQ(own.cos[i], longer.cos[i]);
    EXPECT_EQ(own.sin[i], longer.sin[i]);
  }
}

}  // namespace
}  // namespace stella::models
