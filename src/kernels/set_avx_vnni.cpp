// The integer products for AVX2 with AVX-VNNI.
// clang-format off
#include "kernels/simd/vec_avx2.inl.hpp"

namespace stella::kernels {
namespace {

struct VnniStep {
  static IntVec add(IntVec sum, IntVec a, IntVec b) { return {_mm256_dpwssd_avx_epi32(sum.v, a.v, b.v)}; }
  static IntVec add_bytes(IntVec sum, IntVec a, IntVec b) { return {_mm256_dpbusd_avx_epi32(sum.v, a.v, b.v)}; }
};

}  // namespace
}  // namespace stella::kernels

#include "kernels/simd/vnni.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {

constinit const GemmOps kAvxVnniInt16 = int16_vnni_ops();
constinit const GemmOps kAvxVnniInt8 = int8_vnni_ops();

}  // namespace stella::kernels
