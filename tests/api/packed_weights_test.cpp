// Kept packed weights through the public API: what a load leaves, and that the next one maps it.
#include "support.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

/// The demo model is small: only with small_model_bytes 0 is anything kept of it.
ModelOptions keeping(ModelOptions options) {
  options.packed_weights.small_model_bytes = 0;
  return options;
}

TEST(PackedWeights, TheSecondLoadMapsWhatTheFirstHasKept) {
  TestHub hub(kDemo);
  const auto folder = packed_weights::default_directory(*hub.options().hub);
  EXPECT_EQ(folder, hub.cache.path() / "stella");
  std::vector<float> vector;
  for (const char* expected : {"packed, then mapped", "mapped"}) {
    StellaEmbeddingModel model(hub.repo, keeping(hub.options()));
    const auto found = run(model.embed("text"));
    EXPECT_EQ(model.config_info().at("packed_weights"), expected);
    if (vector.empty()) vector = found;
    EXPECT_EQ(found, vector);
  }
  const auto contents = packed_weights::list(folder);
  ASSERT_EQ(contents.files.size(), 1U);
  EXPECT_EQ(contents.files[0].source, hub.repo);
  StellaEmbeddingModel model(hub.repo, keeping(hub.options()));
  const ModelDescription description = run(model.describe());
  EXPECT_EQ(description.precision, contents.files[0].precision) << "known without loading";
  EXPECT_FALSE(description.precision_reason.empty());
  EXPECT_TRUE(packed_weights::verify(folder).problems.empty());
  EXPECT_EQ(packed_weights::remove(folder, hub.repo).files, 1U);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(PackedWeights, AreKeptWhereTheOptionsSayOrNowhere) {
  TestHub hub(kDemo);
  ModelOptions options = keeping(hub.options());
  options.precision = Precision::f32;
  options.packed_weights.directory = hub.cache.path() / "elsewhere/deep";
  run(StellaEmbeddingModel(hub.repo, options).embed("text"));
  EXPECT_EQ(packed_weights::list(options.packed_weights.directory).files.size(), 1U);
  options.packed_weights = {.keep = false, .directory = hub.cache.path() / "nowhere", .small_model_bytes = 0};
  run(StellaEmbeddingModel(hub.repo, options).embed("text"));
  EXPECT_FALSE(std::filesystem::exists(hub.cache.path() / "nowhere"));
  EXPECT_FALSE(std::filesystem::exists(hub.cache.path() / "stella"));
}

}  // namespace
}  // namespace stella::test
