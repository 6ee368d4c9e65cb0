// The memory of a packed weight matrix: one block of bytes that can be written to a file and mapped again.
#pragma once

#include "kernels/aligned_buffer.hpp"
#include "kernels/kernels.hpp"
#include "kernels/table.hpp"

#include <array>
#include <memory>

namespace stella::kernels {

/// At the start of the block. Offsets are bytes from the block's start, multiples of 64; 0 for an absent part.
struct PackedHeader {
  std::array<char, 8> magic;  // kPackedMagic
  std::uint32_t version;      // kPackedVersion; changes with any change of the layout
  std::uint32_t precision;    // Precision
  std::uint32_t row_order;    // RowOrder
  std::uint32_t nr;
  std::uint32_t group;
  std::uint32_t b_element;
  std::uint64_t n;
  std::uint64_t k;
  std::uint64_t k_padded;     // k, then copies of split columns, then padding
  std::uint64_t split_count;  // columns packed in several copies
  std::uint64_t copies;
  std::uint64_t panels_at;
  std::uint64_t col_scale_at;       // f32 (panels · nr)
  std::uint64_t b_sums_at;          // int32 (panels · nr)
  std::uint64_t split_at;           // int32 (split_count)
  std::uint64_t column_weights_at;  // f32 (k)
  std::uint64_t bytes;              // of the whole block
};
inline constexpr std::array<char, 8> kPackedMagic = {'s', 't', 'e', 'l', 'l', 'a', 'P', 'M'};
inline constexpr std::uint32_t kPackedVersion = 1;
inline constexpr std::size_t kSplitCopies = 8;  // of a column with outliers

struct PackedMatrix::Impl {
  AlignedBuffer owned;                    // empty where the block is mapped
  std::shared_ptr<const void> kept;       // what keeps a mapping alive
  const std::byte* block = nullptr;       // begins with the header
  PackedHeader header{};                  // a copy
  const std::byte* panels = nullptr;      // (panel_count, k_padded / group, nr, group)
  const float* col_scale = nullptr;       // (panel_count · nr), of the integer precisions
  const std::int32_t* b_sums = nullptr;   // (panel_count · nr), of int8
  const std::int32_t* split = nullptr;    // (split_count), or null
  const float* column_weights = nullptr;  // (k): 1, or 1 / copies for a split column; or null
  std::size_t panel_count = 0;
  std::size_t panel_bytes = 0;

  /// Sets the views into `block` from a header that fits it. The block's own is not read again: a file may change.
  void attach(const PackedHeader& checked);
};

/// The header of a matrix (n, k) of which `split_count` columns are packed in several copies: sizes and places.
PackedHeader make_packed_header(const GemmOps& ops, Precision precision, RowOrder order, std::size_t n, std::size_t k,
                                std::size_t split_count);

/// Panels of a matrix of n rows; a gate/up pair has each half rounded up by itself.
std::size_t panel_count(std::size_t n, std::size_t nr, RowOrder order);

/// The functions for `precision`. Throws Error(unsupported_processor) where the set has none.
const GemmOps& gemm_ops(const Kernels& kernels, Precision precision);

}  // namespace stella::kernels
