// Attention for AMX: both products in bf16, softmax in f32. Weights come from a polynomial good to 1e-4, a quarter of
// what rounding them to bf16 loses.
// clang-format off
#include "kernels/simd/vec_avx512.inl.hpp"
#include "kernels/table.hpp"
#include "kernels/simd/math.inl.hpp"
#include "kernels/simd/gemm.inl.hpp"
#include "kernels/simd/attention.inl.hpp"
#include "kernels/simd/amx.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {
namespace {

constexpr std::size_t kKeys = 256;              // of a block
constexpr std::size_t kPanel = 2 * kTileRows;   // queries
constexpr std::size_t kQueries = 4 * kPanel;    // of a task
constexpr std::size_t kDepth = kTileBytes / 2;  // bf16 elements in a tile's row

/// A block of keys as right operands. k: for each 16 keys, for each 32 dimensions, one tile of (16 pairs of dimensions,
/// 16 keys). v: for each 32 keys, for each 16 dimensions, one tile of (16 pairs of keys, 16 dimensions). Both padded
/// with zeros to 32 keys and 32 dimensions.
struct TileBlock {
  std::size_t keys;
  std::size_t dims;
  TileBlock(std::size_t key_count, std::size_t head_dim)
      : keys(round_up(key_count, kDepth)), dims(round_up(head_dim, kDepth)) {}
  std::size_t half_bytes() const { return keys * dims * 2; }  // of k, and of v
  std::size_t key_group_bytes() const { return kTileRows * dims * 2; }
  std::size_t value_group_bytes() const { return kDepth * dims * 2; }
};

std::size_t tile_block_bytes(std::size_t keys, std::size_t head_dim) {
  return 2 * TileBlock(keys, head_dim).half_bytes();
}

/// The low half of each 32-bit lane from `low`, the high half from `high`, as bf16.
inline __m512i pair_bf16(Vec low, Vec high) {
  const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.v, low.v));
  const __m512i lanes = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(lanes, both);
}

/// Keys [first, first + 16) of a block to a group of tiles.
void pack_key_group(const PackKeys& p, const TileBlock& block, std::size_t first, unsigned char* out) {
  const std::size_t real = p.keys <= first ? 0 : p.keys - first < kTileRows ? p.keys - first : kTileRows;
  const std::size_t half = p.head_dim / 2;
  auto* rotated = static_cast<float*>(p.scratch);  // (16, dims)
  for (std::size_t i = 0; i < real; ++i) {
    const float* row = p.k + (first + i) * p.stride;
    float* to = rotated + i * block.dims;
    if (p.cos != nullptr) {
      rotate(row, p.head_dim, p.cos + (first + i) * half, p.sin + (first + i) * half, all(1.0F), to);
    } else {
      copy_floats(row, p.head_dim, to);
    }
    for (std::size_t d = p.head_dim; d < block.dims; ++d) to[d] = 0.0F;
  }
  // A row of pairs of one key is a row of 32-bit lanes: 16 of them are a square to transpose.
  for (std::size_t d = 0; d < block.dims; d += kDepth, out += kTileSize) {
    Vec square[kTileRows];
    for (std::size_t i = 0; i < kTileRows; ++i) {
      const float* row = rotated + i * block.dims + d;
      const auto pairs = i < real ? reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(load(row + 16).v, load(row).v))
                                  : _mm512_setzero_si512();
      square[i] = {_mm512_castsi512_ps(pairs)};
    }
    transpose(square);
    for (std::size_t i = 0; i < kTileRows; ++i) store(reinterpret_cast<float*>(out + i * kTileBytes), square[i]);
  }
}

void pack_keys_bf16(const PackKeys& p) {
  const TileBlock block(p.keys, p.head_dim);
  auto* out = static_cast<unsigned char*>(p.out);
  prefetch_keys(p, 0, kRowsAhead);
  for (std::size_t key = 0; key < block.keys; key += kTileRows, out += block.key_group_bytes()) {
    prefetch_keys(p, key + kRowsAhead, kTileRows);
    pack_key_group(p, block, key, out);
  }
  const auto value = [&](std::size_t key, std::size_t d) {
    return key < p.keys && d < p.head_dim ? load_first(p.v + key * p.stride + d, p.head_dim - d) : zero();
  };
  for (std::size_t key = 0; key < block.keys; key += kDepth) {
    for (std::size_t d = 0; d < block.dims; d += kTileRows) {
      for (std::size_t i = 0; i < kTileRows; ++i, out += kTileBytes) {
        _mm512_storeu_si512(out, pair_bf16(value(key + 2 * i, d), value(key + 2 * i + 1, d)));
      }
    }
  }
}

