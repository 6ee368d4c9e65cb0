// The bf16 and int8 products for AMX: tiles of 16 rows by 64 bytes. The packed weights are those of AVX-512, the
// activations differ in the height of a row panel only.
// clang-format off
#include "kernels/simd/vec_avx512.inl.hpp"
#include "kernels/table.hpp"
#include "kernels/simd/math.inl.hpp"
#include "kernels/simd/gemm.inl.hpp"
#include "kernels/simd/gemm_low.inl.hpp"
#include "kernels/simd/bf16.inl.hpp"
#include "kernels/simd/amx.inl.hpp"
// clang-format on
#include "kernels/sets.hpp"

namespace stella::kernels {
namespace {

constexpr std::size_t kAmxRows = 2 * kTileRows;

struct StepBf16 {
  static constexpr std::size_t kElement = 2;
};
struct StepInt8 {
  static constexpr std::size_t kElement = 1;
};

// The instructions name their tiles, so this cannot be a function of tile numbers.
#define STELLA_TILE_DOT(sum, a, b)     \
  if constexpr (Step::kElement == 1) { \
    _tile_dpbusd(sum, a, b);           \
  } else {                             \
    _tile_dpbf16ps(sum, a, b);         \
  }

constexpr std::size_t kPanelStride = kNr * 4;                 // bytes from one row of a weight tile to the next
constexpr std::size_t kPanelStep = kTileRows * kPanelStride;  // bytes of a weight panel in one step
constexpr std::size_t kRowsStep = kAmxRows * kTileBytes;      // bytes of a row panel in one step
constexpr std::size_t kSteps = 8;  // of a block: its 32 KiB of weights stay in the first-level cache

// Later weights are prefetched while a task runs, a part of them with each step for each half of a row panel, or
// before each tile is loaded. Either is a template argument `Ahead` below.

/// The next block, which all row panels of the task share.
class BlockAhead {
 public:
  BlockAhead(const unsigned char* block, std::size_t row_panels)
      : quarters_(block, kSteps * kPanelStep), lines_((kLines + 2 * row_panels - 1) / (2 * row_panels)) {}
  void step(std::size_t halves) {
    for (std::size_t i = 0; i < 4 * halves * lines_; ++i) quarters_.prefetch(i);
  }
  void tile(std::size_t) {}

 private:
  static constexpr std::size_t kLines = kPanelStep / kTileBytes / 4;  // of a quarter, in one step
  QuartersAhead quarters_;
  std::size_t lines_;
};

/// For at most one row panel, whose time is that of reading the weights: without an end, from four pages in turn, and
/// to the first-level cache.
class PagesAhead {
 public:
  explicit PagesAhead(const unsigned char* from) : at_(from - reinterpret_cast<std::uintptr_t>(from) % kPage) {}
  void step(std::size_t) {}
  void tile(std::size_t bytes) {
    for (std::size_t done = 0; done < bytes; done += 4 * kTileBytes) {
#pragma GCC unroll 4
      for (std::size_t page = 0; page < 4; ++page) __builtin_prefetch(at_ + page * kPage, 0, 3);
      at_ += kTileBytes;
      if (reinterpret_cast<std::uintptr_t>(at_) % kPage == 0) at_ += 3 * kPage;
    }
  }

