// For the engine's tests: waiting for completions, gates, and reading errors. No clock decides a result; the limits
// only end a test that hangs.
#pragma once

#include "base/unique_function.hpp"
#include "stella/error.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace stella::engine::test {

/// A completion's result, to be waited for.
template <class T>
class Result {
 public:
  Completion<T> completion() {
    return [promise = promise_](std::exception_ptr error, T value) {
      if (error) {
        promise->set_exception(std::move(error));
      } else {
        promise->set_value(std::move(value));
      }
    };
  }
  bool is_ready() const { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  T get() {
    if (future_.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      throw std::runtime_error("the operation did not complete");
    }
    return future_.get();
  }
  /// The message of the Error that it must have failed with.
  std::string message(Errc expected) {
    try {
      get();
    } catch (const Error& error) {
      return error.errc() == expected ? error.what() : std::string("another error: ") + error.what();
    }
    return "no error";
  }

 private:
  std::shared_ptr<std::promise<T>> promise_ = std::make_shared<std::promise<T>>();
  std::future<T> future_ = promise_->get_future();
};

/// Holds threads up until opened, and tells how many have arrived.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait_for_arrivals(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t arrived_ = 0;
  bool open_ = false;
};

/// What `call` throws.
template <class Call>
std::string error_of(Call call, Errc expected) {
  try {
    call();
  } catch (const Error& error) {
    return error.errc() == expected ? error.what() : std::string("another error: ") + error.what();
  }
  return "no error";
}

}  // namespace stella::engine::test
