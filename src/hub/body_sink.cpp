#include "hub/body_sink.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace stella::hub {
namespace {

constexpr std::uint64_t kReadBack = 4U << 20U;     // bytes hashed from disk in one job
constexpr std::size_t kReadBuffer = 256U * 1024U;  // stays in the processor's cache between read and hash
constexpr std::size_t kItemsPerJob = 8;

}  // namespace

BodySink::BodySink(Services& services, std::shared_ptr<PartialFile> file, std::string etag,
                   std::optional<std::uint64_t> size, UniqueFunction<void()> on_change)
    : services_(services),
      file_(std::move(file)),
      etag_(std::move(etag)),
      size_(size),
      on_change_(std::move(on_change)),
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
      lane.block = services_.blocks.acquire(lane.when_free);
      if (!lane.block) return false;
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
  std::shared_ptr<Block> block = std::move(lane.block);
  lane.block = nullptr;
  if (!block || block->size == 0) return;
  if (hasher_ && block->offset == planned_) {
    to_hash_.push_back({block->offset, block->size, block});
    planned_ += block->size;
    hash_next();
  }
  ++writing_;
  services_.files.run<Nothing>(
      [file = file_, block] {
        file->write(block->offset, block->bytes());
        return Nothing{};
      },
      [self = shared_from_this(), block](std::exception_ptr error, Nothing) {
        --self->writing_;
        if (!error) self->written_.add(block->offset, block->offset + block->size);
        self->plan_from_disk();
        self->job_ended(error);
      });
}

void BodySink::set_size(std::uint64_t size) {
  size_ = size;
  hasher_ = std::make_shared<Hasher>(etag_, size);
  written_.remove(size, UINT64_MAX);  // of an earlier, longer try
  ++writing_;
  services_.files.run<Nothing>(
      [file = file_, size] {
        file->set_size(size);
        return Nothing{};
      },
      [self = shared_from_this()](std::exception_ptr error, Nothing) {
        --self->writing_;
        self->plan_from_disk();
        self->job_ended(error);
      });
}

void BodySink::plan_from_disk() {
  if (!hasher_ || hashing_ || !to_hash_.empty() || written_.prefix() <= planned_) return;
  const std::uint64_t length = std::min(written_.prefix() - planned_, kReadBack);
  to_hash_.push_back({planned_, length});
  planned_ += length;
  hash_next();
}

void BodySink::hash_next() {
  if (hashing_ || to_hash_.empty() || error_) return;
  hashing_ = true;
  std::vector<HashItem> items;
  std::uint64_t length = 0;
  while (!to_hash_.empty() && items.size() < kItemsPerJob) {
    length += to_hash_.front().length;
    items.push_back(std::move(to_hash_.front()));
    to_hash_.pop_front();
  }
  services_.files.run<Nothing>(
      [file = file_, hasher = hasher_, items = std::move(items)] {
        for (const HashItem& item : items) {
          if (item.block) {
            hasher->update(item.block->bytes());
            continue;
          }
          std::vector<std::byte> buffer(std::min<std::uint64_t>(item.length, kReadBuffer));
          for (std::uint64_t at = 0; at < item.length;) {
            const std::span<std::byte> part(buffer.data(), std::min<std::uint64_t>(buffer.size(), item.length - at));
            file->read(item.offset + at, part);
            hasher->update(part);
            at += part.size();
          }
        }
        return Nothing{};
      },
      [self = shared_from_this(), length](std::exception_ptr error, Nothing) {
        self->hashing_ = false;
        self->hashed_ += length;
        self->hash_next();
        self->plan_from_disk();
        self->job_ended(error);
      });
}

void BodySink::job_ended(std::exception_ptr error) {
  if (error && !error_) {
    error_ = error;
    to_hash_.clear();
  }
  if (!silent_) on_change_();
}

}  // namespace stella::hub
