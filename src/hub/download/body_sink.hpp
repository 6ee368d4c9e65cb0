// Where received bytes go: into blocks, onto disk, and through the hash in order, with only blocks' memory in between.
#pragma once

#include "hub/cache/hasher.hpp"
#include "hub/download/partial_file.hpp"
#include "hub/download/resources.hpp"

#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace stella::hub {

class SinkOwner {
 public:
  /// Something was written or hashed, or could not be.
  virtual void sink_changed() = 0;

 protected:
  ~SinkOwner() = default;
};

/// One job writes and one hashes, both on the file pool and both at the same time; several writers would only wait for
/// the file's lock in the kernel. A job goes on while there is work, so that neither waits for the loop between two
/// blocks. A block that continues what was hashed is hashed from memory; what came out of order is read back once the
/// gap before it has closed. Loop thread only. Owned by a shared_ptr, which the running jobs hold too.
class BodySink : public std::enable_shared_from_this<BodySink> {
 public:
  /// The block that one connection is filling.
  struct Lane {
    std::shared_ptr<Block> block;
    std::shared_ptr<UniqueFunction<void()>> when_free;  ///< Called when put() said no and memory is there again.
  };

  /// The owner is told after every job, until silence().
  BodySink(Resources& resources, SinkOwner& owner, std::shared_ptr<PartialFile> file, std::string etag,
           std::optional<std::uint64_t> size);

  /// Takes all bytes, or none of them (false) while memory is short.
  bool put(Lane& lane, std::uint64_t offset, std::span<const std::byte> bytes);
  void flush(Lane& lane);

  /// Goes on hashing what is on disk, as after resuming.
  void start() { plan_from_disk(); }
  /// The size became known at the end: all of [0, size) is on disk or in flight.
  void set_size(std::uint64_t size);
  /// The owner is told no more, and may go.
  void silence() noexcept { owner_ = nullptr; }
  /// The hash is of no interest any more; writing goes on.
  void stop_hashing();

  bool idle() const noexcept { return unwritten_ == 0 && unhashed_ == 0 && jobs_ == 0; }
  bool complete() const noexcept { return idle() && size_ && written_.total() == *size_ && hashed_ == *size_; }
  /// How often memory was short so far: the disk or the processor is what limits, not the network.
  std::uint64_t shortages() const noexcept { return shortages_; }
  /// Hexadecimal; once, when complete().
  std::string digest() { return hasher_->digest(); }
  /// The first failed write or read.
  const std::exception_ptr& error() const noexcept { return error_; }
  const std::shared_ptr<PartialFile>& file() const noexcept { return file_; }

 private:
  struct HashItem {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::shared_ptr<Block> block{};  // null: read from the file
  };

  /// What the loop has put there for the jobs.
  struct Work {
    std::mutex mutex;
    std::deque<std::shared_ptr<Block>> to_write;
    std::deque<HashItem> to_hash;
  };

  void write_more();
  void hash_more();
  void write_blocks();
  void hash_items();
  void hash(const HashItem& item, std::vector<std::byte>& buffer);
  void wrote(const Block& block, bool failed);
  void hashed(const HashItem& item);
  void add_to_hash(HashItem item);
  void plan_from_disk();
  void job_ended(std::exception_ptr error);

  Resources& resources_;
  SinkOwner* owner_;  // null: silent
  std::shared_ptr<PartialFile> file_;
  std::string etag_;
  std::optional<std::uint64_t> size_;
  std::shared_ptr<Hasher> hasher_;  // null while the size is unknown
  Work work_;
  RangeSet written_;
  std::uint64_t planned_ = 0;  // everything below is hashed or queued for it
  std::uint64_t hashed_ = 0;
  std::uint64_t shortages_ = 0;
  std::size_t unwritten_ = 0;  // blocks
  std::size_t unhashed_ = 0;   // items
  std::size_t jobs_ = 0;
  bool writing_ = false;
  bool hashing_ = false;
  bool hash_stopped_ = false;
  std::exception_ptr error_;
};

}  // namespace stella::hub
