// From Asio's completion handlers to the callbacks and stop tokens of the layers below, and back.
#pragma once

#include "api/completions.hpp"
#include "base/thread_pool.hpp"
#include "base/typed_error.hpp"
#include "base/unique_function.hpp"
#include "stella/handler.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <new>
#include <stop_token>
#include <utility>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>

namespace stella::api {

/// A handler with the executor that it completes on, which is told that work is outstanding. Completes once; needs no
/// memory of its own for that.
template <class T>
class Bridge final : public Task, public std::enable_shared_from_this<Bridge<T>> {
 public:
  Bridge(Handler<T> handler, std::shared_ptr<Completions> completions)
      : executor_(boost::asio::prefer(boost::asio::get_associated_executor(handler, detail::MarkedExecutor()),
                                      boost::asio::execution::outstanding_work.tracked)),
        work_(executor_),
        handler_(std::move(handler)),
        completions_(std::move(completions)) {
    if (!executor_ || !work_) throw std::bad_alloc();  // as Asio's copies say it
  }

  /// Assigns the handler's cancellation slot. The slot belongs to the caller's executor, on which we are now.
  std::stop_token connect_cancellation() {
    std::stop_source source;
    auto slot = boost::asio::get_associated_cancellation_slot(handler_);
    if (slot.is_connected()) {
      // Much may be given up for it, so not inside emit().
      slot.assign([source, signals = completions_->signals](boost::asio::cancellation_type type) {
        if (type == boost::asio::cancellation_type::none) return;
        if (const auto pool = signals.lock()) pool->post([source]() mutable { source.request_stop(); });
      });
    }
    return source.get_token();
  }

  void complete(std::exception_ptr error, T value) {
    if (completed_.exchange(true)) return;
    error_ = typed_error(std::move(error));
    value_ = std::move(value);
    // From here on all belongs to the executor's thread: what this one lets go of afterwards is nobody's last. But
    // until post() has returned this thread is inside of the executor's context, whose run() must not return before
    // that.
    const auto executor = std::move(executor_);
    const auto completions = std::move(completions_);
    completions->post(executor, this->shared_from_this());
  }

  void run() override {
    auto handler = std::move(handler_);
    boost::asio::get_associated_cancellation_slot(handler).clear();
    auto error = std::move(error_);
    T value = std::move(value_);
    const auto work = std::move(work_);
    std::move(handler)(std::move(error), std::move(value));
  }

 private:
  std::atomic<bool> completed_{false};
  boost::asio::any_completion_executor executor_;  // is told that work is outstanding: until the handler is posted
  boost::asio::any_completion_executor work_;      // the same: until it has run
  Handler<T> handler_;
  std::shared_ptr<Completions> completions_;
  std::exception_ptr error_{};
  T value_{};
};

/// Starts an operation with the handler as stop token and completion; what goes wrong on the way completes it.
template <class T, class Start>
void start_bridged(Handler<T> handler, const std::shared_ptr<Completions>& completions, Start start) {
  const auto bridge = std::make_shared<Bridge<T>>(std::move(handler), completions);
  try {
    completions->check_process();
    start(bridge->connect_cancellation(), Completion<T>([bridge](std::exception_ptr error, T value) {
            bridge->complete(std::move(error), std::move(value));
          }));
  } catch (...) {
    bridge->complete(std::current_exception(), {});
  }
}

template <class T>
void fail_bridged(Handler<T> handler, const std::shared_ptr<Completions>& completions, std::exception_ptr error) {
  std::make_shared<Bridge<T>>(std::move(handler), completions)->complete(std::move(error), {});
}

}  // namespace stella::api