/// The scratch of one task.
struct TileScratch {
  std::size_t dims;
  std::uint16_t* q;        // (kQueries, dims) bf16
  float* out;              // (kQueries, dims): sums of weighted values
  float* scores;           // (kPanel, kKeys)
  std::uint16_t* weights;  // (kPanel, kKeys) bf16
  float* total;            // (kQueries, Vec::kWidth): sums of weights, by lane
  float* peak;             // (kQueries): the largest score so far

  TileScratch(void* base, std::size_t head_dim) : dims(round_up(head_dim, kDepth)), out(static_cast<float*>(base)) {
    scores = out + kQueries * dims;
    total = scores + kPanel * kKeys;
    peak = total + kQueries * Vec::kWidth;
    q = reinterpret_cast<std::uint16_t*>(peak + kQueries);
    weights = q + kQueries * dims;
  }
};

std::size_t tile_scratch_bytes(std::size_t head_dim) {
  const std::size_t dims = round_up(head_dim, kDepth);
  return 4 * (kQueries * dims + kPanel * kKeys + kQueries * Vec::kWidth + kQueries) +
         2 * (kQueries * dims + kPanel * kKeys);
}

/// Queries rotated, scaled so that scores come out in units of log 2, in bf16. Rows past the
/// last are zero up to a whole panel.
void pack_queries_bf16(const AttendBlock& t, const TileScratch& s) {
  const std::size_t half = t.head_dim / 2;
  const Vec scale = all(1.44269504088896341F / root(static_cast<float>(t.head_dim)));
  float* row = s.scores;  // not in use yet
  for (std::size_t d = t.head_dim; d < s.dims; ++d) row[d] = 0.0F;
  for (std::size_t i = 0; i < kRowsAhead && i < t.queries; ++i) prefetch_row(t.q + i * t.q_stride, t.head_dim);
  for (std::size_t i = 0; i < t.queries; ++i) {
    const float* x = t.q + i * t.q_stride;
    if (i + kRowsAhead < t.queries) prefetch_row(x + kRowsAhead * t.q_stride, t.head_dim);
    if (t.cos != nullptr) {
      rotate(x, t.head_dim, t.cos + i * half, t.sin + i * half, scale, row);
    } else {
      for (std::size_t d = 0; d < t.head_dim; d += Vec::kWidth) {
        store_first(row + d, load_first(x + d, t.head_dim - d) * scale, t.head_dim - d);
      }
    }
    for (std::size_t d = 0; d < s.dims; d += kDepth) {
      const auto pairs = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(load(row + d + 16).v, load(row + d).v));
      _mm512_storeu_si512(s.q + i * s.dims + d, pairs);
    }
  }
  for (std::size_t i = t.queries * s.dims; i < round_up(t.queries, kPanel) * s.dims; ++i) s.q[i] = 0;
}

/// 2^x for x <= 0 to a relative error of 1e-4; nearly nothing below -120.
inline Vec rough_exp2(Vec x) {
  const __m512 clamped = _mm512_max_ps(x.v, _mm512_set1_ps(-120.0F));
  const Vec f = {_mm512_reduce_ps(clamped, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};  // in [0, 1)
  Vec p = all(7.80245123e-2F);
  p = fma(p, f, all(2.26067170e-1F));
  p = fma(p, f, all(6.95833535e-1F));
  p = fma(p, f, all(9.99925219e-1F));
  return {_mm512_scalef_ps(p.v, clamped)};
}

/// Scores of one row become bf16 weights against the new peak; sums so far are scaled down to it.
void soften_row_bf16(const TileScratch& s, std::size_t row, const float* scores, std::uint16_t* weights,
                     std::size_t keys, bool first) {
  const std::size_t whole = keys / 16 * 16;
  const __mmask16 rest = first_lanes(keys - whole);
  __m512 top = _mm512_set1_ps(s.peak[row]);
  for (std::size_t i = 0; i < whole; i += 16) top = _mm512_max_ps(top, _mm512_loadu_ps(scores + i));
  if (rest != 0) top = _mm512_mask_max_ps(top, rest, top, _mm512_loadu_ps(scores + whole));
  const float peak = _mm512_reduce_max_ps(top);
  float* total = s.total + row * Vec::kWidth;
  Vec sum = load(total);
  if (!first && peak != s.peak[row]) {
    const Vec shrink = rough_exp2(all(s.peak[row] - peak));
    sum = sum * shrink;
    float* out = s.out + row * s.dims;
    for (std::size_t d = 0; d < s.dims; d += Vec::kWidth) store(out + d, load(out + d) * shrink);
  }
  s.peak[row] = peak;
  const Vec highest = all(peak);
  for (std::size_t i = 0; i < keys; i += 32) {
    Vec low = rough_exp2(load(scores + i) - highest);
    Vec high = rough_exp2(load(scores + i + 16) - highest);
    if (i + 32 > keys) {
      low = keep_first(low, keys - i);
      high = keep_first(high, keys - i < 16 ? 0 : keys - i - 16);
    }
    sum = sum + low + high;
    _mm512_storeu_si512(weights + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.v, low.v)));
  }
  store(total, sum);
}

