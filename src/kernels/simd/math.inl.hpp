// Elementary functions on vectors. Errors against double are bounds that kernels' tests check.
#pragma once

namespace stella::kernels {
namespace {

/// 2^x for x <= 0; 2^-126 below -126. Relative error under 3e-7 (polynomial of Cephes' exp2f).
inline Vec exp2_negative(Vec x) {
  const Vec clamped = max(x, all(-126.0F));
  const Vec n = round(clamped);
  const Vec f = clamped - n;
  Vec p = all(1.535336188319500e-4F);
  p = fma(p, f, all(1.339887440266574e-3F));
  p = fma(p, f, all(9.618437357674640e-3F));
  p = fma(p, f, all(5.550332471162809e-2F));
  p = fma(p, f, all(2.402264791363012e-1F));
  p = fma(p, f, all(6.931472028550421e-1F));
  return times_power_of_two(fma(p, f, all(1.0F)), n);
}

/// e^x for x <= 88; about 1e-38 below -87. Relative error under 2e-7 (Cephes' expf).
inline Vec exp(Vec x) {
  const Vec clamped = max(min(x, all(88.0F)), all(-87.3F));
  const Vec n = round(clamped * all(1.44269504088896341F));
  Vec r = fma(n, all(-0.693359375F), clamped);  // ln 2 in two parts, the first exact in few bits
  r = fma(n, all(2.12194440e-4F), r);
  Vec p = all(1.9875691500e-4F);
  p = fma(p, r, all(1.3981999507e-3F));
  p = fma(p, r, all(8.3334519073e-3F));
  p = fma(p, r, all(4.1665795894e-2F));
  p = fma(p, r, all(1.6666665459e-1F));
  p = fma(p, r, all(5.0000001201e-1F));
  return times_power_of_two(fma(p, r * r, r + all(1.0F)), n);
}

/// The error function as a rational function, x·P(x²)/Q(x²) on [-4, 4]. Absolute error under 4e-7 (the coefficients
/// of Eigen's erf).
inline Vec erf(Vec x) {
  const Vec z = max(min(x, all(4.0F)), all(-4.0F));
  const Vec s = z * z;
  Vec p = all(-2.72614225801306e-10F);
  p = fma(p, s, all(2.77068142495902e-08F));
  p = fma(p, s, all(-2.10102402082508e-06F));
  p = fma(p, s, all(-5.69250639462346e-05F));
  p = fma(p, s, all(-7.34990630326855e-04F));
  p = fma(p, s, all(-2.95459980854025e-03F));
  p = fma(p, s, all(-1.60960333262415e-02F));
  Vec q = all(-1.45660718464996e-05F);
  q = fma(q, s, all(-2.13374055278905e-04F));
  q = fma(q, s, all(-1.68282697438203e-03F));
  q = fma(q, s, all(-7.37332916720468e-03F));
  q = fma(q, s, all(-1.42647390514189e-02F));
  return max(min(z * p * reciprocal(q), all(1.0F)), all(-1.0F));
}

inline Vec gelu(Vec x) {
  const Vec half = x * all(0.5F);
  return fma(half, erf(x * all(0.70710678118654752F)), half);
}

inline Vec silu(Vec x) {
  return x * reciprocal(all(1.0F) + exp(min(zero() - x, all(87.0F))));
}

}  // namespace
}  // namespace stella::kernels
