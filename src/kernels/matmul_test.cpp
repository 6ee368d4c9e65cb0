#include "kernels/test_support.hpp"
#include "stella/error.hpp"

#include <algorithm>

namespace stella::kernels {
namespace {

/// One product with everything it needs, and its result in double.
struct Problem {
  std::vector<Stored> stored;
  std::vector<float> x;         // (m, k)
  std::vector<float> bias;      // (n) or empty
  std::vector<float> residual;  // (m, n) or empty
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;
  Epilogue epilogue = Epilogue::none;

  bool glu() const { return epilogue == Epilogue::glu_gelu || epilogue == Epilogue::glu_silu; }
  std::size_t columns() const { return glu() ? n / 2 : n; }
  std::vector<MatrixSource> sources() const {
    std::vector<MatrixSource> all;
    for (const Stored& part : stored) all.push_back(part.source);
    return all;
  }
};

Problem make_problem(std::size_t m, std::vector<std::size_t> heights, std::size_t k, DType type, Epilogue epilogue,
                     bool bias, bool residual) {
  Problem p;
  p.m = m;
  p.k = k;
  p.epilogue = epilogue;
  unsigned seed = static_cast<unsigned>(m * 131 + k);
  for (const std::size_t height : heights) {
    p.stored.push_back(random_stored(height, k, type, ++seed));
    p.n += height;
  }
  p.x = random_floats(m * k, ++seed);
  if (bias) p.bias = random_floats(p.n, ++seed);
  if (residual) p.residual = random_floats(m * p.columns(), ++seed);
  return p;
}

double gelu_reference(double x) {
  return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
}

std::vector<double> reference(const Problem& p) {
  std::vector<double> sums(p.m * p.n);
  for (std::size_t row = 0; row < p.m; ++row) {
    std::size_t column = 0;
    for (const Stored& part : p.stored) {
      for (std::size_t i = 0; i < part.source.n; ++i, ++column) {
        double sum = p.bias.empty() ? 0.0 : p.bias[column];
        for (std::size_t j = 0; j < p.k; ++j) {
          sum += static_cast<double>(p.x[row * p.k + j]) * part.values[i * p.k + j];
        }
        sums[row * p.n + column] = sum;
      }
    }
  }
  std::vector<double> y(p.m * p.columns());
  for (std::size_t row = 0; row < p.m; ++row) {
    for (std::size_t i = 0; i < p.columns(); ++i) {
      double value = sums[row * p.n + i];
      if (p.epilogue == Epilogue::gelu) value = gelu_reference(value);
      if (p.glu()) {
        const double gate = sums[row * p.n + p.columns() + i];
        value *= p.epilogue == Epilogue::glu_gelu ? gelu_reference(gate) : gate / (1.0 + std::exp(-gate));
      }
      if (!p.residual.empty()) value += p.residual[row * p.columns() + i];
      y[row * p.columns() + i] = value;
    }
  }
  return y;
}

std::vector<float> run(const Kernels& kernels, const PackedMatrix& w, const Problem& p, ParallelTeam& team) {
  Workspace workspace;
  std::vector<float> y(p.m * p.columns() + 8, -77.0F);
  MatmulArgs args;
  args.x = p.x.data();
  args.m = p.m;
  args.w = &w;
  args.bias = p.bias.empty() ? nullptr : p.bias.data();
  args.residual = p.residual.empty() ? nullptr : p.residual.data();
  args.y = y.data();
  args.epilogue = p.epilogue;
  matmul(kernels, args, team, workspace);
  for (std::size_t i = p.m * p.columns(); i < y.size(); ++i) EXPECT_EQ(y[i], -77.0F) << "written past the end";
  y.resize(p.m * p.columns());
  return y;
}

RowOrder order_of(const Problem& p) {
  return p.glu() ? RowOrder::interleaved : RowOrder::plain;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance * (1.0 + std::fabs(want[i]))) << "at " << i;
  }
}

class MatmulTest : public EverySet {};

