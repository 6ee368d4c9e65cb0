// How many connections a transfer should have: more as long as more is faster. Pure: fed with samples.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace stella::hub {

/// Doubles the number of connections while each doubling brings at least a quarter more throughput; goes back where it
/// brought nothing; tries again after a while, because networks change.
class Throughput {
 public:
  explicit Throughput(std::size_t first) : wanted_(std::max<std::size_t>(1, first)), base_(wanted_) {}

  std::size_t wanted() const noexcept { return wanted_; }

  /// `bytes` arrived in `seconds` over `open` connections, of at most `limit`.
  void sample(std::uint64_t bytes, double seconds, std::size_t open, std::size_t limit) {
    constexpr double kWorthIt = 1.25;
    constexpr int kSettle = 1;  // samples after a change that still show the old number
    constexpr int kTrial = 2;   // samples that are averaged
    constexpr int kPause = 50;  // samples until the next trial after one that failed
    if (seconds <= 0 || open == 0) return;
    if (pause_ > 0) {
      --pause_;
      return;
    }
    if (++samples_ <= kSettle) return;
    sum_ += static_cast<double>(bytes) / seconds;
    if (samples_ < kSettle + kTrial) return;
    const double rate = sum_ / kTrial;
    restart();
    const bool grew = wanted_ > base_;
    if (grew && rate < best_ * kWorthIt) {
      wanted_ = base_;
      pause_ = kPause;
      best_ = 0;
      return;
    }
    best_ = rate;
    base_ = wanted_;
    if (open >= wanted_) wanted_ = std::min(std::max<std::size_t>(1, limit), wanted_ * 2);
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
    samples_ = 0;
    sum_ = 0;
  }

  std::size_t wanted_;
  std::size_t base_;  // the number that best_ was measured with
  double best_ = 0;   // bytes per second
  double sum_ = 0;
  int samples_ = 0;
  int pause_ = 0;
};

}  // namespace stella::hub
