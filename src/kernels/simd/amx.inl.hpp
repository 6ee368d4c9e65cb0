// Tile registers: eight of at most 16 rows of 64 bytes. Throughout, 0 to 3 are sums, 4 and 5 rows of the left operand,
// 6 and 7 columns of the right one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace stella::kernels {
namespace {

constexpr std::size_t kTileRows = 16;
constexpr std::size_t kTileBytes = 64;  // of a row
constexpr std::size_t kTileSize = kTileRows * kTileBytes;

/// Palette 1.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

/// g++ does not tell its optimiser which memory the tile instructions read and write: all of it is settled here.
inline void settle_memory(const void* p) {
  __asm__ volatile("" ::"r"(p) : "memory");
}

/// Tiles for 2 x 2 products whose two halves of rows have `upper` and `lower` rows; a lower half of 0 stays unused and
/// its sums belong to the upper one.
inline void configure_tiles(std::size_t upper, std::size_t lower) {
  TileConfig config;
  for (std::size_t tile = 0; tile < 8; ++tile) {
    const bool columns = tile >= 6;
    const bool is_lower = lower != 0 && (tile == 2 || tile == 3 || tile == 5);
    config.row_bytes[tile] = kTileBytes;
    config.rows[tile] = static_cast<std::uint8_t>(columns ? kTileRows : is_lower ? lower : upper);
  }
  settle_memory(&config);
  _tile_loadconfig(&config);
}

}  // namespace
}  // namespace stella::kernels
