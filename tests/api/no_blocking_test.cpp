// One thread runs an io_context while a model is downloaded, loaded and used. No clock decides: progress is withheld
// until the caller's loop has turned, so a loop that blocked would never get there, and the time limit ends the test.
#include "api/runtime_impl.hpp"
#include "support.hpp"

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

/// A loop that turns as often as it can, counting, for as long as an operation is under way.
class Ticker {
 public:
  explicit Ticker(boost::asio::io_context& io) : io_(io) { tick(); }
  void stop() { stopped_ = true; }
  std::size_t ticks() const noexcept { return ticks_.load(); }
  /// Waits, on a thread that is not the loop's, until the loop has turned `times` times from now on.
  void wait_for(std::size_t times) const {
    const std::size_t until = ticks() + times;
    while (ticks() < until) std::this_thread::yield();
  }

 private:
  void tick() {
    ++ticks_;
    if (!stopped_) boost::asio::post(io_, [this] { tick(); });
  }

  boost::asio::io_context& io_;
  std::atomic<std::size_t> ticks_{0};
  bool stopped_ = false;  // the loop's
};

constexpr std::size_t kTicks = 100;

/// A thread that lets a hub's body go on, one stop after another, each time after the loop has turned.
class Permitter {
 public:
  Permitter(HubServer& server, std::string gate, const Ticker& ticker)
      : thread_([&server, gate = std::move(gate), &ticker](const std::stop_token& stop) {
          for (std::size_t stops = 1; !stop.stop_requested(); ++stops) {
            while (!server.wait_at_gate(gate, stops, std::chrono::milliseconds(20))) {
              if (stop.stop_requested()) return;
            }
            ticker.wait_for(kTicks);
            server.permit(gate);
          }
        }) {}

 private:
  std::jthread thread_;
};

/// Holds up the file pool's only thread, between any two other jobs, until the loop has turned. Once `over`, stops the
/// ticker, which it needs itself until then.
void hold_file_pool(ThreadPool& pool, Ticker& ticker, std::atomic<bool>& over, boost::asio::io_context& io) {
  pool.post([&] {
    ticker.wait_for(kTicks);
    if (over) {
      boost::asio::post(io, [&] { ticker.stop(); });
    } else {
      hold_file_pool(pool, ticker, over, io);
    }
  });
}

TEST(NoBlocking, DownloadingLoadingAndEmbedding) {
  TestHub hub(kDemo);
  for (const char* file : {"/model.safetensors", "/tokenizer.json", "/2_Dense_256/model.safetensors"}) {
    hub.server.inject(
        {.path = hub.repo + file, .times = kAlways, .gate = "body", .gate_at = 100, .gate_step = 400'000});
  }
  boost::asio::io_context io;
  Ticker ticker(io);
  Permitter permitter(hub.server, "body", ticker);
  std::exception_ptr error;
  std::size_t vectors = 0;
  StellaEmbeddingModel model(hub.repo, hub.options(std::make_shared<Runtime>()));
  const auto work = [&]() -> boost::asio::awaitable<void> {
    const std::vector<std::string> texts(200, "The quick brown fox jumps over the lazy dog, again and again.");
    EmbedOptions options;
    options.dimensions = {256};
    vectors = (co_await model.batch_embed(texts, options)).size();
  };
  boost::asio::co_spawn(io, work(), [&](std::exception_ptr e) {
    error = std::move(e);
    ticker.stop();
  });
  io.run();
  EXPECT_EQ(describe(error), "no error");
  EXPECT_EQ(vectors, 200U);
  EXPECT_GT(hub.server.faults_applied(), 0U) << "nothing was withheld";
}

TEST(NoBlocking, LoadingWaitsForTheFilePoolNotTheCaller) {
  const auto runtime = std::make_shared<Runtime>(RuntimeOptions{.file_threads = 1});
  boost::asio::io_context io;
  Ticker ticker(io);
  std::atomic<bool> over{false};
  hold_file_pool(*runtime->impl().files, ticker, over, io);
  StellaEmbeddingModel model(kDemo.string(), {.runtime = runtime});
  std::exception_ptr error;
  const auto work = [&]() -> boost::asio::awaitable<void> {
    const LoadedStellaModel loaded = co_await LoadedStellaModel::load(model);
    EXPECT_EQ(loaded.description().layers, 4U);
  };
  boost::asio::co_spawn(io, work(), [&](std::exception_ptr e) {
    error = std::move(e);
    over = true;
  });
  io.run();
  EXPECT_EQ(describe(error), "no error");
  EXPECT_GE(ticker.ticks(), kTicks);
}

TEST(NoBlocking, EmbeddingWaitsForTheComputeThreadNotTheCaller) {
  const auto runtime = std::make_shared<Runtime>();
  StellaEmbeddingModel model(kDemo.string(), {.runtime = runtime});
  run(model.embed("loaded now", "none", 256));
  boost::asio::io_context io;
  Ticker ticker(io);
  std::atomic<bool> let_go{false};
  run_on_compute_thread(runtime->impl(), [&] {
    ticker.wait_for(kTicks);
    let_go = true;
  });
  std::exception_ptr error;
  const auto work = [&]() -> boost::asio::awaitable<void> {
    EXPECT_EQ((co_await model.embed("text", "s2p", 256)).size(), 256U);
    EXPECT_TRUE(let_go);
    const std::vector<std::string> texts{"text"};
    EXPECT_EQ((co_await model.tokenize(texts)).size(), 1U);
    EXPECT_TRUE(co_await model.health_check());
  };
  boost::asio::co_spawn(io, work(), [&](std::exception_ptr e) {
    error = std::move(e);
    ticker.stop();
  });
  io.run();
  EXPECT_EQ(describe(error), "no error");
}

}  // namespace
}  // namespace stella::test
