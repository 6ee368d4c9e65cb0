#include "engine/compute.hpp"

#include "engine/compute_test_support.hpp"

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

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Compute, PacksByTokensLongestFirstAndAnswersInTheOrderAsked) {
  Compute compute(2);
  const auto encoder = std::make_shared<RecordingEncoder>();
  Result<EmbedResult> result;
  submit(compute, request_for(encoder, {words(3), words(1000), words(1000), words(100), words(3000), words(1)}), {},
         result.completion());
  EXPECT_THAT(lengths_of(result.get()), ElementsAre(5, 1002, 1002, 102, 3002, 3));
  // At most kTokensPerPass (2048) tokens, but for the single long text.
  EXPECT_THAT(encoder->batches(),
              ElementsAre(ElementsAre(1002, 1002, 5), ElementsAre(102), ElementsAre(3002), ElementsAre(3)));
}

TEST(Compute, ReportsTruncationPerText) {
  Compute compute(1);
  Asked request = request_for(std::make_shared<RecordingEncoder>(), {words(3), words(40)});
  request.model.max_length = 10;
  Result<EmbedResult> result;
  submit(compute, std::move(request), {}, result.completion());
  const EmbedResult results = result.get();
  EXPECT_FALSE(results.texts[0].truncated);
  EXPECT_EQ(results.texts[0].tokens, 5U);
  EXPECT_TRUE(results.texts[1].truncated);
  EXPECT_EQ(results.texts[1].tokens, 10U);
  EXPECT_EQ(results.texts[1].full_tokens, 42U);
}

TEST(Compute, NormalizesOnRequest) {
  Compute compute(1);
  Asked request = request_for(std::make_shared<RecordingEncoder>(), {words(3)});
  request.model.normalize = true;
  Result<EmbedResult> result;
  submit(compute, std::move(request), {}, result.completion());
  const EmbedResult results = result.get();
  const auto vector = results.vectors[0].row(0);
  EXPECT_NEAR(vector[0] * vector[0] + vector[1] * vector[1], 1, 1e-6);
}

/// A long request is under way; a short one that comes later is served with its next batch, not after its last.
TEST(Compute, AShortRequestDoesNotWaitForALongOneToEnd) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  Result<EmbedResult> long_result;
  Result<EmbedResult> short_result;
  submit(compute, request_for(encoder, std::vector<std::string>(20, words(1000))), {}, long_result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  submit(compute, request_for(encoder, {words(7)}), {}, short_result.completion());
  gate.open();
  EXPECT_THAT(lengths_of(short_result.get()), ElementsAre(9));
  EXPECT_EQ(long_result.get().texts.size(), 20U);
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
  Result<EmbedResult> first_result;
  Result<EmbedResult> second_result;
  submit(compute, request_for(first, std::vector<std::string>(10, words(2000))), {}, first_result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  std::size_t first_batches_when_second_ended = 0;
  submit(compute, request_for(second, {words(2000), words(2000)}), {},
         [&, done = second_result.completion()](std::exception_ptr error, EmbedResult value) mutable {
           first_batches_when_second_ended = first->batches().size();
           done(std::move(error), std::move(value));
         });
  gate.open();
  second_result.get();
  EXPECT_LE(first_batches_when_second_ended, 3U);
  EXPECT_EQ(first_result.get().texts.size(), 10U);
}

TEST(Compute, ACancelledRequestThatWaitsIsNeverComputed) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  Result<EmbedResult> running;
  Result<EmbedResult> waiting;
  std::stop_source stop;
  submit(compute, request_for(encoder, {words(2100)}), {}, running.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  submit(compute, request_for(encoder, {words(50)}), stop.get_token(), waiting.completion());
  stop.request_stop();
  EXPECT_EQ(waiting.message(Errc::cancelled), "cancelled");  // while the first still computes
  gate.open();
  EXPECT_THAT(lengths_of(running.get()), ElementsAre(2102));
  Result<EmbedResult> after;
  submit(compute, request_for(encoder, {words(1)}), {}, after.completion());
  after.get();
  EXPECT_THAT(encoder->batches(), ElementsAre(ElementsAre(2102), ElementsAre(3)));
}

TEST(Compute, ACancelledRequestThatRunsLeavesItsNeighboursAlone) {
  Gate gate;
  Gate before;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  compute.tokenize({.texts = {"a"}}, model_of(nullptr), {},
                   [&](const std::exception_ptr&, const std::vector<Tokens>&) { before.pass(); });
  ASSERT_TRUE(before.wait_for_arrivals(1));
  Result<EmbedResult> stays;
  Result<EmbedResult> goes;
  std::stop_source stop;
  submit(compute, bulk_request_for(encoder, {words(5)}), {}, stays.completion());
  submit(compute, bulk_request_for(encoder, {words(6), words(3000)}), stop.get_token(), goes.completion());
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
  Result<EmbedResult> empty;
  submit(compute, request_for(encoder, {"a", "b", "", "c", ""}), {}, empty.completion());
  EXPECT_THAT(empty.message(Errc::empty_text), StartsWith("Text at index 2: "));
  Result<EmbedResult> broken;
  submit(compute, request_for(encoder, {"a", "b\xff"}), {}, broken.completion());
  EXPECT_THAT(broken.message(Errc::invalid_utf8), StartsWith("Text at index 1: "));
  Asked strict = request_for(encoder, {words(3), words(40)});
  strict.model.max_length = 10;
  strict.request.options.on_long = OnLong::error;
  Result<EmbedResult> too_long;
  submit(compute, std::move(strict), {}, too_long.completion());
  EXPECT_THAT(too_long.message(Errc::text_too_long),
              testing::AllOf(StartsWith("Text at index 1: "), HasSubstr("42 tokens"), HasSubstr("10")));
  EXPECT_THAT(encoder->batches(), testing::IsEmpty());
}

TEST(Compute, TokenizesManyTextsWithoutAnEncoder) {
  Compute compute(2);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 3000; ++i) texts.push_back(words(1 + i % 7));
  Result<std::vector<Tokens>> result;
  compute.tokenize({.texts = texts}, model_of(nullptr), {}, result.completion());
  const std::vector<Tokens> tokens = result.get();
  ASSERT_EQ(tokens.size(), 3000U);
  for (std::size_t i = 0; i < 3000; ++i) ASSERT_EQ(tokens[i].ids.size(), 3 + i % 7);
}

