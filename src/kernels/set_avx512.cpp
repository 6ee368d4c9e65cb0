// The kernels for AVX-512 F, BW, DQ and VL.
// clang-format off
#include "kernels/simd/vec_avx512.inl.hpp"
#include "kernels/simd/set.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"
#include "stella/options.hpp"

namespace stella::kernels {

constinit const Kernels kAvx512Kernels = make_kernels(KernelSet::avx512, "avx512");

}  // namespace stella::kernels
