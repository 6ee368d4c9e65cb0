// Sixteen f32 lanes, AVX-512.
#pragma once

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace stella::kernels {
namespace {

// The tile of a matrix product: 24 accumulators, 4 columns and 1 activation of 32 registers. Measured beside 14 x 32,
// which needs half as many loads again: 6 x 64 runs some 8 % faster where two threads share a core.
constexpr std::size_t kMr = 6;
constexpr std::size_t kNr = 64;
constexpr std::size_t kTallRows = 14;  // times two columns: 28 accumulators, 2 columns and 1 activation

struct Vec {
  static constexpr std::size_t kWidth = 16;
  __m512 v;
};

inline __mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffffU : (1U << count) - 1U);
}

inline Vec zero() {
  return {_mm512_setzero_ps()};
}
inline Vec all(float x) {
  return {_mm512_set1_ps(x)};
}
inline Vec load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
inline void store(float* p, Vec a) {
  _mm512_storeu_ps(p, a.v);
}
/// The first `count` lanes, the others zero.
inline Vec load_first(const float* p, std::size_t count) {
  return {_mm512_maskz_loadu_ps(first_lanes(count), p)};
}
inline void store_first(float* p, Vec a, std::size_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), a.v);
}
inline Vec keep_first(Vec a, std::size_t count) {
  return {_mm512_maskz_mov_ps(first_lanes(count), a.v)};
}
inline Vec load_int(const float* p) {
  return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))};
}
inline Vec load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline Vec load_bf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

inline Vec operator+(Vec a, Vec b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm512_div_ps(a.v, b.v)};
}
/// 1 / a for a whose reciprocal is no denormal number.
inline Vec reciprocal(Vec a) {
  // One step of Newton's after the table's 14 bits: to a unit in the last place, in a quarter of a division's time.
  const __m512 rough = _mm512_rcp14_ps(a.v);
  return {_mm512_fmadd_ps(rough, _mm512_fnmadd_ps(a.v, rough, _mm512_set1_ps(1.0F)), rough)};
}
/// a · b + c
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec max(Vec a, Vec b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline Vec min(Vec a, Vec b) {
  return {_mm512_min_ps(a.v, b.v)};
}
inline Vec abs(Vec a) {
  return {_mm512_abs_ps(a.v)};
}
/// To the nearest integer, ties to even.
inline Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a · 2^n for integral n in [-126, 127].
inline Vec times_power_of_two(Vec a, Vec n) {
  return {_mm512_scalef_ps(a.v, n.v)};
}
inline float sum_lanes(Vec a) {
  return _mm512_reduce_add_ps(a.v);
}
inline float max_lane(Vec a) {
  return _mm512_reduce_max_ps(a.v);
}
inline float root(float x) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}
/// Rows become columns.
inline void transpose(Vec (&x)[16]) {
  __m512 pair[16];  // two rows interleaved by elements, in lanes of four
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_ps(x[i].v, x[i + 1].v);
    pair[i + 1] = _mm512_unpackhi_ps(x[i].v, x[i + 1].v);
  }
  __m512 four[16];  // four[4 i + j]: column j of each lane, rows 4 i to 4 i + 3
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(pair[i + j]);
      const __m512d high = _mm512_castps_pd(pair[i + j + 2]);
      four[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      four[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  for (int j = 0; j < 4; ++j) {
    const __m512 even_low = _mm512_shuffle_f32x4(four[j], four[4 + j], 0x88);  // lanes 0 and 2
    const __m512 odd_low = _mm512_shuffle_f32x4(four[j], four[4 + j], 0xdd);   // lanes 1 and 3
    const __m512 even_high = _mm512_shuffle_f32x4(four[8 + j], four[12 + j], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(four[8 + j], four[12 + j], 0xdd);
    x[j].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    x[4 + j].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    x[8 + j].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    x[12 + j].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

struct IntVec {
  __m512i v;
};
constexpr std::size_t kPair = 2;
using PairOfInt16 = std::int32_t;

inline IntVec int_zero() {
  return {_mm512_setzero_si512()};
}
inline IntVec int_all(std::int32_t x) {
  return {_mm512_set1_epi32(x)};
}
inline IntVec load_raw(const float* p) {
  return {_mm512_loadu_si512(p)};
}
inline void store_raw(float* p, IntVec a) {
  _mm512_storeu_si512(p, a.v);
}
inline Vec to_float(IntVec a) {
  return {_mm512_cvtepi32_ps(a.v)};
}
inline IntVec load_int16(const void* p) {
  return {_mm512_loadu_si512(p)};
}
inline IntVec load_int8(const void* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
/// To the nearest integer, ties to even.
inline IntVec to_int(Vec a) {
  return {_mm512_cvtps_epi32(a.v)};
}
inline IntVec operator+(IntVec a, IntVec b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
inline void store_int16(std::int16_t* p, IntVec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtsepi32_epi16(a.v));
}
/// Rounded to the nearest integers.
inline void store_int16(std::int16_t* p, Vec a) {
  store_int16(p, to_int(a));
}
/// Rounded to int16, `low` in the low halves of the lanes and `high` in the high ones.
inline IntVec int16_pairs(Vec low, Vec high) {
  const __m512i bottom = _mm512_and_si512(_mm512_cvtps_epi32(low.v), _mm512_set1_epi32(0xffff));
  return {_mm512_or_si512(bottom, _mm512_slli_epi32(_mm512_cvtps_epi32(high.v), 16))};
}
/// Rounded to [-128, 127], stored 128 higher.
inline void store_uint8(std::uint8_t* p, Vec a) {
  const __m512i shifted = _mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(128));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(shifted));
}
/// -128 times the integers at p.
inline IntVec minus_128_times(const std::int32_t* p) {
  return {_mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(p), 7))};
}
struct PlainStep {
  /// sum + a · b over pairs of int16.
  static IntVec add(IntVec sum, IntVec a, IntVec b) { return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(a.v, b.v))}; }
};

}  // namespace
}  // namespace stella::kernels
