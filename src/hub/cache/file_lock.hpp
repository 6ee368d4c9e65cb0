// The lock that this library and Python's client share: flock(2) on .locks/<repository>/<etag>.lock.
#pragma once

#include "base/file.hpp"
#include "hub/cache/folder.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace stella::hub {

/// Held until destroyed, or until the process ends in any way. The file stays: unlinking it would race.
class FileLock {
 public:
  /// Nothing while someone else holds it. Makes missing folders. Throws Error(io_error), also where the path is a
  /// symbolic link. On a file system without flock(2) the lock is granted unlocked: the cache stays correct without it.
  static std::optional<FileLock> try_acquire(const std::filesystem::path& path);
  /// The same for a name in a folder that is held open.
  static std::optional<FileLock> try_acquire(const Folder& folder, const std::string& name);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  static std::optional<FileLock> acquire(int folder, const char* name, const std::filesystem::path& shown);
  UniqueFd fd_;
};

}  // namespace stella::hub
