// Matrix products on narrow operands: the loop over tiles, and what an instruction set must supply to it.
//
// int16: activations of 13 bits, with a scale for each row, times weights of 12 bits, with a scale for each output. A
// sum of 256 such products fits into int32 (4095 · 2047 · 256 < 2^31); then it is added to an f32 accumulator. int8:
// both of 8 bits, summed in int32 to the end. The integers are the same in every set, and what follows rounds alike,
// so the results of the integer precisions do not depend on the set.
#pragma once

namespace stella::kernels {
namespace {

/// c (R, kVecs vectors) from a (R, steps; rows Dot::kAStride apart) and b (steps, kVecs vectors; rows of kNr): one step
/// is one instruction's worth of k.
template <class Dot, std::size_t Quarters, std::size_t R, std::size_t kVecs>
inline void tile_low(std::size_t steps, const typename Dot::Activation* a, const unsigned char* b, float* c,
                     std::size_t ldc, bool first, const std::int32_t* sums, QuartersAhead& calls) {
  constexpr std::size_t kBStride = kNr / Vec::kWidth * Dot::kColumnBytes;
  typename Dot::Sum sum[R][kVecs];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) {
      sum[r][j] = Dot::start(c + r * ldc + j * Vec::kWidth, first, sums, j * Vec::kWidth);
    }
  }
  QuartersAhead ahead = Quarters > 0 ? calls : QuartersAhead();  // in a register
  for (std::size_t i = 0; i < steps; ++i, b += kBStride) {
    ahead.prefetch_in_step<kBStride, Quarters>(i);
    typename Dot::Column column[kVecs];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) column[j] = Dot::column(b + j * Dot::kColumnBytes);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      const auto x = Dot::row(a + r * Dot::kAStride + i);
#pragma GCC unroll 4
      for (std::size_t j = 0; j < kVecs; ++j) sum[r][j] = Dot::add(sum[r][j], x, column[j]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) Dot::finish(c + r * ldc + j * Vec::kWidth, sum[r][j], first);
  }
  if constexpr (Quarters > 0) calls = ahead;
}

template <class Dot, std::size_t Quarters, std::size_t R = kMr>
void run_tile_low(std::size_t rows, std::size_t steps, const typename Dot::Activation* a, const unsigned char* b,
                  float* c, std::size_t ldc, bool first, const std::int32_t* sums, QuartersAhead& ahead) {
  if constexpr (R > 1) {
    if (rows < R) return run_tile_low<Dot, Quarters, R - 1>(rows, steps, a, b, c, ldc, first, sums, ahead);
  }
  tile_low<Dot, Quarters, R, kNr / Vec::kWidth>(steps, a, b, c, ldc, first, sums, ahead);
}

template <class Dot>
struct TileLow {
  static constexpr std::size_t kMr = kernels::kMr;
  static constexpr std::size_t kKc = Dot::kKc;
  static constexpr std::size_t kAElement = Dot::kAElement;
  static constexpr std::size_t kBElement = Dot::kColumnBytes / Vec::kWidth / Dot::kGroup;
  static void run(std::size_t rows, std::size_t k, const unsigned char* a, const unsigned char* b, float* c,
                  std::size_t ldc, bool first, const std::int32_t* sums, std::size_t quarters, QuartersAhead& ahead) {
    with_quarters(quarters, [&](auto share) {
      run_tile_low<Dot, share.kValue>(rows, k / Dot::kGroup, reinterpret_cast<const typename Dot::Activation*>(a), b, c,
                                      ldc, first, sums, ahead);
    });
  }
  static void run_few(std::size_t rows, std::size_t k, const unsigned char* a, const unsigned char* b, float* c,
                      std::size_t ldc, bool first, const std::int32_t* sums, QuartersAhead& ahead) {
    in_halves(rows, [&](std::size_t row, auto count, std::size_t column, auto share) {
      tile_low<Dot, share.kValue, count.kValue, kHalf>(
          k / Dot::kGroup, reinterpret_cast<const typename Dot::Activation*>(a) + row * Dot::kAStride,
          b + column / Vec::kWidth * Dot::kColumnBytes, c + row * ldc + column, ldc, first,
          sums == nullptr ? nullptr : sums + column, ahead);
    });
  }
};

