#include "server/admission.hpp"

#include <algorithm>
#include <cmath>

namespace stella::server {

unsigned retry_after(std::size_t texts, double rate, double jitter) {
  constexpr double kMax = 60;
  const double seconds = rate > 0 ? static_cast<double>(texts) / rate : 1;
  return static_cast<unsigned>(std::clamp(std::ceil(seconds * (0.75 + jitter / 2)), 1.0, kMax));
}

Admission::Admission(std::size_t limit, Clock clock) : limit_(limit), clock_(std::move(clock)), since_(clock_()) {}

std::optional<Admission::Permit> Admission::enter(std::size_t texts) {
  const std::lock_guard lock(mutex_);
  if (under_way_ + texts > limit_) return std::nullopt;
  under_way_ += texts;
  return Permit(this, texts);
}

std::size_t Admission::under_way() const {
  const std::lock_guard lock(mutex_);
  return under_way_;
}

unsigned Admission::seconds_to_wait(double jitter) const {
  const std::lock_guard lock(mutex_);
  const double seconds = std::chrono::duration<double>(clock_() - since_).count();
  return retry_after(under_way_, seconds > 0 ? finished_ / seconds : 0, jitter);
}

void Admission::leave(std::size_t texts) {
  constexpr std::chrono::seconds kWindow{20};
  const std::lock_guard lock(mutex_);
  under_way_ -= texts;
  finished_ += static_cast<double>(texts);
  const auto now = clock_();
  if (now - since_ < kWindow) return;
  since_ = now - (now - since_) / 2;
  finished_ /= 2;
}

}  // namespace stella::server
