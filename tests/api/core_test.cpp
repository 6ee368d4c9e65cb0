// The core by itself: requests, stop tokens and callbacks, without a word of Asio.
#include "stella/model.hpp"
#include "stella/registry.hpp"
#include "stella/runtime.hpp"
#include "stella/sync.hpp"

#ifdef BOOST_VERSION
#error "the core's headers bring Boost along"
#endif

#include "base/thread.hpp"
#include "support/goldens.hpp"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kSmall = STELLA_TEST_DATA "/checkpoints/stella-small-tiny";

Errc errc_of_call(const std::function<void()>& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.errc();
  }
  return Errc{};
}

std::vector<float> to_vector(std::span<const float> row) {
  return {row.begin(), row.end()};
}

EmbedRequest request_of(std::vector<std::string> texts, std::vector<std::size_t> dimensions = {256}) {
  EmbedRequest request;
  request.texts = std::move(texts);
  request.options.task = "none";
  request.options.dimensions = std::move(dimensions);
  return request;
}

class Core : public testing::Test {
 protected:
  const std::shared_ptr<Runtime> runtime_ = std::make_shared<Runtime>();
  const Model model_{kSmall, {.runtime = runtime_}};
  const sync::Model blocking_{model_};
};

TEST_F(Core, CallbacksHaveThreadsOfTheirOwnUnlessTheyAskForNone) {
  std::promise<ThreadKind> posted;
  model_.embed(request_of({"text"}), {},
               [&](std::exception_ptr, EmbedResult) { posted.set_value(this_thread_kind()); });
  EXPECT_EQ(posted.get_future().get(), ThreadKind::handling);
  std::promise<ThreadKind> direct;
  model_.embed(request_of({"text"}), {},
               on_any_thread([&](std::exception_ptr, EmbedResult) { direct.set_value(this_thread_kind()); }));
  EXPECT_EQ(direct.get_future().get(), ThreadKind::working);
  // What is known at once: not inside of the call, unless it asked for that.
  bool inside = true;
  std::promise<bool> later;
  model_.embed(request_of({""}), {}, [&](std::exception_ptr, EmbedResult) { later.set_value(inside); });
  static_cast<void>(later.get_future().get());
  inside = false;
  bool called = false;
  model_.embed(request_of({""}), {}, on_any_thread([&](std::exception_ptr error, EmbedResult) {
                 called = true;
                 EXPECT_EQ(errc_of_call([&] { std::rethrow_exception(error); }), Errc::empty_text);
               }));
  EXPECT_TRUE(called);
}

TEST_F(Core, OneMatrixPerDimensionAndACountPerText) {
  const EmbedResult result = blocking_.embed(request_of({"one", "a second text"}, {768, 256}));
  ASSERT_EQ(result.vectors.size(), 2U);
  EXPECT_EQ(result.vectors[0].columns, 768U);
  EXPECT_EQ(result.vectors[1].columns, 256U);
  EXPECT_EQ(result.vectors[1].rows, 2U);
  EXPECT_TRUE(result.token_states.empty());
  ASSERT_EQ(result.texts.size(), 2U);
  EXPECT_GT(result.texts[1].tokens, result.texts[0].tokens);
  EXPECT_EQ(result.stats.tokens, result.texts[0].tokens + result.texts[1].tokens);
  EXPECT_GE(result.stats.passes, 1U);
  EXPECT_GT(result.stats.computing.count(), 0);
  EXPECT_EQ(to_vector(result.vectors[1].row(1)), blocking_.embed("a second text", "none", 256));
  EXPECT_EQ(to_embeddings(result)[1].vectors[0].second, to_vector(result.vectors[0].row(1)));
}

TEST_F(Core, TokenIdsAreTakenAsTheyAre) {
  TokenizeRequest tokenize;
  tokenize.texts = {"What are safetensors?"};
  tokenize.options.task = "s2p";
  const std::vector<Tokens> tokens = blocking_.tokenize(tokenize);
  EmbedRequest request;
  request.ids = {tokens[0].ids, tokens[0].ids};
  request.options.dimensions = {256};
  const EmbedResult result = blocking_.embed(request);
  EXPECT_EQ(to_vector(result.vectors[0].row(1)), blocking_.embed("What are safetensors?", "s2p", 256));
  EXPECT_EQ(result.texts[0].tokens, tokens[0].ids.size());

  request.options.max_length = 5;
  EXPECT_EQ(blocking_.embed(request).texts[1].full_tokens, tokens[0].ids.size());
  EXPECT_TRUE(blocking_.embed(request).texts[1].truncated);
  request.options.on_long = OnLong::error;
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::text_too_long);
}

