#include "api/pool_state.hpp"

#include "base/cgroup.hpp"
#include "base/log.hpp"
#include "base/thread.hpp"
#include "base/typed_error.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <new>
#include <utility>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace stella::api {
namespace {

using engine::LoadNeeds;
using engine::MemoryLease;
using engine::ModelPart;

/// While a load waits for what others on this machine may give back.
constexpr std::chrono::seconds kLookAgain{1};

engine::TableRules rules_of(const PoolOptions& options) {
  return {
      .memory_limit = options.memory_limit,
      .memory_limit_name = options.memory_limit_name,
      .count_mapped = options.count_mapped,
      .idle_unload = options.idle_unload,
      .memory_wait = options.memory_wait,
      .max_in_flight = options.max_in_flight,
      .max_models = options.max_models,
      .breaker = {
          .failures = options.breaker_failures, .rest = options.breaker_rest, .successes = options.breaker_successes}};
}

/// What the allocator keeps of small pieces goes back to the system too.
void trim_heap() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

/// One that cannot even be told keeps nobody else waiting.
template <class T, class Value>
void tell(Completion<T>& done, std::exception_ptr error, Value&& value) noexcept {
  try {
    done(std::move(error), std::forward<Value>(value));
  } catch (...) {  // NOLINT(bugprone-empty-catch): its completion was dropped, and so knows
  }
}

/// What has been decided has to be done, sooner or later.
void let_go(const ModelCore& core) noexcept {
  while (true) {
    try {
      return core.model->parts().let_go();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

std::exception_ptr shut_down_error() {
  return make_error(Errc::shut_down, "the pool of models has been destroyed");
}

}  // namespace

/// Asks the pool on behalf of one model.
class PoolState::Gate final : public engine::MemoryGate {
 public:
  explicit Gate(std::weak_ptr<PoolState> state) : state_(std::move(state)) {}

  void reserve(ModelPart part, const LoadNeeds& needs, const std::stop_token& stop, LeaseDone done) override {
    const auto state = state_.lock();
    if (!state) return done(shut_down_error(), nullptr);
    try {
      state->reserve(model, part, needs, stop, std::move(done));
    } catch (...) {
      if (done) done(typed_error(std::current_exception()), nullptr);
    }
  }

  Id model = 0;  // before the first request

 private:
  const std::weak_ptr<PoolState> state_;
};

class PoolState::Lease final : public MemoryLease {
 public:
  Lease(std::weak_ptr<PoolState> state, LeaseId id) : state_(std::move(state)), id_(id) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() override {
    if (const auto state = state_.lock()) state->release(id_);
  }
  void settle() noexcept override {
    if (const auto state = state_.lock()) state->settle(id_);
  }

 private:
  const std::weak_ptr<PoolState> state_;
  const LeaseId id_;
};

PoolState::PoolState(const PoolOptions& options, std::shared_ptr<Callbacks> callbacks)
    : options_(options),
      callbacks_(std::move(callbacks)),
      machine_{[] { return std::chrono::steady_clock::now(); }, [] { return available_memory(); }},
      table_(rules_of(options)) {}

void PoolState::start_thread() {
  thread_ = stella::start_thread("stella-pool", [state = shared_from_this()] { state->run(); });
}

void PoolState::shut_down() {
  std::list<Unloading> unloading;
  std::list<Draining> draining;
  {
    const std::lock_guard lock(mutex_);
    table_.close();
    ending_ = true;
    unloading.swap(unloading_);
    draining.swap(draining_);
  }
  wake_.notify_all();
  cut_off_.request_stop();
  for (Unloading& one : unloading) tell(one.done, shut_down_error(), PoolMemory{});
  for (Draining& one : draining) tell(one.done, shut_down_error(), std::size_t{0});
  if (thread_.get_id() == std::this_thread::get_id()) return thread_.detach();
  thread_.join();
}

void PoolState::set_machine(Machine machine) {
  {
    const std::lock_guard lock(mutex_);
    machine_ = std::move(machine);
  }
  look_again();
}

PoolState::Id PoolState::add(const std::string& name, const std::string& model, ModelOptions options,
                             Runtime& runtime) {
  if (!options.hub) options.hub = HubOptions::from_environment();
  const auto gate = std::make_shared<Gate>(weak_from_this());
  auto core = std::make_shared<const ModelCore>(model, options, runtime, gate);
  const std::lock_guard lock(mutex_);
  cores_.reserve(cores_.size() + 1);
  gate->model = table_.add(name);
  cores_.push_back(std::move(core));
  return gate->model;
}

PoolState::Id PoolState::find(const std::string& name, Runtime& runtime) {
  if (const auto id = find(name)) return *id;
  std::optional<ModelOptions> options;
  if (options_.on_unknown) options = options_.on_unknown(name);
  if (!options) {
    const std::lock_guard lock(mutex_);
    throw Error(Errc::invalid_argument, "there is no model '" + name + "' here; there are: " + table_.names());
  }
  try {
    return add(name, name, *std::move(options), runtime);
  } catch (const Error& error) {
    const auto id = error.errc() == Errc::already_registered ? find(name) : std::nullopt;
    if (!id) throw;
    return *id;  // somebody else was faster
  }
}

std::optional<PoolState::Id> PoolState::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return table_.find(name);
}

std::shared_ptr<const ModelCore> PoolState::core(Id id) const {
  const std::lock_guard lock(mutex_);
  return cores_.at(id);
}

PoolState::Admission PoolState::begin(Id id, bool loads) {
  const std::lock_guard lock(mutex_);
  return table_.begin(id, loads, machine_.now());
}

void PoolState::end(const Admission& admission, const std::exception_ptr& error) noexcept {
  {
    const std::lock_guard lock(mutex_);
    table_.end(admission, error, machine_.now());
    if (is_timed_ && !table_.has_waiting() && !table_.has_events() && draining_.empty()) return;
  }
  look_again();
}

void PoolState::unload(Id id, Completion<PoolMemory> done) {
  std::list<Unloading> node;
  node.push_back({.model = id, .done = std::move(done)});
  {
    const std::lock_guard lock(mutex_);
    node.front().last = table_.last_lease();
    table_.unload(id);
    unloading_.splice(unloading_.end(), node);
  }
  look_again();
}

void PoolState::drain(TimePoint deadline, Completion<std::size_t> done) {
  std::list<Draining> node;
  node.push_back({.deadline = deadline, .done = std::move(done)});
  {
    const std::lock_guard lock(mutex_);
    table_.close();
    draining_.splice(draining_.end(), node);
  }
  look_again();
}

PoolHealth PoolState::health() const {
  const std::lock_guard lock(mutex_);
  return table_.health(machine_.now());
}

PoolCounters PoolState::counters() const {
  const std::lock_guard lock(mutex_);
  return table_.counters();
}

PoolMemory PoolState::memory() const {
  const std::lock_guard lock(mutex_);
  return table_.memory();
}

std::size_t PoolState::waiting_loads() const {
  const std::lock_guard lock(mutex_);
  return table_.left_waiting();
}

void PoolState::reserve(Id id, ModelPart part, const LoadNeeds& needs, const std::stop_token& stop, LeaseDone done) {
  const auto waiting = std::make_shared<Waiting>();
  waiting->done = std::move(done);
  LeaseId lease = 0;
  std::exception_ptr error;
  {
    const std::lock_guard lock(mutex_);
    try {
      lease = table_.ask(id, part, needs, machine_.now());
      waiting_.emplace(lease, waiting);
    } catch (...) {
      error = typed_error(std::current_exception());
      if (lease != 0) table_.release(lease);
    }
  }
  look_again();
  if (error) return waiting->done(std::move(error), nullptr);
  waiting->on_stop.emplace(stop, GiveUp{weak_from_this(), lease});
}

void PoolState::settle(LeaseId lease) noexcept {
  {
    const std::lock_guard lock(mutex_);
    table_.settle(lease);
  }
  look_again();
}

void PoolState::release(LeaseId lease) noexcept {
  {
    const std::lock_guard lock(mutex_);
    table_.release(lease);
  }
  look_again();
}

void PoolState::GiveUp::operator()() const {
  const LeaseId id = lease;  // give_up() may destroy this
  if (const auto owner = state.lock()) owner->give_up(id);
}

void PoolState::give_up(LeaseId lease) noexcept {
  std::shared_ptr<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting = take_waiting(lease);
    if (waiting) table_.release(lease);
  }
  if (!waiting) return;
  look_again();
  tell(waiting->done, make_error(Errc::cancelled, "cancelled while the model waited for memory"), nullptr);
}

std::shared_ptr<PoolState::Waiting> PoolState::take_waiting(LeaseId lease) noexcept {
  auto node = waiting_.extract(lease);
  return node ? std::move(node.mapped()) : nullptr;
}

void PoolState::look_again() noexcept {
  {
    const std::lock_guard lock(mutex_);
    look_again_ = true;
  }
  wake_.notify_one();
}

void PoolState::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    look_again_ = false;
    std::optional<Turn> turn;
    try {
      turn = next_turn();
    } catch (const std::bad_alloc&) {  // nothing has been decided yet
    }
    if (turn && !turn->is_empty()) {
      lock.unlock();
      perform(*std::move(turn));
      lock.lock();
      continue;
    }
    if (ending_) return;
    const auto now = machine_.now();
    auto wake = turn ? turn->wake : std::optional(now + kLookAgain);
    if (table_.has_waiting()) wake = wake ? std::min(*wake, now + kLookAgain) : now + kLookAgain;
    is_timed_ = wake.has_value();
    const auto called = [this] { return look_again_ || ending_; };
    if (wake) {
      wake_.wait_for(lock, std::max(*wake - now, TimePoint::duration::zero()), called);
    } else {
      wake_.wait(lock, called);
    }
    is_timed_ = false;
  }
}