 private:
  static constexpr std::size_t kPage = 4096;
  const unsigned char* at_;
};

/// One block of weights times one row panel.
struct TileTask {
  std::size_t steps;
  const unsigned char* a;  // (steps, 32, 64 bytes)
  const unsigned char* b;  // (steps, 16, 4 x 64 bytes)
  float* c;                // (rows, 64)
  std::size_t ldc;
  const std::int32_t* start;  // (64): where sums start in the first block, or null to go on from c
};

/// c (rows > 16, 32 columns from `column` on) += a · b.
template <class Step, class Ahead>
inline void multiply_tall(const TileTask& t, std::size_t column, Ahead& ahead) {
  float* c = t.c + column;
  const std::size_t stride = t.ldc * 4;
  if (t.start != nullptr) {  // stride 0: the same row 16 times
    _tile_loadd(0, t.start + column, 0);
    _tile_loadd(1, t.start + column + 16, 0);
    _tile_loadd(2, t.start + column, 0);
    _tile_loadd(3, t.start + column + 16, 0);
  } else {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
    _tile_loadd(2, c + kTileRows * t.ldc, stride);
    _tile_loadd(3, c + kTileRows * t.ldc + 16, stride);
  }
  const unsigned char* a = t.a;
  const unsigned char* b = t.b + column * 4;
  for (std::size_t i = 0; i < t.steps; ++i, a += kRowsStep, b += kPanelStep) {
    ahead.step(1);
    ahead.tile(kPanelStep / 8);
    _tile_loadd(6, b, kPanelStride);
    _tile_loadd(4, a, kTileBytes);
    STELLA_TILE_DOT(0, 4, 6)
    ahead.tile(kPanelStep / 8);
    _tile_loadd(7, b + kTileBytes, kPanelStride);
    STELLA_TILE_DOT(1, 4, 7)
    ahead.tile(kPanelStep / 8);
    _tile_loadd(5, a + kTileSize, kTileBytes);
    STELLA_TILE_DOT(2, 5, 6)
    ahead.tile(kPanelStep / 8);
    STELLA_TILE_DOT(3, 5, 7)
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, c + kTileRows * t.ldc, stride);
  _tile_stored(3, c + kTileRows * t.ldc + 16, stride);
}

/// c (rows <= 16, 64 columns) += a · b.
template <class Step, class Ahead>
inline void multiply_flat(const TileTask& t, Ahead& ahead) {
  const std::size_t stride = t.ldc * 4;
  if (t.start != nullptr) {
    _tile_loadd(0, t.start, 0);
    _tile_loadd(1, t.start + 16, 0);
    _tile_loadd(2, t.start + 32, 0);
    _tile_loadd(3, t.start + 48, 0);
  } else {
    _tile_loadd(0, t.c, stride);
    _tile_loadd(1, t.c + 16, stride);
    _tile_loadd(2, t.c + 32, stride);
    _tile_loadd(3, t.c + 48, stride);
  }
  const unsigned char* a = t.a;
  const unsigned char* b = t.b;
  for (std::size_t i = 0; i < t.steps; ++i, a += kRowsStep, b += kPanelStep) {
    ahead.step(2);
    ahead.tile(kPanelStep / 4);
    _tile_loadd(4, a, kTileBytes);
    _tile_loadd(6, b, kPanelStride);
    STELLA_TILE_DOT(0, 4, 6)
    ahead.tile(kPanelStep / 4);
    _tile_loadd(7, b + kTileBytes, kPanelStride);
    STELLA_TILE_DOT(1, 4, 7)
    ahead.tile(kPanelStep / 4);
    _tile_loadd(6, b + 2 * kTileBytes, kPanelStride);
    STELLA_TILE_DOT(2, 4, 6)
    ahead.tile(kPanelStep / 4);
    _tile_loadd(7, b + 3 * kTileBytes, kPanelStride);
    STELLA_TILE_DOT(3, 4, 7)
  }
  _tile_stored(0, t.c, stride);
  _tile_stored(1, t.c + 16, stride);
  _tile_stored(2, t.c + 32, stride);
  _tile_stored(3, t.c + 48, stride);
}
#undef STELLA_TILE_DOT

/// The tiles' configuration, changed only where the height of row panels changes.
class ConfiguredRows {
 public:
  void set(std::size_t rows) {
    if (rows == rows_) return;
    rows_ = rows;
    if (rows <= kTileRows) return configure_tiles(rows, 0);
    configure_tiles(kTileRows, rows - kTileRows);
  }

