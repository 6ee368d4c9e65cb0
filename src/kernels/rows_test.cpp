#include "kernels/test_support.hpp"

namespace stella::kernels {
namespace {

class RowsTest : public EverySet {};

TEST_P(RowsTest, LayerNorm) {
  ParallelTeam team(2);
  for (const std::size_t n : {1, 3, 16, 31, 64, 100, 1024}) {
    const std::size_t m = 7;
    std::vector<float> x = random_floats(m * n, static_cast<unsigned>(n));
    for (float& value : x) value += 3.0F;  // a mean far from zero
    const std::vector<float> gain = random_floats(n, 1);
    const std::vector<float> shift = random_floats(n, 2);
    std::vector<float> y(m * n);
    layer_norm(kernels(), x.data(), m, n, gain.data(), shift.data(), 1e-5F, y.data(), team);
    for (std::size_t row = 0; row < m; ++row) {
      double mean = 0;
      double variance = 0;
      for (std::size_t i = 0; i < n; ++i) mean += x[row * n + i] / static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i) variance += std::pow(x[row * n + i] - mean, 2) / static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i) {
        const double want = (x[row * n + i] - mean) / std::sqrt(variance + 1e-5) * gain[i] + shift[i];
        ASSERT_NEAR(y[row * n + i], want, 4e-6 * (1 + std::fabs(want)));
      }
    }
    layer_norm(kernels(), x.data(), m, n, gain.data(), shift.data(), 1e-5F, x.data(), team);
    EXPECT_EQ(x, y) << "in place";
  }
}

TEST_P(RowsTest, RmsNorm) {
  ParallelTeam team(2);
  for (const std::size_t n : {1, 5, 16, 47, 1536}) {
    const std::size_t m = 9;
    std::vector<float> x = random_floats(m * n, static_cast<unsigned>(n), 4.0F);
    const std::vector<float> gain = random_floats(n, 1);
    std::vector<float> y(m * n);
    rms_norm(kernels(), x.data(), m, n, gain.data(), 1e-6F, y.data(), team);
    for (std::size_t row = 0; row < m; ++row) {
      double squares = 0;
      for (std::size_t i = 0; i < n; ++i) squares += std::pow(static_cast<double>(x[row * n + i]), 2);
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(y[row * n + i], x[row * n + i] * scale * gain[i], 4e-6);
      }
    }
    rms_norm(kernels(), x.data(), m, n, gain.data(), 1e-6F, x.data(), team);
    EXPECT_EQ(x, y) << "in place";
  }
}

TEST_P(RowsTest, EmbedRowsOfEveryType) {
  ParallelTeam team(2);
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    const std::size_t n = 37;
    const Stored table = random_stored(50, n, type, 5);
    const std::vector<std::int32_t> ids = {0, 49, 7, 7, 31};
    const std::vector<float> add = random_floats(n, 6);
    std::vector<float> out(ids.size() * n);
    embed_rows(kernels(), table.source, ids, nullptr, out.data(), team);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        ASSERT_EQ(out[i * n + j], table.values[static_cast<std::size_t>(ids[i]) * n + j]);
      }
    }
    embed_rows(kernels(), table.source, ids, add.data(), out.data(), team);
    for (std::size_t j = 0; j < n; ++j) ASSERT_EQ(out[j], table.values[j] + add[j]);
  }
}

TEST_P(RowsTest, EveryHalfIsConvertedExactly) {
  // All finite f16 bit patterns against their definition, subnormals and both zeros included.
  std::vector<std::uint16_t> halves;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    if ((bits & 0x7c00U) != 0x7c00U) halves.push_back(static_cast<std::uint16_t>(bits));
  }
  std::vector<float> out(halves.size());
  kernels().to_f32(halves.data(), DType::f16, halves.size(), out.data());
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const int exponent = (halves[i] >> 10) & 0x1f;
    const int fraction = halves[i] & 0x3ff;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    const double want = (halves[i] & 0x8000) != 0 ? -magnitude : magnitude;
    ASSERT_EQ(out[i], want) << "bits " << halves[i];
  }
}

TEST_P(RowsTest, MeanPool) {
  const std::size_t n = 301;
  const std::vector<std::int32_t> offsets = {0, 1, 6, 106, 206};
  const std::vector<float> x = random_floats(206 * n, 3);
  std::vector<float> pooled(4 * n);
  ParallelTeam two(2);
  mean_pool(kernels(), x.data(), n, offsets, pooled.data(), two);
  for (std::size_t s = 0; s < 4; ++s) {
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::int32_t row = offsets[s]; row < offsets[s + 1]; ++row) sum += x[static_cast<std::size_t>(row) * n + i];
      ASSERT_NEAR(pooled[s * n + i], sum / (offsets[s + 1] - offsets[s]), 1e-6);
    }
  }
  std::vector<float> alone(n);  // the last sequence by itself
  ParallelTeam one(1);
  mean_pool(kernels(), x.data() + 106 * n, n, std::vector<std::int32_t>{0, 100}, alone.data(), one);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), pooled.begin() + 3 * n));
}

STELLA_FOR_EVERY_SET(RowsTest);

TEST(L2Normalize, UnitLengthAndZeros) {
  std::vector<float> x = random_floats(10, 1);
  x.resize(20, 0.0F);
  l2_normalize(x.data(), 2, 10);
  double squares = 0;
  for (std::size_t i = 0; i < 10; ++i) squares += static_cast<double>(x[i]) * x[i];
  EXPECT_NEAR(squares, 1.0, 1e-6);
  for (std::size_t i = 10; i < 20; ++i) EXPECT_EQ(x[i], 0.0F);
}

}  // namespace
}  // namespace stella::kernels
