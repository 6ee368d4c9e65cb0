// The integer products for AVX-512 with VNNI.
// clang-format off
#include "kernels/simd/vec_avx512.inl.hpp"

namespace stella::kernels {
namespace {

// The instructions themselves: around the intrinsics g++ 12 copies and spills the accumulators (half the speed).
struct VnniStep {
  static IntVec add(IntVec sum, IntVec a, IntVec b) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
    return sum;
  }
  static IntVec add_bytes(IntVec sum, IntVec a, IntVec b) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
    return sum;
  }
};

}  // namespace
}  // namespace stella::kernels

#include "kernels/simd/vnni.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {

constinit const GemmOps kAvx512VnniInt16 = int16_vnni_ops();
constinit const GemmOps kAvx512VnniInt8 = int8_vnni_ops();
constinit const AttentionOps kAvx512VnniAttention = int16_attention_ops();

}  // namespace stella::kernels
