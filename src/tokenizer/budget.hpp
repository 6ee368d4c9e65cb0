// What the encoding of one text may cost.
#pragma once

#include "stella/error.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace stella::tokenizer {

/// Counts steps whose number a checkpoint's patterns decide, and looks now and then whether the caller still waits.
class Budget {
 public:
  /// Patterns of published tokenizers take fewer than ten steps for a byte.
  static constexpr std::uint64_t kStepsPerByte = 50;
  static constexpr std::uint64_t kLeastSteps = 1'000'000;

  explicit Budget(std::size_t text_bytes, const std::atomic<bool>* cancelled = nullptr) noexcept
      : text_bytes_(text_bytes), left_(kLeastSteps + kStepsPerByte * text_bytes), cancelled_(cancelled) {}

  /// Whether the work may go on.
  bool spend(std::uint64_t steps) noexcept {
    if (steps > left_) {
      left_ = 0;
      return false;
    }
    left_ -= steps;
    return !looks_cancelled();
  }
  /// Throws Error(cancelled), and Error(limit_exceeded) naming `component` where spend() said no.
  void check(const char* component) {
    if (!looks_cancelled() && left_ != 0) return;
    if (left_ != 0) throw Error(Errc::cancelled, "cancelled");
    throw Error(Errc::limit_exceeded, std::string(component) + " of tokenizer.json takes more than " +
                                          std::to_string(kLeastSteps + kStepsPerByte * text_bytes_) +
                                          " steps on a text of " + std::to_string(text_bytes_) +
                                          " bytes; shorten the text or use another checkpoint");
  }

 private:
  bool looks_cancelled() noexcept {
    if (cancelled_ == nullptr || (!seen_ && ++calls_ % kEvery != 0)) return false;
    seen_ = cancelled_->load(std::memory_order_relaxed);
    return seen_;
  }

  static constexpr std::uint32_t kEvery = 64;
  std::size_t text_bytes_;
  std::uint64_t left_;
  const std::atomic<bool>* cancelled_;
  std::uint32_t calls_ = 0;
  bool seen_ = false;  // cancelled_ was true
};

}  // namespace stella::tokenizer
