// Threads for callbacks.
#pragma once

#include "base/unique_function.hpp"

#include <memory>

namespace stella::api {

/// Runs jobs that may block, each beside the others: a job gets a thread of its own where all are busy, up to a limit
/// from which on it waits. Threads that idle for a while end. Thread-safe; may be destroyed by one of its own jobs.
class CallbackThreads {
 public:
  /// Starts the first thread; throws Error(resource_limit) without one. What else it lacks later only delays jobs.
  CallbackThreads();
  CallbackThreads(const CallbackThreads&) = delete;
  CallbackThreads& operator=(const CallbackThreads&) = delete;
  /// Jobs that are queued or running go on: they are the callers', and may wait for the thread that is here.
  ~CallbackThreads();

  /// What `job` throws is reported to the log, for there is nobody to catch it.
  void post(UniqueFunction<void()> job);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace stella::api
