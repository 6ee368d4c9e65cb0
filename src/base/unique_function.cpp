#include "base/unique_function.hpp"

#include "base/typed_error.hpp"

namespace stella {

std::exception_ptr drop_reason() noexcept {
  if (auto handled = std::current_exception()) return typed_error(std::move(handled));
  if (std::uncaught_exceptions() > 0) return out_of_memory_error();
  return make_error(Errc::shut_down, "the runtime is shutting down");
}

}  // namespace stella
