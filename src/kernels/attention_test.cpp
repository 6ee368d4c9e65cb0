#include "kernels/test_support.hpp"
#include "stella/error.hpp"

namespace stella::kernels {
namespace {

struct Problem {
  std::vector<float> qkv;
  std::vector<std::int32_t> offsets;
  std::vector<float> cos;
  std::vector<float> sin;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;

  std::size_t tokens() const { return static_cast<std::size_t>(offsets.back()); }
  std::size_t stride() const { return (heads + 2 * kv_heads) * head_dim; }
};

Problem make_problem(const std::vector<std::int32_t>& lengths, std::size_t heads, std::size_t kv_heads,
                     std::size_t head_dim, bool rope, float scale = 1.0F) {
  Problem p;
  p.offsets = {0};
  std::int32_t longest = 0;
  for (const std::int32_t length : lengths) {
    p.offsets.push_back(p.offsets.back() + length);
    longest = std::max(longest, length);
  }
  p.heads = heads;
  p.kv_heads = kv_heads;
  p.head_dim = head_dim;
  p.qkv = random_floats(p.tokens() * p.stride(), static_cast<unsigned>(heads * 7 + head_dim), scale);
  for (std::int32_t position = 0; rope && position < longest; ++position) {
    for (std::size_t i = 0; i < head_dim / 2; ++i) {
      const double angle = position * std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      p.cos.push_back(static_cast<float>(std::cos(angle)));
      p.sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return p;
}

/// Element d of one head of one token after rotation.
double rotated(const Problem& p, std::size_t token, std::size_t position, std::size_t head, std::size_t d) {
  const float* x = p.qkv.data() + token * p.stride() + head * p.head_dim;
  if (p.cos.empty()) return x[d];
  const std::size_t half = p.head_dim / 2;
  const std::size_t pair = position * half + (d < half ? d : d - half);
  const double cos = p.cos[pair];
  const double sin = p.sin[pair];
  return d < half ? x[d] * cos - x[d + half] * sin : x[d] * cos + x[d - half] * sin;
}

std::vector<double> weights_of(const Problem& p, std::size_t begin, std::size_t length, std::size_t query,
                               std::size_t head) {
  const std::size_t kv = head / (p.heads / p.kv_heads);
  std::vector<double> weights(length);
  double peak = -1e300;
  for (std::size_t key = 0; key < length; ++key) {
    double score = 0;
    for (std::size_t d = 0; d < p.head_dim; ++d) {
      score += rotated(p, begin + query, query, head, d) * rotated(p, begin + key, key, p.heads + kv, d);
    }
    weights[key] = score / std::sqrt(static_cast<double>(p.head_dim));
    peak = std::max(peak, weights[key]);
  }
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - peak);
  for (double& weight : weights) weight /= total;
  return weights;
}

std::vector<double> reference(const Problem& p) {
  std::vector<double> out(p.tokens() * p.heads * p.head_dim);
  for (std::size_t s = 0; s + 1 < p.offsets.size(); ++s) {
    const auto begin = static_cast<std::size_t>(p.offsets[s]);
    const std::size_t length = static_cast<std::size_t>(p.offsets[s + 1]) - begin;
    for (std::size_t query = 0; query < length; ++query) {
      for (std::size_t head = 0; head < p.heads; ++head) {
        const std::size_t v_head = p.heads + p.kv_heads + head / (p.heads / p.kv_heads);
        const std::vector<double> weights = weights_of(p, begin, length, query, head);
        for (std::size_t d = 0; d < p.head_dim; ++d) {
          double sum = 0;
          for (std::size_t key = 0; key < length; ++key) {
            sum += weights[key] * p.qkv[(begin + key) * p.stride() + v_head * p.head_dim + d];
          }
          out[((begin + query) * p.heads + head) * p.head_dim + d] = sum;
        }
      }
    }
  }
  return out;
}

std::vector<float> run(const Kernels& kernels, const Problem& p, std::size_t threads,
                       Precision precision = Precision::f32) {
  ParallelTeam team(threads);
  Workspace workspace;
  std::vector<float> out(p.tokens() * p.heads * p.head_dim + 8, -77.0F);
  AttentionArgs args;
  args.qkv = p.qkv.data();
  args.offsets = p.offsets;
  args.heads = p.heads;
  args.kv_heads = p.kv_heads;
  args.head_dim = p.head_dim;
  if (!p.cos.empty()) args.rope = {p.cos.data(), p.sin.data()};
  args.out = out.data();
  args.precision = precision;
  attention(kernels, args, team, workspace);
  for (std::size_t i = out.size() - 8; i < out.size(); ++i) EXPECT_EQ(out[i], -77.0F) << "written past the end";
  out.resize(out.size() - 8);
  return out;
}

class AttentionTest : public EverySet {};

TEST_P(AttentionTest, MatchesTheDefinition) {
  const std::vector<std::vector<std::int32_t>> batches = {{1}, {2, 1, 1}, {17, 64, 5}, {127, 128, 129}, {0, 3, 0, 300}};
  for (const auto& lengths : batches) {
    for (const auto& [heads, kv_heads, head_dim] :
         {std::array<std::size_t, 3>{4, 4, 16}, std::array<std::size_t, 3>{4, 2, 20},
          std::array<std::size_t, 3>{3, 1, 64}}) {
      for (const bool rope : {false, true}) {
        const Problem p = make_problem(lengths, heads, kv_heads, head_dim, rope);
        const std::vector<double> want = reference(p);
        const std::vector<float> got = run(kernels(), p, 2);
        for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 3e-6) << "at " << i;
      }
    }
  }
}

TEST_P(AttentionTest, WideHeadsAndLargeScores) {
  const Problem wide = make_problem({40}, 1, 1, 300, true);
  std::vector<double> want = reference(wide);
  std::vector<float> got = run(kernels(), wide, 1);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 3e-6);
  // Scores of several hundred: one key takes nearly all, and nothing overflows. Rounding of the scores shows.
  const Problem peaked = make_problem({200}, 2, 2, 64, false, 6.0F);
  want = reference(peaked);
  got = run(kernels(), peaked, 1);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-3);
}

