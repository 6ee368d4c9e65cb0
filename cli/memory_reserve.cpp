#include "cli/memory_reserve.hpp"

#include <functional>
#include <new>

namespace stella::cli {

void* MemoryReserve::take(std::size_t bytes) noexcept {
  if (bytes > kBlockBytes) return nullptr;
  const std::lock_guard lock(mutex_);
  if (free_ != nullptr) {
    Free* const block = free_;
    free_ = block->next;
    return block;
  }
  return touched_ == blocks_.size() ? nullptr : &blocks_[touched_++];
}

bool MemoryReserve::owns(const void* memory) const noexcept {
  const std::less<const void*> before;
  return !before(memory, blocks_.data()) && before(memory, blocks_.data() + blocks_.size());
}

void MemoryReserve::give(void* memory) noexcept {
  const std::lock_guard lock(mutex_);
  free_ = new (memory) Free{free_};
}

}  // namespace stella::cli
