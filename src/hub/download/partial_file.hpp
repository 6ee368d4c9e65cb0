// A body on its way into the cache: the file itself and, beside it, a record of the ranges that it holds, from which
// a later process goes on.
#pragma once

#include "base/file.hpp"
#include "hub/cache/paths.hpp"
#include "hub/download/range_set.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace stella::hub {

/// The record: a text line that names format, etag, size and the file's inode, then one line "first end" for each range
/// written, each line with its own CRC-32. A line is appended after its bytes were written, so that a process killed at
/// any moment leaves at most a torn last line, which is not believed. What survives is hashed again before it is used.
/// The holder of the blob's lock owns both files; write() and read() are thread-safe, the rest is for one thread at a
/// time. Everything may block and throws Error(io_error).
class PartialFile {
 public:
  /// Opens what an earlier process left for this etag and size, or starts anew. Links, files with several names, and
  /// files of another size are replaced, never written to. Without a size nothing is resumed.
  PartialFile(const RepoPaths& paths, const std::string& etag, std::optional<std::uint64_t> size);

  /// What was there at opening.
  const RangeSet& resumed() const noexcept { return resumed_; }

  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;

  /// Forgets everything received, for a body of `size` bytes.
  void restart(std::optional<std::uint64_t> size);
  /// Cuts the file to its size once that is known.
  void set_size(std::uint64_t size);
  /// Puts every byte on the disk and then moves the file to `destination`, replacing whatever has that name, and
  /// removes the record. A file that was unlinked meanwhile ("hf cache prune") is written out again.
  void publish(const std::filesystem::path& destination);
  /// Removes both files.
  void remove() noexcept;

 private:
  void open_fresh();
  bool open_existing(std::uint64_t size);
  void load_record(std::string_view text);
  void write_record();
  bool is_in_place() const;
  void write_again();
  void sync();

  std::string etag_;
  std::filesystem::path path_;
  std::filesystem::path record_path_;
  std::optional<std::uint64_t> size_;
  UniqueFd fd_;
  UniqueFd record_;
  std::atomic<std::uint64_t> unsynced_ = 0;  // bytes written since the disk was last told to begin
  RangeSet resumed_;
};

/// One line of the record with its checksum; nothing where the checksum does not fit. For tests too.
std::string checksummed_line(const std::string& text);
std::optional<std::string_view> verified_line(std::string_view line);

}  // namespace stella::hub
