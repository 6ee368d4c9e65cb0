// Attention with 16-bit integers, for processors that multiply and add pairs of them in one instruction. Queries have
// 13 bits and keys 12, with a scale for each; weights have 13 bits, relative to the largest of their row and block of
// keys, so that a long tail of small ones is not rounded away; values 12, with a scale for each dimension and block. A
// sum fits into int32: 4095 · 2047 · 256 and 8192 · 2047 · 128 are below 2^31. Softmax is f32. The including file has
// chosen the vector type and defined VnniStep before.
#pragma once

namespace stella::kernels {
namespace {

constexpr std::size_t kIntMostHeadDim = 256;
constexpr std::size_t kIntQueryStride = kIntMostHeadDim / 2;  // int32 (pairs of int16) between packed queries
constexpr std::size_t kIntWeightStride = kKeyBlock / 2;
constexpr float kQueryLimit = 4095;
constexpr float kKeyLimit = 2047;
constexpr float kWeightBits = 13;  // the largest weight of a row and block is 2^13
constexpr float kValueLimit = 2047;

/// A block of keys, all int32 or f32: k (width / kNr, head_dim / 2 rounded up, kNr) pairs of dimensions; k_scale
/// (width); v (v_width / kNr, keys / 2 rounded up, kNr) pairs of keys; v_scale (v_width).
struct IntBlock {
  std::size_t width;    // keys rounded up to kNr
  std::size_t v_width;  // head_dim rounded up to kNr
  std::size_t dim_pairs;
  std::size_t key_pairs;
  IntBlock(std::size_t keys, std::size_t head_dim)
      : width(round_up(keys, kNr)),
        v_width(round_up(head_dim, kNr)),
        dim_pairs((head_dim + 1) / 2),
        key_pairs((keys + 1) / 2) {}
  std::size_t k_scale_at() const { return width * dim_pairs; }
  std::size_t v_at() const { return k_scale_at() + width; }
  std::size_t v_scale_at() const { return v_at() + v_width * key_pairs; }
  std::size_t bytes() const { return 4 * (v_scale_at() + v_width); }
};

std::size_t int_block_bytes(std::size_t keys, std::size_t head_dim) {
  return round_up(IntBlock(keys, head_dim).bytes(), 64);
}

/// Integers in [-limit, limit] that stand for x, and what one of them is worth. `out` is zero up to `padded`, a
/// multiple of the vector's width.
inline float quantize(const float* x, std::size_t n, float limit, std::int16_t* out, std::size_t padded) {
  const float peak = peak_of(x, n, nullptr);
  const Vec inverse = all(peak > 0 ? limit / peak : 0.0F);
  for (std::size_t i = 0; i < padded; i += Vec::kWidth) {
    const Vec q = i < n ? load_first(x + i, n - i) * inverse : zero();
    store_int16(out + i, max(min(q, all(limit)), all(-limit)));
  }
  return peak / limit;
}

/// Keys [first, first + kWidth) of a block.
inline void pack_some_int_keys(const PackKeys& p, const IntBlock& block, std::size_t first) {
  constexpr std::size_t kWidth = Vec::kWidth;
  const std::size_t real = p.keys <= first ? 0 : p.keys - first < kWidth ? p.keys - first : kWidth;
  const std::size_t half = p.head_dim / 2;
  const std::size_t padded = round_up(p.head_dim, 2 * kWidth);
  auto* out = static_cast<float*>(p.out);  // int32 and f32 alike
  auto* row = static_cast<float*>(p.scratch);
  auto* integers = reinterpret_cast<std::int16_t*>(row + padded);  // (kWidth, padded)
  for (std::size_t i = 0; i < kWidth; ++i) {
    float scale = 0;
    if (i < real) {
      const std::size_t key = first + i;
      const float* x = p.k + key * p.stride;
      if (p.cos != nullptr) {
        rotate(x, p.head_dim, p.cos + key * half, p.sin + key * half, all(1.0F), row);
        x = row;
      }
      scale = quantize(x, p.head_dim, kKeyLimit, integers + i * padded, padded);
    }
    out[block.k_scale_at() + first + i] = scale;
  }
  float* panel = out + first / kNr * kNr * block.dim_pairs + first % kNr;
  for (std::size_t pair = 0; pair < block.dim_pairs; pair += kWidth) {
    Vec square[kWidth];  // pairs of int16 that only move
    for (std::size_t i = 0; i < kWidth; ++i) {
      square[i] = i < real ? load(reinterpret_cast<const float*>(integers + i * padded) + pair) : zero();
    }
    transpose(square);
    const std::size_t count = block.dim_pairs - pair < kWidth ? block.dim_pairs - pair : kWidth;
    for (std::size_t i = 0; i < count; ++i) store(panel + (pair + i) * kNr, square[i]);
  }
}

/// The values of a block: row by row, for rows lie far apart in memory.
inline void pack_int_values(const PackKeys& p, const IntBlock& block) {
  auto* scale = static_cast<float*>(p.out) + block.v_scale_at();
  auto* inverse = static_cast<float*>(p.scratch);  // (v_width)
  for (std::size_t d = 0; d < block.v_width; d += Vec::kWidth) store(scale + d, zero());
  for (std::size_t key = 0; key < p.keys; ++key) {
    const float* v = p.v + key * p.stride;
    for (std::size_t d = 0; d < p.head_dim; d += Vec::kWidth) {
      store(scale + d, max(load(scale + d), abs(load_first(v + d, p.head_dim - d))));
    }
  }
  for (std::size_t d = 0; d < block.v_width; d += Vec::kWidth) {
    const Vec peak = max(load(scale + d), all(1.0e-30F));
    store(inverse + d, all(kValueLimit) / peak);
    store(scale + d, peak * all(1.0F / kValueLimit));
  }
  const auto integers = [&](std::size_t key, std::size_t d) {
    if (key >= p.keys || d >= p.head_dim) return zero();
    const Vec q = load_first(p.v + key * p.stride + d, p.head_dim - d) * load(inverse + d);
    return max(min(q, all(kValueLimit)), all(-kValueLimit));
  };
  auto* out = static_cast<float*>(p.out) + block.v_at();
  for (std::size_t pair = 0; pair < block.key_pairs; ++pair) {
    for (std::size_t d = 0; d < block.v_width; d += Vec::kWidth) {
      float* to = out + d / kNr * kNr * block.key_pairs + pair * kNr + d % kNr;
      store_raw(to, int16_pairs(integers(2 * pair, d), integers(2 * pair + 1, d)));
    }
  }
}

void pack_keys_int16(const PackKeys& p) {
  const IntBlock block(p.keys, p.head_dim);
  prefetch_keys(p, 0, kRowsAhead);
  for (std::size_t first = 0; first < block.width; first += Vec::kWidth) {
    prefetch_keys(p, first + kRowsAhead, Vec::kWidth);
    pack_some_int_keys(p, block, first);
  }
  pack_int_values(p, block);
}

/// The scratch of one task.
struct IntScratch {
  std::size_t out_width;  // head_dim rounded up to kNr
  float* out;             // (kQueryBlock, out_width): sums of weighted values
  float* scores;          // (kMr, kKeyBlock)
  float* total;           // (kQueryBlock, Vec::kWidth): sums of weights, by lane
  float* peak;            // (kQueryBlock): the largest score so far
  float* q_scale;         // (kQueryBlock)
  float* block_peak;      // (Vec::kWidth, kMr used): the largest score of this block of keys
  float* shrink;          // (Vec::kWidth, kMr used): what sums so far are worth against the new peak
  float* grow;            // (Vec::kWidth, kMr used): what this block's sums are worth against it
  std::int32_t* q;        // (kQueryBlock, kIntQueryStride)
  std::int32_t* weights;  // (kMr, kIntWeightStride)