void expect_same_bits(const Kernels& kernels, Precision precision) {
  const Problem all = make_problem({33, 300, 1, 140, 7, 520}, 4, 2, 32, true);
  const std::vector<float> want = run(kernels, all, 1, precision);
  EXPECT_EQ(want, run(kernels, all, 2, precision));
  EXPECT_EQ(want, run(kernels, all, 3, precision));
  const std::size_t width = all.heads * all.head_dim;
  for (std::size_t s = 0; s + 1 < all.offsets.size(); ++s) {
    Problem alone = all;
    const auto begin = static_cast<std::size_t>(all.offsets[s]);
    const auto end = static_cast<std::size_t>(all.offsets[s + 1]);
    alone.offsets = {0, static_cast<std::int32_t>(end - begin)};
    alone.qkv = {all.qkv.begin() + static_cast<std::ptrdiff_t>(begin * all.stride()),
                 all.qkv.begin() + static_cast<std::ptrdiff_t>(end * all.stride())};
    const std::vector<float> part(want.begin() + static_cast<std::ptrdiff_t>(begin * width),
                                  want.begin() + static_cast<std::ptrdiff_t>(end * width));
    EXPECT_EQ(part, run(kernels, alone, 2, precision)) << "sequence " << s;
  }
}

TEST_P(AttentionTest, ASequenceHasTheSameBitsInAnyCompany) {
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
    expect_same_bits(kernels(), precision);
  }
}

/// Largest difference from `want`, and the cosine to it.
struct Closeness {
  double error = 0;
  double cosine = 0;
};

Closeness compare(const std::vector<float>& got, const std::vector<float>& want) {
  Closeness c;
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    c.error = std::max(c.error, static_cast<double>(std::fabs(got[i] - want[i])));
    ab += double{got[i]} * want[i];
    aa += double{got[i]} * got[i];
    bb += double{want[i]} * want[i];
  }
  c.cosine = ab / std::sqrt(aa * bb);
  return c;
}

TEST_P(AttentionTest, NarrowProductsStayCloseToF32) {
  const std::vector<std::vector<std::int32_t>> batches = {
      {1}, {2, 1, 1}, {16, 17, 31, 32, 33}, {5, 127, 128, 129}, {255, 256, 257}, {0, 3, 0, 600}, {1030}};
  for (const Precision precision : {Precision::bf16, Precision::int16, Precision::int8}) {
    for (const auto& lengths : batches) {
      for (const auto& [heads, kv_heads, head_dim] :
           {std::array<std::size_t, 3>{4, 2, 20}, std::array<std::size_t, 3>{2, 1, 64},
            std::array<std::size_t, 3>{1, 1, 33}, std::array<std::size_t, 3>{2, 2, 128},
            std::array<std::size_t, 3>{1, 1, 300}}) {
        // Values of a text lie around something: pure noise, averaged, leaves only noise.
        Problem p = make_problem(lengths, heads, kv_heads, head_dim, head_dim % 2 == 0);
        for (std::size_t i = 0; i < p.qkv.size(); ++i) p.qkv[i] += 0.1F * static_cast<float>(i % 7);
        const std::vector<float> want = run(kPortableKernels, p, 2);
        const Closeness c = compare(run(kernels(), p, 2, precision), want);
        EXPECT_LT(c.error, 0.03) << to_string(precision) << ", head of " << head_dim;
        EXPECT_GT(c.cosine, 0.99998) << to_string(precision) << ", head of " << head_dim;
      }
    }
  }
}

/// One key takes half of the weight and thousands share the other half: none of them may be rounded away.
TEST_P(AttentionTest, NarrowProductsKeepALongTail) {
  Problem p = make_problem({3000}, 1, 1, 64, false, 0.1F);
  for (std::size_t d = 0; d < 64; ++d) {
    for (std::size_t token = 0; token < 3000; ++token) p.qkv[token * p.stride() + d] += 1.0F;
    p.qkv[1500 * p.stride() + 64 + d] = 1.0F;  // a score of 8, e^8 ≈ 3000
    for (std::size_t token = 0; token < 3000; ++token) p.qkv[token * p.stride() + 128 + d] += token == 1500 ? -1 : 1;
  }
  const std::vector<float> want = run(kPortableKernels, p, 2);
  for (const Precision precision : {Precision::bf16, Precision::int16, Precision::int8}) {
    EXPECT_LT(compare(run(kernels(), p, 2, precision), want).error, 0.01) << to_string(precision);
  }
}

TEST_P(AttentionTest, NarrowProductsHoldLargeScores) {
  const Problem peaked = make_problem({200}, 2, 2, 64, false, 6.0F);  // scores of several hundred
  const std::vector<float> want = run(kPortableKernels, peaked, 1);
  for (const Precision precision : {Precision::bf16, Precision::int16, Precision::int8}) {
    const Closeness c = compare(run(kernels(), peaked, 1, precision), want);
    EXPECT_GT(c.cosine, 0.99) << to_string(precision);
  }
}

TEST_P(AttentionTest, RefusesWhatItCannotDo) {
  EXPECT_THROW(run(kernels(), make_problem({4}, 3, 2, 16, false), 1), Error);
  EXPECT_THROW(run(kernels(), make_problem({4}, 1, 1, 1024, false), 1), Error);
}

STELLA_FOR_EVERY_SET(AttentionTest);

}  // namespace
}  // namespace stella::kernels
