// Where received bytes go: into blocks, onto disk, and through the hash in order, with only blocks' memory in between.
#pragma once

#include "hub/hasher.hpp"
#include "hub/partial_file.hpp"
#include "hub/services.hpp"

#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>

namespace stella::hub {

/// Writes and hashing run on the file pool, several writes at once, one hash job at a time. A block that continues what
/// was hashed is hashed from memory; what came out of order is read back once the gap before it has closed. Loop thread
/// only. Owned by a shared_ptr, which the running jobs hold too.
class BodySink : public std::enable_shared_from_this<BodySink> {
 public:
  /// The block that one connection is filling.
  struct Lane {
    std::shared_ptr<Block> block;
    std::shared_ptr<UniqueFunction<void()>> when_free;  ///< Called when put() said no and memory is there again.
  };

  /// `on_change` is called after every job.
  BodySink(Services& services, std::shared_ptr<PartialFile> file, std::string etag, std::optional<std::uint64_t> size,
           UniqueFunction<void()> on_change);

  /// Takes all bytes, or none of them (false) while memory is short.
  bool put(Lane& lane, std::uint64_t offset, std::span<const std::byte> bytes);
  void flush(Lane& lane);

  /// Goes on hashing what is on disk, as after resuming.
  void start() { plan_from_disk(); }
  /// The size became known at the end: all of [0, size) is on disk or in flight.
  void set_size(std::uint64_t size);
  /// No more on_change.
  void silence() noexcept { silent_ = true; }

  bool idle() const noexcept { return writing_ == 0 && !hashing_; }
  bool complete() const noexcept { return idle() && size_ && written_.total() == *size_ && hashed_ == *size_; }
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

  void plan_from_disk();
  void hash_next();
  void job_ended(std::exception_ptr error);

  Services& services_;
  std::shared_ptr<PartialFile> file_;
  std::string etag_;
  std::optional<std::uint64_t> size_;
  UniqueFunction<void()> on_change_;
  std::shared_ptr<Hasher> hasher_;  // null while the size is unknown
  RangeSet written_;
  std::deque<HashItem> to_hash_;
  std::uint64_t planned_ = 0;  // everything below is hashed or in to_hash_
  std::uint64_t hashed_ = 0;
  std::size_t writing_ = 0;
  bool hashing_ = false;
  bool silent_ = false;
  std::exception_ptr error_;
};

}  // namespace stella::hub
