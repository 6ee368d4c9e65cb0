// Failures of the machine, as errors of this library.
#pragma once

#include <exception>

namespace stella {

/// Error(out_of_memory); where not even that can be allocated, std::bad_alloc.
std::exception_ptr out_of_memory_error() noexcept;

/// std::bad_alloc as Error(out_of_memory); everything else as it is.
std::exception_ptr typed_error(std::exception_ptr error) noexcept;

}  // namespace stella
