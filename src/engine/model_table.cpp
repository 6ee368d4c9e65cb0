#include "engine/model_table.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <new>

namespace stella::engine {
namespace {

using Outcome = CircuitBreaker::Outcome;
using Kind = PoolEvent::Kind;

std::string seconds(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

/// What an answer says of the model. Wrong input, and what the machine lacks, are not its failures; a fixed limit is
/// the text's once the model has been loaded.
Outcome outcome_of(Errc code, bool loaded) {
  if (is_input_error(code)) return Outcome::neither;
  switch (code) {
    case Errc::cancelled:
    case Errc::shut_down:
    case Errc::deadline_exceeded:
    case Errc::overloaded:
    case Errc::out_of_memory:
    case Errc::resource_limit:
      return Outcome::neither;
    case Errc::limit_exceeded:
      return loaded ? Outcome::neither : Outcome::failure;
    default:
      return Outcome::failure;
  }
}

BreakerState to_public(CircuitBreaker::State state) {
  switch (state) {
    case CircuitBreaker::State::open:
      return BreakerState::open;
    case CircuitBreaker::State::half_open:
      return BreakerState::half_open;
    case CircuitBreaker::State::closed:
      break;
  }
  return BreakerState::closed;
}

void add(PoolCounters& sum, const PoolCounters& one) {
  sum.requests += one.requests;
  sum.successes += one.successes;
  sum.errors += one.errors;
  sum.timeouts += one.timeouts;
  sum.cancelled += one.cancelled;
  sum.rejected += one.rejected;
  sum.loads += one.loads;
  sum.failed_loads += one.failed_loads;
  sum.refused_loads += one.refused_loads;
  sum.evictions += one.evictions;
  sum.idle_unloads += one.idle_unloads;
  sum.unloads += one.unloads;
  sum.answering += one.answering;
}

}  // namespace

ModelTable::Id ModelTable::add(std::string name) {
  if (find(name)) {
    throw Error(Errc::already_registered, "the pool has a model '" + name + "' already; choose another name");
  }
  if (models_.size() >= rules_.max_models) {
    throw Error(Errc::limit_exceeded, "the pool knows " + std::to_string(models_.size()) +
                                          " models already, and no more are possible (PoolOptions::max_models)");
  }
  models_.push_back({.name = std::move(name), .breaker = CircuitBreaker(rules_.breaker)});
  return models_.size() - 1;
}

std::optional<ModelTable::Id> ModelTable::find(std::string_view name) const {
  for (Id id = 0; id < models_.size(); ++id) {
    if (models_[id].name == name) return id;
  }
  return std::nullopt;
}

std::string ModelTable::names() const {
  std::string names;
  for (const Entry& entry : models_) names += (names.empty() ? "" : ", ") + entry.name;
  return names;
}

ModelTable::Admission ModelTable::begin(Id id, bool loads, TimePoint now) {
  Entry& entry = models_.at(id);
  ++entry.counters.requests;
  const auto reject = [&](Errc code, const std::string& why) {
    ++entry.counters.rejected;
    throw Error(code, why);
  };
  if (closed_) reject(Errc::shut_down, "the pool of models is being drained and takes no more requests");
  if (entry.in_flight >= rules_.max_in_flight) {
    reject(Errc::overloaded, std::to_string(entry.in_flight) + " requests wait for model '" + entry.name +
                                 "' already (PoolOptions::max_in_flight); try again later");
  }
  const auto ticket = entry.breaker.admit(now);
  if (!ticket) {
    const auto rest = std::max(entry.breaker.open_until() - now, CircuitBreaker::TimePoint::duration::zero());
    reject(Errc::unavailable, "model '" + entry.name + "' has failed several times in a row; it is tried again in " +
                                  seconds(rest) + ". It failed with: " + entry.last_failure);
  }
  ++entry.in_flight;
  ++in_flight_;
  if (loads) ++entry.loading_requests;
  entry.last_use = ++uses_;
  entry.touched = true;
  return {.model = id, .loads = loads, .ticket = *ticket, .since = now};
}

void ModelTable::end(const Admission& admission, const std::exception_ptr& error, TimePoint now) noexcept {
  Entry& entry = models_[admission.model];
  const auto before = entry.breaker.state(now);
  try {
    count_outcome(entry, admission, error, now);
  } catch (...) {  // NOLINT(bugprone-empty-catch): the last failure's text, for which there is no memory
  }
  --entry.in_flight;
  --in_flight_;
  if (admission.loads) --entry.loading_requests;
  entry.last_use = ++uses_;
  if (entry.in_flight == 0) entry.idle_since = now;
  const auto after = entry.breaker.state(now);
  if (after == before || after == CircuitBreaker::State::half_open) return;
  note(after == CircuitBreaker::State::open ? Kind::opened : Kind::closed, admission.model);
}

void ModelTable::count_outcome(Entry& entry, const Admission& admission, const std::exception_ptr& error,
                               TimePoint now) {
  if (!error) {
    ++entry.counters.successes;
    entry.counters.answering += now - admission.since;
    // That its small files can be read does not say that the model works.
    entry.breaker.settle(admission.ticket, admission.loads ? Outcome::success : Outcome::neither, now);
    return;
  }
  Outcome outcome = Outcome::failure;
  std::uint64_t PoolCounters::*counter = &PoolCounters::errors;
  std::string why = "an error that is none of this library's";
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    outcome = outcome_of(e.errc(), state_of(admission.model) == ModelState::ready);
    if (e.errc() == Errc::deadline_exceeded) counter = &PoolCounters::timeouts;
    if (e.errc() == Errc::cancelled || e.errc() == Errc::shut_down) counter = &PoolCounters::cancelled;
    if (outcome == Outcome::failure) why = e.what();
  } catch (const std::bad_alloc&) {
    outcome = Outcome::neither;
  } catch (const std::exception& e) {
    why = e.what();
  } catch (...) {  // NOLINT(bugprone-empty-catch): counted all the same
  }
  ++(entry.counters.*counter);
  entry.breaker.settle(admission.ticket, outcome, now);
  if (outcome == Outcome::failure) entry.last_failure = std::move(why);
}

bool ModelTable::holds(Id id, Phase phase, std::optional<ModelPart> part) const noexcept {
  return std::any_of(leases_.begin(), leases_.end(), [&](const auto& lease) {
    return lease.second.model == id && lease.second.phase == phase && (!part || lease.second.part == *part);
  });
}

ModelState ModelTable::state_of(Id id) const noexcept {
  if (holds(id, Phase::loaded, ModelPart::encoder)) return ModelState::ready;
  if (holds(id, Phase::waiting) || holds(id, Phase::loading)) return ModelState::loading;
  if (holds(id, Phase::leaving)) return ModelState::unloading;
  return models_[id].loading_requests != 0 ? ModelState::loading : ModelState::absent;
}

PoolMemory ModelTable::memory() const noexcept {
  PoolMemory memory{.limit = budget_.limit(), .used = budget_.granted(), .peak = budget_.peak()};
  for (const auto& [id, lease] : leases_) {
    if (lease.phase == Phase::waiting) continue;
    memory.private_bytes += bytes_of(lease.needs, lease.phase).own;
    memory.mapped_bytes += lease.needs.mapped_bytes;
  }
  return memory;
}

PoolHealth ModelTable::health(TimePoint now) const {
  PoolHealth health{.accepting = !closed_, .memory = memory(), .in_flight = in_flight_};
  health.pressure = health.memory.pressure();
  for (Id id = 0; id < models_.size(); ++id) {
    const Entry& entry = models_[id];
    ModelStatus status{.name = entry.name,
                       .state = state_of(id),
                       .breaker = to_public(entry.breaker.state(now)),
                       .last_failure = entry.last_failure,
                       .in_flight = entry.in_flight,
                       .counters = entry.counters};
    if (status.breaker == BreakerState::open) status.rest = entry.breaker.open_until() - now;
    if (entry.in_flight == 0 && entry.counters.requests != 0) status.idle = now - entry.idle_since;
    for (const auto& [lease_id, lease] : leases_) {
      if (lease.model != id || lease.phase == Phase::waiting) continue;
      status.private_bytes += bytes_of(lease.needs, lease.phase).own;
      status.mapped_bytes += lease.needs.mapped_bytes;
    }
    health.models.push_back(std::move(status));
  }
  return health;
}

PoolCounters ModelTable::counters() const {
  PoolCounters sum;
  for (const Entry& entry : models_) engine::add(sum, entry.counters);
  return sum;
}

void ModelTable::note(PoolEvent::Kind kind, Id id) noexcept {
  try {
    events_.push_back({kind, models_[id].name, memory()});
  } catch (...) {  // NOLINT(bugprone-empty-catch): a remark, for which there is no memory
  }
}

}  // namespace stella::engine
