// The narrow precisions against their definition, against each other across the sets, and for what they lose.
#include "kernels/packed_matrix.hpp"
#include "kernels/test_support.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

namespace stella::kernels {
namespace {

constexpr Precision kNarrow[] = {Precision::bf16, Precision::int16, Precision::int8};

struct Problem {
  Stored w;
  std::vector<float> x;  // (m, k)
  std::vector<float> bias;
  std::size_t m = 0;
};

Problem make_problem(std::size_t m, std::size_t n, std::size_t k) {
  Problem p;
  p.w = random_stored(n, k, DType::f32, static_cast<unsigned>(n + k));
  p.x = random_floats(m * k, static_cast<unsigned>(m));
  p.bias = random_floats(n, 3);
  p.m = m;
  return p;
}

std::vector<float> run(const Kernels& kernels, const PackedMatrix& w, const float* x, std::size_t m, const float* bias,
                       std::size_t threads = 2) {
  ParallelTeam team(threads);
  Workspace workspace;
  std::vector<float> y(m * w.n());
  matmul(kernels, {x, m, &w, bias, nullptr, y.data(), Epilogue::none}, team, workspace);
  return y;
}

PackedMatrix packed(const Kernels& kernels, Precision precision, const Stored& w, const PackOptions& options = {}) {
  ParallelTeam team(2);
  return pack(kernels, precision, RowOrder::plain, {&w.source, 1}, team, options);
}

/// The integers that stand for a row, by the definition: nearest to x · limit / largest |x|.
std::vector<int> quantized(const float* x, std::size_t k, float limit) {
  float peak = 0;
  for (std::size_t i = 0; i < k; ++i) peak = std::max(peak, std::fabs(x[i]));
  std::vector<int> q(k);
  for (std::size_t i = 0; i < k; ++i) q[i] = static_cast<int>(std::nearbyint(x[i] * (limit / peak)));
  return q;
}

float largest(const float* x, std::size_t k) {
  float peak = 0;
  for (std::size_t i = 0; i < k; ++i) peak = std::max(peak, std::fabs(x[i]));
  return peak;
}

double cosine(const std::vector<float>& a, const std::vector<double>& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += b[i] * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

std::vector<double> exact(const Problem& p) {
  const std::size_t n = p.w.source.n;
  const std::size_t k = p.w.source.k;
  std::vector<double> y(p.m * n);
  for (std::size_t row = 0; row < p.m; ++row) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < k; ++j) y[row * n + i] += double{p.x[row * k + j]} * p.w.values[i * k + j];
    }
  }
  return y;
}

class LowPrecisionTest : public EverySet {};

TEST_P(LowPrecisionTest, IntegersFollowTheirDefinition) {
  for (const auto& [precision, x_limit, w_limit] :
       {std::tuple{Precision::int16, 4095.0F, 2047.0F}, std::tuple{Precision::int8, 127.0F, 127.0F}}) {
    for (const std::size_t k : {3, 64, 255, 700}) {
      const std::size_t n = 70;
      const Problem p = make_problem(7, n, k);
      const std::vector<float> y = run(kernels(), packed(kernels(), precision, p.w), p.x.data(), p.m, p.bias.data());
      for (std::size_t row = 0; row < p.m; ++row) {
        const float* x = p.x.data() + row * k;
        const std::vector<int> qx = quantized(x, k, x_limit);
        for (std::size_t i = 0; i < n; ++i) {
          const float* w = p.w.values.data() + i * k;
          const std::vector<int> qw = quantized(w, k, w_limit);
          std::int64_t sum = 0;
          for (std::size_t j = 0; j < k; ++j) sum += std::int64_t{qx[j]} * qw[j];
          const double scale = double{largest(x, k) / x_limit} * double{largest(w, k) / w_limit};
          const double want = static_cast<double>(sum) * scale + p.bias[i];
          ASSERT_NEAR(y[row * n + i], want, 2e-6 * (1 + std::fabs(want)));
        }
      }
    }
  }
}

TEST_P(LowPrecisionTest, IntegerPrecisionsHaveTheBitsOfThePortableSet) {
  for (const Precision precision : {Precision::int16, Precision::int8}) {
    for (const std::size_t k : {65, 1030}) {
      const Problem p = make_problem(72, 77, k);
      const PackedMatrix here = packed(kernels(), precision, p.w);
      const PackedMatrix there = packed(kPortableKernels, precision, p.w);
      for (std::size_t m = 1; m <= 72; ++m) {
        ASSERT_EQ(run(kernels(), here, p.x.data(), m, p.bias.data()),
                  run(kPortableKernels, there, p.x.data(), m, p.bias.data()))
            << m << " rows";
      }
    }
  }
}

