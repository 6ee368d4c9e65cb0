// Bounded memory for bytes between the network and the disk.
#pragma once

#include "base/unique_function.hpp"
#include "hub/http/event_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace stella::hub {

/// Consecutive bytes of a body.
struct Block {
  std::uint64_t offset = 0;
  std::size_t size = 0;  ///< Bytes used.
  std::size_t capacity = 0;
  std::unique_ptr<std::byte[]> data;

  std::span<const std::byte> bytes() const noexcept { return {data.get(), size}; }
};

/// At most `count` blocks at a time. Loop thread only; the last owner of a block must die there too.
class BlockPool {
 public:
  BlockPool(EventLoop& loop, std::size_t block_bytes, std::size_t count)
      : loop_(loop), block_bytes_(block_bytes), left_(count) {
    spare_.reserve(count);  // a block is given back by a destructor, where nothing may fail
    prepare();
  }

  std::size_t block_bytes() const noexcept { return block_bytes_; }

  /// Null where all are in use; `when_free` is then called once, later, from a task of the loop.
  std::shared_ptr<Block> acquire(std::weak_ptr<UniqueFunction<void()>> when_free);

 private:
  void release(std::unique_ptr<Block> block) noexcept;
  void prepare();
  void tell();

  EventLoop& loop_;
  std::size_t block_bytes_;
  std::size_t left_;  // that may still be handed out
  std::vector<std::unique_ptr<Block>> spare_;
  std::deque<std::weak_ptr<UniqueFunction<void()>>> waiting_;
  EventLoop::Tasks telling_;  // the next call of tell(), ready to be posted; empty while it is
};

}  // namespace stella::hub
