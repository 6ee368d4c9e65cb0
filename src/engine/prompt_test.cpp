#include "engine/prompt.hpp"

#include "engine/test_support.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using test::error_of;

// As the model cards print them.
const std::string kS2p =
    "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: ";
const std::string kS2s = "Instruct: Retrieve semantically similar text.\nQuery: ";

std::string quoted(const char* text) {
  std::string result = "'";
  return result.append(text).append("'");
}

Prompts stella_prompts() {
  return {{{"s2p_query", kS2p}, {"s2s_query", kS2s}}, true};
}

TEST(Prompts, MapEveryTaskName) {
  const Prompts prompts = stella_prompts();
  for (const char* task : {"s2p", "s2p_query", "query", "search_query", "retrieval", "retrieval.query", "web_query",
                           "code-search_query", ""}) {
    EXPECT_EQ(prompts.text_for(task), kS2p) << task;
  }
  for (const char* task : {"s2s", "s2s_query", "classification", "clustering", "sts", "similarity", "sts_query"}) {
    EXPECT_EQ(prompts.text_for(task), kS2s) << task;
  }
  for (const char* task : {"none", "document", "search_document", "passage", "doc", "documents", "retrieval.passage"}) {
    EXPECT_EQ(prompts.text_for(task), "") << task;
  }
  EXPECT_EQ(prompts.default_task(), "s2p");
}

TEST(Prompts, OfTheCheckpointWin) {
  const Prompts prompts({{"s2p_query", "P: "}, {"document", "D: "}, {"none", "N: "}, {"clustering", "C: "}}, true);
  EXPECT_EQ(prompts.text_for("s2p"), "P: ");
  EXPECT_EQ(prompts.text_for("retrieval"), "P: ");
  EXPECT_EQ(prompts.text_for("query"), "P: ");
  EXPECT_EQ(prompts.text_for("document"), "D: ");
  EXPECT_EQ(prompts.text_for("passage"), "D: ");
  EXPECT_EQ(prompts.text_for("clustering"), "C: ");
  EXPECT_EQ(prompts.text_for("classification"), kS2s);
  EXPECT_EQ(prompts.text_for("none"), "");
  EXPECT_EQ(prompts.all().at("retrieval"), "P: ");
}

TEST(Prompts, OfTheSamePurposeStandForEachOther) {
  // As the e5 models write them; sentence-transformers' encode() puts none of them before a text.
  const Prompts prompts({{"query", "query: "}, {"passage", "passage: "}}, false);
  for (const char* task : {"query", "s2p", "search_query", "web_query"}) {
    EXPECT_EQ(prompts.text_for(task), "query: ") << task;
  }
  for (const char* task : {"passage", "document", "doc"}) EXPECT_EQ(prompts.text_for(task), "passage: ") << task;
  EXPECT_EQ(prompts.default_task(), "none");
  EXPECT_EQ(prompts.text_for(""), "");
  EXPECT_FALSE(prompts.has("s2s"));
}

TEST(Prompts, TheDefaultNameOfTheCheckpointIsTheDefault) {
  const TaskPrompts own{{"document", ""}, {"passage", "passage: "}, {"query", "query: "}};
  const Prompts prompts(own, false, "query");
  EXPECT_EQ(prompts.default_task(), "query");
  EXPECT_EQ(prompts.text_for(""), "query: ");
  EXPECT_EQ(prompts.text_for("passage"), "passage: ");
  EXPECT_EQ(prompts.text_for("document"), "");
  EXPECT_EQ(Prompts(own, true, "document").text_for(""), "");
  EXPECT_EQ(Prompts({{"s2p_query", "P: "}, {"s2s_query", "S: "}}, true, "s2s_query").text_for(""), "S: ");
}

TEST(Prompts, EmptyOnesAreNoChoice) {
  // What sentence-transformers writes for every model.
  const TaskPrompts placeholders{{"query", ""}, {"document", ""}};
  for (const bool is_stella : {true, false}) {
    const Prompts prompts(placeholders, is_stella);
    EXPECT_EQ(prompts.default_task(), "none");
    EXPECT_EQ(prompts.text_for("query"), "");
    EXPECT_EQ(prompts.has("s2p"), is_stella);
  }
  EXPECT_EQ(Prompts(placeholders, true).text_for("s2p"), kS2p);
  EXPECT_EQ(Prompts({{"query", ""}, {"s2p_query", "P: "}}, true).text_for(""), "P: ");
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
  for (const char* task : {"s2p", "s2s", "query", "search_query", "clustering", "web_query"}) {
    EXPECT_THAT(error_of([&] { prompts.text_for(task); }, Errc::invalid_argument),
                testing::AllOf(testing::HasSubstr(quoted(task)), testing::HasSubstr("document")));
  }
  EXPECT_FALSE(prompts.has("s2s"));
  EXPECT_TRUE(prompts.has("document"));
}

TEST(Prompts, AnUnknownTaskIsAnErrorThatListsTheKnownOnes) {
  for (const char* task :
       {"serach_query2", "NONE", "Query", "S2P", "S2P_query", "_query", " s2p", "s2p ", "translation"}) {
    EXPECT_EQ(
        error_of([&] { stella_prompts().text_for(task); }, Errc::invalid_argument),
        "unknown task '" + std::string(task) +
            "'; the tasks of this model are: classification, clustering, doc, document, documents, none, passage, "
            "query, retrieval, retrieval.passage, retrieval.query, s2p, s2p_query, s2s, s2s_query, "
            "search_document, search_query, similarity, sts");
    EXPECT_FALSE(stella_prompts().has(task));
    EXPECT_FALSE(is_known_task(task));
  }
  for (const char* task : {"none", "query", "s2s", "passage", "web_query"}) EXPECT_TRUE(is_known_task(task)) << task;
}

}  // namespace
}  // namespace stella::engine
