// Norms, means and conversions, row by row.
#pragma once

namespace stella::kernels {
namespace {

/// Sum over i of f(vector i of the row, its count of real lanes); lanes that are not real must be zero in f's result.
template <class F>
inline float sum_row(std::size_t n, F f) {
  Vec even = zero();
  Vec odd = zero();
  std::size_t i = 0;
  for (; i + 2 * Vec::kWidth <= n; i += 2 * Vec::kWidth) {
    even = even + f(i, Vec::kWidth);
    odd = odd + f(i + Vec::kWidth, Vec::kWidth);
  }
  for (; i < n; i += Vec::kWidth) even = even + f(i, n - i < Vec::kWidth ? n - i : Vec::kWidth);
  return sum_lanes(even + odd);
}

void layer_norm(const float* x, std::size_t m, std::size_t n, const float* gain, const float* shift, float eps,
                float* y) {
  const float inverse_n = 1.0F / static_cast<float>(n);
  for (std::size_t row = 0; row < m; ++row, x += n, y += n) {
    const float mean = sum_row(n, [&](std::size_t i, std::size_t c) { return load_first(x + i, c); }) * inverse_n;
    const float squares = sum_row(n, [&](std::size_t i, std::size_t c) {
      const Vec d = keep_first(load_first(x + i, c) - all(mean), c);
      return d * d;
    });
    const Vec scale = all(1.0F / root(squares * inverse_n + eps));
    for (std::size_t i = 0; i < n; i += Vec::kWidth) {
      const std::size_t c = n - i;
      const Vec d = (load_first(x + i, c) - all(mean)) * scale;
      store_first(y + i, fma(d, load_first(gain + i, c), load_first(shift + i, c)), c);
    }
  }
}

void rms_norm(const float* x, std::size_t m, std::size_t n, const float* gain, float eps, float* y) {
  const float inverse_n = 1.0F / static_cast<float>(n);
  for (std::size_t row = 0; row < m; ++row, x += n, y += n) {
    const float squares = sum_row(n, [&](std::size_t i, std::size_t c) {
      const Vec d = load_first(x + i, c);
      return d * d;
    });
    const Vec scale = all(1.0F / root(squares * inverse_n + eps));
    for (std::size_t i = 0; i < n; i += Vec::kWidth) {
      const std::size_t c = n - i;
      store_first(y + i, load_first(x + i, c) * scale * load_first(gain + i, c), c);
    }
  }
}

/// Sums runs of 32 rows first, so that the rounding of a long text does not grow with its length.
void mean_rows(const float* x, std::size_t rows, std::size_t n, std::size_t begin, std::size_t end, float* out) {
  constexpr std::size_t kRun = 32;
  const Vec inverse = all(1.0F / static_cast<float>(rows));
  for (std::size_t i = begin; i < end; i += Vec::kWidth) {
    const std::size_t c = end - i;
    Vec total = zero();
    for (std::size_t run = 0; run < rows; run += kRun) {
      const std::size_t stop = run + kRun < rows ? run + kRun : rows;
      Vec sum = zero();
      for (std::size_t row = run; row < stop; ++row) sum = sum + load_first(x + row * n + i, c);
      total = total + sum;
    }
    store_first(out + i, total * inverse, c);
  }
}

inline Vec load_as(const unsigned char* p, DType type) {
  if (type == DType::f16) return load_f16(p);
  if (type == DType::bf16) return load_bf16(p);
  return load(reinterpret_cast<const float*>(p));
}

void to_f32(const void* source, DType type, std::size_t n, float* out) {
  const auto* from = static_cast<const unsigned char*>(source);
  const std::size_t element = type == DType::f32 ? 4 : 2;
  std::size_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) store(out + i, load_as(from + i * element, type));
  if (i == n) return;
  alignas(64) unsigned char rest[4 * Vec::kWidth] = {};
  for (std::size_t byte = 0; byte < (n - i) * element; ++byte) rest[byte] = from[i * element + byte];
  store_first(out + i, load_as(rest, type), n - i);
}

void add_in_place(float* x, const float* addend, std::size_t n) {
  for (std::size_t i = 0; i < n; i += Vec::kWidth) {
    store_first(x + i, load_first(x + i, n - i) + load_first(addend + i, n - i), n - i);
  }
}

}  // namespace
}  // namespace stella::kernels
