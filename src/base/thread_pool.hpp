// Threads: a FIFO pool for work that may block, and a fork-join team for computing.
#pragma once

#include "base/unique_function.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace stella {

/// Runs jobs in FIFO order on a fixed number of threads. Thread-safe. The destructor runs what is queued, then joins;
/// a job must not destroy the pool it runs on.
class ThreadPool {
 public:
  /// `name` labels the threads (at most 15 characters are kept by the system).
  ThreadPool(std::size_t threads, const std::string& name);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  /// Queues a job. Jobs must not throw.
  void post(UniqueFunction<void()> job);
  std::size_t size() const noexcept { return threads_.size(); }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<UniqueFunction<void()>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

/// Which tasks a worker of a team begins with; whoever has none left helps the others.
enum class TaskOrder : std::uint8_t {
  shared,  ///< All take from the front, so that those who run at the same time are neighbours.
  apart,   ///< Each goes through a part of its own, so that what one worker reads lies side by side in memory.
};

/// A fork-join team: the calling thread and size() - 1 helpers work through numbered tasks together.
/// run() is for one caller at a time (the engine's compute thread, or a test); calls must not nest.
class ParallelTeam {
 public:
  /// A team of `threads` workers, the caller included; 0 counts as 1.
  explicit ParallelTeam(std::size_t threads);
  ParallelTeam(const ParallelTeam&) = delete;
  ParallelTeam& operator=(const ParallelTeam&) = delete;
  ~ParallelTeam();

  std::size_t size() const noexcept;

  /// Calls body(task, worker) once for each task in [0, tasks), worker in [0, size()), and returns when all are done.
  /// Which worker gets which task is not fixed. The first exception is rethrown here; the other tasks still run.
  void run(std::size_t tasks, FunctionRef<void(std::size_t task, std::size_t worker)> body,
           TaskOrder order = TaskOrder::shared);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Number of processors this process may use: its affinity mask, bounded by the cgroup's CPU quota (rounded up); at
/// least 1.
std::size_t usable_processors();

}  // namespace stella
