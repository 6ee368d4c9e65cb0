// The loops of a matrix product that all precisions share, and the f32 product itself.
//
// Each output is one chain of additions over k in ascending order, whatever the blocking: accumulators that wait in
// memory between two blocks of k lose no bits. So the result of a row depends on nothing but the row.
#pragma once

namespace stella::kernels {
namespace {

/// Runs Tile over the blocks of one task. Tile::run multiplies a few rows by one panel over at most kKc columns.
template <class Tile>
void multiply_blocks(const MultiplyBlock& t) {
  const auto* a = static_cast<const unsigned char*>(t.a);
  const auto* b = static_cast<const unsigned char*>(t.b);
  const std::size_t ldc = t.panels * kNr;
  const auto sweep = [&](std::size_t k0, std::size_t panel) {
    const std::size_t k = t.k_padded - k0 < Tile::kKc ? t.k_padded - k0 : Tile::kKc;
    const unsigned char* b_block = b + panel * t.b_stride + k0 * kNr * Tile::kBElement;
    const std::int32_t* sums = t.b_sums == nullptr ? nullptr : t.b_sums + panel * kNr;
    const unsigned char* a_block = a + k0 * Tile::kMr * Tile::kAElement;
    // The first two row panels call for half of the next block each: with few rows, weights come from memory.
    const unsigned char* ahead = b_block + k * kNr * Tile::kBElement;
    for (std::size_t row = 0; row < t.rows; row += t.panel_rows, a_block += t.a_stride) {
      const std::size_t rows = t.rows - row < t.panel_rows ? t.rows - row : t.panel_rows;
      const unsigned char* next = row < 2 * t.panel_rows ? ahead : nullptr;
      Tile::run(rows, k, a_block, b_block, t.c + row * ldc + panel * kNr, ldc, k0 == 0, sums, next);
      ahead += k * kNr * Tile::kBElement / 2;
    }
  };
  if (t.panel_first) {
    for (std::size_t panel = 0; panel < t.panels; ++panel) {
      for (std::size_t k0 = 0; k0 < t.k_padded; k0 += Tile::kKc) sweep(k0, panel);
    }
  } else {
    for (std::size_t k0 = 0; k0 < t.k_padded; k0 += Tile::kKc) {
      for (std::size_t panel = 0; panel < t.panels; ++panel) sweep(k0, panel);
    }
  }
}

/// Calls for half of `bytes` of a later block of weights, to the second-level cache.
template <std::size_t Bytes>
inline void call_ahead(const unsigned char*& ahead) {
  constexpr std::size_t kLine = 64;
#pragma GCC unroll 8
  for (std::size_t at = 0; at < Bytes / 2; at += kLine) __builtin_prefetch(ahead + at, 0, 2);
  ahead += Bytes / 2;
}

/// c (R, kNr) = or += a (R, k; rows AStride apart) · b (k, kNr; rows b_stride apart). c stays in registers.
template <std::size_t R, std::size_t AStride, bool Ahead>
inline void tile_f32(std::size_t k, const float* a, const float* b, std::size_t b_stride, float* c, std::size_t ldc,
                     bool first, const unsigned char* ahead) {
  constexpr std::size_t kVecs = kNr / Vec::kWidth;
  Vec sum[R][kVecs];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) sum[r][j] = first ? zero() : load(c + r * ldc + j * Vec::kWidth);
  }
  for (std::size_t i = 0; i < k; ++i, b += b_stride) {
    if constexpr (Ahead) call_ahead<4 * kNr>(ahead);
    Vec column[kVecs];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) column[j] = load(b + j * Vec::kWidth);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) {
      const Vec x = all(a[r * AStride + i]);
#pragma GCC unroll 4
      for (std::size_t j = 0; j < kVecs; ++j) sum[r][j] = fma(x, column[j], sum[r][j]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) store(c + r * ldc + j * Vec::kWidth, sum[r][j]);
  }
}

/// tile_f32 for `rows` in [1, R].
template <std::size_t AStride, bool Ahead = false, std::size_t R = kMr>
void run_tile_f32(std::size_t rows, std::size_t k, const float* a, const float* b, std::size_t b_stride, float* c,
                  std::size_t ldc, bool first, const unsigned char* ahead = nullptr) {
  if constexpr (R > 1) {
    if (rows < R) return run_tile_f32<AStride, Ahead, R - 1>(rows, k, a, b, b_stride, c, ldc, first, ahead);
  }
  tile_f32<R, AStride, Ahead>(k, a, b, b_stride, c, ldc, first, ahead);
}

struct TileF32 {
  static constexpr std::size_t kMr = kernels::kMr;
  static constexpr std::size_t kKc = 256;
  static constexpr std::size_t kAElement = 4;
  static constexpr std::size_t kBElement = 4;
  static void run(std::size_t rows, std::size_t k, const void* a, const void* b, float* c, std::size_t ldc, bool first,
                  const std::int32_t*, const unsigned char* ahead) {
    const auto* x = static_cast<const float*>(a);
    const auto* w = static_cast<const float*>(b);
    if (ahead == nullptr) return run_tile_f32<kKc>(rows, k, x, w, kNr, c, ldc, first);
    run_tile_f32<kKc, true>(rows, k, x, w, kNr, c, ldc, first, ahead);
  }
};

