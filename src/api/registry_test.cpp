#include "stella/registry.hpp"

#include "stella/error.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Registry, HasBothStellasUnderBothOrganisations) {
  for (const std::string organisation : {"NovaSearch", "dunzhang"}) {
    const auto small = Registry::builtin().find(organisation + "/stella_en_400M_v5");
    const auto large = Registry::builtin().find(organisation + "/stella_en_1.5B_v5");
    ASSERT_TRUE(small && large) << organisation;
    EXPECT_THAT(small->dimensions, ElementsAre(256, 768, 1024, 2048, 4096, 6144, 8192));
    EXPECT_EQ(large->dimensions, small->dimensions);
    EXPECT_EQ(small->default_dimension, 1024U);
    EXPECT_EQ(small->recommended_batch_size, 16U);
    EXPECT_EQ(small->max_batch_size, 10'000U);
    EXPECT_EQ(small->estimated_memory_mb, 1600U);
    EXPECT_EQ(large->recommended_batch_size, 8U);
    EXPECT_EQ(large->max_batch_size, 10'000U);
    EXPECT_EQ(large->estimated_memory_mb, 7200U);
    EXPECT_EQ(large->name, "stella_en_1.5B_v5");
    EXPECT_EQ(large->provider, organisation);
  }
}

TEST(Registry, ListsKeysInOrderAndCountsByProvider) {
  const Registry registry;
  EXPECT_THAT(registry.keys(),
              ElementsAre("NovaSearch/stella_en_1.5B_v5", "NovaSearch/stella_en_400M_v5", "dunzhang/stella_en_1.5B_v5",
                          "dunzhang/stella_en_400M_v5", "sentence-transformers/all-MiniLM-L6-v2"));
  EXPECT_THAT(registry.count_by_provider(),
              ElementsAre(Pair("NovaSearch", 2), Pair("dunzhang", 2), Pair("sentence-transformers", 1)));
  EXPECT_TRUE(registry.has_model("sentence-transformers/all-MiniLM-L6-v2"));
  EXPECT_FALSE(registry.has_model("sentence-transformers/all-minilm-l6-v2"));
}

TEST(Registry, TakesAModelOnceAndLeavesTheBuiltinOnesAlone) {
  Registry registry;
  ModelInfo own;
  own.registry_key = "acme/embedder";
  own.provider = "acme";
  registry.register_model(own);
  EXPECT_TRUE(registry.has_model("acme/embedder"));
  EXPECT_FALSE(Registry::builtin().has_model("acme/embedder"));
  try {
    registry.register_model(own);
    FAIL() << "registered twice";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::already_registered);
    EXPECT_THAT(error.what(), testing::HasSubstr("acme/embedder"));
  }
}

}  // namespace
}  // namespace stella
