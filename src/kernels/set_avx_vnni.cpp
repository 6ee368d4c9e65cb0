// The integer products for AVX2 with AVX-VNNI.
// clang-format off
#include "kernels/simd/vec_avx2.inl.hpp"

namespace stella::kernels {
namespace {

// The instructions themselves: around the intrinsics g++ 12 copies and spills the accumulators (half the speed).
struct VnniStep {
  static IntVec add(IntVec sum, IntVec a, IntVec b) {
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
    return sum;
  }
  static IntVec add_bytes(IntVec sum, IntVec a, IntVec b) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
    return sum;
  }
};

}  // namespace
}  // namespace stella::kernels

#include "kernels/simd/vnni.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {

constinit const GemmOps kAvxVnniInt16 = int16_vnni_ops();
constinit const GemmOps kAvxVnniInt8 = int8_vnni_ops();
constinit const AttentionOps kAvxVnniAttention = int16_attention_ops();

}  // namespace stella::kernels
