// A value that is made once, when first asked for, and shared by all who ask.
#pragma once

#include "base/thread_pool.hpp"
#include "base/typed_error.hpp"
#include "base/unique_function.hpp"
#include "engine/awaited.hpp"
#include "stella/error.hpp"

#include <atomic>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace stella::engine {

/// Makes a value when it is first asked for and keeps it until reset(). Those who ask meanwhile share one attempt. A
/// failed attempt fails those who wait for it, and the next to ask tries again. A waiter that stops is completed at
/// once with Error(cancelled); when the last one has left, the attempt itself is asked to stop. Thread-safe.
///
/// An attempt blocks a thread: that of the first wait() for it, or one of `threads`, whichever comes to it first. So an
/// attempt that itself waits for other values is never kept waiting for a thread, even if there is only one; values
/// must not wait for each other in a circle.
template <class T>
class SharedOnce : public std::enable_shared_from_this<SharedOnce<T>> {
 public:
  using Value = std::shared_ptr<const T>;
  /// One attempt: throws where it fails, and Error(cancelled) soon after a stop.
  using Make = std::function<Value(const std::stop_token&)>;

  /// `threads` outlive every get(), but not always the object.
  static std::shared_ptr<SharedOnce> create(ThreadPool& threads, Make make) {
    return std::shared_ptr<SharedOnce>(new SharedOnce(threads, std::move(make)));
  }

  void get(const std::stop_token& stop, Completion<Value> done) {
    const auto [attempt, is_new] = join(stop, std::move(done));
    if (!is_new) return;
    Completion<Value> lost([self = this->shared_from_this(), attempt = attempt](std::exception_ptr error, Value) {
      if (attempt->take()) self->finish(attempt, std::move(error), nullptr);
    });
    try {
      threads_.post([self = this->shared_from_this(), attempt = attempt, lost = std::move(lost)] {
        if (attempt->take()) self->run(attempt);
      });
    } catch (...) {
      if (attempt->take()) finish(attempt, typed_error(std::current_exception()), nullptr);
    }
  }

  /// For a thread that may block, as an attempt's may. Throws what the attempt failed with.
  Value wait(const std::stop_token& stop) {
    std::shared_ptr<Attempt> attempt;
    // The waiter leaves by `stop` itself, for this thread may be busy with the attempt when that is requested.
    Awaited<Value> value(
        [&](const std::stop_token&, Completion<Value> done) { attempt = join(stop, std::move(done)).attempt; });
    if (attempt && attempt->take()) run(attempt);
    return value.get(stop);
  }

  /// Lets go of the value: the next to ask makes another. Who holds it keeps it, and an attempt under way goes on.
  void reset() {
    Value dropped;  // outlives the lock
    const std::lock_guard lock(mutex_);
    dropped.swap(value_);
  }

  /// The value, or null while there is none.
  Value peek() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  struct Waiter;
  struct Attempt {
    std::stop_source source;
    std::atomic<bool> taken{false};
    /// Whether it is the caller who makes it.
    bool take() noexcept { return !taken.exchange(true); }
  };
  struct Joined {
    std::shared_ptr<Attempt> attempt;  // null where there was a value
    bool is_new = false;
  };
  struct Leave {
    std::weak_ptr<SharedOnce> once;
    const Waiter* waiter;
    void operator()() const {
      // leave() may destroy the waiter, and this callback with it.
      const Waiter* who = waiter;
      if (const auto self = once.lock()) self->leave(who);
    }
  };
  struct Waiter {
    Completion<Value> done;
    std::optional<std::stop_callback<Leave>> on_stop;
  };

  SharedOnce(ThreadPool& threads, Make make) : threads_(threads), make_(std::move(make)) {}

  /// Completes with the value where there is one, else waits for the attempt under way, or for a new one.
  Joined join(const std::stop_token& stop, Completion<Value> done) {
    Value ready = peek();
    if (ready) {
      done(nullptr, std::move(ready));
      return {};
    }
    auto waiter = std::make_shared<Waiter>();
    waiter->done = std::move(done);
    std::list<std::shared_ptr<Waiter>> node{waiter};
    auto fresh = std::make_shared<Attempt>();
    Joined joined;
    {
      const std::lock_guard lock(mutex_);  // nothing in here fails for lack of memory
      ready = value_;
      if (!ready) {
        waiters_.splice(waiters_.end(), node);
        joined.is_new = !attempt_;
        if (!attempt_) attempt_ = std::move(fresh);
        joined.attempt = attempt_;
      }
    }
    if (ready) {
      waiter->done(nullptr, std::move(ready));
    } else {
      waiter->on_stop.emplace(stop, Leave{this->weak_from_this(), waiter.get()});
    }
    return joined;
  }

  void run(const std::shared_ptr<Attempt>& attempt) {
    Value value;
    std::exception_ptr error;
    try {
      value = make_(attempt->source.get_token());
    } catch (...) {
      error = typed_error(std::current_exception());
    }
    finish(attempt, std::move(error), std::move(value));
  }

  void leave(const Waiter* who) {
    std::shared_ptr<Waiter> waiter;
    std::shared_ptr<Attempt> abandoned;
    {
      const std::lock_guard lock(mutex_);
      for (auto it = waiters_.begin(); it != waiters_.end(); ++it) {
        if (it->get() != who) continue;
        waiter = std::move(*it);
        waiters_.erase(it);
        break;
      }
      if (waiter && waiters_.empty()) abandoned = std::exchange(attempt_, nullptr);
    }
    if (!waiter) return;
    if (abandoned) abandoned->source.request_stop();
    try {
      waiter->done(make_error(Errc::cancelled, "cancelled while the model was being loaded"), nullptr);
    } catch (...) {  // NOLINT(bugprone-empty-catch): its completion was dropped, and so knows
    }
  }

  void finish(const std::shared_ptr<Attempt>& attempt, std::exception_ptr error, Value value) {
    std::list<std::shared_ptr<Waiter>> waiters;
    {
      const std::lock_guard lock(mutex_);
      if (value && !value_) value_ = value;  // also of an abandoned attempt that was made all the same
      if (attempt != attempt_) return;
      attempt_ = nullptr;
      waiters.swap(waiters_);
    }
    // One at a time and gone at once, so that one that cannot even be told keeps nobody else waiting.
    for (; !waiters.empty(); waiters.pop_front()) {
      try {
        waiters.front()->done(error, value);
      } catch (...) {  // NOLINT(bugprone-empty-catch): its completion was dropped, and so knows
      }
    }
  }

  ThreadPool& threads_;
  const Make make_;
  mutable std::mutex mutex_;
  Value value_;                                 // guarded by mutex_
  std::shared_ptr<Attempt> attempt_;            // guarded by mutex_; the one under way, unless abandoned
  std::list<std::shared_ptr<Waiter>> waiters_;  // guarded by mutex_; of attempt_
};

}  // namespace stella::engine
