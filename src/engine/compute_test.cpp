#include "engine/compute.hpp"

#include "engine/test_support.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using test::Gate;
using test::Result;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

/// Stands where an encoder does and records the batches it is given. A sequence's vector is (length, sum of its ids).
class RecordingEncoder final : public models::Encoder {
 public:
  explicit RecordingEncoder(Gate* gate = nullptr) : gate_(gate) {}

  void forward(const models::PackedBatch& batch, float* pooled, ParallelTeam&, models::Activations&) const override {
    std::vector<std::size_t> lengths;
    for (std::size_t s = 0; s < batch.sequences(); ++s) {
      const auto ids = batch.ids.subspan(static_cast<std::size_t>(batch.offsets[s]),
                                         static_cast<std::size_t>(batch.offsets[s + 1] - batch.offsets[s]));
      lengths.push_back(ids.size());
      float sum = 0;
      for (const std::int32_t id : ids) sum += static_cast<float>(id);
      pooled[2 * s] = static_cast<float>(ids.size());
      pooled[2 * s + 1] = sum;
    }
    {
      const std::lock_guard lock(mutex_);
      batches_.push_back(std::move(lengths));
    }
    if (gate_ != nullptr) gate_->pass();
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }

  std::vector<std::vector<std::size_t>> batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  Gate* gate_;
  mutable std::mutex mutex_;
  mutable std::vector<std::vector<std::size_t>> batches_;  // lengths of the sequences of each forward pass
};

std::shared_ptr<const tokenizer::Tokenizer> test_tokenizer() {
  static const auto tokenizer = std::make_shared<const tokenizer::Tokenizer>(
      tokenizer::Tokenizer::from_file(STELLA_TEST_DATA "/checkpoints/stella-small-tiny/tokenizer.json"));
  return tokenizer;
}

/// `words` single-token words; with [CLS] and [SEP] two tokens more.
std::string words(std::size_t count, const std::string& word = "a") {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += word + " ";
  return text;
}

TextRequest request_for(std::shared_ptr<const models::Encoder> encoder, std::vector<std::string> texts) {
  TextRequest request;
  request.tokenizer = test_tokenizer();
  request.encoder = std::move(encoder);
  request.heads = {{2, nullptr}};
  request.texts = std::move(texts);
  request.max_length = 8192;
  request.vocab_size = 1'000'000;
  request.normalize = false;
  return request;
}

std::vector<float> lengths_of(const TextResults& results) {
  std::vector<float> lengths;
  for (const Embedding& embedding : results.embeddings) lengths.push_back(embedding.vectors.at(0).second.at(0));
  return lengths;
}

TEST(Compute, PacksByTokensLongestFirstAndAnswersInTheOrderAsked) {
  Compute compute(2);
  const auto encoder = std::make_shared<RecordingEncoder>();
  Result<TextResults> result;
  compute.submit(request_for(encoder, {words(3), words(1000), words(1000), words(100), words(3000), words(1)}), {},
                 result.completion());
  EXPECT_THAT(lengths_of(result.get()), ElementsAre(5, 1002, 1002, 102, 3002, 3));
  // At most kTokensPerPass (2048) tokens, but for the single long text.
  EXPECT_THAT(encoder->batches(),
              ElementsAre(ElementsAre(1002, 1002, 5), ElementsAre(102), ElementsAre(3002), ElementsAre(3)));
}

TEST(Compute, ReportsTruncationPerText) {
  Compute compute(1);
  TextRequest request = request_for(std::make_shared<RecordingEncoder>(), {words(3), words(40)});
  request.max_length = 10;
  Result<TextResults> result;
  compute.submit(std::move(request), {}, result.completion());
  const TextResults results = result.get();
  EXPECT_FALSE(results.embeddings[0].truncated);
  EXPECT_EQ(results.embeddings[0].tokens, 5U);
  EXPECT_TRUE(results.embeddings[1].truncated);
  EXPECT_EQ(results.embeddings[1].tokens, 10U);
  EXPECT_EQ(results.embeddings[1].full_tokens, 42U);
}

TEST(Compute, NormalizesOnRequest) {
  Compute compute(1);
  TextRequest request = request_for(std::make_shared<RecordingEncoder>(), {words(3)});
  request.normalize = true;
  Result<TextResults> result;
  compute.submit(std::move(request), {}, result.completion());
  const std::vector<float> vector = result.get().embeddings[0].vectors[0].second;
  EXPECT_NEAR(vector[0] * vector[0] + vector[1] * vector[1], 1, 1e-6);
}

/// A long request is under way; a short one that comes later is served with its next batch, not after its last.
TEST(Compute, AShortRequestDoesNotWaitForALongOneToEnd) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  Result<TextResults> long_result;
  Result<TextResults> short_result;
  compute.submit(request_for(encoder, std::vector<std::string>(20, words(1000))), {}, long_result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  compute.submit(request_for(encoder, {words(7)}), {}, short_result.completion());
  gate.open();
  EXPECT_THAT(lengths_of(short_result.get()), ElementsAre(9));
  EXPECT_EQ(long_result.get().embeddings.size(), 20U);
  const auto batches = encoder->batches();
  const auto with_short = std::find_if(batches.begin(), batches.end(), [](const auto& lengths) {
    return std::find(lengths.begin(), lengths.end(), 9U) != lengths.end();
  });
  EXPECT_LE(with_short - batches.begin(), 1);
}

