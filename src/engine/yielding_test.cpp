// Bulk passes that yield, clients that take turns, deadlines and bounds, several teams. Gates decide, never a clock.
#include "engine/compute_test_support.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
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
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

/// An encoder whose passes of 100 tokens and more stay between two of their layers, asking whether to go on, until they
/// are let go.
class HeldEncoder final : public models::Encoder {
 public:
  const float* forward(const models::PackedBatch& batch, float* pooled, ParallelTeam&, models::Activations&,
                       FunctionRef<bool()> go_on) const override {
    for (std::size_t i = 0; i < batch.sequences(); ++i) {
      pooled[2 * i] = static_cast<float>(batch.offsets[i + 1] - batch.offsets[i]);
      pooled[2 * i + 1] = 0;
    }
    if (batch.ids.size() < 100) {
      ++short_passes;
      return go_on() ? pooled : nullptr;
    }
    ++held;
    do {
      if (!go_on()) return nullptr;
      std::this_thread::yield();
    } while (!released);
    return pooled;
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }

  void wait_until_held(std::size_t passes = 1) const {
    while (held < passes) std::this_thread::yield();
  }

  mutable std::atomic<std::size_t> held{0};
  mutable std::atomic<std::size_t> short_passes{0};
  std::atomic<bool> released{false};
};

TEST(Yielding, AQueryCompletesWhileABulkPassIsBetweenTwoLayers) {
  const auto encoder = std::make_shared<HeldEncoder>();
  const auto other_model = std::make_shared<RecordingEncoder>();
  Compute compute(2);
  Result<EmbedResult> bulk;
  submit(compute, bulk_request_for(encoder, {words(1000), words(1000)}), {}, bulk.completion());
  encoder->wait_until_held();
  Result<EmbedResult> query;
  submit(compute, request_for(encoder, {words(3)}), {}, query.completion());
  EXPECT_THAT(lengths_of(query.get()), ElementsAre(5));
  Result<EmbedResult> query_of_other_model;
  submit(compute, request_for(other_model, {words(4)}), {}, query_of_other_model.completion());
  EXPECT_THAT(lengths_of(query_of_other_model.get()), ElementsAre(6));
  Result<std::vector<Tokens>> tokens;
  compute.tokenize({.texts = {words(5)}}, model_of(nullptr), {}, tokens.completion());
  EXPECT_THAT(tokens.get(), SizeIs(1));
  EXPECT_FALSE(bulk.is_ready());
  encoder->released = true;
  EXPECT_THAT(lengths_of(bulk.get()), ElementsAre(1002, 1002));
}

TEST(Yielding, ABulkRequestDoesNotInterruptAnother) {
  const auto encoder = std::make_shared<HeldEncoder>();
  Compute compute(1);
  Result<EmbedResult> first;
  submit(compute, bulk_request_for(encoder, {words(1000)}), {}, first.completion());
  encoder->wait_until_held();
  Result<EmbedResult> second;
  submit(compute, bulk_request_for(encoder, {words(3)}), {}, second.completion());
  Result<EmbedResult> query;
  submit(compute, request_for(encoder, {words(3)}), {}, query.completion());
  query.get();
  EXPECT_FALSE(second.is_ready());
  EXPECT_EQ(encoder->short_passes, 1U);
  encoder->released = true;
  first.get();
  second.get();
}

TEST(Yielding, QueriesThatNeverEndLeaveBulkItsHalf) {
  const auto encoder = std::make_shared<HeldEncoder>();
  encoder->released = true;
  Compute compute(1);
  std::atomic<bool> over{false};
  std::function<void()> next_query = [&] {
    Asked query = request_for(encoder, {words(1)});
    query.request.options.client = "queries";
    submit(compute, std::move(query), {}, [&](const std::exception_ptr&, const EmbedResult&) {
      if (!over) next_query();
    });
  };
  next_query();
  Result<EmbedResult> bulk;
  submit(compute, bulk_request_for(encoder, {words(2000), words(2000), words(2000)}), {}, bulk.completion());
  EXPECT_THAT(bulk.get().texts, SizeIs(3));  // without a bound it would never end
  over = true;
  compute.stop();
}

