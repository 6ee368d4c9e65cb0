// The deadline of an operation whose parts know none.
#pragma once

#include "base/timer.hpp"
#include "base/typed_error.hpp"
#include "base/unique_function.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace stella::engine {

inline std::exception_ptr deadline_error() noexcept {
  return make_error(Errc::deadline_exceeded, "the request was not answered before its deadline");
}

/// Requests the stop of an operation at a time, and turns the error that comes of it into Error(deadline_exceeded). The
/// caller's own stop goes through.
class Deadline {
 public:
  Deadline(std::shared_ptr<Timer> timer, Timer::Clock::time_point when, const std::stop_token& callers)
      : timer_(std::move(timer)) {
    on_callers_.emplace(callers, Forward{source_});
    alarm_ = timer_->set(when, [expired = expired_, source = source_]() mutable {
      expired->store(true);
      source.request_stop();
    });
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { timer_->cancel(alarm_); }

  std::stop_token token() const { return source_.get_token(); }
  std::exception_ptr error_of(std::exception_ptr error) const {
    return error && expired_->load() ? deadline_error() : error;
  }

 private:
  struct Forward {
    std::stop_source source;
    void operator()() const {
      std::stop_source own = source;  // the callback may go while it runs
      own.request_stop();
    }
  };

  std::shared_ptr<Timer> timer_;
  std::stop_source source_;
  std::shared_ptr<std::atomic<bool>> expired_ = std::make_shared<std::atomic<bool>>(false);
  std::uint64_t alarm_ = 0;
  std::optional<std::stop_callback<Forward>> on_callers_;  // destroyed first
};

}  // namespace stella::engine
