// Waiting for several asynchronous operations at once.
#pragma once

#include "base/unique_function.hpp"

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace stella::engine {

/// Joins branches: when all have completed, `done` is called once with the first error or none, on the thread of the
/// last one. The first error, or a request on `parent`, asks the remaining branches to stop. Thread-safe.
///
///   auto join = Join::start(stop, done);
///   files.get("a", join->token(), join->branch<path>([state](path p) { state->a = std::move(p); }));
///   files.get("b", join->token(), join->branch<path>([state](path p) { state->b = std::move(p); }));
///   join->close();   // no more branches
class Join : public std::enable_shared_from_this<Join> {
 public:
  using Done = UniqueFunction<void(std::exception_ptr)>;

  static std::shared_ptr<Join> start(const std::stop_token& parent, Done done) {
    std::shared_ptr<Join> join(new Join(std::move(done)));
    // The callback may run while ~Join() is under way on the same thread, so it owns all that it touches.
    join->on_parent_.emplace(parent, Stop{join->source_});
    return join;
  }
  Join(const Join&) = delete;
  Join& operator=(const Join&) = delete;
  ~Join() = default;

  std::stop_token token() const { return source_.get_token(); }

  /// One more operation to wait for. `keep` takes its value; each branch keeps to a place of its own.
  template <class T, class Keep>
  Completion<T> branch(Keep keep) {
    pending_.fetch_add(1, std::memory_order_relaxed);
    return [self = shared_from_this(), keep = std::move(keep)](std::exception_ptr error, T value) mutable {
      if (!error) {
        try {
          keep(std::move(value));
        } catch (...) {
          error = std::current_exception();
        }
      }
      self->finish(std::move(error));
    };
  }

  /// A branch that is not an operation: fails the join at once.
  void fail(std::exception_ptr error) {
    pending_.fetch_add(1, std::memory_order_relaxed);
    finish(std::move(error));
  }

  void close() { finish(nullptr); }

 private:
  struct Stop {
    std::stop_source source;
    void operator()() const {
      std::stop_source own = source;
      own.request_stop();
    }
  };

  explicit Join(Done done) : done_(std::move(done)) {}

  void finish(std::exception_ptr error) {
    if (error) {
      bool first = false;
      {
        const std::lock_guard lock(mutex_);
        first = !error_;
        if (first) error_ = std::move(error);
      }
      if (first) {
        std::stop_source own = source_;
        own.request_stop();
      }
    }
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) done_(std::move(error_));
  }

  std::stop_source source_;
  std::atomic<std::size_t> pending_{1};  // close() takes the first one away
  std::mutex mutex_;
  std::exception_ptr error_;  // guarded by mutex_ until the last branch has finished
  Done done_;
  std::optional<std::stop_callback<Stop>> on_parent_;  // destroyed first
};

}  // namespace stella::engine
