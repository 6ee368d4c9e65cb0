#include "server/admission.hpp"

#include <algorithm>
#include <cmath>

namespace stella::server {
namespace {

bool fits(const Cost& there, const Cost& more, double texts, double tokens) {
  return static_cast<double>(there.texts + more.texts) <= texts &&
         static_cast<double>(there.tokens + more.tokens) <= tokens;
}

}  // namespace

unsigned retry_after(std::size_t tokens, double rate, double jitter) {
  constexpr double kMax = 60;
  const double seconds = rate > 0 ? static_cast<double>(tokens) / rate : 1;
  return static_cast<unsigned>(std::clamp(std::ceil(seconds * (0.75 + jitter / 2)), 1.0, kMax));
}

Admission::Admission(const AdmissionLimits& limits, Clock clock) : clock_(std::move(clock)), limits_(limits) {}

std::optional<Admission::Permit> Admission::enter(std::string client, const Cost& asked) {
  const Cost cost{std::max<std::size_t>(asked.texts, 1), asked.tokens};
  const std::lock_guard lock(mutex_);
  const auto texts = static_cast<double>(limits_.texts);
  const auto tokens = static_cast<double>(limits_.tokens);
  if (under_way_.texts != 0 && !fits(under_way_, cost, texts, tokens)) return std::nullopt;
  const auto known = of_client_.find(client);
  const double share = limits_.share_of_client;
  if (known != of_client_.end() && !fits(known->second, cost, share * texts, share * tokens)) return std::nullopt;
  Cost& own = known == of_client_.end() ? of_client_[client] : known->second;
  if (under_way_.texts == 0) busy_since_ = clock_();
  own.texts += cost.texts;
  own.tokens += cost.tokens;
  under_way_.texts += cost.texts;
  under_way_.tokens += cost.tokens;
  return Permit(*this, std::move(client), cost);
}

Cost Admission::under_way() const {
  const std::lock_guard lock(mutex_);
  return under_way_;
}

unsigned Admission::seconds_to_wait(double jitter) const {
  const std::lock_guard lock(mutex_);
  auto busy = busy_;
  if (under_way_.texts != 0) busy += clock_() - busy_since_;
  return retry_after(under_way_.tokens, busy.count() > 0 ? finished_ / busy.count() : 0, jitter);
}

void Admission::set_limits(const AdmissionLimits& limits) {
  const std::lock_guard lock(mutex_);
  limits_ = limits;
}

void Admission::leave(const std::string& client, const Cost& cost, bool done) {
  constexpr std::chrono::seconds kWindow{20};
  const std::lock_guard lock(mutex_);
  under_way_.texts -= cost.texts;
  under_way_.tokens -= cost.tokens;
  const auto own = of_client_.find(client);
  own->second.texts -= cost.texts;
  own->second.tokens -= cost.tokens;
  if (own->second.texts == 0) of_client_.erase(own);
  if (done) finished_ += static_cast<double>(cost.tokens);
  const auto now = clock_();
  busy_ += now - busy_since_;
  busy_since_ = now;
  if (busy_ < kWindow) return;
  busy_ /= 2;
  finished_ /= 2;
}

}  // namespace stella::server
