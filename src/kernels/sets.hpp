// The sets that this build contains, and the variants of them that this processor runs.
#pragma once

#include "kernels/table.hpp"

#include <span>

namespace stella::kernels {

// Defined in set_<name>.cpp; calling their functions needs the processor to have the instructions.
extern const Kernels kPortableKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
// What newer processors put in their place.
extern const GemmOps kAvxVnniInt16;
extern const GemmOps kAvxVnniInt8;
extern const GemmOps kAvx512VnniInt16;
extern const GemmOps kAvx512VnniInt8;
extern const AttentionOps kAvxVnniAttention;
extern const AttentionOps kAvx512VnniAttention;
extern const GemmOps kAvx512Bf16;
extern const GemmOps kAmxBf16;
extern const GemmOps kAmxInt8;
extern const AttentionOps kAmxAttention;

/// Every variant that runs here, the fastest of each set first; portable is the last. For tests and benches, which
/// force each.
std::span<const Kernels* const> runnable_kernels();

}  // namespace stella::kernels
