// The outcome of an asynchronous operation, for a thread that may block.
#pragma once

#include "base/unique_function.hpp"
#include "stella/error.hpp"

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>

namespace stella::engine {

/// Operations of which the first failure ends the wait for all. Thread-safe.
class Together {
 public:
  explicit Together(const std::stop_token& stop) : on_stop_(stop, Stop{state_->source}) {}

  /// To wait with.
  std::stop_token token() const { return state_->source.get_token(); }
  /// For an operation to say that it has failed; may be called when this has gone.
  auto failure() const {
    return [state = state_](const std::exception_ptr& error) {
      {
        const std::lock_guard lock(state->mutex);
        if (!state->first) state->first = error;
      }
      state->source.request_stop();
    };
  }
  /// Waits by calling `wait`, and throws the first failure instead of what that has led to.
  template <class Wait>
  auto run(Wait wait) const {
    try {
      return wait();
    } catch (...) {
      const std::lock_guard lock(state_->mutex);
      if (state_->first) std::rethrow_exception(state_->first);
      throw;
    }
  }

 private:
  struct State {
    std::stop_source source;
    std::mutex mutex;
    std::exception_ptr first;  // guarded by mutex
  };
  struct Stop {
    std::stop_source source;
    void operator()() const { std::stop_source(source).request_stop(); }
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::stop_callback<Stop> on_stop_;
};

/// An operation under way. One that is let go of before it has ended is asked to stop.
template <class T>
class Awaited {
 public:
  /// Calls `start` with the operation's stop token and its completion.
  template <class Start>
  explicit Awaited(Start start) {
    start(source_.get_token(),
          [state = state_](std::exception_ptr error, T value) { state->end(std::move(error), std::move(value)); });
  }
  Awaited(Awaited&&) noexcept = default;
  Awaited& operator=(Awaited&&) = delete;
  ~Awaited() {
    if (state_) source_.request_stop();
  }

  /// Waits for the value, which can be had once. Throws what the operation failed with, or Error(cancelled) as soon as
  /// `stop` is requested.
  T get(const std::stop_token& stop) {
    std::unique_lock lock(state_->mutex);
    if (!state_->ended.wait(lock, stop, [this] { return state_->has_ended; })) {
      throw Error(Errc::cancelled, "cancelled while the model was being loaded");
    }
    if (state_->error) std::rethrow_exception(state_->error);
    return std::move(state_->value);
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable_any ended;
    bool has_ended = false;  // guarded by mutex, as is the rest
    std::exception_ptr error;
    T value{};

    void end(std::exception_ptr why, T made) {
      const std::lock_guard lock(mutex);
      error = std::move(why);
      value = std::move(made);
      has_ended = true;
      ended.notify_all();
    }
  };

  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::stop_source source_;
};

}  // namespace stella::engine