TEST_F(Core, AWrongIdIsFoundWithItsIndexBeforeItSharesAPass) {
  EmbedRequest request;
  request.ids = {{1, 2}, {1, 2'000'000}};
  std::string message;
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }, &message), Errc::invalid_argument);
  EXPECT_THAT(message, StartsWith("Text at index 1: "));
  EXPECT_THAT(message, HasSubstr("2000000"));
  request.ids = {{1, 2}, {-1}};
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::invalid_argument);
  request.ids = {{1}, {}};
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }, &message), Errc::empty_text);
  EXPECT_THAT(message, StartsWith("Text at index 1: "));
  request.texts = {"and a text"};
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::invalid_argument);
}

TEST_F(Core, WritesIntoTheCallersMemory) {
  constexpr std::size_t kStride = 300;
  const auto memory = std::make_shared<std::vector<float>>(2 * kStride, -7.0F);
  EmbedRequest request = request_of({"one", "two"});
  request.out = {{.data = memory->data(), .rows = 2, .stride = kStride, .owner = memory}};
  const std::weak_ptr<std::vector<float>> watched = memory;
  const EmbedResult result = blocking_.embed(request);
  EXPECT_EQ(result.vectors[0].values.get(), memory->data());
  EXPECT_EQ(result.vectors[0].stride, kStride);
  EXPECT_EQ(to_vector({memory->data() + kStride, 256}), blocking_.embed("two", "none", 256));
  EXPECT_EQ(to_vector({memory->data() + 256, kStride - 256}), std::vector<float>(kStride - 256, -7.0F));

  request.out[0].rows = 1;
  std::string message;
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }, &message), Errc::invalid_argument);
  EXPECT_THAT(message, HasSubstr("2 rows"));
  request.out[0] = {.data = memory->data(), .rows = 2, .stride = 255, .owner = memory};
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::invalid_argument);
  request.out.push_back(request.out[0]);
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::invalid_argument);
}

TEST_F(Core, TokenStatesAreWhatIsPooled) {
  EmbedRequest request = request_of({"one", "a second text"});
  request.options.token_states = true;
  const EmbedResult both = blocking_.embed(request);
  ASSERT_EQ(both.token_states.size(), 2U);
  EXPECT_EQ(both.token_states[1].rows, both.texts[1].tokens);
  EXPECT_EQ(to_vector(both.vectors[0].row(0)), blocking_.embed("one", "none", 256));
  request.options.pooled = false;
  const EmbedResult states = blocking_.embed(request);
  EXPECT_TRUE(states.vectors.empty());
  EXPECT_EQ(to_vector(states.token_states[1].row(0)), to_vector(both.token_states[1].row(0)));
}

/// PyTorch's mean over the last hidden states of a text.
TEST_F(Core, TokenStatesHaveTheMeanThatPyTorchGives) {
  for (const char* name : {"stella-small-tiny", "stella-large-tiny", "bert-tiny"}) {
    const std::string checkpoint = std::string(STELLA_TEST_DATA "/checkpoints/") + name;
    const sync::Model model{Model(checkpoint, {.precision = Precision::f32, .runtime = runtime_})};
    const Goldens goldens = read_goldens(checkpoint);
    EmbedRequest request;
    request.options.token_states = true;
    request.options.pooled = false;
    std::vector<std::vector<float>> means;
    for (const Goldens::Case& one : goldens.cases) {
      const auto found = goldens.vectors.find(one.key() + ".pooled");
      if (found == goldens.vectors.end() || request.ids.size() == 16) continue;
      request.ids.push_back(one.ids);
      means.push_back(found->second);
    }
    ASSERT_GE(means.size(), 4U) << name;
    const EmbedResult result = model.embed(request);
    for (std::size_t i = 0; i < means.size(); ++i) {
      const FloatMatrix& states = result.token_states[i];
      ASSERT_EQ(states.rows, request.ids[i].size());
      ASSERT_EQ(states.columns, means[i].size());
      for (std::size_t column = 0; column < states.columns; ++column) {
        double sum = 0;
        for (std::size_t token = 0; token < states.rows; ++token) sum += static_cast<double>(states.row(token)[column]);
        EXPECT_NEAR(sum / static_cast<double>(states.rows), static_cast<double>(means[i][column]), 1e-4)
            << name << ", text " << i << ", column " << column;
      }
    }
  }
}