  IntScratch(void* base, std::size_t head_dim) : out_width(round_up(head_dim, kNr)), out(static_cast<float*>(base)) {
    scores = out + kQueryBlock * out_width;
    total = scores + kMr * kKeyBlock;
    peak = total + kQueryBlock * Vec::kWidth;
    q_scale = peak + kQueryBlock;
    block_peak = q_scale + kQueryBlock;
    shrink = block_peak + Vec::kWidth;
    grow = shrink + Vec::kWidth;
    q = reinterpret_cast<std::int32_t*>(grow + Vec::kWidth);
    weights = q + kQueryBlock * kIntQueryStride;
  }
};

/// More than pack_keys_int16() needs.
std::size_t int_scratch_bytes(std::size_t head_dim) {
  return 4 * (kQueryBlock * (round_up(head_dim, kNr) + Vec::kWidth + 2 + kIntQueryStride) +
              kMr * (kKeyBlock + kIntWeightStride) + 3 * Vec::kWidth);
}

/// Queries rotated, and scaled so that scores come out in units of log 2.
void pack_int_queries(const AttendBlock& t, const IntScratch& s) {
  const std::size_t half = t.head_dim / 2;
  const std::size_t padded = round_up(t.head_dim, 2 * Vec::kWidth);
  const float scale = 1.44269504088896341F / root(static_cast<float>(t.head_dim));
  for (std::size_t i = 0; i < kRowsAhead && i < t.queries; ++i) prefetch_row(t.q + i * t.q_stride, t.head_dim);
  for (std::size_t i = 0; i < t.queries; ++i) {
    const float* x = t.q + i * t.q_stride;
    if (i + kRowsAhead < t.queries) prefetch_row(x + kRowsAhead * t.q_stride, t.head_dim);
    if (t.cos != nullptr) {
      rotate(x, t.head_dim, t.cos + i * half, t.sin + i * half, all(1.0F), s.scores);  // not in use yet
      x = s.scores;
    }
    auto* to = reinterpret_cast<std::int16_t*>(s.q + i * kIntQueryStride);
    s.q_scale[i] = scale * quantize(x, t.head_dim, kQueryLimit, to, padded);
  }
}

/// Sums over pairs of a (R, steps; rows AStride apart) times b (steps, kNr), each handed to finish(row, column, sum).
template <std::size_t R, std::size_t AStride, class Finish>
inline void tile_pairs(std::size_t steps, const std::int32_t* a, const float* b, Finish finish) {
  constexpr std::size_t kVecs = kNr / Vec::kWidth;
  IntVec sum[R][kVecs];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) sum[r][j] = int_zero();
  }
  for (std::size_t i = 0; i < steps; ++i, b += kNr) {
    IntVec column[kVecs];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) column[j] = load_raw(b + j * Vec::kWidth);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      const IntVec x = int_all(a[r * AStride + i]);
#pragma GCC unroll 4
      for (std::size_t j = 0; j < kVecs; ++j) sum[r][j] = VnniStep::add(sum[r][j], x, column[j]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) finish(r, j * Vec::kWidth, sum[r][j]);
  }
}

