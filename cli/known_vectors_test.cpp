#include "cli/known_vectors.hpp"

#include <cmath>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

namespace stella::cli {
namespace {

namespace fs = std::filesystem;

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
