#include "peak.hpp"

#include "base/cpu.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace stella::bench {
namespace {

#if defined(__x86_64__)
// 24 chains (12 with 16 registers) hide the latency of two units. The empty assembler statements hide the values, so
// that the compiler neither folds the chains nor takes them out of registers.
constexpr std::size_t kChains = 24;

// Operands with busy bits: a core that multiplies zeros draws less power and clocks higher than one at work. Read as
// integers or bf16 they are as good as any.
constexpr float kOperands[32] = {0.7134F, -0.2871F, 0.9312F,  -0.5519F, 0.1347F,  -0.8253F, 0.3719F, -0.6637F,
                                 0.4421F, -0.9177F, 0.2593F,  -0.7741F, 0.5987F,  -0.1163F, 0.8359F, -0.3491F,
                                 -0.531F, 0.6247F,  -0.1979F, 0.8713F,  -0.4057F, 0.7529F,  -0.291F, 0.9631F,
                                 -0.673F, 0.3181F,  -0.8447F, 0.1571F,  -0.7193F, 0.4663F,  -0.983F, 0.2239F};

template <class Vector, std::size_t N>
inline __attribute__((always_inline)) void hide(Vector (&sum)[N]) {
#pragma GCC unroll 32
  for (auto& s : sum) __asm__ volatile("" : "+v"(s));
}

__attribute__((target("avx512f"))) void fma_512(std::size_t steps) {
  __m512 sum[kChains] = {};
  hide(sum);
  const __m512 a = _mm512_loadu_ps(kOperands), b = _mm512_loadu_ps(kOperands + 16);
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm512_fmadd_ps(a, b, s);
  }
  hide(sum);
}

__attribute__((target("avx2,fma"))) void fma_256(std::size_t steps) {
  __m256 sum[kChains / 2] = {};
  hide(sum);
  const __m256 a = _mm256_loadu_ps(kOperands), b = _mm256_loadu_ps(kOperands + 16);
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm256_fmadd_ps(a, b, s);
  }
  hide(sum);
}

__attribute__((target("avx512f,avx512vnni"))) void int16_512(std::size_t steps) {
  __m512i sum[kChains] = {};
  hide(sum);
  const __m512i a = _mm512_loadu_si512(kOperands), b = _mm512_loadu_si512(kOperands + 16);
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm512_dpwssd_epi32(s, a, b);
  }
  hide(sum);
}

__attribute__((target("avx512f,avx512vnni"))) void int8_512(std::size_t steps) {
  __m512i sum[kChains] = {};
  hide(sum);
  const __m512i a = _mm512_loadu_si512(kOperands), b = _mm512_loadu_si512(kOperands + 16);
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm512_dpbusd_epi32(s, a, b);
  }
  hide(sum);
}

__attribute__((target("avx512f,avx512bf16"))) void bf16_512(std::size_t steps) {
  __m512 sum[kChains] = {};
  hide(sum);
  __m512bh a;
  __m512bh b;
  __builtin_memcpy(&a, kOperands, sizeof(a));
  __builtin_memcpy(&b, kOperands + 16, sizeof(b));
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm512_dpbf16_ps(s, a, b);
  }
  hide(sum);
}
#endif

}  // namespace

double run_peak(KernelSet set, Precision precision, std::size_t steps) {
#if defined(__x86_64__)
  const CpuFeatures& cpu = cpu_features();
  const double n = static_cast<double>(steps);
  if (set == KernelSet::avx512 && cpu.avx512) {
    if (precision == Precision::f32) return fma_512(steps), n * kChains * 16 * 2;
    if (precision == Precision::bf16 && cpu.avx512_bf16) return bf16_512(steps), n * kChains * 32 * 2;
    if (precision == Precision::int16 && cpu.avx512_vnni) return int16_512(steps), n * kChains * 32 * 2;
    if (precision == Precision::int8 && cpu.avx512_vnni) return int8_512(steps), n * kChains * 64 * 2;
  }
  if (set == KernelSet::avx2 && cpu.avx2 && precision == Precision::f32) return fma_256(steps), n * 12 * 8 * 2;
#endif
  (void)set;
  (void)precision;
  (void)steps;
  return 0;
}

}  // namespace stella::bench
