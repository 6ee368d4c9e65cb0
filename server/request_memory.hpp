// Memory of requests, reserved before it is taken: so that what clients send does not decide how much there is of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace stella::server {

/// Thread-safe.
class RequestMemory {
 public:
  explicit RequestMemory(std::size_t limit) : limit_(limit) {}
  RequestMemory(const RequestMemory&) = delete;
  RequestMemory& operator=(const RequestMemory&) = delete;

  enum class Grant : std::uint8_t {
    given,
    busy,      ///< Other requests have it.
    too_much,  ///< More than the limit: no waiting helps.
  };

  /// A request's part; it goes with it.
  class Part {
   public:
    Part() = default;
    explicit Part(RequestMemory& memory) noexcept : memory_(&memory) {}
    Part(Part&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Part& operator=(Part&& other) noexcept {
      std::swap(memory_, other.memory_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Part() {
      if (memory_ != nullptr) static_cast<void>(memory_->resize(bytes_, 0));
    }

    /// Less is always given; where more is not, the part stays as it is.
    Grant resize(std::size_t bytes) {
      const Grant grant = memory_ == nullptr ? Grant::given : memory_->resize(bytes_, bytes);
      if (grant == Grant::given) bytes_ = bytes;
      return grant;
    }
    Grant grow_to(std::size_t bytes) { return bytes <= bytes_ ? Grant::given : resize(bytes); }

   private:
    RequestMemory* memory_ = nullptr;
    std::size_t bytes_ = 0;
  };

  void set_limit(std::size_t limit) {
    const std::lock_guard lock(mutex_);
    limit_ = limit;
  }
  std::size_t limit() const {
    const std::lock_guard lock(mutex_);
    return limit_;
  }
  std::size_t used() const {
    const std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  Grant resize(std::size_t from, std::size_t to) {
    const std::lock_guard lock(mutex_);
    if (to > from && to > limit_) return Grant::too_much;
    if (to > from && used_ - from + to > limit_) return Grant::busy;
    used_ += to - from;
    return Grant::given;
  }

  mutable std::mutex mutex_{};
  std::size_t limit_;     // guarded by mutex_
  std::size_t used_ = 0;  // guarded by mutex_
};

}  // namespace stella::server
