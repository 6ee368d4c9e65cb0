#include "base/thread_pool.hpp"

#include "base/cgroup.hpp"
#include "base/thread.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <exception>
#include <optional>
#include <sched.h>
#include <utility>

namespace stella {

ThreadPool::ThreadPool(std::size_t threads, const char* name, std::size_t most)
    : name_(name), most_(std::max(threads, most)) {
  threads_.reserve(most_);
  for (; size_ < threads; ++size_) {
    const std::lock_guard lock(mutex_);
    try {
      add_thread();
    } catch (const std::exception&) {
      if (size_ == 0) throw;
      break;
    }
  }
}

/// Under the lock.
void ThreadPool::add_thread() {
  threads_.push_back(start_thread(name_, [this] { work(); }));
  ++working_;
  ++idle_;
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadPool::post(UniqueFunction<void()> job) {
  std::list<UniqueFunction<void()>> node;  // made out here, so that nothing can fail once the lock is held
  node.push_back(std::move(job));
  {
    const std::lock_guard lock(mutex_);
    if (working_ > 0) jobs_.splice(jobs_.end(), node);
    if (jobs_.size() > idle_ && !stopping_ && threads_.size() < most_) {
      try {
        add_thread();
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): then it waits for one
      }
    }
  }
  wake_.notify_one();
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) break;
    std::list<UniqueFunction<void()>> job;
    job.splice(job.end(), jobs_, jobs_.begin());
    --idle_;
    lock.unlock();
    try {
      job.front()();
    } catch (...) {
      job.clear();  // its completions learn what is being handled here
    }
    job.clear();  // what the job owns dies outside the lock
    lock.lock();
    ++idle_;
  }
  --working_;
}

namespace {

/// Tasks [first, end) that nobody has taken.
class alignas(64) TaskRange {
 public:
  void set(std::size_t first, std::size_t end) noexcept {
    next_.store(first, std::memory_order_relaxed);
    end_ = end;
  }
  std::optional<std::size_t> take() noexcept {
    if (next_.load(std::memory_order_relaxed) >= end_) return std::nullopt;  // many late askers must not add up
    const std::size_t task = next_.fetch_add(1, std::memory_order_relaxed);
    return task < end_ ? std::optional(task) : std::nullopt;
  }

 private:
  std::atomic<std::size_t> next_{0};
  std::size_t end_ = 0;
};

/// Waits a moment without giving the processor away.
inline void pause_briefly() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

/// `round` counts run() calls; helpers that see it grow join the round. Between two rounds of one forward pass lie only
/// microseconds, so helpers spin for a while before they sleep.
struct ParallelTeam::State {
  explicit State(std::size_t workers) : ranges(workers) {}

  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> round{0};
  std::atomic<std::size_t> working{0};  // helpers that have not finished this round
  std::atomic<bool> stopping{false};
  std::vector<TaskRange> ranges;  // (workers)
  const FunctionRef<void(std::size_t, std::size_t)>* body = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::thread> helpers;

  void do_task(std::size_t task, std::size_t worker) {
    try {
      (*body)(task, worker);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }

  void take_tasks(std::size_t worker) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {  // its own range first, then what others have left
      TaskRange& range = ranges[(worker + i) % ranges.size()];
      while (const auto task = range.take()) do_task(*task, worker);
    }
  }

  /// Calls `done` until it says so: a short while at full alertness, then letting others have the processor.
  template <class Done>
  static bool spin(int yields, Done done) {
    constexpr int kPauses = 200;  // some microseconds
    for (int i = 0; i < kPauses; ++i) {
      if (done()) return true;
      pause_briefly();
    }
    for (int i = 0; i < yields; ++i) {
      if (done()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  bool wait_for_round(std::uint64_t seen) {
    constexpr int kSpins = 2000;  // some tens of microseconds
    const auto started = [&] { return round.load(std::memory_order_acquire) != seen; };
    if (!spin(kSpins, started)) {
      std::unique_lock lock(mutex);
      wake.wait(lock, started);
    }
    return !stopping.load();
  }

  void help(std::size_t worker) {
    for (std::uint64_t seen = 0; wait_for_round(seen);) {
      ++seen;
      take_tasks(worker);
      working.fetch_sub(1, std::memory_order_release);
    }
  }

  void start_round() {
    {
      const std::lock_guard lock(mutex);
      round.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
  }
};

ParallelTeam::ParallelTeam(std::size_t threads, const Processors& processors)
    : state_(std::make_unique<State>(std::max<std::size_t>(threads, 1))) {
  state_->helpers.reserve(threads);
  for (std::size_t worker = 1; worker < threads; ++worker) {
    try {
      state_->helpers.push_back(start_thread("stella-compute", [state = state_.get(), worker, processors] {
        keep_to(processors);
        state->help(worker);
      }));
    } catch (const std::exception&) {
      break;  // whoever is there does the work
    }
  }
}

ParallelTeam::~ParallelTeam() {
  state_->stopping = true;
  state_->start_round();
  for (std::thread& helper : state_->helpers) helper.join();
}

std::size_t ParallelTeam::size() const noexcept {
  return state_->helpers.size() + 1;
}

void ParallelTeam::run(std::size_t tasks, FunctionRef<void(std::size_t, std::size_t)> body, TaskOrder order) {
  State& state = *state_;
  if (tasks == 0) return;
  state.body = &body;
  const std::size_t workers = size();
  const bool alone = tasks == 1 || workers == 1;
  const std::size_t ranges = alone || order == TaskOrder::shared ? 1 : workers;
  for (std::size_t w = 0; w < workers; ++w) {
    state.ranges[w].set(tasks * std::min(w, ranges) / ranges, tasks * std::min(w + 1, ranges) / ranges);
  }
  if (!alone) {
    state.working.store(state.helpers.size(), std::memory_order_relaxed);
    state.start_round();
  }
  state.take_tasks(0);
  if (!alone) {
    while (!State::spin(1000, [&] { return state.working.load(std::memory_order_acquire) == 0; })) {
    }
  }
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

std::size_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::size_t count = std::max(1U, std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) count = static_cast<std::size_t>(CPU_COUNT(&set));
  if (const auto quota = cpu_quota()) {
    count = std::min(count, static_cast<std::size_t>(std::ceil(std::min(*quota, static_cast<double>(count)))));
  }
  return std::max<std::size_t>(1, count);
}

}  // namespace stella
