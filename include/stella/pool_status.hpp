// What a ModelPool says of itself. Plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace stella {

enum class ModelState : std::uint8_t {
  absent,     ///< Not in memory; the next request loads it.
  loading,    ///< Being fetched or loaded, or waiting for memory.
  ready,      ///< In memory.
  unloading,  ///< Let go of; requests that run keep it until they are over.
};

enum class BreakerState : std::uint8_t {
  closed,     ///< Requests are let through.
  open,       ///< The model has failed several times in a row: requests fail at once with Error(unavailable).
  half_open,  ///< A few requests are let through, to see whether it works again.
};

/// Of the budget: from 50, 70 and 85 % on.
enum class MemoryPressure : std::uint8_t { low, moderate, high, critical };

const char* to_string(ModelState state) noexcept;
const char* to_string(BreakerState state) noexcept;
const char* to_string(MemoryPressure pressure) noexcept;

/// Bytes. What a load under way may come to take counts from its beginning.
struct PoolMemory {
  std::uint64_t limit = 0;
  std::uint64_t used = 0;           ///< Of the limit; never more than that.
  std::uint64_t peak = 0;           ///< The most that was used at one time.
  std::uint64_t private_bytes = 0;  ///< This process's own.
  std::uint64_t mapped_bytes = 0;   ///< Of mapped files; in `used` unless PoolOptions::count_mapped is off.

  MemoryPressure pressure() const noexcept;
};

/// Since the pool was made, of one model or of all.
struct PoolCounters {
  std::uint64_t requests = 0;            ///< All that were made, those that were turned away included.
  std::uint64_t successes = 0;           ///<
  std::uint64_t errors = 0;              ///< Requests that failed, but for the next three.
  std::uint64_t timeouts = 0;            ///< Error(deadline_exceeded).
  std::uint64_t cancelled = 0;           ///<
  std::uint64_t rejected = 0;            ///< Turned away at once: the breaker was open, or too many were waiting.
  std::uint64_t loads = 0;               ///< Of the model; heads, which are small, do not count.
  std::uint64_t failed_loads = 0;        ///< That had begun.
  std::uint64_t refused_loads = 0;       ///< For want of memory, those of heads too.
  std::uint64_t evictions = 0;           ///< To make room for another model.
  std::uint64_t idle_unloads = 0;        ///< Because nobody had asked for long.
  std::uint64_t unloads = 0;             ///< unload().
  std::chrono::nanoseconds answering{};  ///< From each request to its answer, summed up over the successes.
};

struct ModelStatus {
  std::string name{};
  ModelState state = ModelState::absent;
  BreakerState breaker = BreakerState::closed;
  std::chrono::nanoseconds rest{};  ///< While the breaker is open: how long it still will be.
  std::string last_failure{};       ///< What the breaker counted last, in one line.
  std::size_t in_flight = 0;        ///< Requests that have no answer yet.
  std::chrono::nanoseconds idle{};  ///< Since the last request was answered; 0 while one is in flight.
  std::uint64_t private_bytes = 0;  ///< As in PoolMemory.
  std::uint64_t mapped_bytes = 0;
  PoolCounters counters{};
};

struct PoolHealth {
  bool accepting = true;  ///< Not draining.
  MemoryPressure pressure = MemoryPressure::low;
  PoolMemory memory{};
  std::size_t in_flight = 0;
  std::vector<ModelStatus> models{};  ///< In the order in which they were added.
};

/// A change in the pool, with its memory at that very moment.
struct PoolEvent {
  enum class Kind : std::uint8_t {
    reserved,       ///< Memory for a load was granted.
    loaded,         ///< A load is over, and what only it needed was given back.
    released,       ///< Memory was given back.
    refused,        ///< A load was refused for want of memory.
    evicted,        ///< Let go of to make room for another model; `released` follows.
    idle_unloaded,  ///< Let go of because nobody had asked for long.
    unloaded,       ///< Let go of because of unload().
    opened,         ///< The circuit breaker opened.
    closed,         ///< It closed.
  };
  Kind kind = Kind::reserved;
  std::string model{};
  PoolMemory memory{};
};

const char* to_string(PoolEvent::Kind kind) noexcept;

}  // namespace stella
