// A folder whose files can be trusted as the program itself is, for what is read back without checking who wrote it.
#pragma once

#include "base/file.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace stella {

/// A folder that belongs to this user or to root and in which nobody else can write. Everything goes through one
/// descriptor, so that a folder that is put in its place later changes nothing, and no link inside is followed; a link
/// on the way to it must belong to this user or to root, too. Const and thread-safe. Blocks on the disk.
class PrivateFolder {
 public:
  /// Nothing where there is none, unless `create`: then it and what is missing above it are made, for this user alone.
  /// Throws io_error(); a folder that others own or can write to is an Error(io_error) that says what to do.
  static std::optional<PrivateFolder> open(const std::filesystem::path& path, bool create);

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path path_of(const std::string& name) const { return path_ / name; }
  /// Unsorted.
  std::vector<std::string> names() const;

  /// A regular file of this user or of root that nobody else can write, to read; nothing where there is none. Throws
  /// io_error(), and Error(io_error) of any other file.
  std::optional<UniqueFd> open_file(const std::string& name) const;
  /// As open_file(), and this user's own; nothing where it is not. To lock it or to look at it before it is removed.
  std::optional<UniqueFd> open_own(const std::string& name) const;
  /// A new file to write, locked (flock) for as long as it is open: "{name}{mark}{random}", whose name `temporary`
  /// gets. A process that sweeps what killed ones have left takes only what is not locked.
  UniqueFd create(const std::string& name, std::string_view mark, std::string& temporary) const;
  /// A file that stays for locking; made where it is missing. Nothing where the name is another user's, or a link.
  std::optional<UniqueFd> open_lock_file(const std::string& name) const;

  /// Data and name to the disk; `to` is replaced, not followed. False, with errno, where that fails.
  bool commit(const UniqueFd& file, const std::string& from, const std::string& to) const;
  /// As commit(), but what has the name `to` keeps it: of several that do so at once, on any machines that share the
  /// folder, one wins. (Where the file system can neither rename so nor link, the last one does.)
  enum class Committed : std::uint8_t { ours, others, failed };
  Committed commit_new(const UniqueFd& file, const std::string& from, const std::string& to) const;
  /// False where it could not be removed, or was not there.
  bool remove(const std::string& name) const;
  /// Whether the name is still that of the open file.
  bool is_named(const UniqueFd& file, const std::string& name) const;

 private:
  PrivateFolder(std::filesystem::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  UniqueFd fd_;
};

/// What flock(2) said of an open file.
enum class LockOutcome : std::uint8_t {
  held,  ///< By us, until it is closed.
  busy,  ///< By someone else.
  none,  ///< The file system has no locks.
};
LockOutcome try_lock(const UniqueFd& file) noexcept;

}  // namespace stella
