#include "hub/cache/file_lock.hpp"

#include "base/log.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace stella::hub {
namespace {

constexpr int kFlags = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
constexpr mode_t kMode = 0664;  // whatever the umask: users who share a cache wait for each other

// An open lock file; no descriptor where it vanished between two looks.
UniqueFd open_lock(int folder, const char* name, const std::filesystem::path& shown) {
  UniqueFd fd(::openat(folder, name, O_RDWR | O_CREAT | O_EXCL | kFlags, kMode));
  if (fd) {
    static_cast<void>(::fchmod(fd.get(), kMode));
    return fd;
  }
  if (errno != EEXIST) throw io_error("create lock", shown, errno);
  fd = UniqueFd(::openat(folder, name, O_RDWR | kFlags));
  if (!fd && (errno == EACCES || errno == EROFS)) fd = UniqueFd(::openat(folder, name, O_RDONLY | kFlags));
  if (!fd && errno != ENOENT) throw io_error("open lock", shown, errno);
  return fd;
}

}  // namespace

std::optional<FileLock> FileLock::try_acquire(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw io_error("create folder", path.parent_path(), error.value());
  return acquire(AT_FDCWD, path.c_str(), path);
}

std::optional<FileLock> FileLock::try_acquire(const Folder& folder, const std::string& name) {
  return acquire(folder.fd().get(), name.c_str(), folder.path() / name);
}

std::optional<FileLock> FileLock::acquire(int folder, const char* name, const std::filesystem::path& shown) {
  while (true) {
    UniqueFd fd = open_lock(folder, name, shown);
    if (!fd) continue;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      if (errno == EINTR) continue;
      log(LogLevel::warning, "no flock(2) for " + shown.string() + ": going on without");
      return FileLock(std::move(fd));
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw io_error("look at lock", shown, errno);
    if (status.st_nlink != 0) return FileLock(std::move(fd));
  }
}

}  // namespace stella::hub