inline void copy_floats(const float* from, std::size_t n, float* to) {
  std::size_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) store(to + i, load(from + i));
  if (i < n) store_first(to + i, load_first(from + i, n - i), n - i);
}

inline void pack_rows_f32(const PackRows& p) {
  auto* out = static_cast<float*>(p.out);
  for (std::size_t k0 = 0; k0 < p.k; k0 += TileF32::kKc, out += kMr * TileF32::kKc) {
    const std::size_t k = p.k - k0 < TileF32::kKc ? p.k - k0 : TileF32::kKc;
    for (std::size_t r = 0; r < p.rows; ++r) copy_floats(p.x + r * p.k + k0, k, out + r * TileF32::kKc);
  }
}

/// Loads and stores of whole vectors, and of what remains at a row's end.
struct Whole {
  Vec load(const float* p) const { return kernels::load(p); }
  void store(float* p, Vec a) const { kernels::store(p, a); }
};
struct Rest {
  std::size_t count;
  Vec load(const float* p) const { return load_first(p, count); }
  void store(float* p, Vec a) const { store_first(p, a, count); }
};

/// Accumulators of one row to results before the activation: scaled, and with the bias added.
struct StoreRow {
  const float* c;          // (panels · nr)
  const float* col_scale;  // (panels · nr) or null
  Vec row_scale;
  bool integers;

  template <class Access>
  Vec at(std::size_t column, const float* bias, Access access) const {
    Vec value = integers ? load_int(c + column) : load(c + column);
    if (col_scale != nullptr) value = value * (load(col_scale + column) * row_scale);
    return bias == nullptr ? value : value + access.load(bias);
  }
};

/// Calls body(lane, access) over the lanes of one panel of which `columns` are real.
template <class Body>
inline void for_lanes(std::size_t columns, Body body) {
  std::size_t lane = 0;
  for (; lane < kNr && lane + Vec::kWidth <= columns; lane += Vec::kWidth) body(lane, Whole{});
  if (lane < kNr && lane < columns) body(lane, Rest{columns - lane});
}

/// y = activation(c) (+ residual), for panels that stand for themselves.
inline void store_plain(const StoreBlock& s, const StoreRow& row, std::size_t r) {
  for (std::size_t panel = 0; panel < s.panels; ++panel) {
    const std::size_t first = (s.first_panel + panel) * kNr;
    const float* bias = s.bias == nullptr ? nullptr : s.bias + first;
    const float* residual = s.residual == nullptr ? nullptr : s.residual + r * s.y_columns + first;
    float* y = s.y + r * s.y_columns + first;
    for_lanes(s.y_columns - first, [&](std::size_t lane, auto access) {
      Vec value = row.at(panel * kNr + lane, bias == nullptr ? nullptr : bias + lane, access);
      if (s.epilogue == Epilogue::gelu) value = gelu(value);
      if (residual != nullptr) value = value + access.load(residual + lane);
      access.store(y + lane, value);
    });
  }
}

/// y = up · activation(gate), for panels that alternate up, gate.
inline void store_glu(const StoreBlock& s, const StoreRow& row, std::size_t r) {
  for (std::size_t pair = 0; pair < s.panels / 2; ++pair) {
    const std::size_t first = (s.first_panel / 2 + pair) * kNr;
    const float* bias = s.bias == nullptr ? nullptr : s.bias + first;
    float* y = s.y + r * s.y_columns + first;
    for_lanes(s.y_columns - first, [&](std::size_t lane, auto access) {
      const Vec up = row.at(2 * pair * kNr + lane, bias == nullptr ? nullptr : bias + lane, access);
      const float* gate_bias = bias == nullptr ? nullptr : bias + s.y_columns + lane;
      const Vec gate = row.at((2 * pair + 1) * kNr + lane, gate_bias, access);
      access.store(y + lane, up * (s.epilogue == Epilogue::glu_gelu ? gelu(gate) : silu(gate)));
    });
  }
}

inline void store_block(const StoreBlock& s) {
  const bool glu = s.epilogue == Epilogue::glu_gelu || s.epilogue == Epilogue::glu_silu;
  for (std::size_t r = 0; r < s.rows; ++r) {
    const StoreRow row{s.c + r * s.panels * kNr, s.col_scale, all(s.col_scale == nullptr ? 1.0F : s.row_scale[r]),
                       s.integer_accumulators};
    if (glu) {
      store_glu(s, row, r);
    } else {
      store_plain(s, row, r);
    }
  }
}

constexpr GemmOps f32_ops() {
  GemmOps ops;
  ops.mr = kMr;
  ops.nr = kNr;
  ops.kc = TileF32::kKc;
  ops.group = 1;
  ops.k_multiple = 1;
  ops.a_element = TileF32::kAElement;
  ops.b_element = TileF32::kBElement;
  ops.pack_rows = pack_rows_f32;
  ops.multiply = multiply_blocks<TileF32>;
  ops.store = store_block;
  return ops;
}

}  // namespace
}  // namespace stella::kernels
