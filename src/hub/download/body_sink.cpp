#include "hub/download/body_sink.hpp"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

namespace stella::hub {
namespace {

constexpr std::uint64_t kReadBack = 4U << 20U;      // bytes hashed from disk in one item
constexpr std::size_t kItemsAhead = 2;              // of those, while nothing is hashed from memory
constexpr std::size_t kStep = 128U * 1024U;         // read back and hashed at a time, within the processor's cache
constexpr std::uint64_t kBytesPerJob = 16U << 20U;  // then other files' jobs have their turn

// After at most half a millisecond's work: threads that became ready meanwhile run before this one goes on. Else the
// kernel may let them wait for its next tick, 4 ms, on each processor that is busy with a download.
void give_way() {
  std::this_thread::yield();
}

}  // namespace

BodySink::BodySink(Resources& resources, SinkOwner& owner, std::shared_ptr<PartialFile> file, std::string etag,
                   std::optional<std::uint64_t> size)
    : resources_(resources),
      owner_(&owner),
      file_(std::move(file)),
      etag_(std::move(etag)),
      size_(size),
      written_(file_->resumed()) {
  if (size_) hasher_ = std::make_shared<Hasher>(etag_, *size_);
}

bool BodySink::put(Lane& lane, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    Block* block = lane.block.get();
    const bool fits = block != nullptr && block->offset + block->size == offset &&
                      block->capacity - block->size >= std::min(bytes.size(), block->capacity);
    if (!fits) {
      flush(lane);
      lane.block = resources_.blocks.acquire(lane.when_free);
      if (!lane.block) {
        ++shortages_;
        return false;
      }
      block = lane.block.get();
      block->offset = offset;
    }
    const std::size_t count = std::min(bytes.size(), block->capacity - block->size);
    std::memcpy(block->data.get() + block->size, bytes.data(), count);
    block->size += count;
    offset += count;
    bytes = bytes.subspan(count);
    if (block->size == block->capacity) flush(lane);
  }
  return true;
}

void BodySink::flush(Lane& lane) {
  const std::shared_ptr<Block> block = std::move(lane.block);
  lane.block = nullptr;
  if (!block || block->size == 0 || error_) return;
  if (hasher_ && !hash_stopped_ && block->offset == planned_) add_to_hash({block->offset, block->size, block});
  ++unwritten_;
  {
    const std::lock_guard lock(work_.mutex);
    work_.to_write.push_back(block);
  }
  write_more();
  give_way();
}

void BodySink::write_more() {
  if (writing_ || unwritten_ == 0) return;
  writing_ = true;
  ++jobs_;
  resources_.files.run<Nothing>(
      [self = shared_from_this()] {
        self->write_blocks();
        return Nothing{};
      },
      [self = shared_from_this()](std::exception_ptr error, Nothing) {
        self->writing_ = false;
        self->job_ended(error);
      });
}

// On the file pool. Blocks go back to the loop's thread, where they are freed.
void BodySink::write_blocks() {
  for (std::uint64_t done = 0; done < kBytesPerJob;) {
    std::shared_ptr<Block> block;
    {
      const std::lock_guard lock(work_.mutex);
      if (work_.to_write.empty()) return;
      block = std::move(work_.to_write.front());
      work_.to_write.pop_front();
    }
    std::exception_ptr error;
    try {
      file_->write(block->offset, block->bytes());
    } catch (...) {
      error = std::current_exception();
    }
    done += block->size;
    resources_.loop.post([self = shared_from_this(), block = std::move(block), failed = error != nullptr]() mutable {
      self->wrote(*block, failed);
    });
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    give_way();
  }
}

void BodySink::wrote(const Block& block, bool failed) {
  --unwritten_;
  if (failed) return;
  written_.add(block.offset, block.offset + block.size);
  plan_from_disk();
}

void BodySink::set_size(std::uint64_t size) {
  size_ = size;
  hasher_ = std::make_shared<Hasher>(etag_, size);
  written_.remove(size, UINT64_MAX);  // of an earlier, longer try
  ++jobs_;
  resources_.files.run<Nothing>(
      [file = file_, size] {
        file->set_size(size);
        return Nothing{};
      },
      [self = shared_from_this()](std::exception_ptr error, Nothing) { self->job_ended(error); });
}

void BodySink::plan_from_disk() {
  if (!hasher_ || hash_stopped_) return;
  while (unhashed_ < kItemsAhead && written_.prefix() > planned_) {
    add_to_hash({planned_, std::min(written_.prefix() - planned_, kReadBack)});
  }
}

void BodySink::add_to_hash(HashItem item) {
  planned_ += item.length;
  ++unhashed_;
  {
    const std::lock_guard lock(work_.mutex);
    work_.to_hash.push_back(std::move(item));
  }
  hash_more();
}

void BodySink::hash_more() {
  if (hashing_ || unhashed_ == 0) return;
  hashing_ = true;
  ++jobs_;
  resources_.files.run<Nothing>(
      [self = shared_from_this()] {
        self->hash_items();
        return Nothing{};
      },
      [self = shared_from_this()](std::exception_ptr error, Nothing) {
        self->hashing_ = false;
        self->job_ended(error);
      });
}

// On the file pool.
void BodySink::hash_items() {
  std::vector<std::byte> buffer;
  for (std::uint64_t done = 0; done < kBytesPerJob;) {
    HashItem item;
    {
      const std::lock_guard lock(work_.mutex);
      if (work_.to_hash.empty()) return;
      item = std::move(work_.to_hash.front());
      work_.to_hash.pop_front();
    }
    std::exception_ptr error;
    try {
      hash(item, buffer);
    } catch (...) {
      error = std::current_exception();
    }
    done += item.length;
    resources_.loop.post([self = shared_from_this(), item = std::move(item)]() mutable { self->hashed(item); });
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
  }
}

void BodySink::hash(const HashItem& item, std::vector<std::byte>& buffer) {
  if (!item.block) buffer.resize(kStep);
  for (std::uint64_t at = 0; at < item.length;) {
    const std::size_t size = std::min<std::uint64_t>(kStep, item.length - at);
    std::span<const std::byte> part;
    if (item.block) {
      part = item.block->bytes().subspan(at, size);
    } else {
      const auto room = std::span(buffer).first(size);
      file_->read(item.offset + at, room);
      part = room;
    }
    hasher_->update(part);
    at += size;
    give_way();
  }
}

void BodySink::hashed(const HashItem& item) {
  --unhashed_;
  hashed_ += item.length;
  plan_from_disk();
}

void BodySink::stop_hashing() {
  hash_stopped_ = true;
  std::deque<HashItem> dropped;
  {
    const std::lock_guard lock(work_.mutex);
    dropped.swap(work_.to_hash);
  }
  unhashed_ -= dropped.size();
}

void BodySink::job_ended(std::exception_ptr error) {
  --jobs_;
  if (error && !error_) {
    error_ = error;
    std::deque<std::shared_ptr<Block>> dropped;
    {
      const std::lock_guard lock(work_.mutex);
      dropped.swap(work_.to_write);
    }
    unwritten_ -= dropped.size();
    stop_hashing();
  }
  write_more();
  hash_more();
  if (owner_ != nullptr) owner_->sink_changed();
}

}  // namespace stella::hub
