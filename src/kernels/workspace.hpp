// Scratch memory of one forward pass.
#pragma once

#include "kernels/aligned_buffer.hpp"
#include "kernels/kernels.hpp"

#include <vector>

namespace stella::kernels {

struct Workspace::Impl {
  /// One array for each purpose. Contents do not survive a call that asks for more.
  struct Array {
    AlignedBuffer buffer;
    std::byte* at_least(std::size_t bytes) {
      if (buffer.size() < bytes) {
        buffer = AlignedBuffer();  // first free, then allocate
        buffer = AlignedBuffer(bytes);
      }
      return buffer.data();
    }
  };
  /// Some consecutive queries of one sequence.
  struct QueryBlock {
    std::size_t sequence;
    std::size_t first;
  };

  Array activations;                       // packed rows of a matrix product, or packed keys and values
  Array scales;                            // one per row
  Array per_worker;                        // accumulators
  std::vector<QueryBlock> query_blocks;    // of one attention call
  std::vector<QueryBlock> key_blocks;      // likewise, for packing keys
  std::vector<std::size_t> packed_offset;  // (sequences), bytes of earlier sequences in one head's packed keys
};

}  // namespace stella::kernels