TEST_P(MatmulTest, EveryRowCountOddSizes) {
  ParallelTeam team(2);
  for (std::size_t m = 1; m <= 72; ++m) {
    const Problem p = make_problem(m, {67}, 131, DType::f32, Epilogue::none, true, false);
    const PackedMatrix w = pack(kernels(), Precision::f32, RowOrder::plain, p.sources(), team);
    expect_near(run(kernels(), w, p, team), reference(p), 2e-6);
  }
}

TEST_P(MatmulTest, EveryEpilogueAndStoredType) {
  ParallelTeam team(2);
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    for (const Epilogue epilogue : {Epilogue::none, Epilogue::gelu, Epilogue::glu_gelu, Epilogue::glu_silu}) {
      for (const bool bias : {false, true}) {
        const bool glu = epilogue == Epilogue::glu_gelu || epilogue == Epilogue::glu_silu;
        const Problem p = make_problem(9, {37, 37}, 70, type, epilogue, bias, bias && !glu);
        const PackedMatrix w = pack(kernels(), Precision::f32, order_of(p), p.sources(), team);
        EXPECT_EQ(w.n(), 74U);
        EXPECT_EQ(w.k(), 70U);
        expect_near(run(kernels(), w, p, team), reference(p), 2e-6);
      }
    }
  }
}

