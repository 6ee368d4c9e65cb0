// Eight f32 lanes, AVX2 with FMA and F16C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace stella::kernels {
namespace {

// The tile of a matrix product: 12 accumulators, 2 columns and 1 activation of 16 registers.
constexpr std::size_t kMr = 6;
constexpr std::size_t kNr = 16;
// Twelve or thirteen rows by one column load an activation for every multiplication: a fifth slower than row panels.
constexpr std::size_t kTallRows = 0;

struct Vec {
  static constexpr std::size_t kWidth = 8;
  __m256 v;
};

inline __m256i first_lanes(std::size_t count) {
  const int limit = static_cast<int>(count >= 8 ? 8 : count);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec zero() {
  return {_mm256_setzero_ps()};
}
inline Vec all(float x) {
  return {_mm256_set1_ps(x)};
}
inline Vec load(const float* p) {
  return {_mm256_loadu_ps(p)};
}
inline void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.v);
}
/// The first `count` lanes, the others zero.
inline Vec load_first(const float* p, std::size_t count) {
  return {_mm256_maskload_ps(p, first_lanes(count))};
}
inline void store_first(float* p, Vec a, std::size_t count) {
  _mm256_maskstore_ps(p, first_lanes(count), a.v);
}
inline Vec keep_first(Vec a, std::size_t count) {
  return {_mm256_and_ps(a.v, _mm256_castsi256_ps(first_lanes(count)))};
}
inline Vec load_int(const float* p) {
  return {_mm256_cvtepi32_ps(_mm256_castps_si256(_mm256_loadu_ps(p)))};
}
inline Vec load_f16(const void* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline Vec load_bf16(const void* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}

inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.v, b.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.v, b.v)};
}
/// 1 / a for a whose reciprocal is no denormal number.
inline Vec reciprocal(Vec a) {
  return all(1.0F) / a;
}
/// a · b + c
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec max(Vec a, Vec b) {
  return {_mm256_max_ps(a.v, b.v)};
}
inline Vec min(Vec a, Vec b) {
  return {_mm256_min_ps(a.v, b.v)};
}
inline Vec abs(Vec a) {
  return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v)};
}
/// To the nearest integer, ties to even.
inline Vec round(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a · 2^n for integral n in [-126, 127].
inline Vec times_power_of_two(Vec a, Vec n) {
  const __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(bits))};
}
inline float sum_lanes(Vec a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float max_lane(Vec a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline float root(float x) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}
/// Rows become columns.
inline void transpose(Vec (&x)[8]) {
  __m256 pair[8];  // two rows interleaved by elements, in lanes of four
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(x[i].v, x[i + 1].v);
    pair[i + 1] = _mm256_unpackhi_ps(x[i].v, x[i + 1].v);
  }
  __m256 four[8];  // four[4 i + j]: column j of each lane, rows 4 i to 4 i + 3
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      four[i + 2 * j] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0x44);
      four[i + 2 * j + 1] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0xee);
    }
  }
  for (int j = 0; j < 4; ++j) {
    x[j].v = _mm256_permute2f128_ps(four[j], four[4 + j], 0x20);
    x[4 + j].v = _mm256_permute2f128_ps(four[j], four[4 + j], 0x31);
  }
}

struct IntVec {
  __m256i v;
};
constexpr std::size_t kPair = 2;
using PairOfInt16 = std::int32_t;

inline IntVec int_zero() {
  return {_mm256_setzero_si256()};
}
inline IntVec int_all(std::int32_t x) {
  return {_mm256_set1_epi32(x)};
}
inline IntVec load_raw(const float* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline void store_raw(float* p, IntVec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v);
}
inline Vec to_float(IntVec a) {
  return {_mm256_cvtepi32_ps(a.v)};
}
inline IntVec load_int16(const void* p) {
  return {_mm256_loadu_si256(static_cast<const __m256i*>(p))};
}
inline IntVec load_int8(const void* p) {
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
/// To the nearest integer, ties to even.
inline IntVec to_int(Vec a) {
  return {_mm256_cvtps_epi32(a.v)};
}
inline IntVec operator+(IntVec a, IntVec b) {
  return {_mm256_add_epi32(a.v, b.v)};
}
inline void store_int16(std::int16_t* p, IntVec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1)));
}
/// Rounded to the nearest integers.
inline void store_int16(std::int16_t* p, Vec a) {
  store_int16(p, to_int(a));
}
/// Rounded to int16, `low` in the low halves of the lanes and `high` in the high ones.
inline IntVec int16_pairs(Vec low, Vec high) {
  const __m256i bottom = _mm256_and_si256(_mm256_cvtps_epi32(low.v), _mm256_set1_epi32(0xffff));
  return {_mm256_or_si256(bottom, _mm256_slli_epi32(_mm256_cvtps_epi32(high.v), 16))};
}
/// Rounded to [-128, 127], stored 128 higher.
inline void store_uint8(std::uint8_t* p, Vec a) {
  const __m256i shifted = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(128));
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
/// -128 times the integers at p.
inline IntVec minus_128_times(const std::int32_t* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(x, 7))};
}
struct PlainStep {
  /// sum + a · b over pairs of int16.
  static IntVec add(IntVec sum, IntVec a, IntVec b) { return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(a.v, b.v))}; }
};

}  // namespace
}  // namespace stella::kernels
