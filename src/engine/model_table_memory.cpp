// The part of the table that gives and takes memory.
#include "base/typed_error.hpp"
#include "engine/model_table.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <limits>

namespace stella::engine {
namespace {

using Kind = PoolEvent::Kind;

std::string amount(std::uint64_t bytes) {
  constexpr std::uint64_t kInKiB = std::uint64_t{100} << 20U;
  const unsigned shift = bytes < kInKiB ? 10 : 20;
  return std::to_string((bytes + (std::uint64_t{1} << shift) - 1) >> shift) + (shift == 10 ? " KiB" : " MiB");
}

std::string seconds(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

ModelTable::Bytes& ModelTable::Bytes::operator+=(const Bytes& more) noexcept {
  counted += more.counted;
  own += more.own;
  return *this;
}

ModelTable::Bytes ModelTable::Bytes::operator-(const Bytes& less) const noexcept {
  return {counted - std::min(counted, less.counted), own - std::min(own, less.own)};
}

ModelTable::Bytes ModelTable::bytes_of(const LoadNeeds& needs, Phase phase) const noexcept {
  const bool loaded = phase == Phase::loaded || phase == Phase::leaving;
  const std::uint64_t own = loaded ? needs.private_bytes_after : needs.private_bytes_peak;
  const std::uint64_t mapped = rules_.count_mapped ? needs.mapped_bytes : 0;
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  return {own > kMax - mapped ? kMax : own + mapped, own};
}

template <class Matches>
ModelTable::Bytes ModelTable::sum(Matches matches) const {
  Bytes bytes;
  for (const auto& [id, lease] : leases_) {
    if (lease.phase != Phase::waiting && matches(lease)) bytes += bytes_of(lease.needs, lease.phase);
  }
  return bytes;
}

ModelTable::LeaseId ModelTable::ask(Id id, ModelPart part, const LoadNeeds& needs, TimePoint now) {
  Lease lease{.model = id, .part = part, .needs = needs, .asked = now};
  // A head stands beside what there is of its model; an encoder takes the place of one that is on its way out.
  const Bytes beside = sum([&](const Lease& other) {
    return part == ModelPart::head && other.model == id && other.phase != Phase::leaving;
  });
  const Bytes wanted = bytes_of(needs, Phase::loading);
  if (wanted.counted > budget_.limit() - std::min(budget_.limit(), beside.counted)) {
    ++models_.at(id).counters.refused_loads;
    note(Kind::refused, id);
    std::rethrow_exception(
        no_room(lease,
                "the pool may use " + amount(budget_.limit()) + " (" + rules_.memory_limit_name + ")" +
                    (beside.counted == 0 ? "" : ", of which other parts of the model take " + amount(beside.counted)),
                true));
  }
  const LeaseId lease_id = next_lease_;
  leases_.emplace(lease_id, std::move(lease));
  ++next_lease_;
  return lease_id;
}

void ModelTable::settle(LeaseId id) noexcept {
  const auto found = leases_.find(id);
  if (found == leases_.end() || found->second.phase != Phase::loading) return;
  Lease& lease = found->second;
  lease.phase = Phase::loaded;
  lease.grant.shrink_to(bytes_of(lease.needs, Phase::loaded).counted);
  Entry& entry = models_[lease.model];
  if (lease.part == ModelPart::encoder) ++entry.counters.loads;
  entry.touched = true;  // also where nobody waits for it any more
  note(Kind::loaded, lease.model);
}

void ModelTable::release(LeaseId id) noexcept {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  const Id model = found->second.model;
  const Phase phase = found->second.phase;
  if (phase == Phase::loading && found->second.part == ModelPart::encoder) ++models_[model].counters.failed_loads;
  leases_.erase(found);
  if (phase != Phase::waiting) note(Kind::released, model);
}

bool ModelTable::is_waiting(LeaseId id) const noexcept {
  const auto found = leases_.find(id);
  return found != leases_.end() && found->second.phase == Phase::waiting;
}

bool ModelTable::has_waiting() const noexcept {
  return std::any_of(leases_.begin(), leases_.end(),
                     [](const auto& lease) { return lease.second.phase == Phase::waiting; });
}

std::size_t ModelTable::left_waiting() const noexcept {
  return static_cast<std::size_t>(std::count_if(leases_.begin(), leases_.end(), [](const auto& lease) {
    return lease.second.phase == Phase::waiting && lease.second.left_waiting;
  }));
}

bool ModelTable::is_unloaded(Id id, LeaseId last) const {
  if (models_.at(id).unload_asked) return false;
  return std::none_of(leases_.begin(), leases_.upper_bound(last),
                      [id](const auto& lease) { return lease.second.model == id; });
}

bool ModelTable::is_evictable(Id id) const noexcept {
  return models_[id].in_flight == 0 && holds(id, Phase::loaded);
}

ModelTable::Step ModelTable::step(TimePoint now, std::optional<std::uint64_t> available) {
  Step step;
  step.unload.reserve(models_.size());  // from here on nothing that has been decided is lost for lack of memory
  step.granted.reserve(leases_.size());
  step.refused.reserve(leases_.size());
  unload_what_is_due(now, step);
  serve_waiting(now, available, step);
  step.wake = next_wake();
  return step;
}

void ModelTable::let_go(Id id, PoolEvent::Kind why, Step& step) noexcept {
  for (auto& [lease_id, lease] : leases_) {
    if (lease.model == id && lease.phase == Phase::loaded) lease.phase = Phase::leaving;
  }
  Entry& entry = models_[id];
  entry.touched = entry.in_flight != 0;
  PoolCounters& counters = entry.counters;
  ++(why == Kind::evicted ? counters.evictions : why == Kind::idle_unloaded ? counters.idle_unloads : counters.unloads);
  step.unload.push_back(id);
  note(why, id);
}

void ModelTable::unload_what_is_due(TimePoint now, Step& step) noexcept {
  for (Id id = 0; id < models_.size(); ++id) {
    Entry& entry = models_[id];
    const bool loaded = holds(id, Phase::loaded);
    const bool coming = holds(id, Phase::waiting) || holds(id, Phase::loading) ||
                        (entry.loading_requests != 0 && !loaded && !holds(id, Phase::leaving));
    if (entry.unload_asked && (loaded || !coming)) {
      entry.unload_asked = coming;
      let_go(id, Kind::unloaded, step);
    } else if (rules_.idle_unload.count() != 0 && entry.touched && entry.in_flight == 0 && !coming &&
               now - entry.idle_since >= rules_.idle_unload) {
      let_go(id, Kind::idle_unloaded, step);
    }
  }
}

void ModelTable::serve_waiting(TimePoint now, std::optional<std::uint64_t> available, Step& step) {
  Bytes machine{.counted = 0, .own = available.value_or(std::numeric_limits<std::uint64_t>::max())};
  // Loads under way have not taken all of theirs yet.
  machine = machine - sum([](const Lease& lease) { return lease.phase == Phase::loading; });
  Bytes promised;  // of what is coming back, to those who asked earlier
  for (auto at = leases_.begin(); at != leases_.end();) {
    auto& [id, lease] = *at;
    if (lease.phase != Phase::waiting) {
      ++at;
      continue;
    }
    const Bytes wanted = bytes_of(lease.needs, Phase::loading);
    if (wanted.own <= machine.own) {
      if (auto grant = budget_.reserve(wanted.counted)) {
        lease.grant = *std::move(grant);
        lease.phase = Phase::loading;
        machine = machine - wanted;
        step.granted.push_back(id);
        note(Kind::reserved, lease.model);
        ++at;
        continue;
      }
    }
    const Bytes missing = wanted - Bytes{budget_.free(), machine.own};
    const Bytes others = sum([&lease](const Lease& other) {
      return other.model != lease.model || other.phase == Phase::leaving || lease.part == ModelPart::encoder;
    });
    std::exception_ptr why;
    if (missing.own > others.own) {
      why = no_room(lease, "this machine has only " + amount(available.value_or(0)) + " left", true);
    } else if (now - lease.asked >= rules_.memory_wait) {
      why = no_room(lease,
                    "there are " + amount(budget_.free()) + " of the pool's " + amount(budget_.limit()) +
                        ", for the models that hold the rest have been in use for " + seconds(now - lease.asked),
                    false);
    }
    if (why) {
      ++models_[lease.model].counters.refused_loads;
      note(Kind::refused, lease.model);
      step.refused.emplace_back(id, std::move(why));
      at = leases_.erase(at);
      continue;
    }
    lease.left_waiting = true;
    const Bytes coming = sum([](const Lease& other) { return other.phase == Phase::leaving; }) - promised;
    make_room(missing - coming, step);
    promised += missing;
    ++at;
  }
}

/// Evicts those that have been idle longest, as many as are needed; none where all would not be enough.
void ModelTable::make_room(Bytes missing, Step& step) noexcept {
  if (missing.counted == 0 && missing.own == 0) return;
  const auto loaded = [this](Id id) {
    return sum([id](const Lease& lease) { return lease.model == id && lease.phase == Phase::loaded; });
  };
  Bytes idle;
  for (Id id = 0; id < models_.size(); ++id) {
    if (is_evictable(id)) idle += loaded(id);
  }
  if (missing.counted > idle.counted || missing.own > idle.own) return;
  while (missing.counted != 0 || missing.own != 0) {
    std::optional<Id> oldest;
    for (Id id = 0; id < models_.size(); ++id) {
      if (is_evictable(id) && (!oldest || models_[id].last_use < models_[*oldest].last_use)) oldest = id;
    }
    if (!oldest) return;
    missing = missing - loaded(*oldest);
    let_go(*oldest, Kind::evicted, step);  // not evictable any more
  }
}

std::optional<ModelTable::TimePoint> ModelTable::next_wake() const noexcept {
  std::optional<TimePoint> wake;
  const auto take = [&wake](TimePoint at) { wake = wake ? std::min(*wake, at) : at; };
  for (const auto& [id, lease] : leases_) {
    if (lease.phase == Phase::waiting) take(lease.asked + rules_.memory_wait);
  }
  if (rules_.idle_unload.count() == 0) return wake;
  for (Id id = 0; id < models_.size(); ++id) {
    const Entry& entry = models_[id];
    if (entry.touched && entry.in_flight == 0 && !holds(id, Phase::waiting) && !holds(id, Phase::loading)) {
      take(entry.idle_since + rules_.idle_unload);
    }
  }
  return wake;
}

/// Error(out_of_memory) where there will not be room either, Error(overloaded) where there may be later.
std::exception_ptr ModelTable::no_room(const Lease& lease, const std::string& why, bool ever) const noexcept {
  try {
    const LoadNeeds& needs = lease.needs;
    const std::string mapped = needs.mapped_bytes == 0 ? "" : " and " + amount(needs.mapped_bytes) + " of mapped files";
    return std::make_exception_ptr(
        Error(ever ? Errc::out_of_memory : Errc::overloaded,
              (lease.part == ModelPart::encoder ? "model '" : "a head of model '") + models_.at(lease.model).name +
                  "' needs " + amount(needs.private_bytes_peak) + " of memory to be loaded" + mapped + ", but " + why +
                  (ever ? std::string("; choose a smaller model or precision, or give the pool more")
                        : "; try again later, or give the pool more (" + std::string(rules_.memory_limit_name) + ")")));
  } catch (...) {
    return out_of_memory_error();
  }
}

}  // namespace stella::engine
