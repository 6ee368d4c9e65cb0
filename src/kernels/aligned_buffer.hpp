// Memory for weights and scratch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <sys/mman.h>

namespace stella::kernels {

/// Bytes aligned to 64 (to 2 MiB where large, so that huge pages can back them). Not initialised. Large ones come from
/// the system and go back to it at once: a layer that is packed and dropped again must not stay in the allocator's
/// hands.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) : size_(bytes) {
    if (bytes >= 2 * kHugePage) {
      map_large(bytes);
    } else {
      constexpr std::size_t kAlignment = 64;
      const std::size_t rounded = bytes == 0 ? kAlignment : (bytes + kAlignment - 1) / kAlignment * kAlignment;
      data_ = {static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)), Release{}};
      if (!data_) throw std::bad_alloc();
    }
  }

  std::byte* data() noexcept { return data_.get(); }
  const std::byte* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;

  struct Release {
    std::size_t mapped;  // bytes; 0: from the allocator
    Release() noexcept : mapped(0) {}
    explicit Release(std::size_t bytes) noexcept : mapped(bytes) {}
    void operator()(std::byte* p) const noexcept {
      if (mapped == 0) {
        std::free(p);  // NOLINT: the pair of aligned_alloc
      } else {
        ::munmap(p, mapped);
      }
    }
  };

  void map_large(std::size_t bytes) {
    const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    const std::size_t reserved =
        rounded + kHugePage;  // the kernel aligns to small pages: what sticks out is given back
    void* const at = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    auto* const first = static_cast<std::byte*>(at);
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(first) % kHugePage) % kHugePage;
    if (before != 0) ::munmap(first, before);
    ::munmap(first + before + rounded, kHugePage - before);
    data_ = {first + before, Release{rounded}};
    ::madvise(data_.get(), rounded, MADV_HUGEPAGE);  // only a hint
  }

  std::unique_ptr<std::byte, Release> data_;
  std::size_t size_ = 0;
};

}  // namespace stella::kernels
