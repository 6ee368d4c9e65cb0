// How long the caller's loop ever waits: the gaps of a 1 ms ticker on the io_context's only thread while a model is
// downloaded from a local hub, loaded, and used for a long batch. The ticker alone, first, is what the machine itself
// does to a 1 ms timer.
//
//   bench_ticker [MODEL_DIRECTORY] [TEXTS]      default: the bundled model, 2000 texts
#include "hub_server/hub_server.hpp"
#include "support/temporary_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <stella/stella.hpp>

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

/// Gaps between ticks, in milliseconds. Belongs to the loop's thread.
class Ticker {
 public:
  explicit Ticker(asio::io_context& io) : timer_(io) {}

  void start() {
    running_ = true;
    due_ = last_ = Clock::now();
    next();
  }
  void stop() { running_ = false; }
  std::vector<double> take() { return std::exchange(gaps_, {}); }

 private:
  void next() {
    // From the last due time, so that a late tick does not shift those after it; after a long gap from now.
    due_ = std::max(due_ + std::chrono::milliseconds(1), Clock::now());
    timer_.expires_at(due_);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error || !running_) return;
      const Clock::time_point now = Clock::now();
      gaps_.push_back(Milliseconds(now - last_).count());
      last_ = now;
      next();
    });
  }

  asio::steady_timer timer_;
  Clock::time_point due_;
  Clock::time_point last_;
  bool running_ = false;
  std::vector<double> gaps_;
};

void report(const char* phase, std::vector<double> gaps, Clock::time_point start) {
  if (gaps.empty()) {
    std::printf("%-10s  no tick in %.1f ms\n", phase, Milliseconds(Clock::now() - start).count());
    return;
  }
  std::sort(gaps.begin(), gaps.end());
  const auto at = [&](double quantile) {
    const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(gaps.size())));
    return gaps[std::max<std::size_t>(rank, 1) - 1];
  };
  std::printf("%-10s  %8.0f ms  %6zu ticks  gap p50 %.2f  p99 %.2f  max %.2f ms\n", phase,
              Milliseconds(Clock::now() - start).count(), gaps.size(), at(0.5), at(0.99), gaps.back());
}

asio::awaitable<void> measure(stella::StellaEmbeddingModel& model, Ticker& ticker, std::size_t texts) {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  ticker.start();
  Clock::time_point start = Clock::now();
  pause.expires_after(std::chrono::seconds(1));
  co_await pause.async_wait(asio::use_awaitable);
  report("idle", ticker.take(), start);

  start = Clock::now();
  const std::vector<std::size_t> dimensions{256, 1024};
  co_await model.download(dimensions);
  report("download", ticker.take(), start);

  start = Clock::now();
  stella::LoadedStellaModel loaded = co_await stella::LoadedStellaModel::load(model);
  report("load", ticker.take(), start);

  start = Clock::now();
  const std::vector<std::string> batch(
      texts, "Safetensors is a format for tensors: a header that says what lies where, and then the bytes themselves.");
  stella::EmbedOptions options;
  options.dimensions = dimensions;
  co_await loaded.batch_embed(batch, options);
  report("embed", ticker.take(), start);
  ticker.stop();
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path directory = argc > 1 ? argv[1] : STELLA_SOURCE_DIR "/models/stella-demo";
  const std::size_t texts = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2000;
  const std::string repo = "NovaSearch/stella_en_400M_v5";
  stella::test::TemporaryFolder cache;
  stella::test::HubServer server;
  server.add_revision(repo, "main", directory);
  stella::HubOptions hub;
  hub.endpoint = server.endpoint();
  hub.cache_dir = cache.path() / "hub";  // with room beside it for packed weights
  stella::StellaEmbeddingModel model(repo, {.hub = hub, .runtime = std::make_shared<stella::Runtime>()});
  asio::io_context io(1);
  Ticker ticker(io);
  int status = 0;
  asio::co_spawn(io, measure(model, ticker, texts), [&](const std::exception_ptr& error) {
    ticker.stop();
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      status = 1;
    }
  });
  io.run();
  return status;
}
