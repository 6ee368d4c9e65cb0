#include "stella/pool_status.hpp"

namespace stella {

const char* to_string(ModelState state) noexcept {
  switch (state) {
    case ModelState::absent:
      return "absent";
    case ModelState::loading:
      return "loading";
    case ModelState::ready:
      return "ready";
    case ModelState::unloading:
      return "unloading";
  }
  return "unknown";
}

const char* to_string(BreakerState state) noexcept {
  switch (state) {
    case BreakerState::closed:
      return "closed";
    case BreakerState::open:
      return "open";
    case BreakerState::half_open:
      return "half-open";
  }
  return "unknown";
}

const char* to_string(MemoryPressure pressure) noexcept {
  switch (pressure) {
    case MemoryPressure::low:
      return "low";
    case MemoryPressure::moderate:
      return "moderate";
    case MemoryPressure::high:
      return "high";
    case MemoryPressure::critical:
      return "critical";
  }
  return "unknown";
}

const char* to_string(PoolEvent::Kind kind) noexcept {
  switch (kind) {
    case PoolEvent::Kind::reserved:
      return "reserved";
    case PoolEvent::Kind::loaded:
      return "loaded";
    case PoolEvent::Kind::released:
      return "released";
    case PoolEvent::Kind::refused:
      return "refused";
    case PoolEvent::Kind::evicted:
      return "evicted";
    case PoolEvent::Kind::idle_unloaded:
      return "idle, unloaded";
    case PoolEvent::Kind::unloaded:
      return "unloaded";
    case PoolEvent::Kind::opened:
      return "breaker open";
    case PoolEvent::Kind::closed:
      return "breaker closed";
  }
  return "unknown";
}

MemoryPressure PoolMemory::pressure() const noexcept {
  const double share = limit == 0 ? 1 : static_cast<double>(used) / static_cast<double>(limit);
  if (share >= 0.85) return MemoryPressure::critical;
  if (share >= 0.70) return MemoryPressure::high;
  return share >= 0.50 ? MemoryPressure::moderate : MemoryPressure::low;
}

}  // namespace stella
