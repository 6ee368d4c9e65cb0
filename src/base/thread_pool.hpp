// Threads: a FIFO pool for work that may block, and a fork-join team for computing.
#pragma once

#include "base/topology.hpp"
#include "base/unique_function.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace stella {

/// Runs jobs in FIFO order. Thread-safe. The destructor stops it; a job must not destroy the pool it runs on.
class ThreadPool {
 public:
  /// `name` labels the threads (at most 15 characters are kept by the system). Where the system gives fewer threads
  /// than asked for, the pool has fewer; Error(resource_limit) where it gives none. With `most` more are made where a
  /// job would have to wait for one, for jobs that wait.
  ThreadPool(std::size_t threads, const char* name, std::size_t most = 0);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  /// Queues a job. One that throws, for lack of memory, is over; the completions that it owned say so. After stop()
  /// jobs are dropped, and their completions get Error(shut_down).
  void post(UniqueFunction<void()> job);
  /// Runs what is queued, by its own jobs too, then joins. From no job; further calls do nothing.
  void stop();
  std::size_t size() const noexcept { return size_; }

 private:
  void add_thread();
  void work();

  const char* const name_;
  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<UniqueFunction<void()>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::size_t working_ = 0;                 // guarded by mutex_; threads that have not ended
  std::size_t idle_ = 0;                    // guarded by mutex_; of these, those that run no job
  std::size_t size_ = 0;
  std::vector<std::thread> threads_;  // guarded by mutex_ until stopping_
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
  /// A team of `threads` workers, the caller included; 0 counts as 1. Where the system gives fewer threads, the team is
  /// smaller, which changes no result. Its helpers keep to `processors`, where there are any.
  explicit ParallelTeam(std::size_t threads, const Processors& processors = {});
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
