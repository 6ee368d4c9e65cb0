// From Asio's completion handlers to the callbacks and stop tokens of the layers below, and back.
#pragma once

#include "base/thread_pool.hpp"
#include "base/unique_function.hpp"
#include "stella/capable.hpp"

#include <exception>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/system_executor.hpp>

namespace stella::api {

/// An operation's stop token and completion in the terms of the layers below.
template <class T>
struct Bridged {
  std::stop_token stop;
  Completion<T> done;
};

/// The handler with the executor that it completes on; its executor is told that work is outstanding.
template <class T>
class Bridge {
 public:
  Bridge(Handler<T> handler, std::weak_ptr<ThreadPool> signals)
      : executor_(boost::asio::prefer(boost::asio::get_associated_executor(handler, default_executor()),
                                      boost::asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)),
        signals_(std::move(signals)),
        initiator_(std::this_thread::get_id()) {}

  /// Assigns the handler's cancellation slot. The slot belongs to the caller's executor, on which we are now.
  std::stop_token connect_cancellation() {
    std::stop_source source;
    auto slot = boost::asio::get_associated_cancellation_slot(handler_);
    if (slot.is_connected()) {
      // emit() must not run completions, and a stop request does; so it is made on another thread.
      slot.assign([source, signals = signals_](boost::asio::cancellation_type type) {
        if (type == boost::asio::cancellation_type::none) return;
        if (const auto pool = signals.lock()) pool->post([source]() mutable { source.request_stop(); });
      });
    }
    return source.get_token();
  }

  /// Hands the result to the executor. What failed at once, inside the initiating call, makes a detour over another
  /// thread, so that the handler does not run inside that call.
  void complete(std::exception_ptr error, T value) {
    if (std::this_thread::get_id() == initiator_) {
      if (const auto pool = signals_.lock()) {
        pool->post([bridge = std::move(*this), error = std::move(error), value = std::move(value)]() mutable {
          bridge.dispatch(std::move(error), std::move(value));
        });
        return;
      }
    }
    dispatch(std::move(error), std::move(value));
  }

 private:
  /// For handlers without an executor of their own: a thread of Asio's system pool, never one of the runtime's.
  static boost::asio::any_completion_executor default_executor() {
    return boost::asio::require(boost::asio::system_executor(), boost::asio::execution::blocking.never);
  }

  void dispatch(std::exception_ptr error, T value) {
    const boost::asio::any_completion_executor executor = std::move(executor_);
    boost::asio::dispatch(
        executor, [handler = std::move(handler_), error = std::move(error), value = std::move(value)]() mutable {
          boost::asio::get_associated_cancellation_slot(handler).clear();
          std::move(handler)(std::move(error), std::move(value));
        });
  }

  boost::asio::any_completion_executor executor_;
  Handler<T> handler_;
  std::weak_ptr<ThreadPool> signals_;
  std::thread::id initiator_;
};

template <class T>
Bridged<T> bridge(Handler<T> handler, const std::weak_ptr<ThreadPool>& signals) {
  Bridge<T> own(std::move(handler), signals);
  std::stop_token stop = own.connect_cancellation();
  return {std::move(stop), [own = std::move(own)](std::exception_ptr error, T value) mutable {
            own.complete(std::move(error), std::move(value));
          }};
}

}  // namespace stella::api
