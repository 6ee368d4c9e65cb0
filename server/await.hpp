// The library's callbacks as coroutines of Asio: results come back on the coroutine's executor.
#pragma once

#include "stella/callback.hpp"
#include "stella/detail/patience.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella::server {

/// A coroutine that waits for a result. Made before the operation starts, so that its end needs little memory.
template <class T, class Handler, class Work>
struct Awaiting {
  Handler handler;
  Work work;  ///< The executor is told that something will come.
  std::exception_ptr error{};
  std::optional<T> value{};

  void resume() {
    auto to = std::move(handler);
    const auto until_done = std::move(work);
    std::move(to)(std::move(error), *std::move(value));
  }
};

/// `start(done)` starts an operation whose callback is `done`, which may run on any thread: it only posts.
template <class T, class Start>
boost::asio::awaitable<T> await_callback(Start start) {
  auto initiate = [start = std::move(start)](auto handler) mutable {
    auto executor = boost::asio::get_associated_executor(handler);
    auto work = boost::asio::make_work_guard(executor);
    using Waiting = Awaiting<T, decltype(handler), decltype(work)>;
    auto waiting = std::make_shared<Waiting>(Waiting{std::move(handler), std::move(work)});
    start(on_any_thread([waiting = std::move(waiting), executor](std::exception_ptr error, T value) {
      waiting->error = std::move(error);
      waiting->value = std::move(value);
      // A coroutine that is dropped here would have to be destroyed on its own executor, for which there is no memory.
      detail::with_patience([&] { boost::asio::post(executor, [waiting] { waiting->resume(); }); });
    }));
  };
  return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(std::exception_ptr, T)>(
      std::move(initiate), boost::asio::use_awaitable);
}

/// `work()` on the pool where it is long, else here.
template <class Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> offload(boost::asio::io_context& pool, bool is_long, Work work) {
  using Result = std::invoke_result_t<Work&>;
  if (!is_long) co_return work();
  auto start = [&pool, &work](auto done) {
    Completion<Result> completion = Callback<Result>(std::move(done)).take();
    boost::asio::post(pool, [&work, completion = std::move(completion)]() mutable {
      Result result{};
      std::exception_ptr error;
      try {
        result = work();
      } catch (...) {
        error = std::current_exception();
      }
      completion(std::move(error), std::move(result));
    });
  };
  co_return co_await await_callback<Result>(start);
}

}  // namespace stella::server
