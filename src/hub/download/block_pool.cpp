#include "hub/download/block_pool.hpp"

namespace stella::hub {

std::shared_ptr<Block> BlockPool::acquire(std::weak_ptr<UniqueFunction<void()>> when_free) {
  if (left_ == 0) {
    waiting_.push_back(std::move(when_free));
    return nullptr;
  }
  std::unique_ptr<Block> block;
  if (!spare_.empty()) {
    block = std::move(spare_.back());
    spare_.pop_back();
    block->size = 0;
  } else {
    block = std::make_unique<Block>();
    block->capacity = block_bytes_;
    block->data = std::make_unique_for_overwrite<std::byte[]>(block_bytes_);
  }
  --left_;
  return {block.release(), [this](Block* used) { release(std::unique_ptr<Block>(used)); }};
}

void BlockPool::release(std::unique_ptr<Block> block) noexcept {
  ++left_;
  spare_.push_back(std::move(block));
  // Not from here: a block may be released deep inside someone else's work.
  if (!waiting_.empty() && !telling_.empty()) loop_.post(std::move(telling_));
}

void BlockPool::prepare() {
  telling_.clear();
  telling_.emplace_back([this] { tell(); });
}

void BlockPool::tell() {
  prepare();
  while (left_ > 0 && !waiting_.empty()) {
    const auto when_free = waiting_.front().lock();
    waiting_.pop_front();
    if (when_free) (*when_free)();
  }
}

}  // namespace stella::hub
