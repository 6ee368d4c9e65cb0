#include "hub/file_lock.hpp"

#include "base/log.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace stella::hub {
namespace {

constexpr int kFlags = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
constexpr mode_t kMode = 0664;  // whatever the umask: users who share a cache wait for each other

// An open lock file; no descriptor where it vanished between two looks.
UniqueFd open_lock(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | kFlags, kMode));
  if (fd) {
    static_cast<void>(::fchmod(fd.get(), kMode));
    return fd;
  }
  if (errno != EEXIST) throw io_error("create lock", path, errno);
  fd = UniqueFd(::open(path.c_str(), O_RDWR | kFlags));
  if (!fd && errno == EACCES) fd = UniqueFd(::open(path.c_str(), O_RDONLY | kFlags));
  if (!fd && errno != ENOENT) throw io_error("open lock", path, errno);
  return fd;
}

}  // namespace

std::optional<FileLock> FileLock::try_acquire(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw io_error("create folder", path.parent_path(), error.value());
  while (true) {
    UniqueFd fd = open_lock(path);
    if (!fd) continue;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      if (errno == EINTR) continue;
      log(LogLevel::warning, "no flock(2) for " + path.string() + ": going on without");
      return FileLock(std::move(fd));
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw io_error("look at lock", path, errno);
    if (status.st_nlink != 0) return FileLock(std::move(fd));
  }
}

}  // namespace stella::hub
