// Keeps requests away from a model that fails again and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace stella::engine {

struct BreakerRules {
  std::uint32_t failures = 5;                                // in a row, that open it
  std::chrono::nanoseconds rest = std::chrono::seconds(60);  // for which it stays open
  std::uint32_t successes = 3;                               // that close it again
};

/// Closed, it lets all through; open, nobody; after its rest it is half open and lets through as many at a time as
/// successes are missing: those close it, and any failure opens it again. Not thread-safe; the clock is the caller's.
class CircuitBreaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class State : std::uint8_t { closed, open, half_open };
  enum class Outcome : std::uint8_t { success, failure, neither };
  /// Of one admitted request, to be given back with its outcome.
  struct Ticket {
    std::uint64_t period = 0;    // counts changes of state
    std::uint64_t failures = 0;  // counted before it
  };

  explicit CircuitBreaker(const BreakerRules& rules) noexcept : rules_(rules) {}

  /// Nothing where the request is not let through.
  std::optional<Ticket> admit(TimePoint now) noexcept;
  /// Failures of requests that ran side by side count once, for they may have one cause, such as a load they shared.
  /// What was admitted before the last change of state counts no more.
  void settle(const Ticket& ticket, Outcome outcome, TimePoint now) noexcept;

  State state(TimePoint now) const noexcept;
  /// While it is open: until when.
  TimePoint open_until() const noexcept { return open_until_; }

 private:
  void change(State state) noexcept;
  void fail(TimePoint now) noexcept;

  const BreakerRules rules_;
  State state_ = State::closed;
  TimePoint open_until_{};
  std::uint64_t period_ = 0;
  std::uint64_t failures_ = 0;   // ever
  std::uint32_t in_a_row_ = 0;   // failures, while closed
  std::uint32_t probing_ = 0;    // under way, while half open
  std::uint32_t successes_ = 0;  // while half open
};

}  // namespace stella::engine
