// The threads behind a Runtime, for this layer and its tests.
#pragma once

#include "api/hub_files.hpp"
#include "base/thread_pool.hpp"
#include "engine/compute.hpp"
#include "engine/model.hpp"
#include "kernels/kernels.hpp"
#include "stella/runtime.hpp"

#include <memory>
#include <stop_token>

namespace stella {

struct Runtime::Impl {
  explicit Impl(const RuntimeOptions& options);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  /// Completes what is pending with Error(shut_down), and joins.
  ~Impl();

  engine::Machine machine();

  const kernels::Kernels& kernels;
  std::stop_source stopping;
  /// One thread that is never busy for long. Cancellations run on it, and completions of what failed at once, so that
  /// neither runs inside the call that caused it.
  std::shared_ptr<ThreadPool> signals;
  std::unique_ptr<engine::Compute> compute;
  std::unique_ptr<ThreadPool> files;
  std::shared_ptr<api::HubGate> hub;
};

}  // namespace stella