TEST_F(Core, AStopEndsWhatIsQueued) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request_of({"text"}), stop.get_token()); }), Errc::cancelled);
}

TEST_F(Core, ADeadlineThatHasPassedIsAnError) {
  EmbedRequest request = request_of({"text"});
  request.options.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::deadline_exceeded);
}

TEST_F(Core, AnyCountMayBeNone) {
  EmbedRequest request = request_of({});
  EXPECT_EQ(errc_of_call([&] { blocking_.embed(request); }), Errc::empty_batch);
  request.any_count = true;
  EXPECT_TRUE(blocking_.embed(request).texts.empty());
}

TEST_F(Core, UnloadsAndLoadsAgain) {
  const auto before = blocking_.embed("text", "none", 256);
  EXPECT_TRUE(model_.is_loaded());
  EXPECT_GT(model_.memory().private_bytes + model_.memory().mapped_bytes, 0U);
  EXPECT_EQ(model_.precision(), Precision::f32);
  model_.unload();
  EXPECT_FALSE(model_.is_loaded());
  EXPECT_EQ(model_.memory().private_bytes + model_.memory().mapped_bytes, 0U);
  EXPECT_EQ(model_.precision(), std::nullopt);
  EXPECT_EQ(blocking_.embed("text", "none", 256), before);
}

TEST_F(Core, TokenizesWithOffsetsAndDecodes) {
  TokenizeRequest request;
  request.texts = {"caf\xc3\xa9 safetensors"};
  request.options.task = "none";
  request.options.offsets = true;
  const Tokens tokens = blocking_.tokenize(request).at(0);
  ASSERT_EQ(tokens.offsets.size(), tokens.ids.size());
  ASSERT_EQ(tokens.special.size(), tokens.ids.size());
  EXPECT_TRUE(tokens.special.front());
  EXPECT_EQ(tokens.offsets.front(), (TokenOffsets{0, 0}));
  EXPECT_FALSE(tokens.special[1]);
  EXPECT_EQ(tokens.offsets[1].start, 0U);
  DecodeRequest decode;
  decode.ids = {tokens.ids, {}};
  EXPECT_THAT(blocking_.decode(decode), ElementsAre("cafe safetensors", ""));
}

TEST(CoreHandles, AnEmptyOneSaysSo) {
  const Model empty;
  EXPECT_FALSE(empty);
  EXPECT_EQ(errc_of_call([&] { static_cast<void>(empty.supported_dimensions()); }), Errc::invalid_argument);
  EXPECT_EQ(errc_of_call([&] { sync::Model(empty).describe(); }), Errc::invalid_argument);
  EXPECT_EQ(empty.info().registry_key, "");
}

TEST(CoreHandles, AWeakOneDoesNotKeepTheRuntime) {
  auto runtime = std::make_shared<Runtime>();
  auto model = std::make_optional<Model>(kSmall, ModelOptions{.runtime = runtime});
  const Model::Weak weak(*model);
  EXPECT_TRUE(weak.lock());
  const std::weak_ptr<Runtime> watched = runtime;
  model.reset();
  runtime.reset();
  EXPECT_TRUE(watched.expired());
  EXPECT_FALSE(weak.lock());
}

TEST(CoreOptions, ReadNoEnvironmentBeforeAModelIsMade) {
  ::setenv("HF_ENDPOINT", "http://one.invalid", 1);
  const ModelOptions options;
  ::setenv("HF_ENDPOINT", "http://two.invalid", 1);
  const Model model(kSmall, options);
  ::unsetenv("HF_ENDPOINT");
  EXPECT_EQ(model.options().hub->endpoint, "http://two.invalid");
}

TEST(CoreOptions, ARegistryOfOnesOwnSaysWhatAModelHas) {
  const auto registry = std::make_shared<Registry>();
  ModelInfo info;
  info.registry_key = "somebody/some-model";
  info.dimensions = {128};
  registry->register_model(info);
  const Model model("somebody/some-model", {.hub = HubOptions{}, .registry = registry});
  EXPECT_THAT(model.supported_dimensions(), ElementsAre(128));
  EXPECT_TRUE(Model("somebody/some-model", {.hub = HubOptions{}}).supported_dimensions().empty());
}

}  // namespace
}  // namespace stella::test
