// How every asynchronous operation of this library is started, completed and cancelled.
//
// Every operation is an Asio initiating function with the signature void(std::exception_ptr, T). It takes any
// completion token last (use_awaitable by default; use_future, deferred, a callback, …), copies its arguments when
// initiated, does its work on the model's Runtime and posts its completion to the handler's associated executor.
// Nothing blocks the caller. Cancellation (terminal, partial or total) drops a queued request at once; a batch that is
// already being computed is left as soon as nobody waits for any of it; a download stops when its last waiter has left.
// The error is then Error(cancelled).
//
// Where handlers run: never inside the initiating call, nor inside cancellation_signal::emit(), and never on a thread
// that computes, downloads or loads, so that a handler may block, start further operations, and drop the last owner of
// a model or of the Runtime. A handler is posted (execution::blocking.never) to its associated executor. Where it has
// none, or one that knows no such property and so may run it on the spot (an inline executor, an executor whose type
// was erased without it), or one of Asio's process-wide pool (system_executor, use_future), a thread that the Runtime
// keeps for handlers alone submits it, or runs it.
//
// What a handler throws goes where its executor sends it: out of io_context::run(), for example. Where it has none it
// is reported to the log (stella/log.hpp) and ends nothing. What a progress callback throws is its request's error.
//
// The model must live until the operation has been initiated (with use_awaitable and deferred: until it is awaited),
// and what the executor belongs to, an io_context for example, until it has completed.
//
// g++ 12 destroys a braced temporary inside a co_await expression twice. Give options a name first:
//   EmbedOptions options{.task = "s2p", .dimensions = {256, 1024}};
//   auto rows = co_await model.batch_embed(texts, options);       // not batch_embed(texts, {.task = "s2p"})
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/associator.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>

namespace boost::asio {

class system_context;

namespace detail {
template <typename Result, typename Blocking>
class promise_executor;  // that of use_future
}  // namespace detail

}  // namespace boost::asio

namespace stella {

/// A completion handler of any kind, type-erased: called once, with an exception or a value.
template <class T>
using Handler = boost::asio::any_completion_handler<void(std::exception_ptr, T)>;

namespace detail {

/// Marks handlers whose executor is none (then `inner` is empty) or may run them on the spot: the library calls
/// execute() on threads where that does no harm.
class MarkedExecutor {
 public:
  MarkedExecutor() = default;
  /// Of any_completion_executor only: a candidate for every executor would have Asio ask whether this is one.
  template <class Executor>
  requires std::is_same_v<Executor, boost::asio::any_completion_executor>
  explicit MarkedExecutor(Executor inner) : inner_(std::move(inner)) {}

  template <class Function>
  void execute(Function&& function) const {
    if (inner_) {
      inner_.execute(std::forward<Function>(function));
    } else {
      std::decay_t<Function> own(std::forward<Function>(function));
      own();
    }
  }
  MarkedExecutor prefer(boost::asio::execution::outstanding_work_t::tracked_t work) const {
    return inner_ ? MarkedExecutor(boost::asio::prefer(inner_, work)) : *this;
  }
  MarkedExecutor prefer(boost::asio::execution::outstanding_work_t::untracked_t work) const {
    return inner_ ? MarkedExecutor(boost::asio::prefer(inner_, work)) : *this;
  }
  friend bool operator==(const MarkedExecutor& a, const MarkedExecutor& b) noexcept { return a.inner_ == b.inner_; }
  friend bool operator!=(const MarkedExecutor& a, const MarkedExecutor& b) noexcept { return !(a == b); }

 private:
  boost::asio::any_completion_executor inner_;
};

/// Whether an executor belongs to Asio's process-wide pool. That is made when it is first used, by whoever comes first,
/// does not survive a thread that cannot be had, and is gone at exit; but its executors are content with any thread.
template <class Executor>
constexpr bool is_of_system_pool() {
  if constexpr (boost::asio::can_query_v<Executor, boost::asio::execution::context_t>) {
    using Context = decltype(boost::asio::query(std::declval<const Executor&>(), boost::asio::execution::context));
    return std::is_same_v<std::remove_cvref_t<Context>, boost::asio::system_context>;
  }
  return false;
}
template <class Executor>
struct IsOfSystemPool : std::bool_constant<is_of_system_pool<Executor>()> {};
template <class Result, class Blocking>
struct IsOfSystemPool<boost::asio::detail::promise_executor<Result, Blocking>> : std::true_type {};

/// The handler itself, for bind_executor(), which would take the executor that some handlers come with for its own.
template <class AnyHandler>
struct BareHandler {
  AnyHandler handler;

  template <class... Results>
  void operator()(Results&&... results) {
    std::move(handler)(std::forward<Results>(results)...);
  }
};

/// The handler with an executor that never runs it on the spot, or a marked one. Here, where its type is still known.
template <class AnyHandler>
auto posted(AnyHandler handler) {
  namespace execution = boost::asio::execution;
  const auto executor = boost::asio::get_associated_executor(handler, MarkedExecutor());
  using Executor = std::remove_const_t<decltype(executor)>;
  BareHandler<AnyHandler> bare{std::move(handler)};
  if constexpr (std::is_same_v<Executor, MarkedExecutor>) {
    return boost::asio::bind_executor(executor, std::move(bare));
  } else if constexpr (!IsOfSystemPool<Executor>::value &&
                       boost::asio::can_require_v<Executor, execution::blocking_t::never_t>) {
    return boost::asio::bind_executor(boost::asio::require(executor, execution::blocking.never), std::move(bare));
  } else {
    return boost::asio::bind_executor(MarkedExecutor(boost::asio::any_completion_executor(executor)), std::move(bare));
  }
}

}  // namespace detail
}  // namespace stella

/// Allocator, cancellation slot and the like are the handler's.
template <template <class, class> class Associator, class AnyHandler, class Candidate>
struct boost::asio::associator<Associator, stella::detail::BareHandler<AnyHandler>, Candidate>
    : Associator<AnyHandler, Candidate> {
  static auto get(const stella::detail::BareHandler<AnyHandler>& bare) noexcept {
    return Associator<AnyHandler, Candidate>::get(bare.handler);
  }
  static auto get(const stella::detail::BareHandler<AnyHandler>& bare, const Candidate& candidate) noexcept {
    return Associator<AnyHandler, Candidate>::get(bare.handler, candidate);
  }
};
