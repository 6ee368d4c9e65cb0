#include "base/timer.hpp"

#include "base/thread.hpp"

namespace stella {

std::uint64_t Timer::set(Clock::time_point when, UniqueFunction<void()> call) {
  const std::lock_guard lock(mutex_);
  const Key key{when, last_ + 1};
  if (!thread_.joinable() && !stopping_) thread_ = start_thread("stella-timer", [this] { work(); });
  keys_.emplace(key.second, key);
  try {
    alarms_.emplace(key, std::move(call));
  } catch (...) {
    keys_.erase(key.second);
    throw;
  }
  changed_.notify_one();
  return ++last_;
}

void Timer::cancel(std::uint64_t alarm) noexcept {
  UniqueFunction<void()> dropped;  // may hold what takes the lock when it goes
  const std::lock_guard lock(mutex_);
  const auto key = keys_.find(alarm);
  if (key == keys_.end()) return;
  const auto found = alarms_.find(key->second);
  dropped = std::move(found->second);
  alarms_.erase(found);
  keys_.erase(key);
}

void Timer::stop() noexcept {
  decltype(alarms_) dropped;
  std::thread ending;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(alarms_);
    keys_.clear();
    ending = std::move(thread_);
    changed_.notify_one();
  }
  if (ending.joinable()) ending.join();
}

void Timer::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (alarms_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto first = alarms_.begin();
    if (Clock::now() < first->first.first) {
      const auto when = first->first.first;  // the alarm may be cancelled while this waits
      changed_.wait_until(lock, when);
      continue;
    }
    auto call = std::move(first->second);
    keys_.erase(first->first.second);
    alarms_.erase(first);
    lock.unlock();
    call();
    call = {};
    lock.lock();
  }
}

}  // namespace stella
