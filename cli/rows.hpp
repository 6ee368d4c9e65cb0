// Vectors in the four output formats.
#pragma once

#include "cli/output.hpp"
#include "stella/options.hpp"
#include "stella/request.hpp"

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
  std::vector<std::string> keep{};  ///< Names of the fields that json and jsonl carry along.
};

/// What "x.npy" or "x.jsonl" says of the rows in it, or nothing.
std::optional<RowFormat> format_of_name(const std::string& path);

/// The files that rows are written to: one, or for npy and f32 one for each of several dimensions.
std::vector<std::string> row_paths(RowFormat format, const std::string& output,
                                   const std::vector<std::size_t>& dimensions);

/// Opens them, so that what cannot be written is known before anything is computed. Throws WriteFailure, and
/// Failure(kBadInput) for npy to what is no regular file.
std::vector<std::unique_ptr<Output>> open_rows(RowFormat format, const std::vector<std::string>& paths,
                                               const WaitFunction& wait);

/// Writes rows in order, as they come; memory does not grow with their number.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  /// `kept` are the values of the header's `keep`. Throws Failure where a value is not finite, before anything of the
  /// row is written.
  virtual void write(std::size_t index, const Embedding& row, const std::vector<std::string>& kept) = 0;
  /// Passes what was written to the system.
  virtual void flush() = 0;
  /// Ends the document and makes files visible. Without it, files are left as they were.
  virtual void finish() = 0;
  /// Instead of finish(): ends the document after the rows so far and gives the names of the files that hold them now.
  virtual std::vector<std::string> keep_partial() = 0;
};

std::unique_ptr<RowWriter> make_row_writer(RowFormat format, const RowsHeader& header,
                                           std::vector<std::unique_ptr<Output>> outputs);

}  // namespace stella::cli
