// The models of a pool: who is in memory, in use or waiting, and what is to be done about it.
#pragma once

#include "engine/circuit_breaker.hpp"
#include "engine/memory_budget.hpp"
#include "engine/memory_gate.hpp"
#include "stella/pool_status.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stella::engine {

struct TableRules {
  std::uint64_t memory_limit = 0;
  const char* memory_limit_name = "PoolOptions::memory_limit";
  bool count_mapped = true;
  std::chrono::nanoseconds idle_unload{};  // 0: never
  std::chrono::nanoseconds memory_wait{};
  std::size_t max_in_flight = 0;  // of one model
  std::size_t max_models = 0;
  BreakerRules breaker{};
};

/// Says what is to be done and does none of it: events go in, step() comes out. No threads, and the clock is the
/// caller's. Memory is granted before a load and counts until its lease is released, so that the budget is never
/// exceeded; models without requests are evicted, the least recently used first. Not thread-safe.
class ModelTable {
 public:
  using TimePoint = CircuitBreaker::TimePoint;
  using Id = std::size_t;
  using LeaseId = std::uint64_t;

  /// Of a request that was let in.
  struct Admission {
    Id model = 0;
    bool loads = false;
    CircuitBreaker::Ticket ticket{};
    TimePoint since{};
  };

  struct Step {
    std::vector<LeaseId> granted{};
    std::vector<std::pair<LeaseId, std::exception_ptr>> refused{};  // their leases are no more
    std::vector<Id> unload{};                                       // that are to let go of what they have loaded
    std::optional<TimePoint> wake{};                                // when the next step is due without another event
  };

  explicit ModelTable(const TableRules& rules) : rules_(rules), budget_(rules.memory_limit) {}

  /// Throws Error(already_registered | limit_exceeded).
  Id add(std::string name);
  std::optional<Id> find(std::string_view name) const;
  const std::string& name(Id id) const { return models_.at(id).name; }
  std::string names() const;

  /// A request begins; `loads` where it wants the whole model. Throws Error(unavailable | overloaded | shut_down).
  Admission begin(Id id, bool loads, TimePoint now);
  void end(const Admission& admission, const std::exception_ptr& error, TimePoint now) noexcept;

  /// A part wants to be loaded: a lease that waits until step() grants or refuses it. Throws Error(out_of_memory) where
  /// its needs can never be met.
  LeaseId ask(Id id, ModelPart part, const LoadNeeds& needs, TimePoint now);
  /// The part has been loaded.
  void settle(LeaseId lease) noexcept;
  /// The part has gone, was not loaded, or is not waited for any more.
  void release(LeaseId lease) noexcept;
  bool is_waiting(LeaseId lease) const noexcept;
  bool has_waiting() const noexcept;
  /// Leases that a step looked at and could not grant.
  std::size_t left_waiting() const noexcept;

  /// Lets go of the model: of what is loaded at the next step, of what is being loaded when it has been.
  void unload(Id id) { models_.at(id).unload_asked = true; }
  LeaseId last_lease() const noexcept { return next_lease_ - 1; }
  /// Whether that has been done, and whatever had asked for memory up to `last` has given it back.
  bool is_unloaded(Id id, LeaseId last) const;

  /// No further request is let in.
  void close() noexcept { closed_ = true; }

  /// What is to be done now. Throws std::bad_alloc, and has decided nothing then. `available`: bytes that the machine
  /// could give, where that is known.
  Step step(TimePoint now, std::optional<std::uint64_t> available);

  std::size_t in_flight() const noexcept { return in_flight_; }
  PoolMemory memory() const noexcept;
  PoolHealth health(TimePoint now) const;
  PoolCounters counters() const;
  bool has_events() const noexcept { return !events_.empty(); }
  /// What has happened since the last call.
  std::vector<PoolEvent> take_events() noexcept { return std::exchange(events_, {}); }

 private:
  enum class Phase : std::uint8_t { waiting, loading, loaded, leaving };
  struct Lease {
    Id model = 0;
    ModelPart part = ModelPart::encoder;
    LoadNeeds needs{};
    TimePoint asked{};
    Phase phase = Phase::waiting;
    bool left_waiting = false;  // by a step
    MemoryBudget::Grant grant{};
  };
  struct Entry {
    std::string name;
    CircuitBreaker breaker;
    std::size_t in_flight = 0;
    std::size_t loading_requests = 0;  // of them, those that want the whole model
    std::uint64_t last_use = 0;        // uses_ at that time
    TimePoint idle_since{};
    bool touched = false;  // asked for anything since the last unload
    bool unload_asked = false;
    std::string last_failure{};
    PoolCounters counters{};
  };

  /// Bytes of the budget, and of this process's own.
  struct Bytes {
    std::uint64_t counted = 0;
    std::uint64_t own = 0;
    Bytes& operator+=(const Bytes& more) noexcept;
    Bytes operator-(const Bytes& less) const noexcept;  // not below 0
  };

  Bytes bytes_of(const LoadNeeds& needs, Phase phase) const noexcept;
  /// Of the leases that hold memory and for which `matches` holds.
  template <class Matches>
  Bytes sum(Matches matches) const;
  bool holds(Id id, Phase phase, std::optional<ModelPart> part = {}) const noexcept;
  ModelState state_of(Id id) const noexcept;
  bool is_evictable(Id id) const noexcept;
  void let_go(Id id, PoolEvent::Kind why, Step& step) noexcept;
  void unload_what_is_due(TimePoint now, Step& step) noexcept;
  void serve_waiting(TimePoint now, std::optional<std::uint64_t> available, Step& step);
  void make_room(Bytes missing, Step& step) noexcept;
  std::optional<TimePoint> next_wake() const noexcept;
  std::exception_ptr no_room(const Lease& lease, const std::string& why, bool ever) const noexcept;
  void count_outcome(Entry& entry, const Admission& admission, const std::exception_ptr& error, TimePoint now);
  void note(PoolEvent::Kind kind, Id id) noexcept;

  const TableRules rules_;
  MemoryBudget budget_;
  std::deque<Entry> models_;         // by Id
  std::map<LeaseId, Lease> leases_;  // in the order in which they asked
  LeaseId next_lease_ = 1;
  std::size_t in_flight_ = 0;
  std::uint64_t uses_ = 0;
  bool closed_ = false;
  std::vector<PoolEvent> events_;
};

}  // namespace stella::engine