TEST(Compute, RequestsOfTwoModelsTakeTurns) {
  Gate gate;
  const auto first = std::make_shared<RecordingEncoder>(&gate);
  const auto second = std::make_shared<RecordingEncoder>();
  Compute compute(1);
  Result<TextResults> first_result;
  Result<TextResults> second_result;
  compute.submit(request_for(first, std::vector<std::string>(10, words(2000))), {}, first_result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  std::size_t first_batches_when_second_ended = 0;
  compute.submit(request_for(second, {words(2000), words(2000)}), {},
                 [&, done = second_result.completion()](std::exception_ptr error, TextResults value) mutable {
                   first_batches_when_second_ended = first->batches().size();
                   done(std::move(error), std::move(value));
                 });
  gate.open();
  second_result.get();
  EXPECT_LE(first_batches_when_second_ended, 3U);
  EXPECT_EQ(first_result.get().embeddings.size(), 10U);
}

TEST(Compute, ACancelledRequestThatWaitsIsNeverComputed) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  Result<TextResults> running;
  Result<TextResults> waiting;
  std::stop_source stop;
  compute.submit(request_for(encoder, {words(2100)}), {}, running.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  compute.submit(request_for(encoder, {words(50)}), stop.get_token(), waiting.completion());
  stop.request_stop();
  EXPECT_EQ(waiting.message(Errc::cancelled), "cancelled");  // while the first still computes
  gate.open();
  EXPECT_THAT(lengths_of(running.get()), ElementsAre(2102));
  Result<TextResults> after;
  compute.submit(request_for(encoder, {words(1)}), {}, after.completion());
  after.get();
  EXPECT_THAT(encoder->batches(), ElementsAre(ElementsAre(2102), ElementsAre(3)));
}

TEST(Compute, ACancelledRequestThatRunsLeavesItsNeighboursAlone) {
  Gate gate;
  Gate before;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  compute.post([&](ParallelTeam&) { before.pass(); });
  ASSERT_TRUE(before.wait_for_arrivals(1));
  Result<TextResults> stays;
  Result<TextResults> goes;
  std::stop_source stop;
  compute.submit(request_for(encoder, {words(5)}), {}, stays.completion());
  compute.submit(request_for(encoder, {words(6), words(3000)}), stop.get_token(), goes.completion());
  before.open();
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  stop.request_stop();
  EXPECT_EQ(goes.message(Errc::cancelled), "cancelled");
  gate.open();
  EXPECT_THAT(lengths_of(stays.get()), ElementsAre(7));
  EXPECT_THAT(encoder->batches(), ElementsAre(ElementsAre(8, 7)));
}

TEST(Compute, TheFirstBadTextIsNamed) {
  Compute compute(2);
  const auto encoder = std::make_shared<RecordingEncoder>();
  Result<TextResults> empty;
  compute.submit(request_for(encoder, {"a", "b", "", "c", ""}), {}, empty.completion());
  EXPECT_THAT(empty.message(Errc::empty_text), StartsWith("Text at index 2: "));
  Result<TextResults> broken;
  compute.submit(request_for(encoder, {"a", "b\xff"}), {}, broken.completion());
  EXPECT_THAT(broken.message(Errc::invalid_utf8), StartsWith("Text at index 1: "));
  TextRequest strict = request_for(encoder, {words(3), words(40)});
  strict.max_length = 10;
  strict.on_long = OnLong::error;
  Result<TextResults> too_long;
  compute.submit(std::move(strict), {}, too_long.completion());
  EXPECT_THAT(too_long.message(Errc::text_too_long),
              testing::AllOf(StartsWith("Text at index 1: "), HasSubstr("42 tokens"), HasSubstr("10")));
  EXPECT_THAT(encoder->batches(), testing::IsEmpty());
}

TEST(Compute, TokenizesManyTextsWithoutAnEncoder) {
  Compute compute(2);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 3000; ++i) texts.push_back(words(1 + i % 7));
  Result<TextResults> result;
  TextRequest request = request_for(nullptr, texts);
  compute.submit(std::move(request), {}, result.completion());
  const TextResults results = result.get();
  ASSERT_EQ(results.encodings.size(), 3000U);
  for (std::size_t i = 0; i < 3000; ++i) ASSERT_EQ(results.encodings[i].ids.size(), 3 + i % 7);
}