/// tile_pairs for `rows` in [1, R].
template <std::size_t AStride, std::size_t R = kMr, class Finish>
void run_tile_pairs(std::size_t rows, std::size_t steps, const std::int32_t* a, const float* b, Finish finish) {
  if constexpr (R > 1) {
    if (rows < R) return run_tile_pairs<AStride, R - 1>(rows, steps, a, b, finish);
  }
  tile_pairs<R, AStride>(steps, a, b, finish);
}

/// 2^x for x <= 13; 2^-120 below -120, far from the denormal numbers, which are slow. Relative error under 3e-6.
inline Vec close_exp2(Vec x) {
  const Vec clamped = max(x, all(-120.0F));
  const Vec n = round(clamped);
  const Vec f = clamped - n;
  Vec p = all(9.57010107e-3F);
  p = fma(p, f, all(5.59178603e-2F));
  p = fma(p, f, all(2.40247448e-1F));
  p = fma(p, f, all(6.93121815e-1F));
  return times_power_of_two(fma(p, f, all(9.99999261e-1F)), n);
}

/// The largest score of each row of the panel in this block of keys, and with it what sums so far and those of this
/// block are worth from now on.
inline void raise_peaks(const IntScratch& s, std::size_t first, std::size_t rows, std::size_t keys) {
  const std::size_t whole = keys / Vec::kWidth * Vec::kWidth;
  for (std::size_t r = 0; r < rows; ++r) {
    const float* scores = s.scores + r * kKeyBlock;
    Vec top = all(scores[0]);
    for (std::size_t i = 0; i < whole; i += Vec::kWidth) top = max(top, load(scores + i));
    float peak = max_lane(top);
    for (std::size_t i = whole; i < keys; ++i) peak = peak < scores[i] ? scores[i] : peak;
    s.block_peak[r] = peak;
  }
  const Vec here = load_first(s.block_peak, rows);
  const Vec before = load_first(s.peak + first, rows);
  const Vec highest = max(here, before);
  store_first(s.peak + first, highest, rows);
  store(s.shrink, close_exp2(before - highest));
  store(s.grow, close_exp2(here - highest));
}

