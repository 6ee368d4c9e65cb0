// The loops of a matrix product that all precisions share, and the f32 product itself.
//
// Each output is one chain of additions over k in ascending order, whatever the blocking: accumulators that wait in
// memory between two blocks of k lose no bits. So the result of a row depends on nothing but the row.
#pragma once

namespace stella::kernels {
namespace {

/// Prefetches a block of weights that is read later, to the second-level cache: line by line from its four quarters in
/// turn. The processor's own prefetcher begins anew with every page, and so always has others to go on with.
class QuartersAhead {
 public:
  QuartersAhead() = default;
  QuartersAhead(const unsigned char* block, std::size_t bytes) : at_(block), stride_(bytes / 4) {}

  /// Line n of what one row panel prefetches; to be called for 0, 1, 2...
  void prefetch(std::size_t n) {
    __builtin_prefetch(at_ + n % 4 * stride_, 0, 2);
    if (n % 4 == 3) at_ += kLine;
  }

  /// What step number `step` of a row panel prefetches that reads `Bytes` with each step and prefetches `Share`
  /// quarters of the block.
  template <std::size_t Bytes, std::size_t Share>
  void prefetch_in_step(std::size_t step) {
    constexpr std::size_t kBytes = Bytes * Share / 4;
    if constexpr (kBytes >= kLine) {
#pragma GCC unroll 4
      for (std::size_t line = 0; line < kBytes / kLine; ++line) prefetch(step * (kBytes / kLine) + line);
    } else if constexpr (kBytes > 0) {
      constexpr std::size_t kEvery = kLine / kBytes;
      if (step % kEvery == 0) prefetch(step / kEvery);
    }
  }