TEST(Yielding, APassIsLeftAfterAQueryThatRanInsideIt) {
  const auto encoder = std::make_shared<HeldEncoder>();
  Gate gate;
  const auto query_encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(1);
  std::stop_source stop;
  Result<EmbedResult> bulk;
  submit(compute, bulk_request_for(encoder, {words(1000)}), stop.get_token(), bulk.completion());
  encoder->wait_until_held();
  Result<EmbedResult> query;
  submit(compute, request_for(query_encoder, {words(3)}), {}, query.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  stop.request_stop();
  EXPECT_EQ(bulk.message(Errc::cancelled), "cancelled");
  gate.open();
  EXPECT_THAT(lengths_of(query.get()), ElementsAre(5));
  Result<EmbedResult> next;  // the held pass has ended, although nobody has let it go
  submit(compute, bulk_request_for(query_encoder, {words(4)}), {}, next.completion());
  EXPECT_THAT(lengths_of(next.get()), ElementsAre(6));
}

TEST(Yielding, AFailingQueryIsNoMatterOfThePassItInterrupts) {
  const auto encoder = std::make_shared<HeldEncoder>();
  Compute compute(1);
  Result<EmbedResult> bulk;
  submit(compute, bulk_request_for(encoder, {words(1000)}), {}, bulk.completion());
  encoder->wait_until_held();
  Result<EmbedResult> query;
  submit(compute, request_for(std::make_shared<FailingEncoder>(), {words(3)}), {}, query.completion());
  EXPECT_THAT(query.message(Errc::out_of_memory), HasSubstr("out of memory"));
  encoder->released = true;
  EXPECT_THAT(lengths_of(bulk.get()), ElementsAre(1002));
}

TEST(Yielding, AutomaticPriorityGoesByTheSizeOfARequest) {
  const auto encoder = std::make_shared<HeldEncoder>();
  Compute compute(1);
  Result<EmbedResult> held;
  submit(compute, bulk_request_for(encoder, {words(1000)}), {}, held.completion());
  encoder->wait_until_held();
  const auto ask = [&](Asked asked, Result<EmbedResult>& result) {
    submit(compute, std::move(asked), {}, result.completion());
  };
  // The last of these is behind all others of its kind, so once it is there the others have had their chance.
  Result<EmbedResult> long_text;
  ask(request_for(encoder, {std::string(4097, ' ') + "a"}), long_text);
  Result<EmbedResult> many_ids;
  ask({{.ids = {TokenIds(1025, 7)}}, model_of(encoder)}, many_ids);
  Result<EmbedResult> short_text;
  ask(request_for(encoder, {std::string(4095, ' ') + "a"}), short_text);
  EXPECT_THAT(lengths_of(short_text.get()), ElementsAre(3));
  Result<EmbedResult> few_ids;
  ask({{.ids = {TokenIds(60, 7), TokenIds(30, 7)}}, model_of(encoder)}, few_ids);
  EXPECT_THAT(lengths_of(few_ids.get()), ElementsAre(60, 30));
  EXPECT_FALSE(long_text.is_ready());
  EXPECT_FALSE(many_ids.is_ready());
  encoder->released = true;
  long_text.get();
  many_ids.get();
}

TEST(Turns, AnotherClientIsInTheNextPassBehindAHundredRequestsOfOne) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(2);
  Result<EmbedResult> first;
  submit(compute, bulk_request_for(encoder, {words(2000)}), {}, first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  std::vector<Result<EmbedResult>> many(100);
  for (auto& result : many) {
    Asked asked = bulk_request_for(encoder, std::vector<std::string>(40, words(98)));
    asked.request.options.client = "many";
    submit(compute, std::move(asked), {}, result.completion());
  }
  Result<EmbedResult> other;
  Asked asked = bulk_request_for(encoder, std::vector<std::string>(3, words(50)));
  asked.request.options.client = "other";
  submit(compute, std::move(asked), {}, other.completion());
  gate.open();
  other.get();
  for (auto& result : many) result.get();
  const auto batches = encoder->batches();
  EXPECT_EQ(std::count(batches[1].begin(), batches[1].end(), 52U), 3);
}

TEST(Turns, AThousandQueriesShareFewPasses) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute(2);
  Result<EmbedResult> first;
  submit(compute, request_for(encoder, {words(3)}), {}, first.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  std::vector<Result<EmbedResult>> queries(1000);
  for (auto& query : queries) submit(compute, request_for(encoder, {words(18)}), {}, query.completion());
  gate.open();
  for (auto& query : queries) EXPECT_THAT(lengths_of(query.get()), ElementsAre(20));
  EXPECT_THAT(encoder->batches(), SizeIs(1 + 10));  // 102 texts of 20 tokens in each
}

TEST(Deadlines, OneThatHasPassedIsNotComputed) {
  const auto encoder = std::make_shared<RecordingEncoder>();
  Compute compute(1);
  Asked asked = request_for(encoder, {words(3)});
  asked.request.options.deadline = std::chrono::steady_clock::now();
  Result<EmbedResult> result;
  submit(compute, std::move(asked), {}, result.completion());
  EXPECT_THAT(result.message(Errc::deadline_exceeded), HasSubstr("deadline"));
  Result<EmbedResult> next;
  submit(compute, request_for(encoder, {words(4)}), {}, next.completion());
  next.get();
  EXPECT_THAT(encoder->batches(), ElementsAre(ElementsAre(6)));
}

TEST(Deadlines, EndWhatIsBeingComputedAndWhatWaits) {
  const auto encoder = std::make_shared<HeldEncoder>();
  Compute compute(1);
  const auto soon = [&](Asked asked) {
    asked.request.options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    return asked;
  };
  Result<EmbedResult> running;
  submit(compute, bulk_request_for(encoder, {words(1000)}), {}, running.completion());
  encoder->wait_until_held();
  Result<EmbedResult> waiting;
  submit(compute, soon(bulk_request_for(encoder, {words(1000)})), {}, waiting.completion());
  EXPECT_THAT(waiting.message(Errc::deadline_exceeded), HasSubstr("deadline"));
  EXPECT_FALSE(running.is_ready());
  encoder->released = true;
  running.get();
  encoder->released = false;
  Result<EmbedResult> computed;  // or caught while it waits, where the machine is slow
  submit(compute, soon(bulk_request_for(encoder, {words(1000)})), {}, computed.completion());
  EXPECT_THAT(computed.message(Errc::deadline_exceeded), HasSubstr("deadline"));
}

TEST(Bounds, WhatWaitsInExcessIsRefused) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute({.teams = {{1, {}}}, .queue_limits = {.texts = 3}});
  Result<EmbedResult> running;
  submit(compute, request_for(encoder, {words(1), words(2), words(3), words(4)}), {}, running.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  std::stop_source stop;
  Result<EmbedResult> two;
  submit(compute, request_for(encoder, {words(5), words(6)}), stop.get_token(), two.completion());
  Result<EmbedResult> refused;
  submit(compute, request_for(encoder, {words(7), words(8)}), {}, refused.completion());
  EXPECT_THAT(refused.message(Errc::overloaded), HasSubstr("max_queued_texts"));
  stop.request_stop();
  EXPECT_EQ(two.message(Errc::cancelled), "cancelled");
  Result<EmbedResult> three;
  submit(compute, request_for(encoder, {words(7), words(8), words(9)}), {}, three.completion());
  gate.open();
  EXPECT_THAT(lengths_of(three.get()), ElementsAre(9, 10, 11));
  EXPECT_THAT(running.get().texts, SizeIs(4));
}

TEST(Ids, AreTakenAsTheyAreAndCutOnTheirSide) {
  const auto encoder = std::make_shared<RecordingEncoder>();
  Compute compute(1);
  for (const TruncationSide side : {TruncationSide::right, TruncationSide::left}) {
    Asked asked{{.ids = {{5, 6}, {1, 2, 3, 40}}}, model_of(encoder)};
    asked.model.tokenizer = nullptr;
    asked.model.max_length = 3;
    asked.model.truncation_side = side;
    Result<EmbedResult> pending;
    submit(compute, std::move(asked), {}, pending.completion());
    const EmbedResult result = pending.get();
    EXPECT_THAT(result.vectors[0].row(0), ElementsAre(2, 11));
    EXPECT_THAT(result.vectors[0].row(1), ElementsAre(3, side == TruncationSide::right ? 6 : 45));
    EXPECT_TRUE(result.texts[1].truncated);
    EXPECT_EQ(result.texts[1].full_tokens, 4U);
    EXPECT_EQ(result.texts[1].tokens, 3U);
    EXPECT_FALSE(result.texts[0].truncated);
  }
}

TEST(Ids, ABadOneIsFoundBeforeItWaits) {
  const auto encoder = std::make_shared<RecordingEncoder>();
  Compute compute(1);
  const auto message = [&](std::vector<TokenIds> ids, Errc expected, bool indexed = true,
                           OnLong on_long = OnLong::truncate) {
    Asked asked{{.ids = std::move(ids)}, model_of(encoder)};
    asked.request.indexed_errors = indexed;
    asked.request.options.on_long = on_long;
    asked.model.vocab_size = 100;
    asked.model.max_length = 4;
    Result<EmbedResult> result;
    submit(compute, std::move(asked), {}, result.completion());
    EXPECT_TRUE(result.is_ready());
    return result.message(expected);
  };
  EXPECT_THAT(message({{1}, {2, 100}}, Errc::invalid_argument), StartsWith("Text at index 1: token id 100 "));
  EXPECT_THAT(message({{-1}}, Errc::invalid_argument), StartsWith("Text at index 0: token id -1 "));
  EXPECT_THAT(message({{1, 2, 3, 4, 500}}, Errc::invalid_argument, false), StartsWith("token id 500 "));
  EXPECT_THAT(message({{1}, {2}, {}}, Errc::empty_text), StartsWith("Text at index 2: "));
  EXPECT_THAT(message({{1, 1, 1, 1, 1}}, Errc::text_too_long, true, OnLong::error),
              testing::AllOf(StartsWith("Text at index 0: "), HasSubstr("5 tokens")));
  EXPECT_THAT(encoder->batches(), IsEmpty());
}

TEST(Ids, OneWhoSendsBadOnesDisturbsNobody) {
  const auto encoder = std::make_shared<RecordingEncoder>();
  Compute compute({.teams = {{1, {}}, {1, {}}}});
  constexpr std::size_t kCalls = 40;
  std::atomic<std::size_t> good{0};
  std::atomic<std::size_t> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < kCalls; ++i) {
        Asked asked{{.ids = {TokenIds(1 + i, 3), TokenIds(2, 9)}}, model_of(encoder)};
        asked.model.vocab_size = 10;
        if (t == 0) asked.request.ids[1][1] = 10;
        Result<EmbedResult> result;
        submit(compute, std::move(asked), {}, result.completion());
        if (t == 0) {
          refused += result.message(Errc::invalid_argument).starts_with("Text at index 1: ") ? 1 : 0;
        } else {
          good += lengths_of(result.get()) == std::vector<float>{static_cast<float>(1 + i), 2} ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 7 * kCalls);
  EXPECT_EQ(refused, kCalls);
}

TEST(Results, AreWrittenToTheCallersMemory) {
  Compute compute(1);
  Asked asked = request_for(std::make_shared<RecordingEncoder>(), {words(3), words(4)});
  const auto memory = std::make_shared<std::vector<float>>(2 * 5, -1.0F);
  asked.request.out.push_back({.data = memory->data(), .rows = 2, .stride = 5, .owner = memory});
  Result<EmbedResult> pending;
  submit(compute, std::move(asked), {}, pending.completion());
  const EmbedResult result = pending.get();
  EXPECT_EQ((*memory)[0], 5);
  EXPECT_EQ((*memory)[5], 6);
  EXPECT_THAT(std::vector<float>(memory->begin() + 2, memory->begin() + 5), Each(-1));
  EXPECT_EQ(result.vectors[0].row(1).data(), memory->data() + 5);
}

TEST(Results, TheCallersMemoryStaysUntilTheLastWrite) {
  Gate gate;
  Compute compute(1);
  auto memory = std::make_shared<std::vector<float>>(2);
  const std::weak_ptr<std::vector<float>> observer = memory;
  Asked asked = request_for(std::make_shared<RecordingEncoder>(&gate), {words(3)});
  asked.request.out.push_back({.data = memory->data(), .rows = 1, .stride = 2, .owner = std::move(memory)});
  std::stop_source stop;
  Result<EmbedResult> result;
  submit(compute, std::move(asked), stop.get_token(), result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  stop.request_stop();
  EXPECT_EQ(result.message(Errc::cancelled), "cancelled");
  EXPECT_FALSE(observer.expired());  // its pass may still write
  gate.open();
  while (!observer.expired()) std::this_thread::yield();
}

/// A token's state is (its id, its place in the batch).
class StatesEncoder final : public models::Encoder {
 public:
  const float* forward(const models::PackedBatch& batch, float* pooled, ParallelTeam&, models::Activations& scratch,
                       FunctionRef<bool()>) const override {
    scratch.buffer = kernels::AlignedBuffer(batch.ids.size() * 2 * sizeof(float));
    auto* states = reinterpret_cast<float*>(scratch.buffer.data());
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
      states[2 * i] = static_cast<float>(batch.ids[i]);
      states[2 * i + 1] = static_cast<float>(i);
    }
    std::fill_n(pooled, 2 * batch.sequences(), 1.0F);
    return states;
  }
  std::size_t hidden() const noexcept override { return 2; }
  std::size_t weight_bytes() const noexcept override { return 0; }
};

TEST(Results, GiveTheStatesOfTokensWhereAskedFor) {
  Compute compute(1);
  Asked asked{{.ids = {{7}, {8, 9}}}, model_of(std::make_shared<StatesEncoder>())};
  asked.model.heads.clear();
  asked.request.options.pooled = false;
  asked.request.options.token_states = true;
  Result<EmbedResult> pending;
  submit(compute, std::move(asked), {}, pending.completion());
  const EmbedResult result = pending.get();
  EXPECT_THAT(result.vectors, IsEmpty());
  ASSERT_THAT(result.token_states, SizeIs(2));
  EXPECT_EQ(result.token_states[0].rows, 1U);
  EXPECT_THAT(result.token_states[0].row(0), ElementsAre(7, 2));  // longest first in the batch
  EXPECT_EQ(result.token_states[1].rows, 2U);
  EXPECT_THAT(result.token_states[1].row(1), ElementsAre(9, 1));
}

TEST(Results, SayWhatARequestTook) {
  Compute compute(1);
  const auto encoder = std::make_shared<RecordingEncoder>();
  Result<EmbedResult> pending;
  submit(compute, bulk_request_for(encoder, {words(1500), words(1500), words(2)}), {}, pending.completion());
  const EmbedStats stats = pending.get().stats;
  EXPECT_EQ(stats.tokens, 1502U + 1502U + 4U);
  EXPECT_EQ(stats.passes, encoder->batches().size());
  EXPECT_EQ(stats.passes, 2U);
  EXPECT_GT(stats.tokenizing.count(), 0);
  EXPECT_GT(stats.computing.count(), 0);
  EXPECT_GE(stats.queued.count(), 0);
}

TEST(Teams, ComputeAtTheSameTime) {
  Gate gate;
  const auto encoder = std::make_shared<RecordingEncoder>(&gate);
  Compute compute({.teams = {{1, {}}, {1, {}}, {2, {}}}});
  EXPECT_EQ(compute.threads(), 4U);
  Result<EmbedResult> result;
  submit(compute, bulk_request_for(encoder, {words(1000), words(1001), words(1002), words(1003)}), {},
         result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(3));  // texts of one request, in three passes
  gate.open();
  EXPECT_THAT(lengths_of(result.get()), ElementsAre(1002, 1003, 1004, 1005));
}

TEST(Teams, TheFirstBadTextIsNamedWhoeverFindsOneFirst) {
  Compute compute({.teams = {{1, {}}, {1, {}}, {1, {}}}});
  const auto encoder = std::make_shared<RecordingEncoder>();
  for (int i = 0; i < 20; ++i) {
    std::vector<std::string> texts(3000, "a b c");
    for (const std::size_t bad : {900U, 1100U, 1700U, 2900U}) texts[bad] = "bad \xff";
    Result<EmbedResult> result;
    submit(compute, bulk_request_for(encoder, std::move(texts)), {}, result.completion());
    EXPECT_THAT(result.message(Errc::invalid_utf8), StartsWith("Text at index 900: "));
  }
}

TEST(Teams, RequestsOfManyThreadsAreEachAnsweredOnce) {
  const auto encoder = std::make_shared<RecordingEncoder>();
  Compute compute({.teams = {{1, {}}, {2, {}}, {1, {}}}});
  std::atomic<std::size_t> right{0};
  std::atomic<std::size_t> cancelled{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 30; ++i) {
        std::vector<std::string> texts;
        std::vector<float> lengths;
        for (std::size_t n = 0; n < 1 + (t * i) % 40; ++n) {
          texts.push_back(words(1 + (n * 37 + i) % 300));
          lengths.push_back(static_cast<float>(3 + (n * 37 + i) % 300));
        }
        std::stop_source stop;
        Asked asked = request_for(encoder, std::move(texts));
        asked.request.options.client = std::to_string(t % 3);
        Result<EmbedResult> result;
        submit(compute, std::move(asked), stop.get_token(), result.completion());
        if (i % 5 == 4) stop.request_stop();
        try {
          right += lengths_of(result.get()) == lengths ? 1 : 0;
        } catch (const Error& error) {
          cancelled += error.errc() == Errc::cancelled && i % 5 == 4 ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right + cancelled, 6U * 30U);
}

}  // namespace
}  // namespace stella::engine
