#include "base/private_folder.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <sys/stat.h>
#include <utility>

#include <climits>

namespace stella {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kOthersWrite = S_IWGRP | S_IWOTH;

bool is_trusted(uid_t owner) {
  return owner == 0 || owner == ::geteuid();
}

UniqueFd open_at(const UniqueFd& folder, const char* name, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::openat(folder.get(), name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

struct stat status_of(const UniqueFd& fd, const fs::path& path) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw io_error("stat", path, errno);
  return status;
}

std::string octal(mode_t mode) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode & 07777U));
  return text.data();
}

fs::path absolute_path(const fs::path& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error);
  if (error) throw io_error("find", path, error.value());
  return whole;
}

[[noreturn]] void distrust(const fs::path& path, const std::string& what) {
  throw Error(Errc::io_error, path.string() + " " + what, {.file = path.string()});
}

/// Walks down a path, part by part.
class Walk {
 public:
  Walk(const fs::path& path, bool create) : path_(absolute_path(path)), create_(create) {
    for (const fs::path& part : path_.relative_path()) push(part);
    at_ = UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!at_) throw io_error("open", "/", errno);
  }

  /// The folder, for reading; nothing where it is missing.
  std::optional<UniqueFd> run() {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const std::string part = parts_[i];
      UniqueFd next = open_at(at_, part.c_str(), O_PATH);
      if (!next && errno == ENOENT && create_) {
        if (::mkdirat(at_.get(), part.c_str(), S_IRWXU) != 0 && errno != EEXIST) throw io_error("make", path_, errno);
        next = open_at(at_, part.c_str(), O_PATH);
      }
      if (!next && (errno == ENOENT || errno == ENOTDIR) && !create_) return std::nullopt;
      if (!next) throw io_error("open", path_, errno);
      const struct stat status = status_of(next, path_);
      if (S_ISLNK(status.st_mode)) {
        follow(next, status, i);
      } else {
        at_ = std::move(next);
      }
    }
    UniqueFd folder = open_at(at_, ".", O_RDONLY | O_DIRECTORY);
    if (!folder) throw io_error("open", path_, errno);
    return folder;
  }

 private:
  void push(const fs::path& part) {
    if (!part.empty() && part != ".") parts_.push_back(part.string());
  }

  /// Puts what the link names in the place of the parts so far, which have been walked.
  void follow(const UniqueFd& link, const struct stat& status, std::size_t& at) {
    constexpr int kMaxLinks = 40;
    if (!is_trusted(status.st_uid)) {
      distrust(path_, "leads through the link '" + parts_[at] + "' of another user, who could lead it elsewhere");
    }
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(link.get(), "", target.data(), target.size());
    if (size <= 0) throw io_error("read a link of", path_, size < 0 ? errno : ENOENT);
    if (++links_ > kMaxLinks) throw io_error("open", path_, ELOOP);
    const fs::path to(std::string(target.data(), static_cast<std::size_t>(size)));
    std::vector<std::string> rest(parts_.begin() + static_cast<std::ptrdiff_t>(at) + 1, parts_.end());
    parts_.clear();
    for (const fs::path& part : to.relative_path()) push(part);
    parts_.insert(parts_.end(), rest.begin(), rest.end());
    if (to.is_absolute()) at_ = UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    at = static_cast<std::size_t>(-1);  // the loop's increment makes it the first
  }

  fs::path path_;
  bool create_;
  std::vector<std::string> parts_;
  UniqueFd at_;
  int links_ = 0;
};

/// What makes a file of the folder untrustworthy, or nothing.
std::string fault_of(const struct stat& status) {
  if (!S_ISREG(status.st_mode)) return "is not a regular file";
  if (!is_trusted(status.st_uid)) return "belongs to another user";
  if ((status.st_mode & kOthersWrite) != 0) return "can be written by others (mode " + octal(status.st_mode) + ")";
  return {};
}

}  // namespace

