// What comes in: validation, prompts, lengths, names; and the blocking facade.
#include "stella/sync.hpp"
#include "support.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

TEST(Input, EachMistakeHasItsError) {
  StellaEmbeddingModel model(kSmall.string());
  const auto embed = [&](const std::vector<std::string>& texts, const EmbedOptions& options = {}) {
    return caught([&] { run(model.batch_embed(texts, options)); });
  };
  EXPECT_EQ(errc_of(caught([&] { run(model.embed("")); })), Errc::empty_text);
  EXPECT_EQ(errc_of(embed({})), Errc::empty_batch);
  EXPECT_EQ(errc_of(embed(std::vector<std::string>(10'001, "a"))), Errc::batch_too_large);
  EXPECT_EQ(errc_of(caught([&] { run(model.embed("\xff")); })), Errc::invalid_utf8);
  EXPECT_EQ(errc_of(caught([&] { run(model.embed(std::string(1'000'001, 'a'))); })), Errc::text_too_large);
  EXPECT_THAT(describe(embed({"a", "", "b"})), HasSubstr("Text at index 1"));
  EXPECT_THAT(describe(embed({"a", "b"}, {.dimensions = {256, 512}})),
              HasSubstr("Model 'stella-small-tiny' does not support 512D embeddings. Supported dimensions: [256, 768, "
                        "1024, 2048, 4096, 6144, 8192]"));
  EXPECT_EQ(errc_of(embed({"a"}, {.max_length = 8193})), Errc::invalid_argument);
}

TEST(Input, TooLongIsTruncatedAndSaidSoOrRefused) {
  StellaEmbeddingModel model(kSmall.string());
  const std::vector<std::string> texts{"short", std::string(4000, 'x') + " " + std::string(3000, 'y'),
                                       "a b c d e f g h"};
  EmbedOptions options{.task = "none", .dimensions = {256}, .max_length = 6};
  const std::vector<Embedding> rows = run(model.batch_embed(texts, options));
  EXPECT_FALSE(rows[0].truncated);
  EXPECT_EQ(rows[0].tokens, rows[0].full_tokens);
  EXPECT_TRUE(rows[2].truncated);
  EXPECT_EQ(rows[2].tokens, 6U);
  EXPECT_EQ(rows[2].full_tokens, 10U);  // [CLS], eight letters, [SEP]
  options.on_long = OnLong::error;
  const std::exception_ptr error = caught([&] { run(model.batch_embed({texts[0], texts[2]}, options)); });
  EXPECT_EQ(errc_of(error), Errc::text_too_long);
  EXPECT_THAT(describe(error), testing::AllOf(HasSubstr("Text at index 1"), HasSubstr("10 tokens"), HasSubstr("6")));
}

TEST(Input, PromptsAreThoseOfTheTask) {
  StellaEmbeddingModel model(kSmall.string());
  const Goldens goldens = read_goldens(kSmall);
  const std::string text = "What are safetensors?";
  const auto ids = [&](const TokenizeOptions& options) { return run(model.tokenize({text}, options)).at(0).ids; };
  const auto with_prompt = [&](const std::string& prompt) {
    return run(model.tokenize({prompt + text}, {.task = "none"})).at(0).ids;
  };
  for (const std::string task : {"", "s2p", "query", "search_query", "retrieval", "s2p_query"}) {
    EXPECT_EQ(ids({.task = task}), with_prompt(goldens.prompts.at("s2p"))) << task;
  }
  for (const std::string task : {"s2s", "classification", "clustering"}) {
    EXPECT_EQ(ids({.task = task}), with_prompt(goldens.prompts.at("s2s"))) << task;
  }
  for (const std::string task : {"none", "document", "search_document"}) {
    EXPECT_EQ(ids({.task = task}), with_prompt("")) << task;
  }
  EXPECT_EQ(ids({.task = "s2p", .prompt = "own: "}), with_prompt("own: "));
  const std::vector<std::int32_t> bare = ids({.task = "none", .add_special_tokens = false});
  std::vector<std::int32_t> inner = ids({.task = "none"});
  inner.erase(inner.begin());
  inner.pop_back();
  EXPECT_EQ(bare, inner);
}

TEST(Input, AnUnknownTaskIsAnErrorInEveryInterface) {
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.errc() == Errc::invalid_argument ? error.what() : "another error";
    }
    return "no error";
  };
  StellaEmbeddingModel model(kSmall.string());
  const LoadedStellaModel loaded = run(LoadedStellaModel::load(model));
  LoadedStellaModel copy = loaded;
  const sync::Model blocking = sync::Model::load(kSmall.string());
  for (const std::string task : {"no such task", "NONE", "Query"}) {
    for (const std::string& text : {
             message([&] { run(model.embed("text", task)); }),
             message([&] { run(model.batch_embed({"text"}, task)); }),
             message([&] { run(model.chunked_batch_embed({"text"}, EmbedOptions{.task = task})); }),
             message([&] { run(model.tokenize({"text"}, TokenizeOptions{.task = task})); }),
             message([&] { run(copy.batch_embed({"text"}, EmbedOptions{.task = task})); }),
             message([&] { blocking.embed("text", task); }),
             message([&] { blocking.batch_embed({"text"}, {.task = task}); }),
             message([&] { loaded.description().prompt_for(task); }),
         }) {
      EXPECT_THAT(text, testing::AllOf(testing::StartsWith("unknown task '" + task), testing::HasSubstr(" document,"),
                                       testing::HasSubstr(" s2p,")));
    }
    EXPECT_FALSE(model.supports_task(task));
    EXPECT_FALSE(loaded.supports_task(task));
  }
  EXPECT_TRUE(model.supports_task("passage"));
  EXPECT_TRUE(loaded.supports_task("web_query"));
  EXPECT_EQ(loaded.description().prompt_for(""), loaded.description().prompts.at("s2p"));
}

TEST(Input, UnnormalizedVectorsPointTheSameWay) {
  StellaEmbeddingModel model(kSmall.string());
  const auto unit = run(model.batch_embed({"text"}, EmbedOptions{.dimensions = {256}}))[0].vectors[0].second;
  const auto raw = run(model.batch_embed({"text"}, EmbedOptions{.dimensions = {256}, .normalize = false}))[0];
  double square = 0;
  for (const float x : raw.vectors[0].second) square += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_GT(std::abs(square - 1), 1e-3);
  for (std::size_t i = 0; i < unit.size(); ++i) {
    EXPECT_NEAR(raw.vectors[0].second[i] / std::sqrt(square), unit[i], 1e-6);
  }
}

TEST(Names, SayWhatAModelIs) {
  EXPECT_EQ(StellaEmbeddingModel("dunzhang/stella_en_1.5B_v5").info().recommended_batch_size, 8U);
  EXPECT_EQ(StellaEmbeddingModel("NovaSearch/stella_en_400M_v5").info().estimated_memory_mb, 1600U);
  EXPECT_EQ(StellaEmbeddingModel("NovaSearch/stella_en_400M_v5").embedding_dimension(), 1024U);
  EXPECT_EQ(errc_of(caught([] { StellaEmbeddingModel("NovaSearch/stella_en_400M_v5").embedding_dimension(100); })),
            Errc::unsupported_dimension);
  const StellaEmbeddingModel local(kDemo.string() + "/");
  EXPECT_TRUE(local.info().local);
  EXPECT_EQ(local.info().name, "stella-demo");
  EXPECT_EQ(local.info().provider, "local");
  EXPECT_EQ(StellaEmbeddingModel("acme/embedder").info().provider, "acme");
  for (const std::string name : {"", "./nowhere", "/no/such/dir", "a/b/c", "../x", "a b", "-x/y"}) {
    EXPECT_EQ(errc_of(caught([&] { StellaEmbeddingModel model(name); })), Errc::invalid_argument) << name;
  }
}

TEST(Names, MemoryGrowsWithTheBatchUpToAPass) {
  StellaEmbeddingModel model(kSmall.string());
  run(model.describe());
  EXPECT_GT(model.estimate_memory_usage(4), model.estimate_memory_usage(1));
  // Beyond a pass, only results are added: (64 + 1024) floats a text.
  EXPECT_EQ(model.estimate_memory_usage(1000) - model.estimate_memory_usage(999), (64U + 1024U) * 4U);
}

TEST(Precisions, TheDefaultIsTheOneThatNeedsNoCalibration) {
  const LoadedStellaModel loaded = run(LoadedStellaModel::load(StellaEmbeddingModel(kSmall.string())));
  EXPECT_EQ(loaded.precision(), Precision::f32);
}

TEST(Blocking, GivesWhatTheAsynchronousApiGives) {
  StellaEmbeddingModel model(kDemo.string());
  const sync::Model blocking = sync::Model::load(kDemo.string(), {.hub = HubOptions{}});
  EXPECT_EQ(blocking.embed("What are safetensors?", "s2s", 768), run(model.embed("What are safetensors?", "s2s", 768)));
  EXPECT_EQ(blocking.embed("What are safetensors?"), run(model.embed("What are safetensors?")));
  EXPECT_THAT(blocking.supported_dimensions(), ElementsAreArray(kAllHeads));
  EXPECT_EQ(blocking.batch_embed({"a", "b"}).size(), 2U);
  EXPECT_EQ(errc_of(caught([&] { blocking.embed(""); })), Errc::empty_text);
}

TEST(Blocking, FetchesFilesFromTheHub) {
  TestHub hub(kSmall);
  const auto path = sync::huggingface_file(hub.repo, "config.json", "main", hub.options().hub);
  EXPECT_EQ(std::filesystem::file_size(path), std::filesystem::file_size(kSmall / "config.json"));
}

}  // namespace
}  // namespace stella::test