 private:
  static constexpr std::size_t kLine = 64;
  const unsigned char* at_ = nullptr;
  std::size_t stride_ = 0;
};

/// Quarters of the next block of weights that the row panel prefetches: 4, 2, 1 or 0.
inline std::size_t share_of_prefetches(std::size_t panels, std::size_t row_panel) {
  constexpr std::size_t kShares[4][4] = {{4, 0, 0, 0}, {2, 2, 0, 0}, {2, 1, 1, 0}, {1, 1, 1, 1}};
  return row_panel < 4 ? kShares[panels < 4 ? panels - 1 : 3][row_panel] : 0;
}

inline std::size_t divide_up(std::size_t n, std::size_t by) {
  return (n + by - 1) / by;
}

// With fewer rows memory is the limit, and weights are best read in one sweep; with more, row panels are as fast.
constexpr std::size_t kLeastFewRows = 8;
constexpr std::size_t kMaxFewRows = 5 * kTallRows;

/// Runs Tile over the blocks of one task. Tile::run multiplies one row panel by one weight panel over at most kKc
/// columns; Tile::run_few a panel of few rows, half of the weight panel's width at a time: that half stays in the
/// first-level cache for all rows, while a block of the whole width leaves it before the next row panel comes.
template <class Tile>
void multiply_blocks(const MultiplyBlock& t) {
  const auto* a = static_cast<const unsigned char*>(t.a);
  const auto* b = static_cast<const unsigned char*>(t.b);
  const std::size_t ldc = t.panels * kNr;
  const auto block = [&](std::size_t k0, std::size_t panel) {
    return b + panel * t.b_stride + k0 * kNr * Tile::kBElement;
  };
  const std::size_t row_panels = divide_up(t.rows, t.panel_rows);
  const bool few = t.panel_rows > kMr;
  const std::size_t block_rows = few ? t.panel_rows : kMr;
  // `next` is the block that follows. Row panels share in prefetching it: with few rows, weights come from memory, and
  // memory must never wait for arithmetic.
  const auto sweep = [&](std::size_t k0, std::size_t panel, const unsigned char* next) {
    const std::size_t k = t.k_padded - k0 < Tile::kKc ? t.k_padded - k0 : Tile::kKc;
    const std::int32_t* sums = t.b_sums == nullptr ? nullptr : t.b_sums + panel * kNr;
    const unsigned char* a_block = a + k0 * block_rows * Tile::kAElement;
    QuartersAhead ahead(next, k * kNr * Tile::kBElement);
    if (few) {
      return Tile::run_few(t.rows, k, a_block, block(k0, panel), t.c + panel * kNr, ldc, k0 == 0, sums, ahead);
    }
    for (std::size_t row_panel = 0, row = 0; row < t.rows; row += t.panel_rows, ++row_panel) {
      const std::size_t rows = t.rows - row < t.panel_rows ? t.rows - row : t.panel_rows;
      Tile::run(rows, k, a_block, block(k0, panel), t.c + row * ldc + panel * kNr, ldc, k0 == 0, sums,
                share_of_prefetches(row_panels, row_panel), ahead);
      a_block += t.a_stride;
    }
  };
  if (t.panel_first) {
    for (std::size_t panel = 0; panel < t.panels; ++panel) {
      for (std::size_t k0 = 0; k0 < t.k_padded; k0 += Tile::kKc) sweep(k0, panel, block(k0 + Tile::kKc, panel));
    }
  } else {
    for (std::size_t k0 = 0; k0 < t.k_padded; k0 += Tile::kKc) {
      for (std::size_t panel = 0; panel < t.panels; ++panel) {
        sweep(k0, panel, panel + 1 == t.panels ? block(k0 + Tile::kKc, 0) : block(k0, panel + 1));
      }
    }
  }
}

/// c (R, kVecs vectors) = or += a (R, k; rows AStride apart) · b (k, kVecs vectors; rows b_stride apart). c stays in
/// registers.
template <std::size_t R, std::size_t kVecs, std::size_t AStride, std::size_t Quarters>
inline void tile_f32(std::size_t k, const float* a, const float* b, std::size_t b_stride, float* c, std::size_t ldc,
                     bool first, QuartersAhead* calls) {
  Vec sum[R][kVecs];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kVecs; ++j) sum[r][j] = first ? zero() : load(c + r * ldc + j * Vec::kWidth);
  }
  QuartersAhead ahead = Quarters > 0 ? *calls : QuartersAhead();  // in a register
  for (std::size_t i = 0; i < k; ++i, b += b_stride) {
    ahead.prefetch_in_step<4 * kNr, Quarters>(i);
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
  if constexpr (Quarters > 0) *calls = ahead;
}

/// tile_f32 for `rows` in [1, R].
template <std::size_t AStride, std::size_t Quarters = 0, std::size_t R = kMr>
void run_tile_f32(std::size_t rows, std::size_t k, const float* a, const float* b, std::size_t b_stride, float* c,
                  std::size_t ldc, bool first, QuartersAhead* ahead = nullptr) {
  if constexpr (R > 1) {
    if (rows < R) return run_tile_f32<AStride, Quarters, R - 1>(rows, k, a, b, b_stride, c, ldc, first, ahead);
  }
  tile_f32<R, kNr / Vec::kWidth, AStride, Quarters>(k, a, b, b_stride, c, ldc, first, ahead);
}

/// A number known to the compiler.
template <std::size_t N>
struct Count {
  static constexpr std::size_t kValue = N;
};

/// Calls run(Count<quarters>{}).
template <class Run>
inline void with_quarters(std::size_t quarters, Run run) {
  switch (quarters) {
    case 4:
      return run(Count<4>{});
    case 2:
      return run(Count<2>{});
    case 1:
      return run(Count<1>{});
    default:
      return run(Count<0>{});
  }
}

/// Calls run(Count<rows>{}) for a number of rows in [Least, R].
template <std::size_t Least, std::size_t R, class Run>
inline void with_rows(std::size_t rows, Run run) {
  if constexpr (R > Least) {
    if (rows < R) return with_rows<Least, R - 1>(rows, run);
  }
  run(Count<R>{});
}

constexpr std::size_t kHalf = kNr / 2 / Vec::kWidth;  // vectors

/// Calls run(row, Count<rows>{}, column, Count<quarters>{}) for both halves of a weight panel's width and, in each, for
/// groups of at most kTallRows rows, as even as can be. `quarters` are those of the next block of weights to prefetch.
template <class Run>
inline void in_halves(std::size_t rows, Run run) {
  if constexpr (kTallRows > 0) {  // else never called
    const std::size_t groups = divide_up(rows, kTallRows);
    for (std::size_t column = 0; column < kNr; column += kNr / 2) {
      for (std::size_t group = 0, row = 0; group < groups; ++group) {
        const std::size_t count = divide_up(rows - row, groups - group);
        with_rows<kTallRows / 2, kTallRows>(count, [&](auto known) {
          if (groups == 1) {
            run(row, known, column, Count<2>{});
          } else if (group < 2) {
            run(row, known, column, Count<1>{});
          } else {
            run(row, known, column, Count<0>{});
          }
        });
        row += count;
      }
    }
  }
}

struct TileF32 {
  static constexpr std::size_t kMr = kernels::kMr;
  // A block of weights stays in the first-level cache: of 48 KiB where vectors have 64 bytes, else mostly of 32.
  static constexpr std::size_t kKc = kNr >= 64 ? 128 : 256;
  static constexpr std::size_t kAElement = 4;
  static constexpr std::size_t kBElement = 4;
  static void run(std::size_t rows, std::size_t k, const void* a, const void* b, float* c, std::size_t ldc, bool first,
                  const std::int32_t*, std::size_t quarters, QuartersAhead& ahead) {
    with_quarters(quarters, [&](auto share) {
      run_tile_f32<kKc, share.kValue>(rows, k, static_cast<const float*>(a), static_cast<const float*>(b), kNr, c, ldc,
                                      first, &ahead);
    });
  }
  static void run_few(std::size_t rows, std::size_t k, const void* a, const void* b, float* c, std::size_t ldc,
                      bool first, const std::int32_t*, QuartersAhead& ahead) {
    in_halves(rows, [&](std::size_t row, auto count, std::size_t column, auto share) {
      tile_f32<count.kValue, kHalf, kKc, share.kValue>(k, static_cast<const float*>(a) + row * kKc,
                                                       static_cast<const float*>(b) + column, kNr,
                                                       c + row * ldc + column, ldc, first, &ahead);
    });
  }
};

inline void copy_floats(const float* from, std::size_t n, float* to) {
  std::size_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) store(to + i, load(from + i));
  if (i < n) store_first(to + i, load_first(from + i, n - i), n - i);
}

inline void pack_rows_f32(const PackRows& p) {
  auto* out = static_cast<float*>(p.out);
  for (std::size_t k0 = 0; k0 < p.k; k0 += TileF32::kKc, out += p.block_rows * TileF32::kKc) {
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

/// Prefetches the part of row r of y that a block will write.
inline void prefetch_results(const StoreBlock& s, std::size_t r, std::size_t first, std::size_t columns) {
  const float* y = s.y + r * s.y_columns + first;
  for (std::size_t i = 0; i < columns; i += 16) __builtin_prefetch(y + i, 1, 3);
}

inline void store_block(const StoreBlock& s) {
  const bool glu = s.epilogue == Epilogue::glu_gelu || s.epilogue == Epilogue::glu_silu;
  const std::size_t share = glu ? 2 : 1;
  constexpr std::size_t kRows = 4;
  for (std::size_t r = 0; r < s.rows; ++r) {
    if (r + kRows < s.rows) prefetch_results(s, r + kRows, s.first_panel / share * kNr, s.panels / share * kNr);
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
  ops.least_few_rows = kLeastFewRows;
  ops.most_few_rows = kMaxFewRows;
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
