// How every asynchronous operation of this library is started, completed and cancelled.
//
// Every operation is an Asio initiating function with the signature void(std::exception_ptr, T). It takes any
// completion token last (use_awaitable by default; use_future, deferred, a callback, …), copies its arguments when
// initiated, does its work on the model's Runtime and posts its completion to the handler's associated executor.
// Nothing blocks the caller. Cancellation (terminal, partial or total) drops a queued request at once; a batch that is
// already being computed finishes and its result is dropped; a download stops when its last waiter has left. The error
// is then Error(cancelled).
//
// The model must live until the operation has been initiated (with use_awaitable and deferred: until it is awaited),
// and what the executor belongs to, an io_context for example, until it has completed.
//
// g++ 12 destroys a braced temporary inside a co_await expression twice. Give options a name first:
//   EmbedOptions options{.task = "s2p", .dimensions = {256, 1024}};
//   auto rows = co_await model.batch_embed(texts, options);       // not batch_embed(texts, {.task = "s2p"})
#pragma once

#include <exception>

#include <boost/asio/any_completion_handler.hpp>

namespace stella {

/// A completion handler of any kind, type-erased: called once, with an exception or a value.
template <class T>
using Handler = boost::asio::any_completion_handler<void(std::exception_ptr, T)>;

}  // namespace stella
