// Vectors that are there already: the rows of a .npy file.
#pragma once

#include "base/file.hpp"
#include "format/npy.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stella::cli {

/// The rows of a .npy file, read in order and never all at once.
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
  format::NpyHeader header_{};
  std::size_t next_ = 0;  ///< Row.
};

}  // namespace stella::cli
