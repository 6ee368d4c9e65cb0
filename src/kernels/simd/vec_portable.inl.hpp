// Four f32 lanes in the compiler's own vector type: any processor (SSE2 on x86-64, NEON on ARM). No fused multiply-add,
// so that the result is the same on all of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stella::kernels {
namespace {

typedef float Float4 __attribute__((vector_size(16)));
typedef std::int32_t Int4 __attribute__((vector_size(16)));

// The tile of a matrix product: 8 accumulators, 2 columns and 1 activation of 16 registers (SSE2).
constexpr std::size_t kMr = 4;
constexpr std::size_t kNr = 8;
constexpr std::size_t kTallRows = 0;  // as with AVX2

struct Vec {
  static constexpr std::size_t kWidth = 4;
  Float4 v;
};

inline Vec zero() {
  return {Float4{0, 0, 0, 0}};
}
inline Vec all(float x) {
  return {Float4{x, x, x, x}};
}
inline Vec load(const float* p) {
  Vec a;
  std::memcpy(&a.v, p, sizeof(a.v));
  return a;
}
inline void store(float* p, Vec a) {
  std::memcpy(p, &a.v, sizeof(a.v));
}
/// The first `count` lanes, the others zero.
inline Vec load_first(const float* p, std::size_t count) {
  Vec a = zero();
  for (std::size_t i = 0; i < count && i < 4; ++i) a.v[i] = p[i];
  return a;
}
inline void store_first(float* p, Vec a, std::size_t count) {
  for (std::size_t i = 0; i < count && i < 4; ++i) p[i] = a.v[i];
}
inline Vec keep_first(Vec a, std::size_t count) {
  for (std::size_t i = count; i < 4; ++i) a.v[i] = 0;
  return a;
}
inline Vec load_int(const float* p) {
  Int4 a;
  std::memcpy(&a, p, sizeof(a));
  return {__builtin_convertvector(a, Float4)};
}
inline float f16_to_f32(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16U;
  const std::uint32_t exponent = (half >> 10U) & 0x1fU;
  const std::uint32_t fraction = half & 0x3ffU;
  float value = 0;
  if (exponent == 0) {  // zero and subnormal: fraction · 2^-24
    value = static_cast<float>(fraction) * 0x1p-24F;
  } else {
    const std::uint32_t wide = exponent == 0x1fU ? 0xffU : exponent + 112U;
    const std::uint32_t bits = (wide << 23U) | (fraction << 13U);
    std::memcpy(&value, &bits, sizeof(value));
  }
  return sign != 0 ? -value : value;
}
inline Vec load_f16(const void* p) {
  std::uint16_t half[4];
  std::memcpy(half, p, sizeof(half));
  return {Float4{f16_to_f32(half[0]), f16_to_f32(half[1]), f16_to_f32(half[2]), f16_to_f32(half[3])}};
}
inline Vec load_bf16(const void* p) {
  std::uint16_t half[4];
  std::memcpy(half, p, sizeof(half));
  std::uint32_t bits[4];
  for (int i = 0; i < 4; ++i) bits[i] = static_cast<std::uint32_t>(half[i]) << 16U;
  Vec a;
  std::memcpy(&a.v, bits, sizeof(a.v));
  return a;
}

inline Vec operator+(Vec a, Vec b) {
  return {a.v + b.v};
}
inline Vec operator-(Vec a, Vec b) {
  return {a.v - b.v};
}
inline Vec operator*(Vec a, Vec b) {
  return {a.v * b.v};
}
inline Vec operator/(Vec a, Vec b) {
  return {a.v / b.v};
}
/// 1 / a for a whose reciprocal is no denormal number.
inline Vec reciprocal(Vec a) {
  return all(1.0F) / a;
}
/// a · b + c, rounded twice.
inline Vec fma(Vec a, Vec b, Vec c) {
  return {a.v * b.v + c.v};
}
inline Vec max(Vec a, Vec b) {
  return {a.v > b.v ? a.v : b.v};
}
inline Vec min(Vec a, Vec b) {
  return {a.v < b.v ? a.v : b.v};
}
inline Vec abs(Vec a) {
  const Int4 mask{0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff};
  return {reinterpret_cast<Float4>(reinterpret_cast<Int4>(a.v) & mask)};
}
/// To the nearest integer, ties to even; |a| < 2^22.
inline Vec round(Vec a) {
  const Vec shift = all(0x1.8p23F);  // adding it leaves no bits below one
  return {(a.v + shift.v) - shift.v};
}
/// a · 2^n for integral n in [-126, 127].
inline Vec times_power_of_two(Vec a, Vec n) {
  const Int4 bits = (__builtin_convertvector(n.v, Int4) + 127) << 23;
  return {a.v * reinterpret_cast<Float4>(bits)};
}
inline float sum_lanes(Vec a) {
  return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
}
inline float max_lane(Vec a) {
  const float left = a.v[0] > a.v[2] ? a.v[0] : a.v[2];
  const float right = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
  return left > right ? left : right;
}
inline float root(float x) {
  return std::sqrt(x);
}
/// Rows become columns.
inline void transpose(Vec (&x)[4]) {
  const Vec old[4] = {x[0], x[1], x[2], x[3]};
  for (int i = 0; i < 4; ++i) x[i].v = Float4{old[0].v[i], old[1].v[i], old[2].v[i], old[3].v[i]};
}

struct IntVec {
  Int4 v;
};
constexpr std::size_t kPair = 1;  // no instruction for pairs that every processor has
using PairOfInt16 = std::int16_t;

inline IntVec int_zero() {
  return {Int4{0, 0, 0, 0}};
}
inline IntVec int_all(std::int32_t x) {
  return {Int4{x, x, x, x}};
}
inline IntVec load_raw(const float* p) {
  IntVec a;
  std::memcpy(&a.v, p, sizeof(a.v));
  return a;
}
inline void store_raw(float* p, IntVec a) {
  std::memcpy(p, &a.v, sizeof(a.v));
}
inline Vec to_float(IntVec a) {
  return {__builtin_convertvector(a.v, Float4)};
}
inline IntVec load_int16(const void* p) {
  std::int16_t x[4];
  std::memcpy(x, p, sizeof(x));
  return {Int4{x[0], x[1], x[2], x[3]}};
}
inline IntVec load_int8(const void* p) {
  std::int8_t x[4];
  std::memcpy(x, p, sizeof(x));
  return {Int4{x[0], x[1], x[2], x[3]}};
}
/// Rounded to the nearest integers.
inline void store_int16(std::int16_t* p, Vec a) {
  const Vec rounded = round(a);
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::int16_t>(rounded.v[i]);
}
struct PlainStep {
  static IntVec add(IntVec sum, IntVec a, IntVec b) { return {sum.v + a.v * b.v}; }
};

}  // namespace
}  // namespace stella::kernels
