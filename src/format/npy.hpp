// NumPy's .npy files of float32 rows: the header, written and read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stella::format {

/// Size of every header that npy_header() makes: room for any number of rows.
inline constexpr std::size_t kNpyHeaderBytes = 128;

/// NumPy's .npy version 1.0 header of a C-ordered little-endian float32 (rows, columns) array.
std::string npy_header(std::size_t rows, std::size_t columns);

struct NpyHeader {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t bytes = 0;       ///< Of the header; the rows follow.
  std::size_t file_bytes = 0;  ///< Of the header and all rows.
};

/// More than any header of a plain array has.
inline constexpr std::size_t kMaxNpyHeaderBytes = 65'536;

/// Reads the header at the start of a .npy file (format 1.0 to 3.0) of which `start` holds all of it or the first
/// kMaxNpyHeaderBytes. Throws std::invalid_argument, which says what is wrong, for all but a C-ordered array of
/// little-endian float32 in two dimensions whose size fits in 63 bits.
NpyHeader parse_npy_header(std::string_view start);

}  // namespace stella::format
