// Small memory that is there when there is none.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <span>

namespace stella::cli {

/// Blocks of one size. It allocates nothing itself. Thread-safe; a static one is there before anything runs and after
/// everything has.
class MemoryReserve {
 public:
  static constexpr std::size_t kBlockBytes = 1024;
  struct alignas(std::max_align_t) Block {
    std::array<std::byte, kBlockBytes> bytes;
  };

  /// `blocks` outlive it; those that are never needed are not touched.
  explicit constexpr MemoryReserve(std::span<Block> blocks) noexcept : blocks_(blocks) {}

  /// Aligned for everything; null where it is more than a block or none is left.
  void* take(std::size_t bytes) noexcept;
  bool owns(const void* memory) const noexcept;
  /// What take() has returned, once.
  void give(void* memory) noexcept;

 private:
  struct Free {
    Free* next;
  };

  const std::span<Block> blocks_;
  std::mutex mutex_{};
  Free* free_ = nullptr;     // guarded by mutex_, as what follows
  std::size_t touched_ = 0;  // blocks that were ever taken
};

}  // namespace stella::cli
