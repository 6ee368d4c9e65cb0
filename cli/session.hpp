// Runs the library's asynchronous operations from a program that waits, and turns signals into cancellation.
#pragma once

#include "cli/failure.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace stella::cli {

/// An operation under way. Shared by the session and its completion.
class Operation {
 public:
  bool done() const noexcept { return done_; }

 protected:
  friend class Session;
  bool done_ = false;
  boost::asio::cancellation_signal cancel_{};
};

/// The same with its result.
template <class T>
class Pending : public Operation {
 public:
  /// The result; rethrows the operation's error. After done(), once.
  T take() {
    if (error_) std::rethrow_exception(error_);
    return std::move(*value_);
  }

 private:
  friend class Session;
  std::exception_ptr error_{};
  std::optional<T> value_{};
};

/// One per program, made before any thread starts, so that every thread inherits the blocked signals. SIGINT, SIGTERM
/// and SIGHUP cancel what is under way, which then ends with Interrupted; a second one ends the program at once, and
/// what takes longer than two seconds to end is ended by us.
class Session {
 public:
  Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  /// `initiate(token)` starts a library operation that completes with T.
  template <class T, class Initiate>
  std::shared_ptr<Pending<T>> start(Initiate&& initiate) {
    auto pending = std::make_shared<Pending<T>>();
    operations_.push_back(pending);
    auto complete = [pending](std::exception_ptr error, T value) {
      pending->error_ = std::move(error);
      if (!pending->error_) pending->value_.emplace(std::move(value));
      pending->done_ = true;
    };
    initiate(boost::asio::bind_cancellation_slot(pending->cancel_.slot(),
                                                 boost::asio::bind_executor(io_, std::move(complete))));
    return pending;
  }

  /// Waits and gives the result. Throws the operation's error, or Interrupted once the operation has stopped.
  template <class T>
  T wait(const std::shared_ptr<Pending<T>>& pending) {
    run_until([&] { return pending->done(); });
    return pending->take();
  }

  template <class T, class Initiate>
  T run(Initiate&& initiate) {
    return wait(start<T>(std::forward<Initiate>(initiate)));
  }

  /// poll(2) for `events` on `descriptor`, or a moment's wait where that is negative; throws Interrupted where a signal
  /// comes first.
  void wait_for(int descriptor, short events);

  /// Throws Interrupted where a signal has come.
  void check();

 private:
  void run_until(const std::function<bool()>& done);
  void watch_signals();
  void on_signal();

  boost::asio::io_context io_{1};
  boost::asio::posix::stream_descriptor signal_descriptor_{io_};
  std::vector<std::shared_ptr<Operation>> operations_{};
  int interrupted_by_ = 0;
};

}  // namespace stella::cli
