// bench_hub_ticker REPO FILE [IDLE_SECONDS]: one thread runs an io_context with a 1 ms ticker while the library
// downloads a file, and prints as JSON how far apart the ticks came: idle, and during the download. The hub and the
// cache are those of the environment (HF_ENDPOINT, HF_HOME).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <stella/stella.hpp>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

/// Fires a millisecond after its last call, and keeps the time between calls.
class Ticker {
 public:
  explicit Ticker(boost::asio::io_context& io) : timer_(io) {}

  void start() {
    last_ = Clock::now();
    next();
  }
  void stop() {
    stopped_ = true;
    timer_.cancel();
  }
  std::vector<double> take() { return std::exchange(gaps_, {}); }

 private:
  void next() {
    timer_.expires_after(std::chrono::milliseconds(1));
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error || stopped_) return;
      const Clock::time_point now = Clock::now();
      gaps_.push_back(Milliseconds(now - last_).count());
      last_ = now;
      next();
    });
  }

  boost::asio::steady_timer timer_;
  Clock::time_point last_;
  std::vector<double> gaps_;
  bool stopped_ = false;
};

void print(const char* name, std::vector<double> gaps) {
  std::sort(gaps.begin(), gaps.end());
  const auto at = [&](double share) {
    return gaps.empty() ? 0.0 : gaps[static_cast<std::size_t>(share * static_cast<double>(gaps.size() - 1))];
  };
  std::printf("\"%s\": {\"ticks\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}", name, gaps.size(),
              at(0.5), at(0.99), at(1.0));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_hub_ticker REPO FILE [IDLE_SECONDS]\n");
    return 2;
  }
  const std::string repo = argv[1];
  const double idle_seconds = argc > 3 ? std::atof(argv[3]) : 5;
  boost::asio::io_context io;
  Ticker ticker(io);
  ticker.start();
  std::vector<double> idle;
  double seconds = 0;
  int status = 0;
  stella::StellaEmbeddingModel model{repo};
  boost::asio::steady_timer idle_end(
      io, std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(idle_seconds)));
  idle_end.async_wait([&](const boost::system::error_code&) {
    idle = ticker.take();
    const Clock::time_point start = Clock::now();
    model.huggingface_file(repo, argv[2], [&, start](const std::exception_ptr& error, const std::filesystem::path&) {
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
      try {
        if (error) std::rethrow_exception(error);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        status = 1;
      }
      ticker.stop();
    });
  });
  io.run();
  std::printf("{");
  print("idle", idle);
  std::printf(", ");
  print("download", ticker.take());
  std::printf(", \"download_seconds\": %.3f}\n", seconds);
  return status;
}
