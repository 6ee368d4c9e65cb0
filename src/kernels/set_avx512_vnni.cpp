// The integer products for AVX-512 with VNNI.
// clang-format off
#include "kernels/simd/vec_avx512.inl.hpp"

namespace stella::kernels {
namespace {

struct VnniStep {
  static IntVec add(IntVec sum, IntVec a, IntVec b) { return {_mm512_dpwssd_epi32(sum.v, a.v, b.v)}; }
  static IntVec add_bytes(IntVec sum, IntVec a, IntVec b) { return {_mm512_dpbusd_epi32(sum.v, a.v, b.v)}; }
};

}  // namespace
}  // namespace stella::kernels

#include "kernels/simd/vnni.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {

constinit const GemmOps kAvx512VnniInt16 = int16_vnni_ops();
constinit const GemmOps kAvx512VnniInt8 = int8_vnni_ops();

}  // namespace stella::kernels
