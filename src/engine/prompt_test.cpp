#include "engine/prompt.hpp"

#include "engine/test_support.hpp"
#include "stella/log.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using test::error_of;

// As the model cards print them.
const std::string kS2p =
    "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: ";
const std::string kS2s = "Instruct: Retrieve semantically similar text.\nQuery: ";

Prompts stella_prompts() {
  return {{{"s2p_query", kS2p}, {"s2s_query", kS2s}}, true};
}

TEST(Prompts, MapEveryTaskName) {
  const Prompts prompts = stella_prompts();
  for (const char* task : {"s2p", "s2p_query", "search_query", "retrieval", ""}) {
    EXPECT_EQ(prompts.text_for(task), kS2p) << task;
  }
  for (const char* task : {"s2s", "s2s_query", "classification", "clustering"}) {
    EXPECT_EQ(prompts.text_for(task), kS2s) << task;
  }
  for (const char* task : {"none", "document", "search_document"}) EXPECT_EQ(prompts.text_for(task), "") << task;
  EXPECT_EQ(prompts.default_task(), "s2p");
}

TEST(Prompts, OfTheCheckpointWin) {
  const Prompts prompts({{"s2p_query", "P: "}, {"document", "D: "}, {"none", "N: "}, {"clustering", "C: "}}, true);
  EXPECT_EQ(prompts.text_for("s2p"), "P: ");
  EXPECT_EQ(prompts.text_for("retrieval"), "P: ");
  EXPECT_EQ(prompts.text_for("document"), "D: ");
  EXPECT_EQ(prompts.text_for("clustering"), "C: ");
  EXPECT_EQ(prompts.text_for("classification"), kS2s);
  EXPECT_EQ(prompts.text_for("none"), "");
  EXPECT_EQ(prompts.all().at("retrieval"), "P: ");
}

TEST(Prompts, AStellaWithoutAnyHasTheBuiltInOnesButNoneByDefault) {
  const Prompts prompts({}, true);
  EXPECT_EQ(prompts.default_task(), "none");
  EXPECT_EQ(prompts.text_for(""), "");
  EXPECT_EQ(prompts.text_for("s2p"), kS2p);
  EXPECT_EQ(prompts.text_for("s2s"), kS2s);
}

TEST(Prompts, AnotherModelWithoutAnyHasNoneToGive) {
  const Prompts prompts({}, false);
  EXPECT_EQ(prompts.text_for(""), "");
  EXPECT_THAT(error_of([&] { prompts.text_for("search_query"); }, Errc::invalid_argument),
              testing::HasSubstr("'search_query'"));
  EXPECT_FALSE(prompts.has("s2s"));
  EXPECT_TRUE(prompts.has("document"));
}

TEST(Prompts, AnUnknownTaskWarnsAndIsTheDefault) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel level, std::string_view line) {
    if (level == LogLevel::warning) lines.emplace_back(line);
  });
  EXPECT_EQ(stella_prompts().text_for("serach_query"), kS2p);
  set_log_sink({});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines.front(), testing::AllOf(testing::HasSubstr("'serach_query'"), testing::HasSubstr("'s2p'")));
}

}  // namespace
}  // namespace stella::engine
