// The low precisions against PyTorch's f32: every golden vector of every checkpoint, through every kernel set that has
// the precision. What each costs is printed per head.
#include "checkpoint.hpp"

#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

namespace stella::golden {
namespace {

namespace fs = std::filesystem;

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

struct Bounds {
  double mean = 0;
  double least = 0;
};

/// What must hold. The trained demo model: as promised for near-lossless precisions, and for int8 0.995 on average,
/// which all kernels measured surpass (0.99990, least 0.99970). The others are random weights of 48 to 72 columns,
/// where errors average out least; measured, over all kernels:
///   int16  mean 0.999981, least 0.999922
///   bf16   mean 0.999835, least 0.999260. Of that bf16 itself is the cause: PyTorch, with nothing but the inputs of
///   all
///          products rounded to bf16, gets 0.999909 and 0.999500, both at the same text, a single letter.
///   int8   mean 0.998127, least 0.989812
Bounds bounds(const fs::path& folder, Precision precision) {
  const bool trained = folder.filename() == "stella-demo";
  if (precision == Precision::int8) return trained ? Bounds{0.9995, 0.999} : Bounds{0.997, 0.985};
  if (precision == Precision::bf16 && !trained) return {0.9998, 0.999};
  return {0.9999, 0.9995};
}

struct Cosines {
  std::size_t count = 0;
  double sum = 0;
  double least = 1;
  std::string worst{};  // name of the vector that has the least

  void add(const std::string& name, double value) {
    ++count;
    sum += value;
    if (!(value < least)) return;
    least = value;
    worst = name;
  }
  double mean() const { return sum / static_cast<double>(count); }
};

class LowPrecision : public ::testing::TestWithParam<std::tuple<fs::path, Arithmetic>> {
 protected:
  void add(const std::string& key, const std::string& head, const std::vector<float>& found) {
    const auto at = goldens_.vectors.find(key + "." + head);
    if (at == goldens_.vectors.end()) return;
    ASSERT_EQ(found.size(), at->second.size()) << at->first;
    heads_[head].add(at->first, cosine(found, at->second));
    ++compared_;
  }

  test::Goldens goldens_;
  std::map<std::string, Cosines> heads_;  // by dimension, and "pooled"
  std::size_t compared_ = 0;
};

TEST_P(LowPrecision, EveryVector) {
  const auto& [folder, arithmetic] = GetParam();
  ParallelTeam team(2);
  const Checkpoint checkpoint =
      load(folder, kernels::select(parse_kernel_set(arithmetic.kernel_set)), team, arithmetic.precision);
  goldens_ = test::read_goldens(folder);
  for_each_vector(checkpoint, goldens_.cases, team,
                  [&](const std::string& key, const std::string& head, const std::vector<float>& vector) {
                    add(key, head, vector);
                  });
  EXPECT_EQ(compared_, goldens_.vectors.size());
  const Bounds wanted = bounds(folder, arithmetic.precision);
  for (const auto& [head, cosines] : heads_) {
    std::printf("head %-6s cosine to f32: mean %.7f, least %.7f (%s), %zu vectors\n", head.c_str(), cosines.mean(),
                cosines.least, cosines.worst.c_str(), cosines.count);
    EXPECT_GE(cosines.mean(), wanted.mean) << head;
    EXPECT_GE(cosines.least, wanted.least) << cosines.worst;
    // bf16 products of weights that are bf16 already can be as exact as f32's.
    if (arithmetic.precision != Precision::bf16) {
      EXPECT_LT(cosines.mean(), 1 - 1e-8) << "these are the vectors of f32";
    }
  }
}

std::vector<Arithmetic> low_precisions() {
  std::vector<Arithmetic> all = arithmetics();
  std::erase_if(all, [](const Arithmetic& one) { return one.precision == Precision::f32; });
  return all;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, LowPrecision,
                         ::testing::Combine(::testing::ValuesIn(checkpoint_folders()),
                                            ::testing::ValuesIn(low_precisions())),
                         [](const auto& one) { return name_of(std::get<0>(one.param), std::get<1>(one.param)); });

}  // namespace
}  // namespace stella::golden
