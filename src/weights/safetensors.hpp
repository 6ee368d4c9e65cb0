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
  std::optional<DType> type;  // empty for other dtypes of the format
  std::vector<std::size_t> shape;
  std::size_t begin = 0;  // offset in the file
  std::size_t end = 0;
};

/// Longest header, and most tensors, that are read of one file. The format allows headers of 100 MB; those of real
/// checkpoints stay below 1 MB (a shard has some thousand tensors), and what is read of a header takes several times
/// its size.
inline constexpr std::size_t kMaxHeaderBytes = std::size_t{16} << 20U;
inline constexpr std::size_t kMaxTensors = 100'000;

/// Reads and checks a whole header: its length, JSON, duplicate names, dtypes, shapes against byte counts, and that the
/// tensors' bytes cover what follows the header exactly, without overlap and without gaps. `file` names it in errors.
/// Throws Error(malformed_file) naming file and tensor, or Error(limit_exceeded).
std::vector<SafetensorsEntry> read_safetensors_header(std::span<const std::byte> bytes, const std::string& file);

/// "[2, 64]", as in messages.
std::string shape_text(std::span<const std::size_t> shape);

}  // namespace stella::weights
