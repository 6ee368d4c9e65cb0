// The same text gives the same bits: alone, in a batch, in another order, beside other callers, on any number of
// threads.
#include "support.hpp"

#include <algorithm>
#include <cstdint>
#include <future>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::test {
namespace {

using Vectors = std::vector<std::vector<float>>;

/// 64 texts of very different lengths, some long enough to fill a pass alone.
std::vector<std::string> mixed_texts() {
  std::vector<std::string> texts;
  for (const std::string& text : read_goldens(kDemo).texts) {
    if (!text.empty()) texts.push_back(text);
  }
  std::mt19937 random(7);
  while (texts.size() < 64) {
    std::string text;
    for (std::size_t words = 1 + random() % 400; words > 0; --words)
      text += "word" + std::to_string(random() % 97) + " ";
    texts.push_back(text);
  }
  texts.resize(64);
  return texts;
}

StellaEmbeddingModel model_with(const std::filesystem::path& directory, std::size_t threads) {
  return StellaEmbeddingModel(
      directory.string(),
      {.precision = Precision::f32, .runtime = std::make_shared<Runtime>(RuntimeOptions{.compute_threads = threads})});
}

Vectors vectors_of(const std::vector<Embedding>& rows) {
  Vectors vectors;
  for (const Embedding& row : rows) {
    for (const auto& [dimension, vector] : row.vectors) vectors.push_back(vector);
  }
  return vectors;
}

class Identity : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Identity, AloneInABatchInAnotherOrderAndOnOneThreadOrTwo) {
  const std::vector<std::string> texts = mixed_texts();
  const EmbedOptions options{.task = "none", .dimensions = {256, 1024}, .max_length = 2048};
  StellaEmbeddingModel one = model_with(GetParam(), 1);
  StellaEmbeddingModel two = model_with(GetParam(), 2);
  const Vectors batch = vectors_of(run(one.batch_embed(texts, options)));
  EXPECT_EQ(vectors_of(run(two.batch_embed(texts, options))), batch) << "one thread against two";

  std::vector<std::string> reversed(texts.rbegin(), texts.rend());
  std::vector<Embedding> rows = run(two.batch_embed(reversed, options));
  std::reverse(rows.begin(), rows.end());
  EXPECT_EQ(vectors_of(rows), batch) << "in another order";

  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Vectors alone = vectors_of(run(two.batch_embed({texts[i]}, options)));
    EXPECT_EQ(alone[0], batch[2 * i]) << "text " << i << " alone";
    EXPECT_EQ(alone[1], batch[2 * i + 1]) << "text " << i << " alone";
  }
}

TEST_P(Identity, BesideOtherCallersAndOtherDimensions) {
  const std::vector<std::string> texts = mixed_texts();
  StellaEmbeddingModel model = model_with(GetParam(), 2);
  const Vectors expected = vectors_of(run(model.batch_embed(texts, EmbedOptions{.task = "none", .dimensions = {256}})));
  std::vector<std::future<std::vector<float>>> singles;
  for (const std::string& text : texts) singles.push_back(model.embed(text, "none", 256, boost::asio::use_future));
  std::vector<std::future<std::vector<Embedding>>> others;
  for (const std::size_t dimension : {768U, 256U}) {
    others.push_back(model.batch_embed(texts, EmbedOptions{.task = "none", .dimensions = {dimension, 256}},
                                       boost::asio::use_future));
  }
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(singles[i].get(), expected[i]) << "text " << i;
  for (auto& other : others) {
    const std::vector<Embedding> rows = other.get();
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(rows[i].vectors[1].second, expected[i]) << "text " << i;
  }
}

TEST_P(Identity, OnAnyNumberOfTeamsBesideQueries) {
  const std::vector<std::string> texts = mixed_texts();
  const EmbedOptions options{.task = "none", .dimensions = {256}};
  StellaEmbeddingModel one = model_with(GetParam(), 1);
  const Vectors expected = vectors_of(run(one.batch_embed(texts, options)));
  for (const std::size_t teams : {2U, 3U, 4U}) {
    const RuntimeOptions threads{.compute_threads = 4, .compute_teams = teams};
    StellaEmbeddingModel model(GetParam().string(),
                               {.precision = Precision::f32, .runtime = std::make_shared<Runtime>(threads)});
    std::vector<std::future<std::vector<Embedding>>> batches;
    std::vector<std::future<std::vector<float>>> queries;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i % 16 == 0) batches.push_back(model.batch_embed(texts, options, boost::asio::use_future));
      queries.push_back(model.embed(texts[i], "none", 256, boost::asio::use_future));
    }
    for (auto& batch : batches) EXPECT_EQ(vectors_of(batch.get()), expected) << teams << " teams";
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(queries[i].get(), expected[i]) << teams << " teams";
  }
}

TEST_P(Identity, ChunkedIsTheSameAsABatch) {
  StellaEmbeddingModel model = model_with(GetParam(), 2);
  const std::vector<std::string> texts = mixed_texts();
  const EmbedOptions options{.task = "s2p", .dimensions = {256}};
  EXPECT_EQ(vectors_of(run(model.chunked_batch_embed(texts, options))),
            vectors_of(run(model.batch_embed(texts, options))));
  EXPECT_TRUE(run(model.chunked_batch_embed({}, options)).empty());
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Identity, testing::Values(kSmall, kLarge),
                         [](const auto& parameter) { return parameter.param == kSmall ? "small" : "large"; });

}  // namespace
}  // namespace stella::test
