// Runs what blocks, such as work on the cache, so that signals still stop it.
#pragma once

#include "cli/session.hpp"

#include <chrono>
#include <future>
#include <stop_token>
#include <utility>

namespace stella::cli {

/// Calls `work(stop)` on a thread of its own and gives its result. A signal requests the stop, waits for the work to
/// end and throws Interrupted.
template <class Work>
auto run_blocking(Session& session, Work work) {
  constexpr std::chrono::milliseconds kLookForSignals{20};
  std::stop_source stop;
  auto result = std::async(std::launch::async, std::move(work), stop.get_token());
  while (result.wait_for(kLookForSignals) != std::future_status::ready) {
    try {
      session.check();
    } catch (const Interrupted&) {
      stop.request_stop();
      result.wait();
      throw;
    }
  }
  return result.get();
}

}  // namespace stella::cli
