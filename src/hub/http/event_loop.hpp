// The hub's I/O thread: posted tasks, timers, and libcurl's multi interface in one loop that never blocks on disk.
#pragma once

#include "base/file.hpp"
#include "base/thread_pool.hpp"
#include "base/typed_error.hpp"
#include "base/unique_function.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include <curl/curl.h>

namespace stella::hub {

/// Whom the loop tells that a handle in multi() is done: CURLOPT_PRIVATE of the handle points to it.
class CurlUser {
 public:
  /// May destroy it.
  virtual void finish(CURLcode code) = 0;

 protected:
  ~CurlUser() = default;
};

/// post() and stop() are thread-safe; everything else belongs to the thread that runs run().
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using TimerId = std::pair<Clock::time_point, std::uint64_t>;
  using Tasks = std::list<UniqueFunction<void()>>;

  /// Throws Error(resource_limit | out_of_memory).
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Runs `task` on the loop's thread, in order.
  void post(UniqueFunction<void()> task);
  /// The same with tasks that are in a list already, which nothing can fail for.
  void post(Tasks tasks) noexcept;
  TimerId after(std::chrono::milliseconds delay, UniqueFunction<void()> task);
  /// Does nothing for a timer that has fired.
  void cancel(const TimerId& timer);

  /// Until stop() was called and `idle` says that nothing is left to wait for. What a task, a timer or the end of a
  /// request throws is given to `failed`, and the loop goes on.
  void run(FunctionRef<bool()> idle, FunctionRef<void(std::exception_ptr)> failed);
  void stop() noexcept;

  CURLM* multi() noexcept { return multi_.get(); }

 private:
  using Failed = FunctionRef<void(std::exception_ptr)>;

  void wake() noexcept;
  void run_posted(Failed failed);
  void run_timers(Failed failed);
  void finish_handles(Failed failed);
  void wait(int timeout);
  int poll_timeout() const;

  UniqueFd wake_;  // an eventfd: libcurl goes without a wake-up of its own where descriptors are few
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
  std::mutex mutex_;
  Tasks posted_;           // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::map<TimerId, UniqueFunction<void()>> timers_;
  std::uint64_t next_timer_ = 0;
};

/// Work that may block, on the file pool, with its result back on the loop's thread.
class FileJobs {
 public:
  FileJobs(ThreadPool& pool, EventLoop& loop) : pool_(pool), loop_(loop) {}

  /// Runs `work` (a callable that gives T) on the pool, then `done` on the loop; at once, with an error, where not even
  /// that can be queued. Loop thread only.
  template <class T, class Work>
  void run(Work work, Completion<T> done) {
    try {
      queue<T>(std::move(work), done);
      ++pending_;
    } catch (...) {
      done(typed_error(std::current_exception()), T{});
    }
  }

  /// Jobs whose `done` has not run. Loop thread only.
  std::size_t pending() const noexcept { return pending_; }

 private:
  template <class T, class Work>
  struct Job {
    Work work;
    Completion<T> done;
    T value{};
    std::exception_ptr error{};
  };

  template <class T, class Work>
  void queue(Work work, Completion<T>& done) {
    // The way back is made here, so that nothing can fail once the work is done; and what the job holds, the last
    // reference to an exception among it, dies on the loop's thread.
    auto job = std::make_unique<Job<T, Work>>(Job<T, Work>{std::move(work), {}});
    auto* const place = job.get();
    EventLoop::Tasks back;
    back.emplace_back([this, job = std::move(job)] {
      --pending_;
      job->done(std::move(job->error), std::move(job->value));
    });
    UniqueFunction<void()> there([this, place, back = std::move(back)]() mutable {
      try {
        place->value = place->work();
      } catch (...) {
        place->error = std::current_exception();
      }
      loop_.post(std::move(back));
    });
    place->done = std::move(done);
    pool_.post(std::move(there));
  }

  ThreadPool& pool_;
  EventLoop& loop_;
  std::size_t pending_ = 0;
};

/// The T of a job that gives nothing.
struct Nothing {};

}  // namespace stella::hub
