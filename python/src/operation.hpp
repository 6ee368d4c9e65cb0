// An operation of a model as Python sees it: something to wait for, to cancel, and to take a result from; and the queue
// through which an event loop hears of those that are over.
#pragma once

#include "stella/model.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>
#include <variant>
#include <vector>

namespace stella::python {

/// Ids of finished operations, and a descriptor (eventfd) that is readable while there are any. Thread-safe.
class Queue {
 public:
  /// Throws Error(resource_limit).
  Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  int fd() const noexcept { return fd_; }
  /// Makes room for one more id, so that push() cannot fail.
  void expect();
  void push(std::uint64_t id) noexcept;
  std::vector<std::uint64_t> take();

 private:
  const int fd_;
  std::mutex mutex_;
  std::vector<std::uint64_t> finished_;  // guarded by mutex_, as is the next
  std::size_t expected_ = 0;
};

using Value = std::variant<std::monostate, ModelDescription, EmbedResult, std::vector<Tokens>>;

/// Thread-safe. Completed by a thread of the library, which takes no lock but this one's and the queue's.
class Operation {
 public:
  /// `queue` may be null: then somebody waits, or nobody does.
  Operation(std::uint64_t id, std::shared_ptr<Queue> queue) : id_(id), queue_(std::move(queue)) {
    if (queue_) queue_->expect();
  }

  std::uint64_t id() const noexcept { return id_; }
  std::stop_token stop_token() const noexcept { return stop_.get_token(); }
  /// Completes it, here, where it has not begun; otherwise as soon as may be.
  void cancel() { stop_.request_stop(); }
  void complete(std::exception_ptr error, Value value) noexcept;
  /// Whether it is over, after at most `patience`.
  bool wait(std::chrono::duration<double> patience);
  /// Once, after it is over. Throws what the operation failed with.
  Value take();

 private:
  const std::uint64_t id_;
  std::stop_source stop_;
  std::shared_ptr<Queue> queue_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;  // guarded by mutex_, as is the rest
  std::exception_ptr error_;
  Value value_;
};

}  // namespace stella::python
