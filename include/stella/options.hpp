// Choices that cross the library's boundary. Plain values: copy them freely between threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace stella {

/// Arithmetic of the encoder's matrix products. The pooled vector and the heads are always f32.
enum class Precision : std::uint8_t { automatic, f32, bf16, int16, int8 };

/// Instruction set of the kernels. `automatic` takes the best that this processor runs.
enum class KernelSet : std::uint8_t { automatic, portable, avx2, avx512 };

/// What to do with a text of more tokens than the maximum length.
enum class OnLong : std::uint8_t { truncate, error };

/// Where a text of more tokens than the maximum length is cut.
enum class TruncationSide : std::uint8_t { right, left };

/// Who goes first where requests wait for each other. Between two layers of a bulk pass the engine runs interactive
/// requests; bulk ones keep at least half of the time all the same.
enum class Priority : std::uint8_t {
  automatic,  ///< interactive for a request of at most 4,096 bytes of text or 1,024 token ids, else bulk.
  interactive,
  bulk,
};

const char* to_string(Precision precision) noexcept;
const char* to_string(KernelSet kernels) noexcept;
/// Inverse of to_string ("auto" is automatic); throws Error(invalid_argument) that lists the names.
Precision parse_precision(const std::string& name);
KernelSet parse_kernel_set(const std::string& name);

/// State of one file's transfer. Called from a Runtime thread, never concurrently for one request.
struct Progress {
  std::string repo{};       ///< For example "NovaSearch/stella_en_400M_v5".
  std::string file{};       ///< Path inside the repository.
  std::uint64_t bytes = 0;  ///< Present so far, resumed ones included.
  std::uint64_t total = 0;  ///< 0 while unknown.
  double bytes_per_second = 0;
  bool finished = false;    ///< True in the last call for this file.
  bool from_cache = false;  ///< True where no body was transferred.
};
using ProgressCallback = std::function<void(const Progress&)>;

}  // namespace stella