std::optional<PrivateFolder> PrivateFolder::open(const fs::path& path, bool create) {
  std::optional<UniqueFd> folder = Walk(path, create).run();
  if (!folder) return std::nullopt;
  const struct stat status = status_of(*folder, path);
  if (!is_trusted(status.st_uid)) distrust(path, "belongs to another user; name a folder of your own, or remove it");
  if ((status.st_mode & kOthersWrite) != 0) {
    distrust(path, "can be written by others (mode " + octal(status.st_mode) + "); run `chmod go-w " + path.string() +
                       "`, or name a folder of your own");
  }
  return PrivateFolder(path, std::move(*folder));
}

std::vector<std::string> PrivateFolder::names() const {
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const int copy = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) throw io_error("read", path_, errno);
  const std::unique_ptr<DIR, decltype(close)> directory(::fdopendir(copy), close);
  if (!directory) {
    const Error error = io_error("read", path_, errno);
    ::close(copy);
    throw error;
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name(static_cast<const char*>(entry->d_name));
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) throw io_error("read", path_, errno);
  return names;
}

std::optional<UniqueFd> PrivateFolder::open_file(const std::string& name) const {
  UniqueFd file = open_at(fd_, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file && errno == ELOOP) distrust(path_of(name), "is a link, which is not followed");
  if (!file) throw io_error("open", path_of(name), errno);
  const std::string fault = fault_of(status_of(file, path_of(name)));
  if (!fault.empty()) distrust(path_of(name), fault);
  return file;
}

std::optional<UniqueFd> PrivateFolder::open_own(const std::string& name) const {
  UniqueFd file = open_at(fd_, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid()) return std::nullopt;
  return file;
}

UniqueFd PrivateFolder::create(const std::string& name, std::string_view mark, std::string& temporary) const {
  constexpr int kTries = 8;
  for (int i = 0; i < kTries; ++i) {
    temporary = name;
    temporary.append(mark).append(random_hex(16));
    UniqueFd file = open_at(fd_, temporary.c_str(), O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
    if (!file && errno == EEXIST) continue;
    if (!file) throw io_error("create", path_of(temporary), errno);
    // Someone who sweeps may have been between the two: then the name is gone, or about to go.
    if (try_lock(file) != LockOutcome::busy && is_named(file, temporary)) return file;
  }
  throw io_error("create", path_of(name), EBUSY);
}

std::optional<UniqueFd> PrivateFolder::open_lock_file(const std::string& name) const {
  UniqueFd file = open_at(fd_, name.c_str(), O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, S_IRUSR | S_IWUSR);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid()) return std::nullopt;
  return file;
}

bool PrivateFolder::commit(const UniqueFd& file, const std::string& from, const std::string& to) const {
  if (::fdatasync(file.get()) != 0 && errno != EINVAL && errno != ENOSYS) return false;
  if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) != 0) return false;
  static_cast<void>(::fsync(fd_.get()));  // a file system that cannot is no error
  return true;
}

PrivateFolder::Committed PrivateFolder::commit_new(const UniqueFd& file, const std::string& from,
                                                   const std::string& to) const {
  if (::fdatasync(file.get()) != 0 && errno != EINVAL && errno != ENOSYS) return Committed::failed;
  const int fd = fd_.get();
  bool done = ::renameat2(fd, from.c_str(), fd, to.c_str(), RENAME_NOREPLACE) == 0;
  if (!done && errno == EINVAL) {  // NFS, for one, has no such rename
    done = ::linkat(fd, from.c_str(), fd, to.c_str(), 0) == 0;
    if (done) static_cast<void>(::unlinkat(fd, from.c_str(), 0));
  }
  if (!done && errno == EEXIST) return Committed::others;
  if (!done && ::renameat(fd, from.c_str(), fd, to.c_str()) != 0) return Committed::failed;
  static_cast<void>(::fsync(fd));
  return Committed::ours;
}

bool PrivateFolder::remove(const std::string& name) const {
  return ::unlinkat(fd_.get(), name.c_str(), 0) == 0;
}

bool PrivateFolder::is_named(const UniqueFd& file, const std::string& name) const {
  struct stat open {};
  struct stat named {};
  return ::fstat(file.get(), &open) == 0 && ::fstatat(fd_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

LockOutcome try_lock(const UniqueFd& file) noexcept {
  int result = 0;
  do {
    result = ::flock(file.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return LockOutcome::held;
  return errno == EWOULDBLOCK ? LockOutcome::busy : LockOutcome::none;
}

}  // namespace stella
