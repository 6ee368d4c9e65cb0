// For what has to happen although there is no memory for it now.
#pragma once

#include <chrono>
#include <new>
#include <thread>

namespace stella::detail {

/// Calls `attempt` until it has the memory that it needs, ten seconds long: whoever waits for a callback has nothing
/// else to wait for. Throws std::bad_alloc when all patience is gone.
template <class Attempt>
void with_patience(Attempt attempt) {
  constexpr int kTries = 1000;
  for (int i = 1;; ++i) {
    try {
      return attempt();
    } catch (const std::bad_alloc&) {
      if (i == kTries) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

}  // namespace stella::detail