TEST(Compute, AnEncodersErrorIsTheRequests) {
  class Failing final : public models::Encoder {
   public:
    void forward(const models::PackedBatch&, float*, ParallelTeam&, models::Activations&) const override {
      throw std::bad_alloc();
    }
    std::size_t hidden() const noexcept override { return 2; }
    std::size_t weight_bytes() const noexcept override { return 0; }
  };
  Compute compute(1);
  Result<TextResults> result;
  compute.submit(request_for(std::make_shared<Failing>(), {"a"}), {}, result.completion());
  EXPECT_THAT(result.message(Errc::out_of_memory), HasSubstr("out of memory"));
}

TEST(Compute, ShuttingDownCompletesWhatWaits) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Result<TextResults> running;
  Result<TextResults> waiting;
  Result<TextResults> late;
  {
    Compute compute(2);
    compute.submit(request_for(encoder, {words(2100)}), {}, running.completion());
    ASSERT_TRUE(gate.wait_for_arrivals(1));
    compute.submit(request_for(encoder, {words(5)}), {}, waiting.completion());
    compute.shut_down();
    compute.submit(request_for(encoder, {words(5)}), {}, late.completion());
    EXPECT_THAT(late.message(Errc::shut_down), HasSubstr("shutting down"));
    gate.open();
  }
  EXPECT_THAT(running.message(Errc::shut_down), HasSubstr("shutting down"));
  EXPECT_THAT(waiting.message(Errc::shut_down), HasSubstr("shutting down"));
}

TEST(Compute, ATokenThatTheModelDoesNotKnowFailsItsOwnTextOnly) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(2);
  Result<TextResults> first;
  compute.submit(request_for(encoder, {words(2)}), {}, first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  // These share the pass that comes after the gate.
  Result<TextResults> bad;
  Result<TextResults> innocent;
  TextRequest request = request_for(encoder, {words(2), words(3)});
  request.vocab_size = 1;
  compute.submit(std::move(request), {}, bad.completion());
  compute.submit(request_for(encoder, {words(4)}), {}, innocent.completion());
  gate.open();
  EXPECT_THAT(bad.message(Errc::malformed_file), StartsWith("Text at index 0: the text has token "));
  EXPECT_THAT(lengths_of(innocent.get()), ElementsAre(6));
}

/// An encoder that has no memory for more than one request's sequences, and never for sequences of `greedy` tokens.
class PoorEncoder final : public models::Encoder {
 public:
  PoorEncoder(Gate& gate, std::size_t greedy) : gate_(gate), greedy_(greedy) {}
  void forward(const models::PackedBatch& batch, float* pooled, ParallelTeam&, models::Activations&) const override {
    gate_.pass();
    const bool shared = batch.sequences() > 1;
    if (shared || batch.ids.size() == greedy_) throw std::bad_alloc();
    pooled[0] = static_cast<float>(batch.ids.size());
    pooled[1] = 0;
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }

 private:
  Gate& gate_;
  std::size_t greedy_;
};

TEST(Compute, APassThatFailsIsTriedRequestByRequest) {
  Gate gate;
  const auto encoder = std::make_shared<PoorEncoder>(gate, 9);
  Compute compute(2);
  Result<TextResults> first;
  compute.submit(request_for(encoder, {words(2)}), {}, first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  Result<TextResults> small;
  Result<TextResults> greedy;
  Result<TextResults> other;
  compute.submit(request_for(encoder, {words(3)}), {}, small.completion());
  compute.submit(request_for(encoder, {words(7)}), {}, greedy.completion());
  compute.submit(request_for(encoder, {words(4)}), {}, other.completion());
  gate.open();
  EXPECT_THAT(lengths_of(first.get()), ElementsAre(4));
  EXPECT_THAT(lengths_of(small.get()), ElementsAre(5));
  EXPECT_THAT(lengths_of(other.get()), ElementsAre(6));
  EXPECT_THAT(greedy.message(Errc::out_of_memory), StartsWith("out of memory"));
}

/// An encoder of many layers that asks between them as the real ones do.
class PatientEncoder final : public models::Encoder {
 public:
  explicit PatientEncoder(Gate& gate) : gate_(gate) {}
  void forward(const models::PackedBatch&, float* pooled, ParallelTeam&, models::Activations& scratch) const override {
    gate_.pass();
    pooled[0] = pooled[1] = 0;
    while (!scratch.given_up()) std::this_thread::yield();
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }

 private:
  Gate& gate_;
};

TEST(Compute, APassIsLeftOnceNobodyWaitsForIt) {
  Gate gate;
  gate.open();
  const auto endless = std::make_shared<PatientEncoder>(gate);
  Compute compute(2);
  std::stop_source stop;
  Result<TextResults> first;
  compute.submit(request_for(endless, {words(2)}), stop.get_token(), first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  Result<TextResults> next;
  compute.submit(request_for(std::make_shared<RecordingEncoder>(), {words(3)}), {}, next.completion());
  stop.request_stop();
  EXPECT_THAT(first.message(Errc::cancelled), StartsWith("cancelled"));
  EXPECT_THAT(lengths_of(next.get()), ElementsAre(5));
}

}  // namespace
}  // namespace stella::engine