bool PoolState::Turn::is_empty() const noexcept {
  return granted.empty() && refused.empty() && unload.empty() && unloaded.empty() && drained.empty() &&
         events.empty() && !cut_off;
}

/// What is to be done now. Throws std::bad_alloc before anything has been decided.
PoolState::Turn PoolState::next_turn() {
  Turn turn;
  turn.granted.reserve(waiting_.size());
  turn.refused.reserve(waiting_.size());
  turn.unload.reserve(cores_.size());
  const TimePoint now = machine_.now();
  collect_drained(turn, now);
  const auto available = table_.has_waiting() ? machine_.available_memory() : std::nullopt;
  engine::ModelTable::Step step = table_.step(now, available);
  for (const LeaseId lease : step.granted) turn.granted.emplace_back(lease, take_waiting(lease));
  for (auto& [lease, why] : step.refused) turn.refused.emplace_back(take_waiting(lease), std::move(why));
  for (const Id id : step.unload) turn.unload.push_back(cores_[id]);
  for (auto at = unloading_.begin(); at != unloading_.end();) {
    const auto here = at++;
    if (table_.is_unloaded(here->model, here->last)) {
      turn.unloaded.splice(turn.unloaded.end(), unloading_, here);
    }
  }
  turn.memory = table_.memory();
  turn.events = table_.take_events();
  turn.wake = step.wake;
  for (const Draining& one : draining_) {
    if (!is_cut_off_) turn.wake = turn.wake ? std::min(*turn.wake, one.deadline) : one.deadline;
  }
  return turn;
}

