// Vectors that are there already: the rows of a .npy file.
#pragma once

#include "base/file.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stella::cli {

struct NpyHeader {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t bytes = 0;  ///< Of the header; the rows follow.
};

/// More than any header of a plain array has.
inline constexpr std::size_t kMaxNpyHeaderBytes = 65'536;

/// Reads the header at the start of a .npy file (format 1.0 to 3.0) of which `start` holds all of it or the first
/// kMaxNpyHeaderBytes. Throws std::invalid_argument, which says what is wrong, for all but a C-ordered array of
/// little-endian float32 in two dimensions whose size fits in 63 bits.
NpyHeader parse_npy_header(std::string_view start);

/// The rows of such a file, read in order and never all at once.
class NpyRows {
 public:
  /// Throws Failure(kBadInput) that names the file; `remedy` is added where it is not there.
  NpyRows(const std::string& path, const std::string& remedy);

  std::size_t rows() const noexcept { return header_.rows; }
  std::size_t columns() const noexcept { return header_.columns; }

  /// The next rows, as many as `to` holds; no more than are left. Throws Failure(kBadInput) where one holds a value
  /// that is not finite.
  void read(std::span<float> to);

 private:
  std::string name_;
  UniqueFd file_;
  NpyHeader header_{};
  std::size_t next_ = 0;  ///< Row.
};

}  // namespace stella::cli
