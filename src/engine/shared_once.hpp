// A value that is made once, when first asked for, and shared by all who ask.
#pragma once

#include "base/typed_error.hpp"
#include "base/unique_function.hpp"
#include "stella/error.hpp"

#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace stella::engine {

/// Makes a value asynchronously at the first get() and keeps it until reset(). Concurrent first calls share one
/// attempt. A failed attempt fails those who wait for it, and the next get() tries again. A waiter that stops is
/// completed at once with Error(cancelled); when the last one has left, the attempt itself is asked to stop.
/// Thread-safe.
template <class T>
class SharedOnce : public std::enable_shared_from_this<SharedOnce<T>> {
 public:
  using Value = std::shared_ptr<const T>;
  /// Starts one attempt; completes it exactly once.
  using Make = std::function<void(std::stop_token, Completion<Value>)>;

  static std::shared_ptr<SharedOnce> create(Make make) {
    return std::shared_ptr<SharedOnce>(new SharedOnce(std::move(make)));
  }

  void get(const std::stop_token& stop, Completion<Value> done) {
    auto waiter = std::make_shared<Waiter>();
    waiter->done = std::move(done);
    std::list<std::shared_ptr<Waiter>> node{waiter};
    std::shared_ptr<Attempt> to_start = peek() ? nullptr : std::make_shared<Attempt>();
    Value ready;
    {
      const std::lock_guard lock(mutex_);  // nothing in here fails for lack of memory
      ready = value_;
      if (!ready) {
        waiters_.splice(waiters_.end(), node);
        if (!attempt_) {
          attempt_ = to_start;
        } else {
          to_start = nullptr;
        }
      }
    }
    if (ready) {
      waiter->done(nullptr, std::move(ready));
      return;
    }
    waiter->on_stop.emplace(stop, Leave{this->weak_from_this(), waiter.get()});
    if (!to_start) return;
    try {
      make_(to_start->source.get_token(),
            [self = this->shared_from_this(), to_start](std::exception_ptr error, Value value) {
              self->finish(to_start, std::move(error), std::move(value));
            });
    } catch (...) {
      finish(to_start, typed_error(std::current_exception()), nullptr);
    }
  }

  /// Lets go of the value: the next get() makes another. Who holds it keeps it, and an attempt under way goes on.
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

  explicit SharedOnce(Make make) : make_(std::move(make)) {}

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
    waiter->done(std::make_exception_ptr(Error(Errc::cancelled, "cancelled while the model was being loaded")),
                 nullptr);
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

  const Make make_;
  mutable std::mutex mutex_;
  Value value_;                                 // guarded by mutex_
  std::shared_ptr<Attempt> attempt_;            // guarded by mutex_; the one under way, unless abandoned
  std::list<std::shared_ptr<Waiter>> waiters_;  // guarded by mutex_; of attempt_
};

}  // namespace stella::engine
