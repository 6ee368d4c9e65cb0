#include "engine/circuit_breaker.hpp"

namespace stella::engine {

std::optional<CircuitBreaker::Ticket> CircuitBreaker::admit(TimePoint now) noexcept {
  if (state_ == State::open && now >= open_until_) change(State::half_open);
  if (state_ == State::open) return std::nullopt;
  if (state_ == State::half_open) {
    if (successes_ + probing_ >= rules_.successes) return std::nullopt;
    ++probing_;
  }
  return Ticket{period_, failures_};
}

void CircuitBreaker::settle(const Ticket& ticket, Outcome outcome, TimePoint now) noexcept {
  if (ticket.period != period_) return;
  if (state_ == State::half_open) --probing_;
  if (outcome == Outcome::failure) {
    if (ticket.failures == failures_) fail(now);
  } else if (outcome == Outcome::success) {
    in_a_row_ = 0;
    if (state_ == State::half_open && ++successes_ >= rules_.successes) change(State::closed);
  }
}

void CircuitBreaker::fail(TimePoint now) noexcept {
  ++failures_;
  ++in_a_row_;
  if (state_ == State::closed && in_a_row_ < rules_.failures) return;
  change(State::open);
  open_until_ = now + rules_.rest;
}

CircuitBreaker::State CircuitBreaker::state(TimePoint now) const noexcept {
  return state_ == State::open && now >= open_until_ ? State::half_open : state_;
}

void CircuitBreaker::change(State state) noexcept {
  state_ = state;
  ++period_;
  in_a_row_ = 0;
  probing_ = 0;
  successes_ = 0;
}

}  // namespace stella::engine