TEST_P(LowPrecisionTest, SumsOfTheLargestProductsDoNotOverflow) {
  const std::size_t k = 8960;
  Problem p = make_problem(2, 5, k);
  std::fill(p.w.values.begin(), p.w.values.end(), 0.5F);
  std::memcpy(p.w.bytes.data(), p.w.values.data(), p.w.bytes.size());
  std::fill(p.x.begin(), p.x.begin() + k, 3.0F);
  std::fill(p.x.begin() + k, p.x.end(), -3.0F);
  for (const Precision precision : kNarrow) {
    const std::vector<float> y = run(kernels(), packed(kernels(), precision, p.w), p.x.data(), 2, nullptr);
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_NEAR(y[i], 1.5 * k, 0.01) << to_string(precision);
      EXPECT_NEAR(y[5 + i], -1.5 * k, 0.01) << to_string(precision);
    }
  }
}

TEST_P(LowPrecisionTest, StaysCloseToExact) {
  const Problem p = make_problem(9, 96, 1024);
  const std::vector<double> want = exact(p);
  const double floor_of[] = {0.99999, 0.9999995, 0.9998};  // bf16, int16, int8
  for (std::size_t i = 0; i < 3; ++i) {
    const std::vector<float> y = run(kernels(), packed(kernels(), kNarrow[i], p.w), p.x.data(), p.m, nullptr);
    EXPECT_GT(cosine(y, want), floor_of[i]) << to_string(kNarrow[i]);
  }
}

TEST_P(LowPrecisionTest, RowsHaveTheSameBitsInAnyCompany) {
  for (const Precision precision : kNarrow) {
    const std::size_t k = 1100;
    const std::size_t n = 70;
    const std::size_t most = 600;  // several tasks of rows
    const Problem p = make_problem(most, n, k);
    const PackedMatrix w = packed(kernels(), precision, p.w);
    const std::vector<float> want = run(kernels(), w, p.x.data(), p.m, p.bias.data(), 1);
    for (const std::size_t threads : {2, 3}) {
      EXPECT_EQ(want, run(kernels(), w, p.x.data(), p.m, p.bias.data(), threads));
    }
    for (std::size_t m = 1; m <= 72; ++m) {  // the last m rows
      const std::vector<float> got = run(kernels(), w, p.x.data() + (most - m) * k, m, p.bias.data(), 1 + m % 3);
      ASSERT_TRUE(std::equal(got.begin(), got.end(), want.end() - static_cast<std::ptrdiff_t>(got.size())))
          << m << " rows, " << to_string(precision);
    }
  }
}

TEST_P(LowPrecisionTest, RowsAndWeightsOfZeros) {
  Problem p = make_problem(3, 20, 100);
  std::fill(p.x.begin() + 100, p.x.begin() + 200, 0.0F);
  std::memset(p.w.bytes.data(), 0, 100 * sizeof(float));  // the first output
  for (const Precision precision : kNarrow) {
    const std::vector<float> y = run(kernels(), packed(kernels(), precision, p.w), p.x.data(), 3, p.bias.data());
    for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(y[20 + i], p.bias[i]);
    for (std::size_t row = 0; row < 3; ++row) EXPECT_EQ(y[row * 20], p.bias[0]);
  }
}

TEST_P(LowPrecisionTest, SplitColumnsKeepOutliersFromDrowningTheRest) {
  const std::size_t k = 512;
  Problem p = make_problem(8, 60, k);
  for (const std::size_t column : {5, 77, 300, 511}) {
    for (std::size_t row = 0; row < p.m; ++row) p.x[row * k + column] *= 30.0F;
  }
  std::vector<float> column_max(k, 0.0F);
  update_column_max(p.x.data(), p.m, k, column_max.data());
  const std::vector<double> want = exact(p);
  const auto error = [&](const Kernels& set, const PackOptions& options) {
    const PackedMatrix w = packed(set, Precision::int8, p.w, options);
    return 1 - cosine(run(set, w, p.x.data(), p.m, nullptr), want);
  };
  const double plain = error(kernels(), {});
  const double split = error(kernels(), {column_max});
  EXPECT_LT(split, plain / 10) << "plain " << plain;
  EXPECT_EQ(split, error(kPortableKernels, {column_max}));
  EXPECT_THROW(packed(kernels(), Precision::int8, p.w, {std::span{column_max}.first(3)}), Error);
}

