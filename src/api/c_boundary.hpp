// Where C++ ends: nothing thrown passes guarded(), and every argument that C hands over is checked with these.
#pragma once

#include "stella.h"
#include "stella/error.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

struct stella_error {
  stella_status code = STELLA_ERROR_UNKNOWN;
  std::string message{};
  stella::ErrorContext context{};
  std::string http_status{};
};

namespace stella::c_api {

/// Never null: where there is no memory for it, one that is always there.
stella_error* new_error(const std::exception_ptr& exception) noexcept;

/// Runs `body` and makes an error of what it throws.
template <class Body>
stella_status guarded(stella_error** error, Body body) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    body();
    return STELLA_OK;
  } catch (...) {
    stella_error* const made = new_error(std::current_exception());
    const stella_status code = made->code;
    if (error != nullptr) {
      *error = made;
    } else {
      stella_error_free(made);
    }
    return code;
  }
}

[[noreturn]] void refuse(const std::string& what);

/// Throws Error(invalid_argument) naming `argument` where it is null.
template <class T>
T& required(T* pointer, const char* argument) {
  if (pointer == nullptr) refuse(std::string(argument) + " is NULL");
  return *pointer;
}

/// As required(), and empty until there is something to give.
template <class T>
T& cleared(T* pointer, const char* argument) {
  T& to = required(pointer, argument);
  to = T{};
  return to;
}

inline void check_index(std::size_t index, std::size_t count, const char* argument) {
  if (index >= count) {
    refuse(std::string(argument) + " is " + std::to_string(index) + ", and there are " + std::to_string(count));
  }
}

/// Throws Error(invalid_argument) where no memory holds `count` of `size` bytes each: the pointer beside it cannot have
/// them, and nobody may compute where they end.
inline void check_count(std::size_t count, std::size_t size, const char* argument) {
  if (count >= static_cast<std::size_t>(PTRDIFF_MAX) / size) {
    refuse(std::string(argument) + " is " + std::to_string(count) + ", more than any memory holds");
  }
}

/// 0 or 1.
bool to_bool(std::uint64_t value, const char* argument);

}  // namespace stella::c_api
