// Which kernels a bench runs with, by name.
#pragma once

#include "stella/options.hpp"

#include <string>

namespace stella::bench {

/// A kernel set's name, or "no-amx": what `auto` is on the same processor without tiles. Call it before anything else
/// of the library, and before there are threads. Throws what parse_kernel_set() throws.
KernelSet choose_kernels(const std::string& name);

}  // namespace stella::bench
