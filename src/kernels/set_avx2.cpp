// The kernels for AVX2 with FMA and F16C.
// clang-format off
#include "kernels/simd/vec_avx2.inl.hpp"
#include "kernels/simd/set.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"
#include "stella/options.hpp"

namespace stella::kernels {

constinit const Kernels kAvx2Kernels = make_kernels(KernelSet::avx2, "avx2");

}  // namespace stella::kernels
