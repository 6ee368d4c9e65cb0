#include "base/file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <random>
#include <sys/stat.h>
#include <system_error>

namespace stella {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

int UniqueFd::moved_up(int fd) noexcept {
  const int up = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error_number = errno;
  ::close(fd);
  errno = error_number;
  return up;
}

Error io_error(const std::string& action, const std::filesystem::path& path, int error_number) {
  Errc code = Errc::io_error;
  if (error_number == ENOMEM) code = Errc::out_of_memory;
  if (error_number == EMFILE || error_number == ENFILE) code = Errc::resource_limit;
  ErrorContext context;
  context.file = path.string();
  return {code, "cannot " + action + " " + path.string() + ": " + std::generic_category().message(error_number),
          std::move(context)};
}

UniqueFd open_regular(const std::filesystem::path& path, bool follow) {
  // Without O_NONBLOCK opening a FIFO waits for a writer.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW)));
  struct stat status {};
  if (!fd) {
    const int error_number = errno;
    // What cannot be opened at all, such as a socket, is still told by its kind.
    const bool there = ::stat(path.c_str(), &status) == 0;
    if (!there || S_ISREG(status.st_mode) || error_number == EACCES) throw io_error("open", path, error_number);
  } else if (::fstat(fd.get(), &status) != 0) {
    throw io_error("stat", path, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(Errc::io_error, path.string() + " is " + kind_of(status.st_mode) + ", not a regular file",
                {.file = path.string()});
  }
  return fd;
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const UniqueFd fd = open_regular(path);
  std::string text;
  constexpr std::size_t kStep = 1U << 16U;
  struct stat status {};
  const bool known = ::fstat(fd.get(), &status) == 0;
  const auto size = known ? static_cast<std::uint64_t>(status.st_size) : 0;
  const auto too_large = [&] {
    return Error(Errc::limit_exceeded,
                 path.string() + " has more than " + std::to_string(max_bytes) + " bytes; such a file is not read",
                 {.file = path.string()});
  };
  if (size > max_bytes) throw too_large();
  text.resize(size + 1);  // one more, so that the end is seen
  std::size_t filled = 0;
  while (true) {
    const ssize_t count = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("read", path, errno);
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
    if (filled > max_bytes) throw too_large();  // it grew, or is of a kind without a size
    if (filled == text.size()) text.resize(filled + kStep);
  }
  text.resize(filled);
  return text;
}

void write_all(const UniqueFd& fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw io_error("write", path, count < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void write_all(const UniqueFd& fd, std::string_view text, const std::filesystem::path& path) {
  write_all(fd, std::as_bytes(std::span(text)), path);
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  if (!entries) throw io_error("read folder", folder, errno);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0) throw io_error("read folder", folder, errno);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> names_below(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::vector<std::string> ahead{""};
  while (!ahead.empty()) {
    const std::string above = std::move(ahead.back());
    ahead.pop_back();
    for (const std::string& entry : names_in(folder / above)) {
      std::string name = above.empty() ? entry : above + "/" + entry;
      struct stat status {};
      const bool is_folder = ::lstat((folder / name).c_str(), &status) == 0 && S_ISDIR(status.st_mode);
      (is_folder ? ahead : names).push_back(std::move(name));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void sync_folder(const std::filesystem::path& folder) noexcept {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) static_cast<void>(::fsync(fd.get()));
}

std::string random_hex(std::size_t length) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::random_device random;
  std::string digits;
  while (digits.size() < length) digits += kDigits[random() & 15U];
  return digits;
}

NewFile::NewFile(std::filesystem::path final_path, std::string_view mark, std::string_view suffix, mode_t mode,
                 const std::filesystem::path& folder)
    : final_path_(std::move(final_path)) {
  constexpr int kTries = 8;  // two files of one random name are an attack, not chance
  for (int i = 0; i < kTries && !fd_; ++i) {
    std::string name = final_path_.filename().string();
    name.append(mark).append(random_hex(16)).append(suffix);
    temporary_ = (folder.empty() ? final_path_.parent_path() : folder) / name;
    fd_ = UniqueFd(::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!fd_ && errno != EEXIST) break;
  }
  if (!fd_) throw io_error("create", std::exchange(temporary_, {}), errno);
}

NewFile::~NewFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void NewFile::commit() {
  if (::fdatasync(fd_.get()) != 0 && errno != EINVAL && errno != ENOSYS) throw io_error("write", temporary_, errno);
  if (::rename(temporary_.c_str(), final_path_.c_str()) != 0) throw io_error("replace", final_path_, errno);
  temporary_.clear();
  sync_folder(final_path_.has_parent_path() ? final_path_.parent_path() : std::filesystem::path("."));
}

}  // namespace stella