 private:
  std::size_t rows_ = 0;
};

/// `steps` of a weight panel times all row panels of the task.
template <class Step, class Ahead>
void sweep_rows(const MultiplyBlock& t, std::size_t first_step, std::size_t steps, std::size_t panel, Ahead& ahead,
                ConfiguredRows& configured) {
  alignas(64) std::int32_t start[kNr] = {};  // f32 zeros are integer zeros
  if (Step::kElement == 1 && first_step == 0) {
    for (std::size_t i = 0; i < kNr; ++i) start[i] = -128 * t.b_sums[panel * kNr + i];
  }
  TileTask task;
  task.steps = steps;
  task.b = static_cast<const unsigned char*>(t.b) + panel * t.b_stride + first_step * kPanelStep;
  task.ldc = t.panels * kNr;
  task.start = first_step == 0 ? start : nullptr;
  const auto* a = static_cast<const unsigned char*>(t.a) + first_step * kRowsStep;
  settle_memory(start);
  for (std::size_t row = 0; row < t.rows; row += t.panel_rows, a += t.a_stride) {
    const std::size_t rows = t.rows - row < t.panel_rows ? t.rows - row : t.panel_rows;
    configured.set(rows);
    task.a = a;
    task.c = t.c + row * task.ldc + panel * kNr;
    if (rows <= kTileRows) {
      multiply_flat<Step>(task, ahead);
    } else {
      multiply_tall<Step>(task, 0, ahead);
      multiply_tall<Step>(task, 2 * kTileRows, ahead);
    }
  }
}

/// One row panel. Up to 16 rows keep their sums in tiles to the end; more take the columns in two halves, which turn
/// often enough for the second one's weights to be in the first-level cache still.
template <class Step>
void multiply_few(const MultiplyBlock& t, std::size_t steps, ConfiguredRows& configured) {
  const std::size_t turn = t.rows <= kTileRows ? steps : 2;
  constexpr std::size_t kDistance = 4 * kPanelStep;
  for (std::size_t panel = 0; panel < t.panels; ++panel) {
    PagesAhead ahead(static_cast<const unsigned char*>(t.b) + panel * t.b_stride + kDistance);
    for (std::size_t step = 0; step < steps; step += turn) {
      sweep_rows<Step>(t, step, steps - step < turn ? steps - step : turn, panel, ahead, configured);
    }
  }
}

/// As multiply_blocks(), with the tiles configured once.
template <class Step>
void multiply_many(const MultiplyBlock& t, std::size_t steps, ConfiguredRows& configured) {
  const std::size_t row_panels = (t.rows + t.panel_rows - 1) / t.panel_rows;
  const auto sweep = [&](std::size_t step, std::size_t panel, std::size_t next_step, std::size_t next_panel) {
    BlockAhead ahead(static_cast<const unsigned char*>(t.b) + next_panel * t.b_stride + next_step * kPanelStep,
                     row_panels);
    sweep_rows<Step>(t, step, steps - step < kSteps ? steps - step : kSteps, panel, ahead, configured);
  };
  if (t.panel_first) {
    for (std::size_t panel = 0; panel < t.panels; ++panel) {
      for (std::size_t step = 0; step < steps; step += kSteps) sweep(step, panel, step + kSteps, panel);
    }
  } else {
    for (std::size_t step = 0; step < steps; step += kSteps) {
      for (std::size_t panel = 0; panel < t.panels; ++panel) {
        const bool last = panel + 1 == t.panels;
        sweep(step, panel, last ? step + kSteps : step, last ? 0 : panel + 1);
      }
    }
  }
}

template <class Step>
void multiply_amx(const MultiplyBlock& t) {
  const std::size_t steps = t.k_padded * Step::kElement / kTileBytes;
  ConfiguredRows configured;
  if (t.rows <= kAmxRows) {
    multiply_few<Step>(t, steps, configured);
  } else {
    multiply_many<Step>(t, steps, configured);
  }
  _tile_release();
  settle_memory(t.c);
}

struct PutUint8 {
  using Element = std::uint8_t;
  static constexpr float kLimit = 127;
  static constexpr int kZero = 128;
  static void at(Element* out, Vec value) { store_uint8(out, value); }
};

template <class Step>
constexpr GemmOps amx_ops(void (*pack_rows)(const PackRows&)) {
  GemmOps ops;
  ops.mr = kAmxRows;
  ops.nr = kNr;
  ops.kc = kTileBytes / Step::kElement;
  ops.group = 4 / Step::kElement;
  ops.k_multiple = 64;
  ops.a_element = Step::kElement;
  ops.b_element = Step::kElement;
  ops.integer_accumulators = Step::kElement == 1;
  ops.pack_rows = pack_rows;
  ops.multiply = multiply_amx<Step>;
  ops.store = store_block;
  return ops;
}

}  // namespace

constinit const GemmOps kAmxBf16 = amx_ops<StepBf16>(pack_rows_bf16<kTileBytes / 2>);
constinit const GemmOps kAmxInt8 = amx_ops<StepInt8>(pack_rows_integer<PutUint8, kTileBytes>);

}  // namespace stella::kernels
