// For the tests of the public API: a hub with a cache of its own, and running coroutines.
#pragma once

#include "hub_server/hub_server.hpp"
#include "stella/stella.hpp"
#include "support/goldens.hpp"
#include "support/temporary_folder.hpp"

#include <cstddef>
#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

namespace stella::test {

inline const std::filesystem::path kCheckpoints = STELLA_TEST_DATA "/checkpoints";
inline const std::filesystem::path kSmall = kCheckpoints / "stella-small-tiny";
inline const std::filesystem::path kLarge = kCheckpoints / "stella-large-tiny";
inline const std::filesystem::path kDemo = STELLA_SOURCE_DIR "/models/stella-demo";
inline const std::vector<std::size_t> kAllHeads{256, 768, 1024, 2048, 4096, 6144, 8192};

/// Runs a coroutine on an io_context and this thread, to its end.
template <class T>
T run(boost::asio::awaitable<T> coroutine) {
  boost::asio::io_context io;
  std::future<T> result = boost::asio::co_spawn(io, std::move(coroutine), boost::asio::use_future);
  io.run();
  return result.get();
}

/// A local hub that has `repo` at main, and an empty cache.
struct TestHub {
  explicit TestHub(const std::filesystem::path& directory, std::string repo = "NovaSearch/stella_en_400M_v5");
  /// Options for a model from this hub, on `runtime`.
  ModelOptions options(std::shared_ptr<Runtime> runtime = {}) const;

  std::string repo;
  HubServer server;
  TemporaryFolder cache;
};

/// Runs `job` on the thread that computes, as the end of a request.
void run_on_compute_thread(Runtime::Impl& runtime, UniqueFunction<void()> job);

/// "errc: message" of a failure; "no error" where there was none.
std::string describe(const std::exception_ptr& error);
/// Errc of a failure; nothing where there was none, or where it is none of ours.
std::optional<Errc> errc_of(const std::exception_ptr& error);
/// What `call` throws.
template <class Call>
std::exception_ptr caught(Call call) {
  try {
    call();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace stella::test
