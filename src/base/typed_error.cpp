#include "base/typed_error.hpp"

#include <new>
#include <utility>

namespace stella {

std::exception_ptr out_of_memory_error() noexcept {
  try {
    throw Error(Errc::out_of_memory,
                "out of memory; embed fewer or shorter texts at a time, or use a smaller model or fewer threads");
  } catch (...) {
    return std::current_exception();
  }
}

std::exception_ptr make_error(Errc code, const char* message) noexcept {
  try {
    throw Error(code, message);
  } catch (...) {
    return typed_error(std::current_exception());
  }
}

std::exception_ptr typed_error(std::exception_ptr error) noexcept {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return out_of_memory_error();
  } catch (...) {  // NOLINT(bugprone-empty-catch): it is fine as it is
  }
  return error;
}

}  // namespace stella
