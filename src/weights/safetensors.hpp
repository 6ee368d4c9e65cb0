// The safetensors container (https://huggingface.co/docs/safetensors): 8 bytes of little-endian header length, a JSON
// header, then the tensors' bytes.
#pragma once

#include "base/dtype.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace stella::weights {

/// One entry of a header, checked against the file.
struct SafetensorsEntry {
  std::string name;
  std::string stored;         // dtype as written: "F32", "I64", …
  std::optional<DType> type;  // empty for a dtype of the format that holds no weights this library reads
  std::vector<std::size_t> shape;
  std::size_t begin = 0;  // offset in the file
  std::size_t end = 0;
};

/// Reads and checks a whole header: its length (1 byte to 100 MB, within the file), JSON, duplicate names, dtypes,
/// shapes against byte counts, and that the tensors' bytes cover what follows the header exactly, without overlap and
/// without gaps. `file` names it in errors. Throws Error(malformed_file) naming file and tensor.
std::vector<SafetensorsEntry> read_safetensors_header(std::span<const std::byte> bytes, const std::string& file);

/// "[2, 64]", as in messages.
std::string shape_text(std::span<const std::size_t> shape);

}  // namespace stella::weights