/// c (32 rows, or 16 without Lower; 32 columns) = or += a · b. a has rows of `a_stride` bytes; steps of b are b_step
/// bytes apart, and the second 16 columns b_right bytes from the first.
template <bool Lower>
inline void multiply_tiles(std::size_t steps, const void* a, std::size_t a_stride, const unsigned char* b,
                           std::size_t b_step, std::size_t b_right, float* c, std::size_t ldc, bool first) {
  const auto* upper = static_cast<const unsigned char*>(a);
  const unsigned char* lower = upper + kTileRows * a_stride;
  float* c_lower = c + kTileRows * ldc;
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (Lower) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, c, ldc * 4);
    _tile_loadd(1, c + 16, ldc * 4);
    if constexpr (Lower) {
      _tile_loadd(2, c_lower, ldc * 4);
      _tile_loadd(3, c_lower + 16, ldc * 4);
    }
  }
  for (std::size_t i = 0; i < steps; ++i, upper += kTileBytes, lower += kTileBytes, b += b_step) {
    _tile_loadd(4, upper, a_stride);
    _tile_loadd(6, b, kTileBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + b_right, kTileBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (Lower) {
      _tile_loadd(5, lower, a_stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, ldc * 4);
  _tile_stored(1, c + 16, ldc * 4);
  if constexpr (Lower) {
    _tile_stored(2, c_lower, ldc * 4);
    _tile_stored(3, c_lower + 16, ldc * 4);
  }
}

/// `rows` queries from `first_row` on against one block of keys. Rows of padding are computed and not read.
template <bool Lower>
void attend_panel_bf16(const TileScratch& s, const TileBlock& block, const unsigned char* k, std::size_t first_row,
                       std::size_t rows, std::size_t keys, bool first) {
  const std::uint16_t* q = s.q + first_row * s.dims;
  settle_memory(q);
  for (std::size_t key = 0; key < block.keys; key += 2 * kTileRows) {
    multiply_tiles<Lower>(s.dims / kDepth, q, s.dims * 2, k + key / kTileRows * block.key_group_bytes(), kTileSize,
                          block.key_group_bytes(), s.scores + key, kKeys, true);
  }
  settle_memory(s.scores);
  for (std::size_t r = 0; r < rows; ++r) {
    soften_row_bf16(s, first_row + r, s.scores + r * kKeys, s.weights + r * kKeys, keys, first);
  }
  settle_memory(s.weights);
  const unsigned char* v = k + block.half_bytes();
  for (std::size_t d = 0; d < s.dims; d += 2 * kTileRows) {
    multiply_tiles<Lower>(block.keys / kDepth, s.weights, kKeys * 2, v + d / kTileRows * kTileSize,
                          block.value_group_bytes(), kTileSize, s.out + first_row * s.dims + d, s.dims, first);
  }
  settle_memory(s.out);
}

void attend_bf16(const AttendBlock& t) {
  const TileScratch s(t.scratch, t.head_dim);
  pack_queries_bf16(t, s);
  for (std::size_t i = 0; i < t.queries; ++i) {
    s.peak[i] = -3.0e38F;
    store(s.total + i * Vec::kWidth, zero());
  }
  configure_tiles(kTileRows, kTileRows);
  const auto* k = static_cast<const unsigned char*>(t.blocks);
  for (std::size_t key = 0; key < t.keys; key += kKeys, k += t.block_stride) {
    const std::size_t keys = t.keys - key < kKeys ? t.keys - key : kKeys;
    const TileBlock block(keys, t.head_dim);
    for (std::size_t row = 0; row < t.queries; row += kPanel) {
      const std::size_t rows = t.queries - row < kPanel ? t.queries - row : kPanel;
      if (key + keys == t.keys) prefetch_results(t, row, rows);
      if (rows > kTileRows) {
        attend_panel_bf16<true>(s, block, k, row, rows, keys, key == 0);
      } else {
        attend_panel_bf16<false>(s, block, k, row, rows, keys, key == 0);
      }
    }
  }
  _tile_release();
  for (std::size_t i = 0; i < t.queries; ++i) {
    const Vec inverse = all(1.0F / sum_lanes(load(s.total + i * Vec::kWidth)));
    float* out = t.out + i * t.out_stride;
    for (std::size_t d = 0; d < t.head_dim; d += Vec::kWidth) {
      store_first(out + d, load(s.out + i * s.dims + d) * inverse, t.head_dim - d);
    }
  }
}

}  // namespace

constinit const AttentionOps kAmxAttention = {
    kKeys, kQueries, kMaxHeadDim, tile_block_bytes, tile_scratch_bytes, pack_keys_bf16, attend_bf16};

}  // namespace stella::kernels
