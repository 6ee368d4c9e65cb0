// Every golden vector of every checkpoint, through every kernel set, with one thread and with two.
#include "checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

namespace stella::golden {
namespace {

namespace fs = std::filesystem;

constexpr double kMinCosine = 0.999999;
constexpr double kMaxDifference = 2e-5;

struct Distance {
  double cosine = 0;
  double difference = 0;  // largest, after scaling both to unit length
};

Distance distance(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  Distance result{ab / std::sqrt(aa * bb), 0};
  for (std::size_t i = 0; i < a.size(); ++i) {
    result.difference = std::max(result.difference, std::fabs(a[i] / std::sqrt(aa) - b[i] / std::sqrt(bb)));
  }
  return result;
}

double length(const std::vector<float>& a) {
  double sum = 0;
  for (const float value : a) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

std::string in_full(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

class Golden : public ::testing::TestWithParam<std::tuple<fs::path, std::string, std::size_t>> {
 protected:
  void compare(const std::string& name, const std::vector<float>& found) {
    const auto at = goldens_.vectors.find(name);
    if (at == goldens_.vectors.end()) return;
    compared_.insert(name);
    ASSERT_EQ(found.size(), at->second.size()) << name;
    const Distance d = distance(found, at->second);
    EXPECT_GE(d.cosine, kMinCosine) << name;
    EXPECT_LE(d.difference, kMaxDifference) << name;
    EXPECT_NEAR(length(found) / length(at->second), 1.0, 1e-5) << name;
    worst_.cosine = std::min(worst_.cosine, d.cosine);
    worst_.difference = std::max(worst_.difference, d.difference);
  }

  test::Goldens goldens_;
  std::set<std::string> compared_;
  Distance worst_{1, 0};
};

TEST_P(Golden, EveryVector) {
  const auto& [folder, set, threads] = GetParam();
  const kernels::Kernels& kernels = kernels::select(parse_kernel_set(set));
  ParallelTeam team(threads);
  const Checkpoint checkpoint = load(folder, kernels, team);
  goldens_ = test::read_goldens(folder);
  for_each_vector(checkpoint, goldens_.cases, team,
                  [&](const std::string& key, const std::string& head, std::vector<float> vector) {
                    if (head != "pooled") kernels::l2_normalize(vector.data(), 1, vector.size());
                    compare(key + "." + head, vector);
                  });
  EXPECT_EQ(compared_.size(), goldens_.vectors.size());
  EXPECT_GE(compared_.size(), goldens_.cases.size());
  RecordProperty("vectors", static_cast<int>(compared_.size()));
  RecordProperty("largest_distance_from_cosine_1", in_full(1 - worst_.cosine));
  RecordProperty("largest_difference", in_full(worst_.difference));
}

std::string name_of(const ::testing::TestParamInfo<Golden::ParamType>& info) {
  std::string name = std::get<0>(info.param).filename().string() + "_" + std::get<1>(info.param) + "_" +
                     std::to_string(std::get<2>(info.param)) + "threads";
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden,
                         ::testing::Combine(::testing::ValuesIn(checkpoint_folders()),
                                            ::testing::ValuesIn(kernel_set_names()), ::testing::Values(1U, 2U)),
                         name_of);

}  // namespace
}  // namespace stella::golden