/// Weights in bf16, widened as they are read; activations stay f32. Half the memory traffic of f32, and no faster
/// where arithmetic is the limit.
struct DotWide {
  static constexpr std::size_t kKc = TileF32::kKc;
  static constexpr std::size_t kGroup = 1;
  static constexpr std::size_t kAElement = 4;
  static constexpr std::size_t kAStride = kKc;
  static constexpr std::size_t kColumnBytes = 2 * Vec::kWidth;
  using Activation = float;
  using Sum = Vec;
  using Column = Vec;
  static Vec start(const float* c, bool first, const std::int32_t*, std::size_t) { return first ? zero() : load(c); }
  static Vec column(const unsigned char* b) { return load_bf16(b); }
  static Vec row(const float* a) { return all(*a); }
  static Vec add(Vec sum, Vec x, Vec column) { return fma(x, column, sum); }
  static void finish(float* c, Vec sum, bool) { store(c, sum); }
};

/// Pairs (in the portable set: single elements) of int16, summed in int32 over kKc columns, then in f32.
template <class Step>
struct DotInt16 {
  static constexpr std::size_t kKc = 256;
  static constexpr std::size_t kGroup = kPair;
  static constexpr std::size_t kAElement = 2;
  static constexpr std::size_t kAStride = kKc / kPair;
  static constexpr std::size_t kColumnBytes = 2 * kPair * Vec::kWidth;
  using Activation = PairOfInt16;
  using Sum = IntVec;
  using Column = IntVec;
  static IntVec start(const float*, bool, const std::int32_t*, std::size_t) { return int_zero(); }
  static IntVec column(const unsigned char* b) { return load_int16(b); }
  static IntVec row(const PairOfInt16* a) { return int_all(*a); }
  static IntVec add(IntVec sum, IntVec x, IntVec column) { return Step::add(sum, x, column); }
  static void finish(float* c, IntVec sum, bool first) {
    const Vec value = to_float(sum);
    store(c, first ? value : load(c) + value);
  }
};

/// int8 weights widened to int16 as they are read, for processors without a byte product.
template <class Step>
struct DotInt8Wide : DotInt16<Step> {
  static constexpr std::size_t kColumnBytes = kPair * Vec::kWidth;
  static IntVec start(const float* c, bool first, const std::int32_t*, std::size_t) {
    return first ? int_zero() : load_raw(c);
  }
  static IntVec column(const unsigned char* b) { return load_int8(b); }
  static void finish(float* c, IntVec sum, bool) { store_raw(c, sum); }
};

struct PutInt16 {
  using Element = std::int16_t;
  static constexpr float kLimit = 4095;
  static constexpr int kZero = 0;
  static void at(Element* out, Vec value) { store_int16(out, value); }
};

/// 8-bit values in int16, for DotInt8Wide.
struct PutInt8Wide : PutInt16 {
  static constexpr float kLimit = 127;
};

/// The largest |x| of a row, columns weighted (by 1 / copies for a split column) where `weights` is given. Prefetches
/// the row that follows in memory, which mostly is the next to be read.
inline float peak_of(const float* x, std::size_t k, const float* weights) {
  constexpr std::size_t kChains = 4;  // a maximum has to wait for the one before
  const auto at = [&](std::size_t i, std::size_t count) {
    __builtin_prefetch(x + i + k);
    const Vec value = abs(load_first(x + i, count));
    return weights == nullptr ? value : value * load_first(weights + i, count);
  };
  Vec peak[kChains] = {zero(), zero(), zero(), zero()};
  std::size_t i = 0;
  for (; i + kChains * Vec::kWidth <= k; i += kChains * Vec::kWidth) {
    for (std::size_t j = 0; j < kChains; ++j) peak[j] = max(peak[j], at(i + j * Vec::kWidth, Vec::kWidth));
  }
  for (; i < k; i += Vec::kWidth) peak[0] = max(peak[0], at(i, k - i));
  return max_lane(max(max(peak[0], peak[1]), max(peak[2], peak[3])));
}

