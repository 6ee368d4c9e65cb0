// How many connections a transfer should have: more as long as more is faster. Pure: fed with samples.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace stella::hub {

/// What happened between two looks at a transfer.
struct TransferSample {
  std::uint64_t bytes = 0;
  double seconds = 0;
  std::size_t delivering = 0;  ///< Connections that had given bytes before.
  bool short_of_memory = false;
};

/// Doubles the number of connections while each doubling brings at least a quarter more throughput; goes back where it
/// brought nothing; tries again after a while, because networks change. Where memory was short, the disk or the
/// processor is the limit, and more connections cannot help.
class Throughput {
 public:
  explicit Throughput(std::size_t first) : wanted_(std::max<std::size_t>(1, first)), base_(wanted_) {}

  std::size_t wanted() const noexcept { return wanted_; }

  /// Of at most `limit` connections, whose first byte takes `latency` seconds to come.
  void sample(const TransferSample& now, std::size_t limit, double latency) noexcept {
    constexpr double kWorthIt = 1.25;
    constexpr double kShortestTrial = 0.03;  // seconds
    constexpr double kRoundTrips = 2;        // that a trial lasts at least
    constexpr double kMaxWait = 1;           // seconds for all connections to deliver
    constexpr double kFirstPause = 0.2;      // seconds until the next trial after one that failed
    constexpr double kMaxPause = 32;
    if (pause_ > 0) {
      pause_ -= now.seconds;
      return;
    }
    waited_ += now.seconds;
    if (now.delivering < std::min(wanted_, limit) && waited_ < kMaxWait) return;
    seconds_ += now.seconds;
    bytes_ += static_cast<double>(now.bytes);
    stuffed_ = stuffed_ || now.short_of_memory;
    if (seconds_ < std::max(kShortestTrial, kRoundTrips * latency) || bytes_ == 0) return;
    const double rate = bytes_ / seconds_;
    const bool stuffed = stuffed_;
    restart();
    if (stuffed || (wanted_ > base_ && rate < best_ * kWorthIt)) {
      wanted_ = base_;
      best_ = 0;
      pause_ = next_pause_ = next_pause_ == 0 ? kFirstPause : std::min(2 * next_pause_, kMaxPause);
      return;
    }
    best_ = rate;
    base_ = wanted_;
    wanted_ = std::clamp<std::size_t>(wanted_ * 2, 1, std::max<std::size_t>(1, limit));
  }

  /// The server pushed back (429, 503): half as many.
  void back_off() noexcept {
    wanted_ = std::max<std::size_t>(1, wanted_ / 2);
    base_ = wanted_;
    best_ = 0;
    restart();
  }

 private:
  void restart() noexcept {
    waited_ = seconds_ = bytes_ = 0;
    stuffed_ = false;
  }

  std::size_t wanted_;
  std::size_t base_;  // the number that best_ was measured with
  double best_ = 0;   // bytes per second
  double waited_ = 0, seconds_ = 0, bytes_ = 0;
  bool stuffed_ = false;
  double pause_ = 0, next_pause_ = 0;
};

}  // namespace stella::hub