TEST_P(MatmulTest, ActivationsOverTheirWholeRange) {
  ParallelTeam team(1);
  const float one = 1.0F;
  const MatrixSource ones[] = {{&one, DType::f32, 1, 1}, {&one, DType::f32, 1, 1}};
  std::vector<float> x;
  for (int i = -60000; i <= 60000; ++i) x.push_back(static_cast<float>(i) * 2e-4F);  // [-12, 12]
  std::vector<float> y(x.size());
  Workspace workspace;
  const PackedMatrix single = pack(kernels(), Precision::f32, RowOrder::plain, {ones, 1}, team);
  matmul(kernels(), {x.data(), x.size(), &single, nullptr, nullptr, y.data(), Epilogue::gelu}, team, workspace);
  for (std::size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(y[i], gelu_reference(x[i]), 2e-7 * (1 + std::fabs(x[i]))) << x[i];
  const PackedMatrix pair = pack(kernels(), Precision::f32, RowOrder::interleaved, ones, team);
  matmul(kernels(), {x.data(), x.size(), &pair, nullptr, nullptr, y.data(), Epilogue::glu_silu}, team, workspace);
  for (std::size_t i = 0; i < x.size(); ++i) {  // up and gate are both x
    const double want = double{x[i]} * x[i] / (1.0 + std::exp(-double{x[i]}));
    ASSERT_NEAR(y[i], want, 3e-7 * (std::fabs(want) + 1e-6)) << x[i];
  }
}

TEST_P(MatmulTest, SizesAroundTheBlocks) {
  ParallelTeam team(2);
  for (const std::size_t k : {1, 2, 15, 16, 255, 256, 257, 600, 1030}) {
    for (const std::size_t n : {1, 8, 31, 32, 33, 200}) {
      const Problem p = make_problem(5, {n}, k, DType::f32, Epilogue::none, false, true);
      const PackedMatrix w = pack(kernels(), Precision::f32, RowOrder::plain, p.sources(), team);
      expect_near(run(kernels(), w, p, team), reference(p), 1e-5);
    }
  }
}

TEST_P(MatmulTest, SeveralSourcesAreOneMatrix) {
  ParallelTeam team(1);
  const Problem p = make_problem(4, {33, 7, 64, 1}, 48, DType::bf16, Epilogue::none, true, true);
  const PackedMatrix w = pack(kernels(), Precision::f32, RowOrder::plain, p.sources(), team);
  expect_near(run(kernels(), w, p, team), reference(p), 2e-6);
}

TEST_P(MatmulTest, ResidualMayBeTheResult) {
  ParallelTeam team(2);
  const Problem p = make_problem(19, {50}, 40, DType::f32, Epilogue::none, true, true);
  const PackedMatrix w = pack(kernels(), Precision::f32, RowOrder::plain, p.sources(), team);
  std::vector<float> y = p.residual;
  Workspace workspace;
  matmul(kernels(), {p.x.data(), p.m, &w, p.bias.data(), y.data(), y.data(), Epilogue::none}, team, workspace);
  EXPECT_EQ(y, run(kernels(), w, p, team));
}

/// The bits of a row depend on neither its neighbours nor its place nor the number of threads.
void expect_same_bits(const Kernels& kernels, Precision precision, std::size_t n, std::size_t k, std::size_t most,
                      Epilogue epilogue) {
  ParallelTeam one(1);
  ParallelTeam two(2);
  ParallelTeam three(3);
  const bool glu = epilogue == Epilogue::glu_gelu || epilogue == Epilogue::glu_silu;
  const Problem all =
      make_problem(most, glu ? std::vector{n / 2, n / 2} : std::vector{n}, k, DType::f32, epilogue, true, !glu);
  const PackedMatrix w = pack(kernels, precision, order_of(all), all.sources(), two);
  const std::vector<float> want = run(kernels, w, all, one);
  EXPECT_EQ(want, run(kernels, w, all, two));
  EXPECT_EQ(want, run(kernels, w, all, three));
  for (std::size_t m = 1; m <= std::min<std::size_t>(most, 72); ++m) {
    Problem some = all;  // the last m rows
    some.m = m;
    some.x.erase(some.x.begin(), some.x.end() - static_cast<std::ptrdiff_t>(m * k));
    if (!glu) some.residual.erase(some.residual.begin(), some.residual.end() - static_cast<std::ptrdiff_t>(m * n));
    const std::vector<float> got = run(kernels, w, some, m % 2 == 0 ? one : three);
    ASSERT_TRUE(std::equal(got.begin(), got.end(), want.end() - static_cast<std::ptrdiff_t>(got.size())))
        << m << " rows";
  }
}

TEST_P(MatmulTest, RowsHaveTheSameBitsInAnyCompany) {
  expect_same_bits(kernels(), Precision::f32, 70, 300, 72, Epilogue::none);
  expect_same_bits(kernels(), Precision::f32, 70, 300, 72, Epilogue::glu_gelu);
}

TEST_P(MatmulTest, RowsHaveTheSameBitsInManyChunks) {
  expect_same_bits(kernels(), Precision::f32, 40, 4100, 1200, Epilogue::gelu);
}

TEST_P(MatmulTest, NamesItsMistakes) {
  ParallelTeam team(1);
  const Problem p = make_problem(2, {8, 9}, 16, DType::f32, Epilogue::none, false, false);
  EXPECT_THROW(pack(kernels(), Precision::f32, RowOrder::interleaved, p.sources(), team), Error);
  EXPECT_THROW(pack(kernels(), Precision::f32, RowOrder::plain, {}, team), Error);
  const PackedMatrix w = pack(kernels(), Precision::f32, RowOrder::plain, p.sources(), team);
  std::vector<float> y(2 * 17);
  Workspace workspace;
  EXPECT_THROW(matmul(kernels(), {p.x.data(), 2, &w, nullptr, nullptr, y.data(), Epilogue::glu_silu}, team, workspace),
               Error);
}

STELLA_FOR_EVERY_SET(MatmulTest);

TEST(Select, KnowsItsSets) {
  EXPECT_EQ(kernel_set_of(select(KernelSet::portable)), KernelSet::portable);
  EXPECT_EQ(&select(KernelSet::automatic), runnable_kernels().front());
  for (const Kernels* kernels : runnable_kernels()) {
    EXPECT_TRUE(supports(*kernels, Precision::f32));
    EXPECT_TRUE(std::string(name_of(*kernels)).starts_with(to_string(kernel_set_of(*kernels))));
    EXPECT_FALSE(supports(*kernels, Precision::automatic));
  }
}

}  // namespace
}  // namespace stella::kernels
