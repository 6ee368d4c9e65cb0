// Vectors in the four output formats.
#pragma once

#include "cli/input.hpp"
#include "stella/options.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella::cli {

enum class RowFormat : std::uint8_t { json, jsonl, npy, f32 };

/// What the rows have in common.
struct RowsHeader {
  std::string model{};
  std::optional<std::string> task{};  ///< Nothing where a literal prompt was given.
  std::string precision{};
  std::vector<std::size_t> dimensions{};
};

/// Writes rows in order, as they come; memory does not grow with their number.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  virtual void write(std::size_t index, const Embedding& row) = 0;
  /// Passes what was written to the system.
  virtual void flush() = 0;
  /// Ends the document and makes files visible. Without it, files are left as they were.
  virtual void finish() = 0;
};

/// `output` is a path or "-". npy, and several dimensions in npy or f32, need a path.
std::unique_ptr<RowWriter> make_row_writer(RowFormat format, const RowsHeader& header, const std::string& output,
                                           const WaitFunction& wait);

/// Size of every header that npy_header() makes: room for any number of rows.
inline constexpr std::size_t kNpyHeaderBytes = 128;

/// NumPy's .npy version 1.0 header of a C-ordered little-endian float32 (rows, columns) array.
std::string npy_header(std::size_t rows, std::size_t columns);

}  // namespace stella::cli
