// Options and results that cross the library's boundary. Plain values: copy them freely between threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace stella {

/// Arithmetic of the encoder's matrix products. The pooled vector and the heads are always f32.
enum class Precision : std::uint8_t { automatic, f32, bf16, int16, int8 };

/// Instruction set of the kernels. `automatic` takes the best that this processor runs.
enum class KernelSet : std::uint8_t { automatic, portable, avx2, avx512 };

/// What to do with a text of more tokens than the maximum length.
enum class OnLong : std::uint8_t { truncate, error };

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

/// How texts become vectors. The defaults are what a search application wants for its queries.
struct EmbedOptions {
  /// Task name ("s2p", "s2s", "search_query", "document", "none", …); empty: the model's default.
  std::string task{};
  /// A literal prompt put before each text; wins over `task`.
  std::optional<std::string> prompt{};
  /// Sizes of the trained heads to apply, any number from one forward pass; empty: the model's default.
  std::vector<std::size_t> dimensions{};
  /// Scale each vector to unit length (a zero vector stays zero).
  bool normalize = true;
  /// Most tokens per text, special tokens and prompt included; empty: the model's default_max_length.
  std::optional<std::size_t> max_length{};
  OnLong on_long = OnLong::truncate;
};

/// One text's result.
struct Embedding {
  std::size_t tokens = 0;       ///< Tokens embedded, special tokens and prompt included.
  std::size_t full_tokens = 0;  ///< Tokens before truncation.
  bool truncated = false;       ///< Whether tokens were dropped to fit the maximum length.
  /// (dimension, vector of that many floats) for each dimension asked for, in that order.
  std::vector<std::pair<std::size_t, std::vector<float>>> vectors{};
};

}  // namespace stella
