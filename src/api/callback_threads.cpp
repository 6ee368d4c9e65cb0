#include "api/callback_threads.hpp"

#include "base/log.hpp"
#include "base/thread.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <utility>

namespace stella::api {
namespace {

constexpr std::size_t kMaxThreads = 64;
constexpr std::chrono::seconds kIdle{10};

void run_job(UniqueFunction<void()>& job) {
  try {
    job();
  } catch (const std::bad_alloc&) {
    log(LogLevel::error, "a callback was out of memory");
  } catch (const std::exception& error) {
    log(LogLevel::error, std::string("a callback threw: ") + error.what());
  } catch (...) {
    log(LogLevel::error, "a callback threw");
  }
}

}  // namespace

/// Its threads own it; they are detached.
struct CallbackThreads::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable ended;
  std::list<UniqueFunction<void()>> jobs;  // guarded by mutex, as is the rest
  std::size_t threads = 0;
  std::size_t idle = 0;
  bool stopping = false;

  /// The caller has counted the new thread.
  static void add_thread(const std::shared_ptr<State>& state) {
    start_thread(
        "stella-callback", [state] { state->work(); }, ThreadKind::handling)
        .detach();
  }

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      ++idle;
      const bool called = wake.wait_for(lock, kIdle, [this] { return stopping || !jobs.empty(); });
      --idle;
      if (jobs.empty() && (called || threads > 1)) break;
      if (jobs.empty()) continue;  // one stays, for there may be no other to be had later
      std::list<UniqueFunction<void()>> job;
      job.splice(job.end(), jobs, jobs.begin());
      lock.unlock();
      run_job(job.front());
      job.clear();
      lock.lock();
    }
    --threads;
    ended.notify_all();
  }
};

CallbackThreads::CallbackThreads() : state_(std::make_shared<State>()) {
  state_->threads = 1;
  State::add_thread(state_);
}

CallbackThreads::~CallbackThreads() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_all();
  state_->ended.wait(lock, [this] { return state_->idle == 0; });
}

void CallbackThreads::post(UniqueFunction<void()> job) {
  std::list<UniqueFunction<void()>> node;
  node.push_back(std::move(job));
  bool more = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->jobs.splice(state_->jobs.end(), node);
    more = state_->jobs.size() > state_->idle && state_->threads < kMaxThreads;
    if (more) ++state_->threads;
  }
  state_->wake.notify_one();
  if (!more) return;
  try {
    State::add_thread(state_);
  } catch (const std::exception&) {
    const std::lock_guard lock(state_->mutex);
    --state_->threads;  // the others will come to it
  }
}

}  // namespace stella::api
