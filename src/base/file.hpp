// Files: an owned descriptor, reading what should be a regular file, and writing one that appears whole or not at all.
// Everything here blocks on the disk.
#pragma once

#include "stella/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace stella {

/// An owned file descriptor, never one of the standard streams': where a program has closed those, what the library
/// opens would come to lie there, and the program would print into it.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd < 0 || fd > STDERR_FILENO ? fd : moved_up(fd)) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  /// The same file above the standard streams; -1 with errno where no descriptor is left.
  static int moved_up(int fd) noexcept;

  int fd_ = -1;
};

/// "cannot {action} {path}: {what the system says}": Error(out_of_memory) of ENOMEM, Error(resource_limit) where no
/// descriptor was left (EMFILE, ENFILE), else Error(io_error).
Error io_error(const std::string& action, const std::filesystem::path& path, int error_number);

/// Opens a regular file to read, close-on-exec. A folder, FIFO, socket or device is an Error(io_error) that says so,
/// and never waited for. `follow` says whether a link at `path` itself is followed.
UniqueFd open_regular(const std::filesystem::path& path, bool follow = true);

/// Most bytes of a file of text that is read whole, unless a caller knows better.
inline constexpr std::uint64_t kMaxTextFileBytes = std::uint64_t{64} << 20U;

/// The whole of a regular file. Throws Error(limit_exceeded), before reading, where it has more than `max_bytes`; else
/// as open_regular().
std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxTextFileBytes);

/// Writes all of `bytes` at the descriptor's place; `path` is for the message of an Error.
void write_all(const UniqueFd& fd, std::span<const std::byte> bytes, const std::filesystem::path& path);
void write_all(const UniqueFd& fd, std::string_view text, const std::filesystem::path& path);

/// The names in a folder but "." and "..", sorted. Throws io_error(). (The standard library's iterators end the program
/// where memory runs out in them.)
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// What lies below a folder and is no folder itself, by its path from there, with '/' and sorted. No link is followed.
/// Throws as names_in(), also of a folder below it.
std::vector<std::string> names_below(const std::filesystem::path& folder);

/// Makes names that were made, renamed or removed in `folder` durable. A file system that cannot is no error.
void sync_folder(const std::filesystem::path& folder) noexcept;

/// `length` random hexadecimal digits, for names that nobody can foresee.
std::string random_hex(std::size_t length);

/// A new file that gets its name when it is complete and on the disk, or vanishes. It is written under a random name in
/// the same folder, which is made in a way that follows no link and takes no file that is there already.
class NewFile {
 public:
  /// The temporary name is "{name}{mark}{random}{suffix}", in `folder`, of the same file system, or beside the final
  /// one. Throws io_error().
  explicit NewFile(std::filesystem::path final_path, std::string_view mark = ".", std::string_view suffix = ".tmp",
                   mode_t mode = 0666, const std::filesystem::path& folder = {});
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  const UniqueFd& fd() const noexcept { return fd_; }
  const std::filesystem::path& temporary() const noexcept { return temporary_; }

  void write(std::span<const std::byte> bytes) { write_all(fd_, bytes, temporary_); }
  void write(std::string_view text) { write_all(fd_, text, temporary_); }
  /// Data to the disk, the name over whatever has it (a link there is replaced, not followed), the folder to the disk.
  void commit();

 private:
  std::filesystem::path final_path_;
  std::filesystem::path temporary_;  // empty once renamed
  UniqueFd fd_;
};

}  // namespace stella
