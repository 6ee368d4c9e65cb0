// The shape of every asynchronous completion.
#pragma once

#include <exception>

#include <boost/asio/any_completion_handler.hpp>

namespace stella {

/// A completion handler of any kind, type-erased: called once, with an exception or a value.
template <class T>
using Handler = boost::asio::any_completion_handler<void(std::exception_ptr, T)>;

}  // namespace stella
