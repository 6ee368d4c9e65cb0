// Who is asked before a part of a model is loaded, and told when its memory has gone.
#pragma once

#include "base/unique_function.hpp"

#include <cstdint>
#include <memory>
#include <stop_token>

namespace stella::engine {

/// Bytes that loading a part takes.
struct LoadNeeds {
  std::uint64_t private_bytes_peak = 0;   // of this process, while it is loaded
  std::uint64_t private_bytes_after = 0;  // of them, what stays
  std::uint64_t mapped_bytes = 0;         // of files: the kernel can drop them, at the price of reading them again
};

/// A part's place in the memory. The part keeps it, and destroys it after everything else of its own.
class MemoryLease {
 public:
  virtual ~MemoryLease() = default;
  /// The part has been loaded: what only loading needs is given back.
  virtual void settle() noexcept = 0;
};

enum class ModelPart : std::uint8_t { encoder, head };

/// Thread-safe. Completions run on any thread, or inline.
class MemoryGate {
 public:
  virtual ~MemoryGate() = default;
  /// Waits until there is room. Error(out_of_memory) where there can be none, Error(overloaded) where there was none
  /// for long.
  virtual void reserve(ModelPart part, const LoadNeeds& needs, const std::stop_token& stop,
                       Completion<std::shared_ptr<MemoryLease>> done) = 0;
};

}  // namespace stella::engine
