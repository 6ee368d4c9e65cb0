// The threads and kernels that models use.
#pragma once

#include "kernels/kernels.hpp"

#include <memory>
#include <stop_token>

namespace stella {
class ThreadPool;
class Timer;
}  // namespace stella

namespace stella::engine {

class Compute;

/// The threads that a model uses. They outlive every operation, but not always the Model object, which then stays idle.
struct Machine {
  ThreadPool* pool = nullptr;
  /// Of their own, so that a load that waits for files never takes a thread of `pool`, which is what fetches them. One
  /// is enough; more load more at once.
  ThreadPool* loading = nullptr;
  Compute* compute = nullptr;
  const kernels::Kernels* kernels = nullptr;
  std::shared_ptr<Timer> timer{};
  std::stop_token shut_down{};  // packing weights looks at it between two tensors
};

}  // namespace stella::engine
