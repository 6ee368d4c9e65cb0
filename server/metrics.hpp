// Counters in Prometheus' text format, under TEI's names and our own. All are there from the start, at zero.
#pragma once

#include "stella/pass_counters.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace stella::server {

/// Thread-safe; reads are not of one moment.
class Histogram {
 public:
  static constexpr std::size_t kMaxBuckets = 36;

  /// Bucket i ends at first * factor^i.
  Histogram(double first, double factor, std::size_t buckets);
  void observe(double value) noexcept;
  void append(std::string& out, std::string_view name) const;

 private:
  std::array<double, kMaxBuckets> ends_{};
  std::size_t buckets_;
  std::array<std::atomic<std::uint64_t>, kMaxBuckets + 1> counts_{};  ///< Each of its own bucket; the last is +Inf's.
  std::atomic<double> sum_{0};
};

/// What one request took.
struct Timing {
  std::chrono::nanoseconds total{};
  std::chrono::nanoseconds tokenizing{};
  std::chrono::nanoseconds queued{};
  std::chrono::nanoseconds computing{};
};

class Metrics {
 public:
  enum class Failure : std::uint8_t {
    validation,
    batch_size,
    overloaded,
    tokenization,
    inference,
    model_type,
    dropped
  };

  void count_request(bool batch, std::size_t texts) noexcept {
    ++requests_.at(batch ? 1 : 0);
    embeds_ += texts;
  }
  void count_failure(Failure failure) noexcept { ++failures_.at(static_cast<std::size_t>(failure)); }
  void count_success(bool batch, std::size_t texts, const Timing& timing) noexcept;
  void count_length(std::size_t tokens) noexcept { lengths_.observe(static_cast<double>(tokens)); }

  /// Of texts by what they were embedded with.
  struct Labels {
    std::string model;
    std::string dimension;
    std::string precision;
  };
  /// From now on they are there, at zero.
  void declare(const Labels& labels);
  void count_texts(const Labels& labels, std::size_t texts, std::size_t tokens);
  void count_queue(bool bulk) noexcept { ++by_queue_.at(bulk ? 1 : 0); }

  /// `queue`: texts that are under way.
  std::string text(std::size_t queue, const PassCounters& passes = {}) const;

 private:
  struct Durations {
    Durations()
        : all(kFirst, kFactor, kBuckets),
          tokenization(kFirst, kFactor, kBuckets),
          queue(kFirst, kFactor, kBuckets),
          inference(kFirst, kFactor, kBuckets) {}
    static constexpr double kFirst = 1e-5;
    static constexpr double kFactor = 1.5;
    static constexpr std::size_t kBuckets = 35;
    void observe(const Timing& timing) noexcept;
    void append(std::string& out, const std::string& prefix) const;
    Histogram all, tokenization, queue, inference;
  };

  struct Work {
    std::uint64_t texts = 0;
    std::uint64_t tokens = 0;
  };
  void append_own(std::string& out) const;

  std::array<std::atomic<std::uint64_t>, 2> by_queue_{};  ///< Interactive, bulk.
  mutable std::mutex mutex_{};
  std::map<std::string, Work> by_labels_{};  // guarded by mutex_

  std::array<std::atomic<std::uint64_t>, 2> requests_{};  ///< Single, batch.
  std::array<std::atomic<std::uint64_t>, 2> successes_{};
  std::array<std::atomic<std::uint64_t>, 7> failures_{};
  std::atomic<std::uint64_t> embeds_{0};  ///< Texts.
  std::atomic<std::uint64_t> embedded_{0};
  Durations request_{};
  Durations embed_{};
  Histogram lengths_{1, 2, 16};
};

}  // namespace stella::server
