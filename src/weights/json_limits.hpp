// How much JSON is read of a checkpoint.
#pragma once

#include <cstddef>

namespace stella::weights {

/// Most bytes of a checkpoint's JSON file; real ones have less than 1 MB, an index of shards included.
inline constexpr std::size_t kMaxJsonBytes = std::size_t{16} << 20U;

/// Most levels of nesting; real files have 10.
inline constexpr std::size_t kMaxJsonDepth = 128;

}  // namespace stella::weights
