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
  static constexpr std::size_t kKc = kBf16Kc;
};
struct StepInt8 {
  static constexpr std::size_t kElement = 1;
  static constexpr std::size_t kKc = 512;
};

// The instructions name their tiles, so this cannot be a function of tile numbers.
#define STELLA_TILE_DOT(sum, a, b)     \
  if constexpr (Step::kElement == 1) { \
    _tile_dpbusd(sum, a, b);           \
  } else {                             \
    _tile_dpbf16ps(sum, a, b);         \
  }

constexpr std::size_t kPanelStride = kNr * 4;  // bytes from one row of a weight tile to the next

/// c (rows > 16, 32 columns) += a · b.
template <class Step>
inline void multiply_tall(std::size_t steps, const unsigned char* a, const unsigned char* b, float* c, std::size_t ldc,
                          const unsigned char* ahead) {
  constexpr std::size_t kAStride = Step::kKc * Step::kElement;
  _tile_loadd(0, c, ldc * 4);
  _tile_loadd(1, c + 16, ldc * 4);
  _tile_loadd(2, c + kTileRows * ldc, ldc * 4);
  _tile_loadd(3, c + kTileRows * ldc + 16, ldc * 4);
  for (std::size_t i = 0; i < steps; ++i, a += kTileBytes, b += kTileRows * kPanelStride) {
    for (std::size_t row = 0; row < kTileRows; ++row) call_ahead<kPanelStride>(ahead);
    _tile_loadd(4, a, kAStride);
    _tile_loadd(6, b, kPanelStride);
    STELLA_TILE_DOT(0, 4, 6)
    _tile_loadd(7, b + kTileBytes, kPanelStride);
    STELLA_TILE_DOT(1, 4, 7)
    _tile_loadd(5, a + kTileRows * kAStride, kAStride);
    STELLA_TILE_DOT(2, 5, 6)
    STELLA_TILE_DOT(3, 5, 7)
  }
  _tile_stored(0, c, ldc * 4);
  _tile_stored(1, c + 16, ldc * 4);
  _tile_stored(2, c + kTileRows * ldc, ldc * 4);
  _tile_stored(3, c + kTileRows * ldc + 16, ldc * 4);
}

/// c (rows <= 16, 64 columns) += a · b.
template <class Step>
inline void multiply_flat(std::size_t steps, const unsigned char* a, const unsigned char* b, float* c, std::size_t ldc,
                          const unsigned char* ahead) {
  _tile_loadd(0, c, ldc * 4);
  _tile_loadd(1, c + 16, ldc * 4);
  _tile_loadd(2, c + 32, ldc * 4);
  _tile_loadd(3, c + 48, ldc * 4);
  for (std::size_t i = 0; i < steps; ++i, a += kTileBytes, b += kTileRows * kPanelStride) {
    for (std::size_t row = 0; row < kTileRows; ++row) call_ahead<kPanelStride>(ahead);
    _tile_loadd(4, a, Step::kKc * Step::kElement);
    _tile_loadd(6, b, kPanelStride);
    STELLA_TILE_DOT(0, 4, 6)
    _tile_loadd(7, b + kTileBytes, kPanelStride);
    STELLA_TILE_DOT(1, 4, 7)
    _tile_loadd(6, b + 2 * kTileBytes, kPanelStride);
    STELLA_TILE_DOT(2, 4, 6)
    _tile_loadd(7, b + 3 * kTileBytes, kPanelStride);
    STELLA_TILE_DOT(3, 4, 7)
  }
  _tile_stored(0, c, ldc * 4);
  _tile_stored(1, c + 16, ldc * 4);
  _tile_stored(2, c + 32, ldc * 4);
  _tile_stored(3, c + 48, ldc * 4);
}
#undef STELLA_TILE_DOT

template <class Step>
struct TileAmx {
  static constexpr std::size_t kMr = kAmxRows;
  static constexpr std::size_t kKc = Step::kKc;
  static constexpr std::size_t kAElement = Step::kElement;
  static constexpr std::size_t kBElement = Step::kElement;

  static void run(std::size_t rows, std::size_t k, const unsigned char* a, const unsigned char* b, float* c,
                  std::size_t ldc, bool first, const std::int32_t* sums, const unsigned char* ahead) {
    if (first) start(rows, c, ldc, sums);
    const std::size_t steps = k * Step::kElement / kTileBytes;
    if (rows <= kTileRows) {
      configure_tiles(rows, 0);
      multiply_flat<Step>(steps, a, b, c, ldc, ahead == nullptr ? b : ahead);
    } else {
      configure_tiles(kTileRows, rows - kTileRows);
      const unsigned char* next = ahead == nullptr ? b : ahead;
      multiply_tall<Step>(steps, a, b, c, ldc, next);
      multiply_tall<Step>(steps, a, b + 2 * kTileBytes, c + 32, ldc, next + steps * kTileRows * kPanelStride / 2);
    }
    _tile_release();
    settle_memory(c);
  }

 private:
  static void start(std::size_t rows, float* c, std::size_t ldc, const std::int32_t* sums) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < kNr; i += Vec::kWidth) {
        if constexpr (Step::kElement == 1) {
          store_raw(c + r * ldc + i, minus_128_times(sums + i));
        } else {
          store(c + r * ldc + i, zero());
        }
      }
    }
  }
};

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
  ops.kc = Step::kKc;
  ops.group = 4 / Step::kElement;
  ops.k_multiple = 64;
  ops.a_element = Step::kElement;
  ops.b_element = Step::kElement;
  ops.integer_accumulators = Step::kElement == 1;
  ops.pack_rows = pack_rows;
  ops.multiply = multiply_blocks<TileAmx<Step>>;
  ops.store = store_block;
  return ops;
}

}  // namespace

constinit const GemmOps kAmxBf16 = amx_ops<StepBf16>(pack_rows_bf16<kAmxRows>);
constinit const GemmOps kAmxInt8 = amx_ops<StepInt8>(pack_rows_integer<PutUint8, StepInt8::kKc, kAmxRows>);

}  // namespace stella::kernels
