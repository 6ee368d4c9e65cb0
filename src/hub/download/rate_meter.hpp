// Bytes per second over the last few seconds. Pure: the caller says what time it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <utility>

namespace stella::hub {

class RateMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `bytes` are present at `now`; what was present at the first call does not count as speed. A count that fell (the
  /// file was started again) restarts the measurement.
  double update(Time now, std::uint64_t bytes) {
    constexpr std::chrono::seconds kWindow{3};
    if (!samples_.empty() && bytes < samples_.back().second) samples_.clear();
    samples_.emplace_back(now, bytes);
    while (samples_.size() > 2 && now - samples_.front().first > kWindow) samples_.pop_front();
    const std::chrono::duration<double> seconds = now - samples_.front().first;
    if (seconds.count() <= 0) return 0;
    return static_cast<double>(bytes - samples_.front().second) / seconds.count();
  }

 private:
  std::deque<std::pair<Time, std::uint64_t>> samples_;
};

}  // namespace stella::hub
