#include "hub/cache/folder.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

#include <climits>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/// A name that nobody can foresee and that is not too long for a file.
std::string temporary_name(const std::string& name, std::string_view suffix) {
  constexpr std::size_t kDigits = 16;
  constexpr std::size_t kMaxShown = 200;
  return (name.substr(0, kMaxShown) + "." + random_hex(kDigits)).append(suffix);
}

}  // namespace

Folder Folder::open(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), kFlags));
  if (!fd) throw io_error("open folder", path, errno);
  return {std::move(fd), path};
}

Folder Folder::copy() const {
  UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd) throw io_error("open folder", path_, errno);
  return {std::move(fd), path_};
}

std::optional<Folder> Folder::enter(const std::string& name) const {
  UniqueFd fd(::openat(fd_.get(), name.c_str(), kFlags | O_NOFOLLOW));
  if (fd) return Folder(std::move(fd), path_ / name);
  if (errno == ENOENT) return std::nullopt;
  if (errno == ELOOP || errno == ENOTDIR) {
    const fs::path path = path_ / name;
    const std::string what = link_text(name).empty() ? "no folder" : "a link";
    throw Error(Errc::io_error,
                "cannot write below " + path.string() + ": it is " + what + ", and nothing is written " +
                    "through one; remove it, or choose another HF_HOME",
                {.file = path.string()});
  }
  throw io_error("open folder", path_ / name, errno);
}

Folder Folder::make(const std::string& name) const {
  if (::mkdirat(fd_.get(), name.c_str(), 0777) == 0) {
    sync();
  } else if (errno != EEXIST) {
    throw io_error("create folder", path_ / name, errno);
  }
  if (auto folder = enter(name)) return std::move(*folder);
  throw io_error("open folder", path_ / name, ENOENT);
}

Folder Folder::make_all(std::string_view path) const {
  Folder at = copy();
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    at = at.make(std::string(path.substr(0, slash)));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

void Folder::check_all(std::string_view path) const {
  Folder at = copy();
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    auto next = at.enter(std::string(path.substr(0, slash)));
    if (!next) return;
    at = std::move(*next);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
}

bool Folder::link(const std::string& name, const std::string& target) const {
  const std::string temporary = temporary_name(name, ".tmp");
  if (::symlinkat(target.c_str(), fd_.get(), temporary.c_str()) != 0) {
    if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) return false;
    throw io_error("create link", path_ / name, errno);
  }
  if (::renameat(fd_.get(), temporary.c_str(), fd_.get(), name.c_str()) == 0) return true;
  const int number = errno;
  ::unlinkat(fd_.get(), temporary.c_str(), 0);
  throw io_error("replace", path_ / name, number);
}

std::string Folder::link_text(const std::string& name) const {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlinkat(fd_.get(), name.c_str(), text.data(), text.size());
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

void Folder::sync() const noexcept {
  ::fsync(fd_.get());
}

FileIn::FileIn(const Folder& folder, std::string name, std::string_view suffix, const Folder& temporaries)
    : folder_(folder), temporaries_(temporaries), name_(std::move(name)), temporary_(temporary_name(name_, suffix)) {
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  fd_ = UniqueFd(::openat(temporaries_.fd().get(), temporary_.c_str(), kNew, 0666));
  if (!fd_) throw io_error("create", temporaries_.path() / temporary_, errno);
}

FileIn::~FileIn() {
  if (fd_ && !temporary_.empty()) ::unlinkat(temporaries_.fd().get(), temporary_.c_str(), 0);
}

void FileIn::commit() {
  if (::fsync(fd_.get()) != 0) throw io_error("write", folder_.path() / name_, errno);
  if (::renameat(temporaries_.fd().get(), temporary_.c_str(), folder_.fd().get(), name_.c_str()) != 0) {
    throw io_error("replace", folder_.path() / name_, errno);
  }
  temporary_.clear();
}

}  // namespace stella::hub
