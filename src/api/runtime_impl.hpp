// The threads behind a Runtime, for this layer and its tests.
#pragma once

#include "api/callbacks.hpp"
#include "api/hub_files.hpp"
#include "base/thread_pool.hpp"
#include "base/timer.hpp"
#include "engine/compute.hpp"
#include "engine/model.hpp"
#include "kernels/kernels.hpp"
#include "stella/runtime.hpp"

#include <memory>
#include <stop_token>

namespace stella {

struct Runtime::Impl {
  /// Throws Error(invalid_argument | unsupported_processor | resource_limit).
  explicit Impl(const RuntimeOptions& options);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  /// Completes what is pending with Error(shut_down), and joins all threads but those that run callbacks. What is asked
  /// for afterwards fails in the same way. Not on a thread of its own; further calls do nothing.
  void stop();
  engine::Machine machine();

  const kernels::Kernels& kernels;
  std::stop_source stopping;
  std::shared_ptr<api::Callbacks> callbacks;
  /// One thread that is never busy for long. Cancellations run on it, so that they do not run inside the call that
  /// caused them.
  std::shared_ptr<ThreadPool> signals;
  std::shared_ptr<Timer> timer = std::make_shared<Timer>();
  std::unique_ptr<ThreadPool> loading;
  std::unique_ptr<engine::Compute> compute;
  std::unique_ptr<ThreadPool> files;
  std::shared_ptr<api::HubGate> hub;
};

}  // namespace stella
