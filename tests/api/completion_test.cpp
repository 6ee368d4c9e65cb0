// Completion tokens and executors: any token works, completions run where they belong, never inside the initiating
// call, and one caller's loop is no concern of another's.
#include "support.hpp"

#include <exception>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

namespace asio = boost::asio;

class Completion : public testing::Test {
 protected:
  StellaEmbeddingModel model_{kSmall.string()};
  const std::vector<float> expected_ = run(model_.embed("text", "none", 256));
};

TEST_F(Completion, EveryKindOfToken) {
  EXPECT_EQ(model_.embed("text", "none", 256, asio::use_future).get(), expected_);

  auto deferred = model_.embed("text", "none", 256, asio::deferred);
  EXPECT_EQ(std::move(deferred)(asio::use_future).get(), expected_);

  asio::io_context io;
  std::vector<float> by_callback;
  model_.embed("text", "none", 256, asio::bind_executor(io, [&](const std::exception_ptr& error, auto vector) {
                 EXPECT_EQ(describe(error), "no error");
                 by_callback = std::move(vector);
               }));
  EXPECT_TRUE(by_callback.empty());
  io.run();
  EXPECT_EQ(by_callback, expected_);

  std::promise<std::vector<float>> promise;  // a callback without an executor runs on a thread that is not ours
  model_.embed("text", "none", 256,
               [&](const std::exception_ptr&, std::vector<float> vector) { promise.set_value(std::move(vector)); });
  EXPECT_EQ(promise.get_future().get(), expected_);
}

TEST_F(Completion, EveryOperation) {
  LoadedStellaModel loaded = run(LoadedStellaModel::load(model_));
  TextEmbeddingCapable& model = loaded;
  EXPECT_EQ(run(model.embed("text", "none", 256)), expected_);
  EXPECT_EQ(run(model.batch_embed({"text", "other"}, "none", 256)).at(0), expected_);
  EXPECT_EQ(run(model.batch_embed({"text"}, EmbedOptions{.task = "none", .dimensions = {256}}))[0].vectors[0].second,
            expected_);
  EXPECT_EQ(
      run(model.chunked_batch_embed(std::vector<std::string>(40, "text"), EmbedOptions{.dimensions = {256}})).size(),
      40U);
  EXPECT_TRUE(run(model.health_check()));
  EXPECT_EQ(run(model.describe()).model_type, "new");
  EXPECT_EQ(run(model.tokenize({"text"})).size(), 1U);
  EXPECT_EQ(loaded.precision(), Precision::f32);
  EXPECT_GT(loaded.weight_bytes(), std::filesystem::file_size(kSmall / "model.safetensors") / 2);
  EXPECT_TRUE(loaded.supports_task("retrieval"));
  EXPECT_FALSE(loaded.supports_task("translation"));
  EXPECT_EQ(loaded.config_info().at("model_type"), "new");
}

TEST_F(Completion, RunsOnTheHandlersExecutor) {
  asio::thread_pool pool(1);
  const auto strand = asio::make_strand(pool);
  std::promise<bool> inside;
  model_.embed("text", "none", 256, asio::bind_executor(strand, [&](const std::exception_ptr&, const auto&) {
                 inside.set_value(strand.running_in_this_thread());
               }));
  EXPECT_TRUE(inside.get_future().get());
  pool.join();
}

TEST_F(Completion, AnErrorThatIsKnownAtOnceStillComesLater) {
  asio::io_context io;
  for (const std::string text : {"", "text"}) {
    bool initiating = true;
    std::exception_ptr result;
    asio::post(io, [&] {
      model_.embed(text, "none", text.empty() ? 256 : 512,
                   asio::bind_executor(io, [&](std::exception_ptr error, const auto&) {
                     EXPECT_FALSE(initiating) << "completed inside the initiating call";
                     result = std::move(error);
                   }));
      initiating = false;
    });
    io.run();
    io.restart();
    EXPECT_EQ(errc_of(result), text.empty() ? Errc::empty_text : Errc::unsupported_dimension);
  }
}

TEST_F(Completion, ADescriptionThatIsKnownAtOnceStillComesLater) {
  asio::io_context io;
  bool initiating = true;
  std::string type;
  asio::post(io, [&] {
    model_.describe(asio::bind_executor(io, [&](const std::exception_ptr&, const ModelDescription& description) {
      EXPECT_FALSE(initiating);
      type = description.model_type;
    }));
    initiating = false;
  });
  io.run();
  EXPECT_EQ(type, "new");
}

