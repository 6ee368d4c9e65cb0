// Text in, vectors out through the public API, against PyTorch's vectors and the Hugging Face tokenizers' ids.
#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

constexpr double kMinCosine = 0.999999;
constexpr float kMaxDifference = 2e-5F;

void expect_close(const std::vector<float>& ours, const std::vector<float>& golden, const std::string& what) {
  ASSERT_EQ(ours.size(), golden.size()) << what;
  double dot = 0;
  double a = 0;
  double b = 0;
  float difference = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    dot += static_cast<double>(ours[i]) * static_cast<double>(golden[i]);
    a += static_cast<double>(ours[i]) * static_cast<double>(ours[i]);
    b += static_cast<double>(golden[i]) * static_cast<double>(golden[i]);
    difference = std::max(difference, std::abs(ours[i] - golden[i]));
  }
  EXPECT_GE(dot / std::sqrt(a * b), kMinCosine) << what;
  EXPECT_LE(difference, kMaxDifference) << what;
}

class Golden : public testing::TestWithParam<std::filesystem::path> {
 protected:
  /// Cases with a text to embed (golden text 5 is empty), by what one request has in common.
  std::map<std::pair<std::string, std::size_t>, std::vector<const Goldens::Case*>> groups() const {
    std::map<std::pair<std::string, std::size_t>, std::vector<const Goldens::Case*>> result;
    for (const Goldens::Case& one : goldens_.cases) {
      if (!goldens_.texts[one.text].empty()) result[{one.task, one.max_length}].push_back(&one);
    }
    return result;
  }
  std::vector<std::string> texts_of(const std::vector<const Goldens::Case*>& cases) const {
    std::vector<std::string> texts;
    texts.reserve(cases.size());
    for (const Goldens::Case* one : cases) texts.push_back(goldens_.texts[one->text]);
    return texts;
  }
  /// A checkpoint without prompts of its own gets the goldens' as literal ones.
  template <class Options>
  Options options_for(const ModelDescription& description, const std::string& task, std::size_t max_length) const {
    Options options;
    if (description.prompts.contains(task)) {
      options.task = task;
    } else {
      options.prompt = goldens_.prompts.at(task);
    }
    options.max_length = max_length;
    return options;
  }

  Goldens goldens_ = read_goldens(GetParam());
  StellaEmbeddingModel model_{GetParam().string(), {.precision = Precision::f32}};
};

TEST_P(Golden, VectorsOfEveryTextTaskAndDimension) {
  const ModelDescription description = run(model_.describe());
  std::vector<std::size_t> dimensions = description.dimensions;
  if (dimensions.empty()) dimensions.push_back(description.hidden);
  std::size_t compared = 0;
  for (const auto& [group, cases] : groups()) {
    auto options = options_for<EmbedOptions>(description, group.first, group.second);
    options.dimensions = dimensions;
    const std::vector<Embedding> rows = run(model_.batch_embed(texts_of(cases), options));
    ASSERT_EQ(rows.size(), cases.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].tokens, cases[i]->ids.size());
      for (const auto& [dimension, vector] : rows[i].vectors) {
        const std::vector<float>* golden = goldens_.find(*cases[i], dimension);
        if (golden == nullptr) continue;
        expect_close(vector, *golden,
                     "text " + std::to_string(cases[i]->text) + ", task " + group.first + ", " +
                         std::to_string(dimension) + "D");
        ++compared;
      }
    }
  }
  const auto usable = std::count_if(goldens_.vectors.begin(), goldens_.vectors.end(), [](const auto& entry) {
    return !entry.first.starts_with("5.") && !entry.first.ends_with(".pooled");
  });
  EXPECT_EQ(compared, static_cast<std::size_t>(usable)) << "a golden vector was not looked at";
}

TEST_P(Golden, IdsOfEveryTextAndTask) {
  const ModelDescription description = run(model_.describe());
  for (const auto& [group, cases] : groups()) {
    const auto options = options_for<TokenizeOptions>(description, group.first, group.second);
    const std::vector<Tokens> rows = run(model_.tokenize(texts_of(cases), options));
    ASSERT_EQ(rows.size(), cases.size());
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].ids, cases[i]->ids) << cases[i]->text;
  }
}

std::vector<std::filesystem::path> folders() {
  std::vector<std::filesystem::path> paths{kDemo};
  for (const auto& entry : std::filesystem::directory_iterator(kCheckpoints)) {
    if (std::filesystem::exists(entry.path() / "goldens")) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden, testing::ValuesIn(folders()), [](const auto& parameter) {
  std::string name = parameter.param.filename().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

}  // namespace
}  // namespace stella::test
