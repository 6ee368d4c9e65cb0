// Packed weights on disk, so that the next start maps them instead of packing again.
//
// Layout, little-endian: parts one after another, each padded with zeros to a multiple of 64 bytes; an index in text,
// its first line `about`, then a line "size crc use name" for each part, in order, crc the CRC-32C of the part with its
// padding in eight hexadecimal digits, use "whole" or "rows" (PartUse); 64 bytes of trailer: magic (8), version (8),
// place of the index (8), its length (8), CRC-32C of the index (4), zeros (24), CRC-32C of the trailer before it (4).
// Every byte is under one of the checksums. The trailer comes last so that a file is written in one go, and a file that
// was cut short has none.
#pragma once

#include "base/mapped_file.hpp"
#include "base/private_folder.hpp"
#include "base/thread_pool.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace stella::models {

/// What a pass reads of a part: all of it, or only the rows of its tokens. Pages of the latter are let go once checked.
enum class PartUse : std::uint8_t { whole, rows };

/// A mapped file of packed weights. Const after opening, thread-safe.
class PackedFile {
 public:
  /// Checks trailer, index and sizes, not the parts: that would read all of it. Throws Error(malformed_file) of what
  /// the file holds, and what MappedFile throws.
  static std::shared_ptr<const PackedFile> open(const UniqueFd& file, const std::filesystem::path& path);
  static std::shared_ptr<const PackedFile> open(const std::filesystem::path& path);

  /// The line that the writer was given.
  const std::string& about() const noexcept { return about_; }
  std::size_t bytes() const noexcept { return file_.bytes().size(); }
  const std::filesystem::path& path() const noexcept { return file_.path(); }

  /// At a multiple of 64. Throws Error(malformed_file) where there is none of that name.
  std::span<const std::byte> part(const std::string& name) const;

  /// Reads everything, by all of the team, and throws Error(malformed_file) of the first part whose bytes do not have
  /// their checksum; Error(io_error) where the disk fails. To be called before a part is computed with. `on_progress`
  /// gets the bytes read so far every now and then, and throws to give up.
  void check(ParallelTeam& team, const std::function<void(std::size_t)>& on_progress = {}) const;

 private:
  struct Part {
    std::size_t at;
    std::size_t size;  // without padding
    std::uint32_t crc;
    PartUse use;
  };

  explicit PackedFile(MappedFile file);
  void read_index(std::string_view text, std::size_t parts_bytes);

  MappedFile file_;
  std::string about_;
  std::map<std::string, Part, std::less<>> parts_;
};

/// What a file of this or an earlier version says of itself.
struct PackedLine {
  std::string about;     // empty where it has none
  bool current = false;  // of this version
};
/// Throws what MappedFile throws.
PackedLine read_packed_line(const UniqueFd& file, const std::filesystem::path& path);

/// Between the name that a file will have and what makes its temporary name unique.
inline constexpr std::string_view kTemporaryMark = ".tmp-";

/// Writes one under a temporary name; it appears under its own once it is complete and on the disk, or never. Until
/// then the file is locked (flock), so that others tell it from one that a killed process has left.
class PackedFileWriter {
 public:
  /// Throws io_error().
  PackedFileWriter(std::shared_ptr<const PrivateFolder> folder, std::string name);
  PackedFileWriter(const PackedFileWriter&) = delete;
  PackedFileWriter& operator=(const PackedFileWriter&) = delete;
  ~PackedFileWriter();

  /// Not thread-safe. A disk that fails or is full is remembered for commit(): the caller's model loads all the same.
  /// `on_written` gets each piece that was written, a few MB of `bytes`.
  void add(const std::string& name, std::span<const std::byte> bytes, PartUse use = PartUse::whole,
           const std::function<void(std::span<const std::byte>)>& on_written = {});
  bool failed() const noexcept { return failed_; }

  /// `about` is one line. False, and no file, where anything could not be written.
  bool commit(const std::string& about);

 private:
  void write(std::span<const std::byte> bytes);
  void start_writeback() noexcept;

  const std::shared_ptr<const PrivateFolder> folder_;
  std::string name_;
  std::string temporary_;  // empty once it has its name
  UniqueFd file_;
  bool failed_ = false;
  std::uint64_t at_ = 0;
  std::uint64_t on_its_way_ = 0;  // to the disk, up to here
  std::string index_;
};

}  // namespace stella::models
