// From Asio's completion handlers to the callbacks and stop tokens of stella::Model, and back.
#pragma once

#include "stella/callback.hpp"
#include "stella/detail/patience.hpp"
#include "stella/handler.hpp"
#include "stella/model.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <new>
#include <stop_token>
#include <utility>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>

namespace stella::detail {

/// A handler with the executor that it runs on, which is told that work is outstanding. Completes once; what it needs
/// for that it has from the start, but for what the executor allocates.
template <class T>
class PendingHandler : public std::enable_shared_from_this<PendingHandler<T>> {
 public:
  explicit PendingHandler(Handler<T> handler)
      : executor_(boost::asio::prefer(boost::asio::get_associated_executor(handler, MarkedExecutor()),
                                      boost::asio::execution::outstanding_work.tracked)),
        work_(executor_),
        handler_(std::move(handler)) {
    if (!executor_ || !work_) throw std::bad_alloc();  // as Asio's copies say it
  }

  /// Assigns the handler's cancellation slot. The slot belongs to the caller's executor, on which we are now.
  std::stop_token connect_cancellation(Stopper stopper) {
    std::stop_source source;
    auto slot = boost::asio::get_associated_cancellation_slot(handler_);
    if (slot.is_connected()) {
      // Much may be given up for it, so not inside emit().
      slot.assign([source, stopper = std::move(stopper)](boost::asio::cancellation_type type) {
        if (type != boost::asio::cancellation_type::none) stopper.request_stop(source);
      });
    }
    return source.get_token();
  }

  /// Whether the executor may run the handler on the spot: then this is a matter for a thread of callbacks.
  bool needs_thread() const noexcept { return executor_.template target<MarkedExecutor>() != nullptr; }

  void complete(std::exception_ptr error, T value) {
    if (completed_.exchange(true)) return;
    error_ = std::move(error);
    value_ = std::move(value);
    // From here on all belongs to the executor's thread: what this one lets go of afterwards is nobody's last. But
    // until execute() has returned this thread is inside of the executor's context, whose run() must not return before
    // that.
    const auto executor = std::move(executor_);
    if (const auto* marked = executor.template target<MarkedExecutor>()) {
      return marked->execute([self = this->shared_from_this()] { self->run(); });
    }
    // When all patience is gone the handler is dropped.
    with_patience([&] { executor.execute([self = this->shared_from_this()] { self->run(); }); });
  }

 private:
  void run() {
    auto handler = std::move(handler_);
    boost::asio::get_associated_cancellation_slot(handler).clear();
    auto error = std::move(error_);
    T value = std::move(value_);
    const auto work = std::move(work_);
    std::move(handler)(std::move(error), std::move(value));
  }

  std::atomic<bool> completed_{false};
  boost::asio::any_completion_executor executor_;  // is told that work is outstanding: until the handler is posted
  boost::asio::any_completion_executor work_;      // the same: until it has run
  Handler<T> handler_;
  std::exception_ptr error_{};
  T value_{};
};

/// start(model, stop, callback) with a callback that completes `handler`.
template <class T, class Start>
void start_pending(Handler<T> handler, const Model& model, Start start) {
  const auto pending = std::make_shared<PendingHandler<T>>(std::move(handler));
  const auto complete = [pending](std::exception_ptr error, T value) {
    pending->complete(std::move(error), std::move(value));
  };
  std::stop_token stop = pending->connect_cancellation(model.stopper());
  if (pending->needs_thread()) {
    start(model, std::move(stop), Callback<T>(complete));
  } else {
    start(model, std::move(stop), Callback<T>(on_any_thread(complete)));
  }
}

/// An initiating function with the signature void(std::exception_ptr, T). `model` lives until it is initiated.
template <class T, class Token, class Start>
auto initiate(Token& token, const Model& model, Start start) {
  return boost::asio::async_initiate<Token, void(std::exception_ptr, T)>(
      [](auto handler, const Model* model_arg, Start start_arg) {
        start_pending<T>(posted(std::move(handler)), *model_arg, std::move(start_arg));
      },
      token, &model, std::move(start));
}

}  // namespace stella::detail
