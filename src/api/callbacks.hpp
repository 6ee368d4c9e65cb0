// Where callbacks run, and whether they can be called at all.
#pragma once

#include "api/callback_threads.hpp"
#include "base/typed_error.hpp"
#include "stella/callback.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <sys/types.h>
#include <utility>

namespace stella {
class ThreadPool;
}

namespace stella::api {

/// A callback with its result, to be run once.
class Task {
 public:
  virtual ~Task() = default;
  virtual void run() = 0;
};

/// Owned by the Runtime and by every handle and operation, which may outlive it. Thread-safe.
class Callbacks {
 public:
  /// Throws Error(resource_limit) where the system gives no thread.
  Callbacks();
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;
  ~Callbacks();

  /// Throws Error(invalid_argument) in a process that was forked off the one in which the Runtime was made: its threads
  /// are not here.
  void check_process() const;
  bool is_forked() const noexcept;

  /// Runs `task` on a thread for callbacks.
  void post(const std::shared_ptr<Task>& task);

  /// Requests stops, outside the call that asked for it; null once the Runtime is gone.
  std::weak_ptr<ThreadPool> signals;

 private:
  const pid_t process_;
  std::unique_ptr<CallbackThreads> threads_;
};

/// A callback that Callbacks runs; needs no memory of its own when the result is there.
template <class T>
class PostedCallback final : public Task, public std::enable_shared_from_this<PostedCallback<T>> {
 public:
  PostedCallback(Completion<T> done, std::shared_ptr<Callbacks> callbacks)
      : done_(std::move(done)), callbacks_(std::move(callbacks)) {}

  void complete(std::exception_ptr error, T value) {
    if (completed_.exchange(true)) return;
    error_ = std::move(error);
    value_ = std::move(value);
    // From here on all belongs to the callback's thread: what this one lets go of afterwards is nobody's last.
    const auto callbacks = std::move(callbacks_);
    callbacks->post(this->shared_from_this());
  }

  void run() override {
    auto done = std::move(done_);
    done(std::move(error_), std::move(value_));
  }

 private:
  std::atomic<bool> completed_{false};
  Completion<T> done_;
  std::shared_ptr<Callbacks> callbacks_;
  std::exception_ptr error_{};
  T value_{};
};

/// The completion that the layers below call: it runs `callback` where that is to run.
template <class T>
Completion<T> completion_of(Callback<T> callback, const std::shared_ptr<Callbacks>& callbacks) {
  if (callback.runs_on_any_thread()) {
    return [done = std::move(callback).take()](std::exception_ptr error, T value) mutable {
      done(typed_error(std::move(error)), std::move(value));
    };
  }
  auto posted = std::make_shared<PostedCallback<T>>(std::move(callback).take(), callbacks);
  return [posted = std::move(posted)](std::exception_ptr error, T value) {
    posted->complete(typed_error(std::move(error)), std::move(value));
  };
}

}  // namespace stella::api
