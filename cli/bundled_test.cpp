#include "cli/bundled.hpp"

#include "cli/failure.hpp"
#include "cli/known_vectors.hpp"
#include "support/temporary_folder.hpp"

#include <cmath>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

namespace fs = std::filesystem;

class Bundled : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_ / "bin"); }

  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(Bundled, IsFoundBesideAnInstalledProgram) {
  fs::create_directories(root_ / "share/stella/models");
  EXPECT_EQ(share_directory(root_ / "bin"), root_ / "share/stella");
}

TEST_F(Bundled, IsFoundInABuildTree) {
  fs::create_directories(root_ / "bin/share/stella/models");
  EXPECT_EQ(share_directory(root_ / "bin"), root_ / "bin/share/stella");
}

TEST_F(Bundled, IsReportedMissing) {
  EXPECT_THROW(share_directory(root_ / "bin"), Failure);
}

TEST_F(Bundled, ADirectoryBeatsTheBundledModel) {
  const fs::path before = fs::current_path();
  fs::create_directories(root_ / "demo");
  fs::current_path(root_);
  EXPECT_EQ(resolve_model("demo"), "demo");
  fs::current_path(before);
  EXPECT_EQ(resolve_model("org/name"), "org/name");
}

TEST(Goldens, OfATinyCheckpoint) {
  const auto known = read_goldens(fs::path(STELLA_TEST_DATA) / "checkpoints/stella-small-tiny");
  ASSERT_TRUE(known);
  std::size_t vectors = 0;
  for (const KnownText& text : known->texts) {
    EXPECT_FALSE(text.text.empty());
    EXPECT_FALSE(text.ids.empty());
    for (const auto& [dimension, vector] : text.vectors) {
      EXPECT_EQ(vector.size(), dimension);
      double sum = 0;
      for (const float value : vector) sum += static_cast<double>(value) * static_cast<double>(value);
      EXPECT_NEAR(sum, 1, 1e-5);
      ++vectors;
    }
  }
  // 248 entries, less 32 pooled ones and the 6 of the empty text.
  EXPECT_EQ(vectors, 210U);
}

TEST(Published, KnowsTheSmallModelByItsName) {
  const fs::path share = fs::path(STELLA_SOURCE_DIR) / "data";
  for (const char* name : {"NovaSearch/stella_en_400M_v5", "dunzhang/stella_en_400M_v5", "copies/stella_en_400M_v5/"}) {
    const auto known = read_published(name, share);
    ASSERT_TRUE(known) << name;
    EXPECT_EQ(known->texts.size(), 2U);
    EXPECT_EQ(known->texts[0].vectors.size(), 2U);
  }
  EXPECT_FALSE(read_published("NovaSearch/stella_en_1.5B_v5", share));
}

}  // namespace
}  // namespace stella::cli