/// A column with outliers is packed as several copies whose values add up to it, so that its range is as many times
/// that of the others: copy 0 in its own place, the others after all columns.
template <class Put, class At>
inline void split_columns(const PackRows& p, const float* x, float inverse, At at) {
  const int copies = static_cast<int>(p.copies);  // a power of two
  const Vec limit = all(Put::kLimit * static_cast<float>(copies));
  std::size_t extra = p.k;
  for (std::size_t i = 0; i < p.split_count; ++i) {
    const auto column = static_cast<std::size_t>(p.split[i]);
    float lanes[Vec::kWidth];
    store(lanes, max(min(round(all(x[column]) * all(inverse)), limit), zero() - limit));
    const int q = static_cast<int>(lanes[0]);
    const int shift = __builtin_ctz(static_cast<unsigned>(copies));
    *at(column) = static_cast<typename Put::Element>((q >> shift) + Put::kZero);
    for (int copy = 1; copy < copies; ++copy) {
      *at(extra++) = static_cast<typename Put::Element>(((q + copy) >> shift) + Put::kZero);
    }
  }
}

/// Quantises rows to integers in [-Limit, Limit], rounded and stored by Put::at as Put::Element.
template <class Put, std::size_t Kc>
void pack_rows_integer(const PackRows& p) {
  constexpr std::size_t kWidth = Vec::kWidth;
  constexpr float kLimit = Put::kLimit;
  auto* out = static_cast<typename Put::Element*>(p.out);
  const auto at = [&](std::size_t row, std::size_t i) { return out + (i / Kc * p.block_rows + row) * Kc + i % Kc; };
  for (std::size_t row = 0; row < p.rows; ++row) {
    const float* x = p.x + row * p.k;
    const float peak = peak_of(x, p.k, p.column_weights);
    const float inverse = peak > 0 ? kLimit / peak : 0.0F;
    p.scales[row] = peak / kLimit;
    std::size_t i = 0;
    for (; i + kWidth <= p.k; i += kWidth) {  // kWidth divides Kc
      const Vec q = load(x + i) * all(inverse);
      Put::at(at(row, i), max(min(q, all(kLimit)), all(-kLimit)));
    }
    if (i < p.k) {
      typename Put::Element rest[kWidth];
      const Vec q = load_first(x + i, p.k - i) * all(inverse);
      Put::at(rest, max(min(q, all(kLimit)), all(-kLimit)));
      for (std::size_t lane = 0; i + lane < p.k; ++lane) *at(row, i + lane) = rest[lane];
    }
    for (i = p.k; i < p.k_padded; ++i) *at(row, i) = static_cast<typename Put::Element>(Put::kZero);
    split_columns<Put>(p, x, inverse, [&](std::size_t column) { return at(row, column); });
  }
}

/// k_multiple is 64 for all, a tile row of AMX, so that sets with the same group share one packed form.
template <class Dot>
constexpr GemmOps low_ops(void (*pack_rows)(const PackRows&)) {
  GemmOps ops;
  ops.mr = kMr;
  ops.least_few_rows = kLeastFewRows;
  ops.most_few_rows = kMaxFewRows;
  ops.nr = kNr;
  ops.kc = Dot::kKc;
  ops.group = Dot::kGroup;
  ops.k_multiple = 64;
  ops.a_element = Dot::kAElement;
  ops.b_element = TileLow<Dot>::kBElement;
  ops.pack_rows = pack_rows;
  ops.multiply = multiply_blocks<TileLow<Dot>>;
  ops.store = store_block;
  return ops;
}

}  // namespace
}  // namespace stella::kernels
