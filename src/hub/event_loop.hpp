// The hub's I/O thread: posted tasks, timers, and libcurl's multi interface in one loop that never blocks on disk.
#pragma once

#include "base/thread_pool.hpp"
#include "base/unique_function.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <curl/curl.h>

namespace stella::hub {

class HttpExchange;

/// post() and stop() are thread-safe; everything else belongs to the thread that runs run().
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using TimerId = std::pair<Clock::time_point, std::uint64_t>;

  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Runs `task` on the loop's thread, in order.
  void post(UniqueFunction<void()> task);
  TimerId after(std::chrono::milliseconds delay, UniqueFunction<void()> task);
  /// Does nothing for a timer that has fired.
  void cancel(const TimerId& timer);

  /// Until stop() was called and `idle` says that nothing is left to wait for.
  void run(FunctionRef<bool()> idle);
  void stop();

  CURLM* multi() noexcept { return multi_.get(); }

 private:
  void run_posted();
  void run_timers();
  void finish_exchanges();
  int poll_timeout() const;

  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
  std::mutex mutex_;
  std::vector<UniqueFunction<void()>> posted_;  // guarded by mutex_
  bool stopping_ = false;                       // guarded by mutex_
  std::map<TimerId, UniqueFunction<void()>> timers_;
  std::uint64_t next_timer_ = 0;
};

/// Work that may block, on the file pool, with its result back on the loop's thread.
class FileJobs {
 public:
  FileJobs(ThreadPool& pool, EventLoop& loop) : pool_(pool), loop_(loop) {}

  /// Runs `work` (a callable that gives T) on the pool, then `done` on the loop. Loop thread only.
  template <class T, class Work>
  void run(Work work, Completion<T> done) {
    ++pending_;
    pool_.post([this, work = std::move(work), done = std::move(done)]() mutable {
      std::exception_ptr error;
      T value{};
      try {
        value = work();
      } catch (...) {
        error = std::current_exception();
      }
      // Moved, so that the last reference to the exception dies on the loop's thread, after its last use there.
      loop_.post([this, error = std::move(error), value = std::move(value), work = std::move(work),
                  done = std::move(done)]() mutable {
        --pending_;
        done(std::move(error), std::move(value));
      });
    });
  }

  /// Jobs whose `done` has not run. Loop thread only.
  std::size_t pending() const noexcept { return pending_; }

 private:
  ThreadPool& pool_;
  EventLoop& loop_;
  std::size_t pending_ = 0;
};

/// The T of a job that gives nothing.
struct Nothing {};

}  // namespace stella::hub
