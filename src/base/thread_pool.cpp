#include "base/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <fstream>
#include <pthread.h>
#include <sched.h>
#include <string>

namespace stella {
namespace {

void name_thread(const std::string& name) {
  ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace

ThreadPool::ThreadPool(std::size_t threads, const std::string& name) {
  threads_.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, name] {
      name_thread(name);
      work();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::post(UniqueFunction<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    UniqueFunction<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = {};  // what the job owns dies outside the lock
    lock.lock();
  }
}

/// `round` counts run() calls; helpers that see it grow join the round. Between two rounds of one forward pass lie only
/// microseconds, so helpers spin for a while before they sleep.
struct ParallelTeam::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> round{0};
  std::atomic<std::size_t> next{0};     // the first task that nobody has taken
  std::atomic<std::size_t> working{0};  // helpers that have not finished this round
  std::atomic<bool> stopping{false};
  std::size_t tasks = 0;
  const FunctionRef<void(std::size_t, std::size_t)>* body = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::thread> helpers;

  void take_tasks(std::size_t worker) {
    for (std::size_t task = next.fetch_add(1, std::memory_order_relaxed); task < tasks;
         task = next.fetch_add(1, std::memory_order_relaxed)) {
      try {
        (*body)(task, worker);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
  }

  bool wait_for_round(std::uint64_t seen) {
    constexpr int kSpins = 2000;  // some tens of microseconds
    for (int i = 0; i < kSpins; ++i) {
      if (round.load(std::memory_order_acquire) != seen) return !stopping.load();
      std::this_thread::yield();
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return round.load(std::memory_order_acquire) != seen; });
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

ParallelTeam::ParallelTeam(std::size_t threads) : state_(std::make_unique<State>()) {
  for (std::size_t worker = 1; worker < threads; ++worker) {
    state_->helpers.emplace_back([state = state_.get(), worker] {
      name_thread("stella-compute");
      state->help(worker);
    });
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

void ParallelTeam::run(std::size_t tasks, FunctionRef<void(std::size_t, std::size_t)> body) {
  State& state = *state_;
  if (tasks == 0) return;
  state.tasks = tasks;
  state.body = &body;
  state.next.store(0, std::memory_order_relaxed);
  const bool alone = tasks == 1 || state.helpers.empty();
  if (!alone) {
    state.working.store(state.helpers.size(), std::memory_order_relaxed);
    state.start_round();
  }
  state.take_tasks(0);
  if (!alone) {
    while (state.working.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  }
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

std::size_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::size_t count = std::max(1U, std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) count = static_cast<std::size_t>(CPU_COUNT(&set));
  // cgroup v2: "max 100000" or "150000 100000" (microseconds of processor time in each period).
  std::ifstream quota_file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (quota_file >> quota >> period && quota > 0 && period > 0) {
    const auto limit = static_cast<std::size_t>((quota + period - 1) / period);
    count = std::min(count, std::max<std::size_t>(1, limit));
  }
  return std::max<std::size_t>(1, count);
}

}  // namespace stella
