// Failures of the machine, as errors of this library.
#pragma once

#include "stella/error.hpp"

#include <exception>

namespace stella {

/// Error(out_of_memory); where not even that can be allocated, std::bad_alloc.
std::exception_ptr out_of_memory_error() noexcept;

/// For callbacks of a stop and for threads' own ends, which must not throw: what out_of_memory_error() says where there
/// is no memory for it.
std::exception_ptr make_error(Errc code, const char* message) noexcept;

/// std::bad_alloc as Error(out_of_memory); everything else as it is.
std::exception_ptr typed_error(std::exception_ptr error) noexcept;

}  // namespace stella
