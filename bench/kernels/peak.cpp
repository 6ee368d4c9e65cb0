#include "peak.hpp"

#include "base/cpu.hpp"

#include <cstdint>
#include <string_view>

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

__attribute__((target("avx2,avxvnni"))) void int16_256(std::size_t steps) {
  __m256i sum[kChains / 2] = {};
  hide(sum);
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOperands));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOperands + 16));
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm256_dpwssd_avx_epi32(s, a, b);
  }
  hide(sum);
}

__attribute__((target("avx2,avxvnni"))) void int8_256(std::size_t steps) {
  __m256i sum[kChains / 2] = {};
  hide(sum);
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOperands));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOperands + 16));
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 32
    for (auto& s : sum) s = _mm256_dpbusd_avx_epi32(s, a, b);
  }
  hide(sum);
}

/// Tiles 0 to 3 are sums of tiles 4 and 5 times 6 and 7, as in a matrix product.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

__attribute__((target("amx-tile"))) void fill_tiles(const TileConfig& config) {
  __asm__ volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
  _tile_loadd(4, kOperands, 4);
  _tile_loadd(5, kOperands, 4);
  _tile_loadd(6, kOperands, 4);
  _tile_loadd(7, kOperands, 4);
}

__attribute__((target("amx-tile,amx-bf16"))) void bf16_amx(std::size_t steps) {
  const TileConfig config;
  fill_tiles(config);
  for (std::size_t i = 0; i < steps; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

__attribute__((target("amx-tile,amx-int8"))) void int8_amx(std::size_t steps) {
  const TileConfig config;
  fill_tiles(config);
  for (std::size_t i = 0; i < steps; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
}
#endif

}  // namespace

double run_peak(const kernels::Kernels& set, Precision precision, std::size_t steps) {
#if defined(__x86_64__)
  const CpuFeatures& cpu = cpu_features();
  const auto n = static_cast<double>(steps);
  const std::string_view name = set.name;
  if (name.ends_with("-amx")) {
    constexpr double kTileProducts = 4 * 16 * 16 * 2;  // four instructions, 16 rows by 16 columns
    if (precision == Precision::bf16) return bf16_amx(steps), n * kTileProducts * 32;
    if (precision == Precision::int8) return int8_amx(steps), n * kTileProducts * 64;
  }
  if (set.set == KernelSet::avx512) {
    const bool vnni = name != "avx512";
    if (precision == Precision::f32) return fma_512(steps), n * kChains * 16 * 2;
    if (precision == Precision::bf16 && vnni && cpu.avx512_bf16) return bf16_512(steps), n * kChains * 32 * 2;
    if (precision == Precision::int16 && vnni) return int16_512(steps), n * kChains * 32 * 2;
    if (precision == Precision::int8 && vnni) return int8_512(steps), n * kChains * 64 * 2;
  }
  if (set.set == KernelSet::avx2) {
    const bool vnni = name != "avx2";
    if (precision == Precision::f32) return fma_256(steps), n * 12 * 8 * 2;
    if (precision == Precision::int16 && vnni) return int16_256(steps), n * 12 * 16 * 2;
    if (precision == Precision::int8 && vnni) return int8_256(steps), n * 12 * 32 * 2;
  }
#endif
  (void)set;
  (void)precision;
  (void)steps;
  return 0;
}

}  // namespace stella::bench
