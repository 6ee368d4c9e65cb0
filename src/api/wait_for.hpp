// Asynchronous operations for callers that block.
#pragma once

#include "base/thread.hpp"
#include "base/unique_function.hpp"
#include "stella/error.hpp"

#include <exception>
#include <future>
#include <memory>
#include <utility>

namespace stella::api {

/// Starts an operation with the completion it is given and blocks until that has been called. Throws
/// Error(invalid_argument) on a thread whose work the operation may need.
template <class T, class Start>
T wait_for(Start start) {
  if (this_thread_kind() == ThreadKind::working) {
    throw Error(Errc::invalid_argument, "a blocking call from a callback on a Runtime's thread would wait for itself");
  }
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> result = promise->get_future();
  start(Completion<T>([promise](std::exception_ptr error, T value) {
    if (error) {
      promise->set_exception(std::move(error));
    } else {
      promise->set_value(std::move(value));
    }
  }));
  return result.get();
}

}  // namespace stella::api
