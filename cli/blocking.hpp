// Runs what blocks, such as work on the cache, so that signals still stop it.
#pragma once

#include "cli/session.hpp"
#include "stella/error.hpp"

#include <chrono>
#include <future>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>

namespace stella::cli {

/// Calls `work(stop)` on a thread of its own and gives its result. A signal requests the stop, waits for the work to
/// end and throws Interrupted. Throws Error(resource_limit) where the system gives no thread.
template <class Work>
auto run_blocking(Session& session, Work work) {
  constexpr std::chrono::milliseconds kLookForSignals{20};
  std::stop_source stop;
  std::packaged_task task([&work, token = stop.get_token()] { return work(token); });
  auto result = task.get_future();
  std::thread thread;
  try {
    thread = std::thread(std::move(task));
  } catch (const std::system_error& error) {
    throw Error(Errc::resource_limit, "cannot start a thread (" + error.code().message() +
                                          "); raise the limit on processes (ulimit -u, or the container's pids limit)");
  }
  struct Join {
    std::thread& thread;
    ~Join() { thread.join(); }
  };
  const Join join{thread};
  while (result.wait_for(kLookForSignals) != std::future_status::ready) {
    try {
      session.check();
    } catch (const Interrupted&) {
      stop.request_stop();
      throw;
    }
  }
  return result.get();
}

}  // namespace stella::cli
