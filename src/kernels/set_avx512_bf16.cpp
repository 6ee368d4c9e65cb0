// The bf16 product for AVX-512 with BF16: VDPBF16PS multiplies pairs and adds them to f32.
// clang-format off
#include "kernels/simd/vec_avx512.inl.hpp"
#include "kernels/table.hpp"
#include "kernels/simd/math.inl.hpp"
#include "kernels/simd/gemm.inl.hpp"
#include "kernels/simd/gemm_low.inl.hpp"
#include "kernels/simd/bf16.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {
namespace {

struct DotBf16 {
  static constexpr std::size_t kKc = 512;
  static constexpr std::size_t kGroup = 2;
  static constexpr std::size_t kAElement = 2;
  static constexpr std::size_t kAStride = kKc / kGroup;
  static constexpr std::size_t kColumnBytes = 64;
  using Activation = std::int32_t;
  struct Sum {
    __m512 v;
  };
  using Column = IntVec;
  static Sum start(const float* c, bool first, const std::int32_t*, std::size_t) {
    return {first ? _mm512_setzero_ps() : _mm512_loadu_ps(c)};
  }
  static IntVec column(const unsigned char* b) { return load_int16(b); }
  static IntVec row(const std::int32_t* a) { return int_all(*a); }
  static Sum add(Sum sum, IntVec x, IntVec column) {
    return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(x.v), reinterpret_cast<__m512bh>(column.v))};
  }
  static void finish(float* c, Sum sum, bool) { _mm512_storeu_ps(c, sum.v); }
};

}  // namespace

constinit const GemmOps kAvx512Bf16 = low_ops<DotBf16>(pack_rows_bf16<DotBf16::kKc>);

}  // namespace stella::kernels
