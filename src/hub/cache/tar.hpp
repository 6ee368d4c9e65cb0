// The tar archives of cache::pack(): POSIX.1-2001 pax (IEEE Std 1003.1, "pax Interchange Format"), which every tar
// program reads, in the part that a cache needs: files, folders and symbolic links.
#pragma once

#include "base/file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace stella::hub {

struct TarEntry {
  enum class Kind : std::uint8_t { file, folder, link };
  Kind kind = Kind::file;
  std::string name;
  std::string target{};      ///< Of a link.
  std::uint64_t size = 0;    ///< Of a file.
  std::uint64_t offset = 0;  ///< Where a file's bytes start; set by TarReader.
};

inline constexpr std::size_t kTarBlock = 512;

/// The blocks that announce an entry; a pax record in front where a name or a size needs one. The same for the same
/// entry: no times, no users.
std::string tar_header(const TarEntry& entry);

/// Zeros that fill the last block of a file of that size.
std::string tar_padding(std::uint64_t size);

/// What ends an archive.
std::string tar_end();

/// Reads the headers of an archive, which must be a regular file. Nothing an archive says is trusted: sizes are held
/// against the file's, and kinds of entries that a cache has no use for (devices, hard links, sparse files, other
/// dialects' extensions) are refused.
class TarReader {
 public:
  /// Throws Error(io_error), Error(malformed_file).
  explicit TarReader(const std::filesystem::path& path);

  /// The next entry; nothing at the archive's end. Throws Error(io_error), Error(malformed_file).
  std::optional<TarEntry> next();

  const UniqueFd& fd() const noexcept { return fd_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  std::string read(std::uint64_t size);
  void skip_content(std::uint64_t size);
  std::uint64_t number(std::span<const char> field) const;
  void take_pax_records(std::uint64_t size);

  std::filesystem::path path_;
  UniqueFd fd_;
  std::uint64_t size_ = 0;    // of the archive
  std::uint64_t offset_ = 0;  // of the next header
  // From a pax header, for the entry that follows it.
  std::optional<std::string> next_name_{}, next_target_{};
  std::optional<std::uint64_t> next_size_{};
};

}  // namespace stella::hub
