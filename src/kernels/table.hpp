// The dispatch table: what one instruction set provides. Only plain types here: the files of the instruction sets
// include this header, and an inline function that they shared with the rest of the program would be compiled with
// their flags.
#pragma once

#include "base/dtype.hpp"
#include "kernels/epilogue.hpp"

#include <cstddef>
#include <cstdint>

namespace stella {
enum class KernelSet : std::uint8_t;
enum class Precision : std::uint8_t;
}  // namespace stella

namespace stella::kernels {

// A matrix product runs over packed operands.
//
// Weights (n, k): panels of `nr` rows. A panel is (k_padded / group, nr, group) elements: `group` consecutive k of one
// row lie together, because that is what one instruction multiplies.
//
// Activations (m, k): row panels of at most `mr` rows, or one panel of few rows. A row panel is a series of blocks of
// `kc` columns, each block (block_rows, kc) row-major, the last one padded with zeros; block_rows is `mr` or, if that
// is more, the number of few rows.
//
// Accumulators: (rows, panels · nr), f32, or int32 where `integer_accumulators`.

/// Quantises or copies one row panel.
struct PackRows {
  const float* x = nullptr;  // (rows, k), contiguous
  std::size_t rows = 0;      // at most block_rows
  std::size_t block_rows = 0;
  std::size_t k = 0;
  std::size_t k_padded = 0;
  const float* column_weights = nullptr;  // (k): 1, or 1 / copies for a split column; null where none is split
  const std::int32_t* split = nullptr;    // (split_count): columns packed in several copies
  std::size_t split_count = 0;
  std::size_t copies = 1;   // a power of two
  void* out = nullptr;      // one row panel
  float* scales = nullptr;  // (rows), of the integer precisions
};

/// One task: some row panels times some weight panels.
struct MultiplyBlock {
  const void* a = nullptr;     // the first row panel
  std::size_t a_stride = 0;    // bytes between row panels
  std::size_t rows = 0;        // all rows; every panel but the last has `panel_rows`
  std::size_t panel_rows = 0;  // at most mr, or all of few rows
  const void* b = nullptr;     // the first weight panel
  std::size_t b_stride = 0;    // bytes between weight panels
  std::size_t panels = 0;
  const std::int32_t* b_sums = nullptr;  // (panels · nr) sums over k of the int8 weights
  std::size_t k_padded = 0;
  bool panel_first = false;  // finish a weight panel before the next: best where the activations stay in cache
  float* c = nullptr;        // (rows, panels · nr)
};

/// Accumulators to results: scale, bias, activation, residual.
struct StoreBlock {
  const float* c = nullptr;  // (rows, panels · nr), of the panels from first_panel
  std::size_t rows = 0;
  std::size_t first_panel = 0;
  std::size_t panels = 0;
  const float* row_scale = nullptr;  // (rows), or null for unscaled
  const float* col_scale = nullptr;  // (panels · nr), or null
  const float* bias = nullptr;       // (n) in source order, or null
  const float* residual = nullptr;   // (rows, y_columns), or null
  float* y = nullptr;                // (rows, y_columns): the first row of this block
  std::size_t y_columns = 0;
  bool integer_accumulators = false;
  Epilogue epilogue{};
};

/// One precision in one instruction set.
struct GemmOps {
  std::size_t mr = 0;
  std::size_t least_few_rows = 0;  // from here to most_few_rows, rows are one panel
  std::size_t most_few_rows = 0;   // 0: never
  std::size_t nr = 0;
  std::size_t kc = 0;
  std::size_t group = 0;
  std::size_t k_multiple = 0;  // k_padded is a multiple of this; it divides kc
  std::size_t a_element = 0;   // bytes
  std::size_t b_element = 0;   // bytes
  bool integer_accumulators = false;
  void (*pack_rows)(const PackRows&) = nullptr;
  void (*multiply)(const MultiplyBlock&) = nullptr;
  void (*store)(const StoreBlock&) = nullptr;
};

/// Brings one block of keys of one head and their values into the form in which attend() reads them.
struct PackKeys {
  const float* k = nullptr;  // (keys, head_dim), rows `stride` apart
  const float* v = nullptr;  // (keys, head_dim), rows `stride` apart
  std::size_t stride = 0;
  std::size_t keys = 0;  // at most key_block
  std::size_t head_dim = 0;
  const float* cos = nullptr;  // (keys, head_dim / 2) from the first key's position on, or null for no rotation
  const float* sin = nullptr;
  void* out = nullptr;      // block_bytes(keys, head_dim) bytes, 64-byte aligned
  void* scratch = nullptr;  // scratch_bytes(head_dim) bytes, 64-byte aligned
};

/// One task of attention: some queries of one head against every key of their sequence.
struct AttendBlock {
  const float* q = nullptr;  // (queries, head_dim), rows q_stride apart
  std::size_t q_stride = 0;
  std::size_t queries = 0;  // at most query_block
  std::size_t head_dim = 0;
  const float* cos = nullptr;  // (queries, head_dim / 2) from the first query's position on, or null
  const float* sin = nullptr;
  const void* blocks = nullptr;  // blocks of key_block keys as pack_keys() left them, the last one perhaps shorter
  std::size_t block_stride = 0;  // bytes between them
  std::size_t keys = 0;
  float* out = nullptr;  // (queries, head_dim), rows out_stride apart
  std::size_t out_stride = 0;
  void* scratch = nullptr;  // scratch_bytes(head_dim) bytes, 64-byte aligned
};

struct AttentionOps {
  std::size_t key_block = 0;
  std::size_t query_block = 0;
  std::size_t most_head_dim = 0;
  std::size_t (*block_bytes)(std::size_t keys, std::size_t head_dim) = nullptr;  // a multiple of 64
  std::size_t (*scratch_bytes)(std::size_t head_dim) = nullptr;
  void (*pack_keys)(const PackKeys&) = nullptr;
  void (*attend)(const AttendBlock&) = nullptr;
};

/// One set of functions for one kind of processor.
struct Kernels {
  KernelSet set{};
  const char* name = "";  // for tests and reports, "avx512-vnni" for example
  GemmOps f32;
  GemmOps bf16;
  GemmOps int16;
  GemmOps int8;
  AttentionOps attention;  // in f32
  // Products in 16 bits, softmax in f32; empty where that would be no faster. int16's are integers, which keep more
  // than the bf16 of tiles.
  AttentionOps int16_attention;
  AttentionOps low_attention;  // of bf16 and int8
  void (*layer_norm)(const float* x, std::size_t m, std::size_t n, const float* gain, const float* shift, float eps,
                     float* y) = nullptr;
  void (*rms_norm)(const float* x, std::size_t m, std::size_t n, const float* gain, float eps, float* y) = nullptr;
  /// Columns [begin, end) of the mean of x (rows, n).
  void (*mean_rows)(const float* x, std::size_t rows, std::size_t n, std::size_t begin, std::size_t end,
                    float* out) = nullptr;
  void (*to_f32)(const void* source, DType type, std::size_t n, float* out) = nullptr;
  void (*add_in_place)(float* x, const float* addend, std::size_t n) = nullptr;
};

}  // namespace stella::kernels
