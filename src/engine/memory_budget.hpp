// A number of bytes, and what has been granted of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace stella::engine {

/// Never grants more than its limit: what a grant holds only ever shrinks. Not thread-safe; outlives its grants.
class MemoryBudget {
 public:
  /// Owns its bytes until it is destroyed. Move-only.
  class Grant {
   public:
    Grant() = default;
    Grant(Grant&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Grant& operator=(Grant&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Grant() { shrink_to(0); }

    std::uint64_t bytes() const noexcept { return bytes_; }
    /// Gives back all but `bytes`; does nothing where it holds fewer.
    void shrink_to(std::uint64_t bytes) noexcept {
      if (budget_ == nullptr || bytes >= bytes_) return;
      budget_->granted_ -= bytes_ - bytes;
      bytes_ = bytes;
    }

   private:
    friend class MemoryBudget;
    Grant(MemoryBudget& budget, std::uint64_t bytes) noexcept : budget_(&budget), bytes_(bytes) {}
    MemoryBudget* budget_ = nullptr;
    std::uint64_t bytes_ = 0;
  };

  explicit MemoryBudget(std::uint64_t limit) noexcept : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;
  ~MemoryBudget() = default;

  std::uint64_t limit() const noexcept { return limit_; }
  std::uint64_t granted() const noexcept { return granted_; }
  std::uint64_t free() const noexcept { return limit_ - granted_; }
  /// The most that was granted at one time.
  std::uint64_t peak() const noexcept { return peak_; }

  /// Nothing where fewer bytes are free.
  std::optional<Grant> reserve(std::uint64_t bytes) noexcept {
    if (bytes > free()) return std::nullopt;
    granted_ += bytes;
    peak_ = std::max(peak_, granted_);
    return Grant(*this, bytes);
  }

 private:
  const std::uint64_t limit_;
  std::uint64_t granted_ = 0;  // at most limit_
  std::uint64_t peak_ = 0;
};

}  // namespace stella::engine
