// The library's callbacks as coroutines of Asio: results come back on the coroutine's executor.
#pragma once

#include "stella/callback.hpp"

#include <exception>
#include <memory>
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

/// `start(done)` starts an operation whose callback is `done`, which may run on any thread: it only posts.
template <class T, class Start>
boost::asio::awaitable<T> await_callback(Start start) {
  auto initiate = [start = std::move(start)](auto handler) mutable {
    auto executor = boost::asio::get_associated_executor(handler);
    auto work = boost::asio::make_work_guard(executor);
    start(on_any_thread(
        [handler = std::move(handler), work = std::move(work)](std::exception_ptr error, T value) mutable {
          auto to = work.get_executor();
          boost::asio::post(
              to, [handler = std::move(handler), work = std::move(work), error = std::move(error),
                   value = std::move(value)]() mutable { std::move(handler)(std::move(error), std::move(value)); });
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