/// Scores of row r of the panel become weights against the largest of this block.
inline void soften_int_row(const IntScratch& s, std::size_t first, std::size_t r, std::size_t keys) {
  const float* scores = s.scores + r * kKeyBlock;
  auto* weights = reinterpret_cast<std::int16_t*>(s.weights + r * kIntWeightStride);
  const std::size_t whole = keys / Vec::kWidth * Vec::kWidth;
  const Vec highest = all(s.block_peak[r] - kWeightBits);
  IntVec sum = int_zero();
  for (std::size_t i = 0; i < whole; i += Vec::kWidth) {
    const IntVec weight = to_int(close_exp2(load(scores + i) - highest));
    store_int16(weights + i, weight);
    sum = sum + weight;
  }
  if (whole < keys) {
    const IntVec weight = to_int(keep_first(close_exp2(load(scores + whole) - highest), keys - whole));
    store_int16(weights + whole, weight);
    sum = sum + weight;
  }
  float* total = s.total + (first + r) * Vec::kWidth;
  store(total, load(total) * all(s.shrink[r]) + to_float(sum) * all(s.grow[r]));
}

/// Rows [first, first + rows) of the query block against one block of keys.
void attend_int_panel(const AttendBlock& t, const IntScratch& s, std::size_t first, std::size_t rows, const float* data,
                      std::size_t keys) {
  const IntBlock block(keys, t.head_dim);
  const std::int32_t* q = s.q + first * kIntQueryStride;
  const float* q_scale = s.q_scale + first;
  for (std::size_t column = 0; column < block.width; column += kNr) {
    const float* k_scale = data + block.k_scale_at() + column;
    float* scores = s.scores + column;
    run_tile_pairs<kIntQueryStride>(rows, block.dim_pairs, q, data + column * block.dim_pairs,
                                    [&](std::size_t r, std::size_t lane, IntVec sum) {
                                      const Vec scale = load(k_scale + lane) * all(q_scale[r]);
                                      store(scores + r * kKeyBlock + lane, to_float(sum) * scale);
                                    });
  }
  raise_peaks(s, first, rows, keys);
  for (std::size_t r = 0; r < rows; ++r) soften_int_row(s, first, r, keys);
  for (std::size_t column = 0; column < block.v_width; column += kNr) {
    const float* v_scale = data + block.v_scale_at() + column;
    float* out = s.out + first * s.out_width + column;
    run_tile_pairs<kIntWeightStride>(rows, block.key_pairs, s.weights, data + block.v_at() + column * block.key_pairs,
                                     [&](std::size_t r, std::size_t lane, IntVec sum) {
                                       float* to = out + r * s.out_width + lane;
                                       const Vec scale = load(v_scale + lane) * all(s.grow[r]);
                                       store(to, fma(to_float(sum), scale, load(to) * all(s.shrink[r])));
                                     });
  }
}

void attend_int16(const AttendBlock& t) {
  const IntScratch s(t.scratch, t.head_dim);
  pack_int_queries(t, s);
  for (std::size_t i = 0; i < t.queries; ++i) s.peak[i] = -3.0e38F;
  for (std::size_t i = 0; i < t.queries * Vec::kWidth; i += Vec::kWidth) store(s.total + i, zero());
  for (std::size_t i = 0; i < t.queries * s.out_width; i += Vec::kWidth) store(s.out + i, zero());
  const std::size_t panels = (t.queries + kMr - 1) / kMr;
  const std::size_t panel_rows = (t.queries + panels - 1) / panels;
  const auto* block = static_cast<const unsigned char*>(t.blocks);
  for (std::size_t key = 0; key < t.keys; key += kKeyBlock, block += t.block_stride) {
    const std::size_t keys = t.keys - key < kKeyBlock ? t.keys - key : kKeyBlock;
    for (std::size_t first = 0; first < t.queries; first += panel_rows) {
      const std::size_t rows = t.queries - first < panel_rows ? t.queries - first : panel_rows;
      if (key + keys == t.keys) prefetch_results(t, first, rows);
      attend_int_panel(t, s, first, rows, reinterpret_cast<const float*>(block), keys);
    }
  }
  for (std::size_t i = 0; i < t.queries; ++i) {
    const Vec inverse = all(1.0F / sum_lanes(load(s.total + i * Vec::kWidth)));
    float* out = t.out + i * t.out_stride;
    for (std::size_t d = 0; d < t.head_dim; d += Vec::kWidth) {
      store_first(out + d, load(s.out + i * s.out_width + d) * inverse, t.head_dim - d);
    }
  }
}

constexpr AttentionOps int16_attention_ops() {
  return {kKeyBlock, kQueryBlock, kIntMostHeadDim, int_block_bytes, int_scratch_bytes, pack_keys_int16, attend_int16};
}

}  // namespace
}  // namespace stella::kernels
