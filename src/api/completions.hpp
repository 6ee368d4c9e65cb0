// Where completions of a Runtime go, and whether they can come from it at all.
#pragma once

#include "api/handler_threads.hpp"

#include <memory>
#include <sys/types.h>

#include <boost/asio/any_completion_executor.hpp>

namespace stella {
class ThreadPool;
}

namespace stella::api {

/// A handler with its result, to be run once.
class Task {
 public:
  virtual ~Task() = default;
  virtual void run() = 0;
};

/// Owned by the Runtime and by every handle and operation, which may outlive it. Thread-safe.
class Completions {
 public:
  /// Throws Error(resource_limit) where the system gives no thread.
  Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;
  ~Completions();

  /// Throws Error(invalid_argument) in a process that was forked off the one in which the Runtime was made: its threads
  /// are not here.
  void check_process() const;
  bool is_forked() const noexcept;

  /// Runs `task` on `executor`, never on the spot. `executor` is one that detail::posted() gave.
  void post(const boost::asio::any_completion_executor& executor, const std::shared_ptr<Task>& task);

  /// Runs cancellations, outside the call that caused them; null once the Runtime is gone.
  std::weak_ptr<ThreadPool> signals;

 private:
  const pid_t process_;
  std::unique_ptr<HandlerThreads> handlers_;
};

}  // namespace stella::api
