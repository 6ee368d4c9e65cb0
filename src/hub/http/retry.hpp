// When to ask again: exponential backoff with jitter, bounded in number and in time.
#pragma once

#include "hub/http/answer.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>

namespace stella::hub {

struct RetryPolicy {
  std::chrono::milliseconds first{500};             ///< Before the first retry; doubles with each.
  std::chrono::milliseconds longest{8'000};         ///< The doubling stops here.
  std::chrono::milliseconds longest_asked{60'000};  ///< Cap on what a server may ask for (Retry-After, RateLimit).
  int retries = 5;                                  ///< In a row without progress.
  int retries_unreachable = 2;                      ///< Where no connection could be made at all.
  int retries_in_all = 100;                         ///< For one file, whatever progress lies between.
};

/// Counts failures in a row and says how long to wait. Not thread-safe.
class Backoff {
 public:
  explicit Backoff(const RetryPolicy& policy) : policy_(policy) {}

  /// Counts a failure. The wait before the next try; nothing where there should be none.
  std::optional<std::chrono::milliseconds> next(const HttpFailure& failure);

  /// Bytes arrived: the count in a row starts again, and the count in all is eased by one for each 16 MiB.
  void progress(std::uint64_t bytes) noexcept;

 private:
  RetryPolicy policy_;
  int in_a_row_ = 0;
  int in_all_ = 0;
  std::uint64_t since_eased_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace stella::hub