TEST_F(Completion, CancellingDoesNotCompleteInsideEmit) {
  asio::io_context io;
  asio::cancellation_signal signal;
  bool emitting = false;
  bool completed = false;
  asio::post(io, [&] {
    const std::vector<std::string> texts(2000, "a text that takes a while to be embedded, as there are many of them");
    model_.batch_embed(texts, EmbedOptions{.dimensions = {8192}},
                       asio::bind_cancellation_slot(
                           signal.slot(), asio::bind_executor(io, [&](const std::exception_ptr& error, const auto&) {
                             EXPECT_FALSE(emitting);
                             EXPECT_EQ(errc_of(error), Errc::cancelled);
                             completed = true;
                           })));
    emitting = true;
    signal.emit(asio::cancellation_type::total);
    emitting = false;
  });
  io.run();
  EXPECT_TRUE(completed);
}

TEST_F(Completion, AnEmptyHandleFailsLikeEverythingElse) {
  LoadedStellaModel empty;
  EXPECT_EQ(errc_of(caught([&] { run(empty.embed("text")); })), Errc::invalid_argument);
  EXPECT_EQ(errc_of(caught([&] { run(empty.describe()); })), Errc::invalid_argument);
  EXPECT_EQ(errc_of(caught([&] { static_cast<void>(empty.description()); })), Errc::invalid_argument);
  EXPECT_EQ(empty.info().name, "");
}

TEST(Callers, StoppingOnesLoopDoesNotHangAnothersDownload) {
  TestHub hub(kDemo);
  const auto runtime = std::make_shared<Runtime>();
  StellaEmbeddingModel model(hub.repo, hub.options(runtime));
  hub.server.inject({.port = Port::cdn, .path = hub.repo + "/model.safetensors", .gate = "weights", .gate_at = 1000});
  asio::io_context first;
  asio::io_context second;
  bool first_done = false;
  bool second_done = false;
  model.embed("text", "none", 256,
              asio::bind_executor(first, [&](const std::exception_ptr&, const auto&) { first_done = true; }));
  model.embed("text", "none", 256, asio::bind_executor(second, [&](const std::exception_ptr& error, const auto&) {
                EXPECT_EQ(describe(error), "no error");
                second_done = true;
              }));
  ASSERT_TRUE(hub.server.wait_at_gate("weights"));
  first.poll();
  first.stop();
  hub.server.release("weights");
  second.run();
  EXPECT_TRUE(second_done);
  EXPECT_FALSE(first_done);
  first.restart();
  first.run();  // what was completed for it meanwhile has waited
  EXPECT_TRUE(first_done);
}

TEST(Lifetime, AModelMayGoWhileItsOperationsRun) {
  std::future<std::vector<float>> result;
  {
    StellaEmbeddingModel model(kSmall.string());
    result = model.embed("text", "none", 256, asio::use_future);
  }
  EXPECT_EQ(result.get().size(), 256U);
}

TEST(Lifetime, TheLastHandleOfARuntimeCompletesWhatIsPending) {
  TestHub hub(kDemo);
  hub.server.inject({.port = Port::cdn, .path = hub.repo + "/model.safetensors", .gate = "weights", .gate_at = 1000});
  std::future<std::vector<float>> embedding;
  std::future<LoadedStellaModel> loading;
  {
    StellaEmbeddingModel model(hub.repo, hub.options(std::make_shared<Runtime>()));
    embedding = model.embed("text", "none", 256, asio::use_future);
    loading = LoadedStellaModel::load(model, asio::use_future);
    ASSERT_TRUE(hub.server.wait_at_gate("weights"));
  }
  EXPECT_EQ(errc_of(caught([&] { embedding.get(); })), Errc::shut_down);
  EXPECT_EQ(errc_of(caught([&] { loading.get(); })), Errc::shut_down);
}

TEST(Lifetime, ARuntimeMayGoWhileItComputes) {
  std::vector<std::future<std::vector<Embedding>>> results;
  {
    const auto runtime = std::make_shared<Runtime>();
    StellaEmbeddingModel model(kSmall.string(), {.runtime = runtime});
    run(model.embed("text", "none", 256));
    for (int i = 0; i < 4; ++i) {
      results.push_back(model.batch_embed(std::vector<std::string>(3000, "one of many texts"),
                                          EmbedOptions{.dimensions = {8192}}, asio::use_future));
    }
  }
  for (auto& result : results) {
    const std::exception_ptr error = caught([&] { EXPECT_EQ(result.get().size(), 3000U); });
    if (error) {
      EXPECT_EQ(errc_of(error), Errc::shut_down);
    }
  }
}

TEST(Lifetime, ALoadedModelKeepsTheRuntime) {
  LoadedStellaModel loaded;
  {
    StellaEmbeddingModel model(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
    loaded = run(LoadedStellaModel::load(model));
  }
  EXPECT_EQ(run(loaded.embed("text", "none", 256)).size(), 256U);
}

}  // namespace
}  // namespace stella::test
