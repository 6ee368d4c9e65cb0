// Calls at a time.
#pragma once

#include "base/unique_function.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace stella {

/// Calls functions when their time has come, one after another, on a thread of its own, which is there from the first
/// alarm on. Thread-safe.
class Timer {
 public:
  using Clock = std::chrono::steady_clock;

  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  /// stop().
  ~Timer() { stop(); }

  /// Calls `call`, which must be short and must not throw, at `when` or as soon after as possible. Gives what cancel()
  /// knows the alarm by, never 0. Throws Error(resource_limit) where the system gives no thread. After stop() nothing
  /// is called.
  std::uint64_t set(Clock::time_point when, UniqueFunction<void()> call);
  /// Forgets an alarm; one that has gone off, or is going off, is none.
  void cancel(std::uint64_t alarm) noexcept;
  /// Forgets all alarms and joins the thread. Not from an alarm; further calls do nothing.
  void stop() noexcept;

 private:
  using Key = std::pair<Clock::time_point, std::uint64_t>;

  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  std::map<Key, UniqueFunction<void()>> alarms_;  // by time
  std::map<std::uint64_t, Key> keys_;
  std::uint64_t last_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace stella