void PoolState::collect_drained(Turn& turn, TimePoint now) {
  if (draining_.empty()) return;
  if (table_.in_flight() != 0) {
    const bool due =
        std::any_of(draining_.begin(), draining_.end(), [&](const Draining& one) { return one.deadline <= now; });
    if (!due || is_cut_off_) return;
    is_cut_off_ = true;
    cut_ = table_.in_flight();
    turn.cut_off = true;
    return;
  }
  bool gone = true;
  for (Id id = 0; id < cores_.size(); ++id) {
    if (!is_let_go_) table_.unload(id);
    gone = gone && table_.is_unloaded(id, table_.last_lease());
  }
  is_let_go_ = true;
  // What a load that was cut off still holds is not waited for.
  if (gone || is_cut_off_) turn.drained.splice(turn.drained.end(), draining_);
}

void PoolState::perform(Turn turn) noexcept {
  if (turn.cut_off) cut_off_.request_stop();
  for (auto& [lease, waiting] : turn.granted) {
    std::shared_ptr<Lease> granted;
    try {
      granted = std::make_shared<Lease>(weak_from_this(), lease);
    } catch (...) {
      release(lease);
    }
    tell(waiting->done, granted ? nullptr : out_of_memory_error(), std::move(granted));
  }
  for (auto& [waiting, why] : turn.refused) tell(waiting->done, std::move(why), nullptr);
  turn.granted.clear();
  turn.refused.clear();
  for (const auto& core : turn.unload) let_go(*core);
  const auto is_release = [](const PoolEvent& event) { return event.kind == PoolEvent::Kind::released; };
  if (std::any_of(turn.events.begin(), turn.events.end(), is_release)) trim_heap();
  for (const PoolEvent& event : turn.events) report(event);
  for (; !turn.unloaded.empty(); turn.unloaded.pop_front()) tell(turn.unloaded.front().done, nullptr, turn.memory);
  for (; !turn.drained.empty(); turn.drained.pop_front()) tell(turn.drained.front().done, nullptr, cut_);
}

void PoolState::report(const PoolEvent& event) const noexcept {
  try {
    log(LogLevel::debug, "pool: model '" + event.model + "': " + to_string(event.kind) + "; " +
                             std::to_string(event.memory.used) + " of " + std::to_string(event.memory.limit) +
                             " bytes used");
    if (options_.on_event) options_.on_event(event);
  } catch (const std::bad_alloc&) {  // for the remark, or in the handler: nothing can be said of it
  } catch (const std::exception& error) {
    log(LogLevel::error, std::string("PoolOptions::on_event threw: ") + error.what());
  } catch (...) {
    log(LogLevel::error, "PoolOptions::on_event threw");
  }
}

}  // namespace stella::api