TEST(Compute, AnEncodersErrorIsTheRequests) {
  Compute compute(1);
  Result<EmbedResult> result;
  submit(compute, request_for(std::make_shared<FailingEncoder>(), {"a"}), {}, result.completion());
  EXPECT_THAT(result.message(Errc::out_of_memory), HasSubstr("out of memory"));
}

TEST(Compute, ShuttingDownCompletesWhatWaits) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Result<EmbedResult> running;
  Result<EmbedResult> waiting;
  Result<EmbedResult> late;
  {
    Compute compute(2);
    submit(compute, request_for(encoder, {words(2100)}), {}, running.completion());
    ASSERT_TRUE(gate.wait_for_arrivals(1));
    submit(compute, request_for(encoder, {words(5)}), {}, waiting.completion());
    compute.shut_down();
    submit(compute, request_for(encoder, {words(5)}), {}, late.completion());
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
  Result<EmbedResult> first;
  submit(compute, request_for(encoder, {words(2)}), {}, first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  // These share the pass that comes after the gate.
  Result<EmbedResult> bad;
  Result<EmbedResult> innocent;
  Asked request = request_for(encoder, {words(2), words(3)});
  request.model.vocab_size = 1;
  submit(compute, std::move(request), {}, bad.completion());
  submit(compute, request_for(encoder, {words(4)}), {}, innocent.completion());
  gate.open();
  EXPECT_THAT(bad.message(Errc::malformed_file), StartsWith("Text at index 0: the text has token "));
  EXPECT_THAT(lengths_of(innocent.get()), ElementsAre(6));
}

/// An encoder that has no memory for more than one request's sequences, and never for sequences of `greedy` tokens.
class PoorEncoder final : public models::Encoder {
 public:
  PoorEncoder(Gate& gate, std::size_t greedy) : gate_(gate), greedy_(greedy) {}
  const float* forward(const models::PackedBatch& batch, float* pooled, ParallelTeam&, models::Activations&,
                       FunctionRef<bool()>) const override {
    gate_.pass();
    const bool shared = batch.sequences() > 1;
    if (shared || batch.ids.size() == greedy_) throw std::bad_alloc();
    pooled[0] = static_cast<float>(batch.ids.size());
    pooled[1] = 0;
    return pooled;
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
  Result<EmbedResult> first;
  submit(compute, request_for(encoder, {words(2)}), {}, first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  Result<EmbedResult> small;
  Result<EmbedResult> greedy;
  Result<EmbedResult> other;
  submit(compute, request_for(encoder, {words(3)}), {}, small.completion());
  submit(compute, request_for(encoder, {words(7)}), {}, greedy.completion());
  submit(compute, request_for(encoder, {words(4)}), {}, other.completion());
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
  const float* forward(const models::PackedBatch&, float*, ParallelTeam&, models::Activations&,
                       FunctionRef<bool()> go_on) const override {
    gate_.pass();
    while (go_on()) std::this_thread::yield();
    return nullptr;
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
  Result<EmbedResult> first;
  submit(compute, request_for(endless, {words(2)}), stop.get_token(), first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  Result<EmbedResult> next;
  submit(compute, request_for(std::make_shared<RecordingEncoder>(), {words(3)}), {}, next.completion());
  stop.request_stop();
  EXPECT_THAT(first.message(Errc::cancelled), StartsWith("cancelled"));
  EXPECT_THAT(lengths_of(next.get()), ElementsAre(5));
}

}  // namespace
}  // namespace stella::engine