TEST_P(LowPrecisionTest, SplitColumnsCarryMoreBits) {
  // One split column alone: activation and weight have eight times 127 steps, so that their product is off by less than
  // half a step of each, where one copy of 127 steps would be off by eight times that.
  const std::size_t k = 128;
  Problem p = make_problem(6, 50, k);
  std::vector<float> column_max(k, 1.0F);
  column_max[9] = 40.0F;
  for (std::size_t row = 0; row < p.m; ++row) {
    for (std::size_t i = 0; i < k; ++i) p.x[row * k + i] = i == 9 ? 37.3F + static_cast<float>(row) : 0.0F;
  }
  const PackedMatrix w = packed(kernels(), Precision::int8, p.w, {column_max});
  const std::vector<float> y = run(kernels(), w, p.x.data(), p.m, nullptr);
  for (std::size_t row = 0; row < p.m; ++row) {
    for (std::size_t i = 0; i < 50; ++i) {
      const double x = p.x[row * k + 9];
      const double step = largest(p.w.values.data() + i * k, k) / (127.0 * 8.0);
      ASSERT_NEAR(y[row * 50 + i], x * p.w.values[i * k + 9], 0.51 * step * x);
    }
  }
}

/// Bytes at an address that from_bytes() accepts.
struct AlignedCopy {
  explicit AlignedCopy(std::span<const std::byte> bytes)
      : room(bytes.size() + 64), at(room.data() + (64 - reinterpret_cast<std::uintptr_t>(room.data()) % 64)) {
    std::memcpy(at, bytes.data(), bytes.size());
  }
  std::vector<std::byte> room;
  std::byte* at;
};

TEST_P(LowPrecisionTest, SerializedMatricesComeBack) {
  const Problem p = make_problem(5, 130, 200);
  std::vector<float> column_max(200, 1.0F);
  column_max[17] = 50;
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
    const PackedMatrix w = packed(kernels(), precision, p.w, {column_max});
    const std::span<const std::byte> bytes = w.serialized();
    const auto copy = std::make_shared<AlignedCopy>(bytes);
    const PackedMatrix back = PackedMatrix::from_bytes(kernels(), {copy->at, bytes.size()}, copy);
    EXPECT_EQ(back.n(), 130U);
    EXPECT_EQ(back.k(), 200U);
    EXPECT_EQ(back.precision(), precision);
    EXPECT_EQ(run(kernels(), w, p.x.data(), p.m, p.bias.data()), run(kernels(), back, p.x.data(), p.m, p.bias.data()));
    EXPECT_THROW(PackedMatrix::from_bytes(kernels(), {copy->at, bytes.size() - 1}, copy), Error);
    EXPECT_THROW(PackedMatrix::from_bytes(kernels(), {copy->at, 20}, copy), Error);
    for (std::size_t byte = 0; byte < 32; ++byte) {  // magic to element size: any change is noticed
      copy->at[byte] ^= std::byte{0x10};
      EXPECT_THROW(PackedMatrix::from_bytes(kernels(), {copy->at, bytes.size()}, copy), Error) << byte;
      copy->at[byte] ^= std::byte{0x10};
    }
  }
}

// Such a file can be written by hand: its sizes agree with each other where products leave 64 bits and come back small.
TEST_P(LowPrecisionTest, SizesThatOverflowAreRefused) {
  constexpr std::uint64_t k32 = std::uint64_t{1} << 32U;
  AlignedCopy copy(std::vector<std::byte>(std::size_t{1} << 20U));
  const std::size_t size = std::size_t{1} << 20U;
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
    const GemmOps& ops = gemm_ops(kernels(), precision);
    for (const RowOrder order : {RowOrder::plain, RowOrder::interleaved}) {
      for (const std::uint64_t n : {std::uint64_t{0}, std::uint64_t{7}, k32 / 2, k32 - 1, k32, k32 * k32 / 4}) {
        for (const std::uint64_t k :
             {std::uint64_t{0}, k32 / 16, k32 / 2, k32 - 1, k32, k32 * k32 / 2, ~std::uint64_t{0}}) {
          for (const std::uint64_t split : {std::uint64_t{0}, std::uint64_t{1}, k, k32 * k32 / 8}) {
            const PackedHeader header = make_packed_header(ops, precision, order, n, k, split);
            std::memcpy(copy.at, &header, sizeof(header));
            EXPECT_THROW(PackedMatrix::from_bytes(kernels(), {copy.at, size}, nullptr), Error) << n << " " << k;
          }
        }
      }
    }
  }
  PackedHeader odd =
      make_packed_header(gemm_ops(kernels(), Precision::f32), Precision::f32, RowOrder::interleaved, 7, 8, 0);
  std::memcpy(copy.at, &odd, sizeof(odd));
  EXPECT_THROW(PackedMatrix::from_bytes(kernels(), {copy.at, size}, nullptr), Error) << "a pair of odd rows";
}

TEST_P(LowPrecisionTest, MeasuresItself) {
  ParallelTeam team(1);
  for (const Precision precision : kNarrow) {
    EXPECT_TRUE(supports(kernels(), precision));
    EXPECT_GT(measure_throughput(kernels(), precision, 8, 64, 256, team), 0);
    EXPECT_NE(layout_id(kernels(), precision), layout_id(kernels(), Precision::f32));
  }
}

STELLA_FOR_EVERY_SET(LowPrecisionTest);

}  // namespace
}  // namespace stella::kernels
