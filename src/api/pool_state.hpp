// What a ModelPool's handle, its thread, its requests and its models' memory share; like ModelCore it does not own the
// Runtime.
#pragma once

#include "api/callbacks.hpp"
#include "api/model_core.hpp"
#include "engine/memory_gate.hpp"
#include "engine/model_table.hpp"
#include "stella/pool.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace stella::api {

/// engine::ModelTable with a lock around it, a thread that does what it says, and what waits for that: loads for
/// memory, calls of unload() and drain(). Nothing that belongs to others, no completion and no model, is called or
/// destroyed under the lock. Thread-safe.
class PoolState : public std::enable_shared_from_this<PoolState> {
 public:
  using Id = engine::ModelTable::Id;
  using Admission = engine::ModelTable::Admission;
  using TimePoint = engine::ModelTable::TimePoint;

  /// Of the world outside; tests have others.
  struct Machine {
    std::function<TimePoint()> now;
    std::function<std::optional<std::uint64_t>()> available_memory;
  };

  PoolState(const PoolOptions& options, std::shared_ptr<Callbacks> callbacks);
  PoolState(const PoolState&) = delete;
  PoolState& operator=(const PoolState&) = delete;
  ~PoolState() = default;

  /// Throws Error(resource_limit).
  void start_thread();
  /// Ends all requests and the thread. By the handle, once, and not in a forked child.
  void shut_down();
  void set_machine(Machine machine);  // for tests; also makes the thread look again

  Id add(const std::string& name, const std::string& model, ModelOptions options, Runtime& runtime);
  /// Asks PoolOptions::on_unknown where the name is not known. Throws Error(invalid_argument).
  Id find(const std::string& name, Runtime& runtime);
  std::optional<Id> find(const std::string& name) const;
  std::shared_ptr<const ModelCore> core(Id id) const;

  /// As ModelTable's.
  Admission begin(Id id, bool loads);
  void end(const Admission& admission, const std::exception_ptr& error) noexcept;
  /// Stopped when requests are to be cut off.
  std::stop_token cut_off() const { return cut_off_.get_token(); }

  void unload(Id id, Completion<PoolMemory> done);
  void drain(TimePoint deadline, Completion<std::size_t> done);

  PoolHealth health() const;
  PoolCounters counters() const;
  PoolMemory memory() const;
  std::size_t waiting_loads() const;  // for memory that was not there when it was looked for

  const std::shared_ptr<Callbacks>& callbacks() const noexcept { return callbacks_; }

 private:
  class Gate;
  class Lease;
  using LeaseId = engine::ModelTable::LeaseId;
  using LeaseDone = Completion<std::shared_ptr<engine::MemoryLease>>;

  /// Requested: the load is no longer waited for.
  struct GiveUp {
    std::weak_ptr<PoolState> state;
    LeaseId lease;
    void operator()() const;
  };
  /// A load that waits for memory.
  struct Waiting {
    LeaseDone done;
    std::optional<std::stop_callback<GiveUp>> on_stop{};
  };
  struct Unloading {
    Id model = 0;
    LeaseId last = 0;  // of those whose memory it waits for
    Completion<PoolMemory> done;
  };
  struct Draining {
    TimePoint deadline;
    Completion<std::size_t> done;
  };
  /// What one turn of the thread has to do without the lock. Each job is gone as soon as it has run.
  struct Turn {
    std::vector<std::pair<LeaseId, std::shared_ptr<Waiting>>> granted{};
    std::vector<std::pair<std::shared_ptr<Waiting>, std::exception_ptr>> refused{};
    std::vector<std::shared_ptr<const ModelCore>> unload{};
    std::list<Unloading> unloaded{};
    std::list<Draining> drained{};
    std::vector<PoolEvent> events{};
    PoolMemory memory{};
    bool cut_off = false;
    std::optional<TimePoint> wake{};

    bool is_empty() const noexcept;
  };

  void reserve(Id id, engine::ModelPart part, const engine::LoadNeeds& needs, const std::stop_token& stop,
               LeaseDone done);
  void settle(LeaseId lease) noexcept;
  void release(LeaseId lease) noexcept;
  void give_up(LeaseId lease) noexcept;
  std::shared_ptr<Waiting> take_waiting(LeaseId lease) noexcept;  // under the lock

  void run();
  Turn next_turn();
  void collect_drained(Turn& turn, TimePoint now);
  void perform(Turn turn) noexcept;
  void report(const PoolEvent& event) const noexcept;
  void look_again() noexcept;

  const PoolOptions options_;
  const std::shared_ptr<Callbacks> callbacks_;
  std::stop_source cut_off_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Machine machine_;  // guarded by mutex_, as is the rest
  engine::ModelTable table_;
  std::vector<std::shared_ptr<const ModelCore>> cores_;  // by Id
  std::map<LeaseId, std::shared_ptr<Waiting>> waiting_;
  std::list<Unloading> unloading_;
  std::list<Draining> draining_;
  std::size_t cut_ = 0;  // requests, at a drain's deadline
  bool is_cut_off_ = false;
  bool is_let_go_ = false;  // of all models, by a drain
  bool look_again_ = false;
  bool is_timed_ = false;  // the thread wakes up by itself
  bool ending_ = false;
  std::thread thread_;  // the handle's alone
};

}  // namespace stella::api
