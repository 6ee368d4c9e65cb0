// The kernels for any processor.
// clang-format off
#include "kernels/simd/vec_portable.inl.hpp"
#include "kernels/simd/set.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"
#include "stella/options.hpp"

namespace stella::kernels {

constinit const Kernels kPortableKernels = make_kernels(KernelSet::portable, "portable");

}  // namespace stella::kernels
