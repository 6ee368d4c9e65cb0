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

/// One block of weights times one row panel.
struct TileTask {
  std::size_t steps;
  const unsigned char* a;  // (steps, 32, 64 bytes)
  const unsigned char* b;  // (steps, 16, 4 x 64 bytes)
  float* c;                // (rows, 64)
  std::size_t ldc;
  const std::int32_t* start;   // (64): where sums start in the first block, or null to go on from c
  const unsigned char* ahead;  // lines of a later block to call for, some with every step
  std::size_t ahead_lines;     // a step
};

/// Calls for the next lines of a later block, to the second-level cache.
inline const unsigned char* call_lines(const unsigned char* ahead, std::size_t lines) {
  for (std::size_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
  return ahead;
}

/// c (rows > 16, 32 columns from `column` on) += a · b.
template <class Step>
inline void multiply_tall(const TileTask& t, std::size_t column, const unsigned char* ahead) {
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
    ahead = call_lines(ahead, t.ahead_lines);
    _tile_loadd(6, b, kPanelStride);
    _tile_loadd(4, a, kTileBytes);
    STELLA_TILE_DOT(0, 4, 6)
    _tile_loadd(7, b + kTileBytes, kPanelStride);
    STELLA_TILE_DOT(1, 4, 7)
    _tile_loadd(5, a + kTileSize, kTileBytes);
    STELLA_TILE_DOT(2, 5, 6)
    STELLA_TILE_DOT(3, 5, 7)
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, c + kTileRows * t.ldc, stride);
  _tile_stored(3, c + kTileRows * t.ldc + 16, stride);
}

/// c (rows <= 16, 64 columns) += a · b. So few rows are mostly a short query's, whose time is that of reading the
/// weights: they are called for two steps ahead and to the first-level cache, which reads 4 % faster than from the
/// second.
template <class Step>
inline void multiply_flat(const TileTask& t) {
  const unsigned char* ahead = t.b + 2 * kPanelStep;
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
    for (std::size_t line = 0; line < kPanelStep / 64; ++line, ahead += 64) __builtin_prefetch(ahead, 0, 3);
    _tile_loadd(4, a, kTileBytes);
    _tile_loadd(6, b, kPanelStride);
    STELLA_TILE_DOT(0, 4, 6)
    _tile_loadd(7, b + kTileBytes, kPanelStride);
    STELLA_TILE_DOT(1, 4, 7)
    _tile_loadd(6, b + 2 * kTileBytes, kPanelStride);
    STELLA_TILE_DOT(2, 4, 6)
    _tile_loadd(7, b + 3 * kTileBytes, kPanelStride);
    STELLA_TILE_DOT(3, 4, 7)
  }
  _tile_stored(0, t.c, stride);
  _tile_stored(1, t.c + 16, stride);
  _tile_stored(2, t.c + 32, stride);
  _tile_stored(3, t.c + 48, stride);
}
#undef STELLA_TILE_DOT

template <class Step>
inline void multiply_panel(const TileTask& t, std::size_t rows) {
  if (rows <= kTileRows) return multiply_flat<Step>(t);
  multiply_tall<Step>(t, 0, t.ahead);
  multiply_tall<Step>(t, 2 * kTileRows, t.ahead + t.steps * t.ahead_lines * 64);
}

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

/// One block of weights times all row panels of the task; `next` is the block that comes after it.
template <class Step>
void sweep_rows(const MultiplyBlock& t, std::size_t first_step, std::size_t panel, const unsigned char* next,
                ConfiguredRows& configured) {
  const std::size_t all_steps = t.k_padded * Step::kElement / kTileBytes;
  alignas(64) std::int32_t start[kNr] = {};  // f32 zeros are integer zeros
  if (Step::kElement == 1 && first_step == 0) {
    for (std::size_t i = 0; i < kNr; ++i) start[i] = -128 * t.b_sums[panel * kNr + i];
  }
  const std::size_t row_panels = (t.rows + t.panel_rows - 1) / t.panel_rows;
  const std::size_t passes = t.panel_rows <= kTileRows ? row_panels : 2 * row_panels;
  TileTask task;
  task.steps = all_steps - first_step < kSteps ? all_steps - first_step : kSteps;
  task.b = static_cast<const unsigned char*>(t.b) + panel * t.b_stride + first_step * kPanelStep;
  task.ldc = t.panels * kNr;
  task.start = first_step == 0 ? start : nullptr;
  task.ahead = next;
  task.ahead_lines = (kPanelStep / 64 + passes - 1) / passes;
  const auto* a = static_cast<const unsigned char*>(t.a) + first_step * kRowsStep;
  settle_memory(start);
  for (std::size_t row = 0; row < t.rows; row += t.panel_rows, a += t.a_stride) {
    const std::size_t rows = t.rows - row < t.panel_rows ? t.rows - row : t.panel_rows;
    configured.set(rows);
    task.a = a;
    task.c = t.c + row * task.ldc + panel * kNr;
    multiply_panel<Step>(task, rows);
    task.ahead += task.steps * task.ahead_lines * 64 * (rows <= kTileRows ? 1 : 2);
  }
}

/// As multiply_blocks(), with the tiles configured once.
template <class Step>
void multiply_amx(const MultiplyBlock& t) {
  const std::size_t steps = t.k_padded * Step::kElement / kTileBytes;
  const auto block = [&](std::size_t step, std::size_t panel) {
    return static_cast<const unsigned char*>(t.b) + panel * t.b_stride + step * kPanelStep;
  };
  ConfiguredRows configured;
  if (t.panel_first) {
    for (std::size_t panel = 0; panel < t.panels; ++panel) {
      for (std::size_t step = 0; step < steps; step += kSteps) {
        sweep_rows<Step>(t, step, panel, block(step + kSteps, panel), configured);
      }
    }
  } else {
    for (std::size_t step = 0; step < steps; step += kSteps) {
      for (std::size_t panel = 0; panel < t.panels; ++panel) {
        const bool last = panel + 1 == t.panels;
        sweep_rows<Step>(t, step, panel, last ? block(step + kSteps, 0) : block(step, panel + 1), configured);
      }
    }
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

constinit const GemmOps kAmxBf16 = amx_ops<StepBf16>(pack_rows_bf16<kTileBytes / 2, kAmxRows>);
constinit const GemmOps kAmxInt8 = amx_ops<StepInt8>(pack_rows_integer<PutUint8, kTileBytes, kAmxRows>);

}  // namespace stella::kernels
