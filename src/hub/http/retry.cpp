#include "hub/http/retry.hpp"

#include <algorithm>

namespace stella::hub {

std::optional<std::chrono::milliseconds> Backoff::next(const HttpFailure& failure) {
  if (!failure.retry) return std::nullopt;
  const int most =
      failure.code == Errc::hub_unreachable && failure.never_connected ? policy_.retries_unreachable : policy_.retries;
  ++in_a_row_;
  ++in_all_;
  if (in_a_row_ > most || in_all_ > policy_.retries_in_all) return std::nullopt;
  if (failure.wait) return std::min(*failure.wait, policy_.longest_asked);
  const int doublings = std::min(in_a_row_ - 1, 20);
  const auto full = std::min<std::int64_t>(policy_.first.count() << doublings, policy_.longest.count());
  // Half fixed, half random: clients that failed together come back apart.
  std::uniform_int_distribution<std::int64_t> jitter(0, full / 2);
  return std::chrono::milliseconds(full - full / 2 + jitter(random_));
}

void Backoff::progress(std::uint64_t bytes) noexcept {
  constexpr std::uint64_t kEase = 16U << 20U;
  if (bytes == 0) return;
  in_a_row_ = 0;
  since_eased_ += bytes;
  const auto eased = static_cast<int>(std::min<std::uint64_t>(since_eased_ / kEase, 1U << 20U));
  in_all_ = std::max(0, in_all_ - eased);
  since_eased_ %= kEase;
}

}  // namespace stella::hub
