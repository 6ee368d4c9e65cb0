// What is written down or sent by a thread of its own, so that whoever has something to say never waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace stella::server {

/// Bounded; what comes on top of it is dropped and counted. Thread-safe.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t limit) : limit_(limit) {}

  void add(T item) {
    {
      const std::lock_guard lock(mutex_);
      if (ended_ || items_.size() >= limit_) {
        ++dropped_;
        return;
      }
      items_.push_back(std::move(item));
    }
    changed_.notify_one();
  }

  /// All that there is, once there is something; nothing after end(), once all has been taken.
  std::optional<std::vector<T>> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    return std::exchange(items_, {});
  }

  void end() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
  }

  std::uint64_t dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
  }

 private:
  const std::size_t limit_;
  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  std::vector<T> items_{};     // guarded by mutex_, as what follows
  std::uint64_t dropped_ = 0;  ///< In all.
  bool ended_ = false;
};

}  // namespace stella::server
