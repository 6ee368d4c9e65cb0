// Packed weights on disk, so that the next start maps them instead of packing again.
//
// Layout, little-endian: parts, each at a multiple of 64 bytes; an index in text, its first line `about`, then a line
// "place size name" for each part; 64 bytes of trailer: magic (8), version (8), place of the index (8), its length (8),
// sha256 of everything before the trailer (32). The trailer comes last so that a file is written in one go, and a file
// that was cut short has none.
#pragma once

#include "base/mapped_file.hpp"
#include "base/sha.hpp"

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

/// A mapped file of packed weights. Const after opening, thread-safe.
class PackedFile {
 public:
  /// Checks trailer, sizes and index, not the hash: that would read all of it. Throws Error(malformed_file | io_error).
  static std::shared_ptr<const PackedFile> open(const std::filesystem::path& path);

  /// The line that the writer was given.
  const std::string& about() const noexcept { return about_; }
  std::size_t bytes() const noexcept { return file_.bytes().size(); }
  const std::filesystem::path& path() const noexcept { return file_.path(); }

  /// At a multiple of 64. Throws Error(malformed_file) where there is none of that name.
  std::span<const std::byte> part(const std::string& name) const;

  /// Reads everything: whether the content has the hash that was written with it. `on_progress` gets the bytes read so
  /// far, and throws to give up.
  bool hash_matches(const std::function<void(std::size_t)>& on_progress = {}) const;

 private:
  explicit PackedFile(MappedFile file);
  void read_index(std::string_view text);

  MappedFile file_;
  std::size_t hashed_bytes_ = 0;
  std::string about_;
  std::map<std::string, std::span<const std::byte>, std::less<>> parts_;
};

/// Writes one under a temporary name; it appears under its own once it is complete and on the disk, or never. Until
/// then the file is locked (flock), so that others tell it from one that a killed process has left.
class PackedFileWriter {
 public:
  /// Creates the folder where it is missing. Throws Error(io_error).
  explicit PackedFileWriter(const std::filesystem::path& path);
  PackedFileWriter(const PackedFileWriter&) = delete;
  PackedFileWriter& operator=(const PackedFileWriter&) = delete;
  ~PackedFileWriter();

  /// Not thread-safe. A disk that fails or is full is remembered for commit(): the caller's model loads all the same.
  /// `on_written` gets each piece that was written, a few MB of `bytes`.
  void add(const std::string& name, std::span<const std::byte> bytes,
           const std::function<void(std::span<const std::byte>)>& on_written = {});
  bool failed() const noexcept { return failed_; }

  /// `about` is one line. False, and no file, where anything could not be written.
  bool commit(const std::string& about);

 private:
  void write(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  bool failed_ = false;
  std::uint64_t at_ = 0;
  Sha256 hash_;
  std::string index_;
};

}  // namespace stella::models
