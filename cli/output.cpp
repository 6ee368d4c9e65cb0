#include "cli/output.hpp"

#include "cli/descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <climits>

namespace stella::cli {
namespace {

constexpr std::size_t kBufferBytes = 65'536;
/// Of the file's own name in its temporary one: a name has at most 255.
constexpr std::size_t kTemporaryNameBytes = 200;
constexpr std::size_t kRandomDigits = 16;
constexpr std::string_view kTemporaryEnd = ".tmp";

const char* remedy(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "; free some space or write elsewhere with --output";
    default:
      return "; check the path and its permissions";
  }
}

}  // namespace

Output::Output(const std::string& path, WaitFunction wait)
    : name_(path == "-" ? "standard output" : "'" + path + "'"), wait_(std::move(wait)) {
  if (path == "-") {
    if (is_missing(STDOUT_FILENO)) {
      throw Failure(kRuntimeFailure, "standard output is closed; open it, or write to a file with --output");
    }
    descriptor_ = STDOUT_FILENO;
  } else {
    open_path(path);
  }
  struct stat status {};
  if (fstat(descriptor_, &status) == 0) regular_ = S_ISREG(status.st_mode);
  may_block_ = !regular_;
}

void Output::open_path(const std::string& path) {
  if (path.empty()) fail(ENOENT);
  std::error_code error;
  std::filesystem::path target = path;
  struct stat status {};
  const bool exists = stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(EISDIR);
  if (exists && !S_ISREG(status.st_mode)) return open_in_place(path, S_ISFIFO(status.st_mode));
  if (exists && access(path.c_str(), W_OK) != 0) fail(errno);
  // Through a link the file that it names is replaced, not the link.
  if (exists) target = std::filesystem::canonical(path, error);
  if (error) fail(error.value());
  final_path_ = target.string();
  const mode_t mode = exists ? status.st_mode & 0777 : 0666;
  const std::string start = target.filename().string().substr(0, kTemporaryNameBytes);
  temporary_ =
      (target.parent_path() / ("." + start + "." + random_hex(kRandomDigits) + std::string(kTemporaryEnd))).string();
  own(::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file_) {
    const int error_number = errno;
    temporary_.clear();
    fail(error_number);
  }
  if (exists && fchmod(descriptor_, mode) != 0) {
    const int error_number = errno;
    remove_temporary();
    fail(error_number);
  }
}

void Output::open_in_place(const std::string& path, bool fifo) {
  // The reader of a FIFO is waited for here and not in open(2), where no signal would end it.
  while (true) {
    own(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | (fifo && wait_ ? O_NONBLOCK : 0)));
    if (file_) break;
    if (errno == EINTR) continue;
    if (errno != ENXIO || !fifo || !wait_) fail(errno);
    wait_(-1, 0);
  }
  const int flags = ::fcntl(descriptor_, F_GETFL);
  if (flags >= 0) ::fcntl(descriptor_, F_SETFL, flags & ~O_NONBLOCK);
}

Output::~Output() {
  remove_temporary();
}

void Output::own(int descriptor) {
  file_ = UniqueFd(descriptor);
  descriptor_ = file_.get();
}

void Output::remove_temporary() noexcept {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void Output::fail(int error_number) const {
  throw WriteFailure(with_errno("cannot write " + name_, error_number) + remedy(error_number));
}

void Output::write(std::string_view bytes) {
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void Output::flush() {
  writing_.clear();
  std::swap(buffer_, writing_);
  write_all(writing_);
}

void Output::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    std::size_t part = bytes.size();
    if (may_block_ && wait_) {
      wait_(descriptor_, POLLOUT);
      part = std::min<std::size_t>(part, PIPE_BUF);  // what poll(2) promises room for
    }
    const ssize_t wrote = ::write(descriptor_, bytes.data(), part);
    if (wrote < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      if (errno == EPIPE) throw BrokenPipe();
      fail(errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void Output::patch(std::size_t offset, std::string_view bytes) {
  flush();
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0) {
      if (errno == EINTR) continue;
      fail(errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
    offset += static_cast<std::size_t>(wrote);
  }
}

void Output::rename_to(const std::string& path) {
  if (fsync(descriptor_) != 0) fail(errno);
  own(-1);
  if (std::rename(temporary_.c_str(), path.c_str()) != 0) {
    throw WriteFailure(with_errno("cannot write '" + path + "'", errno) + remedy(errno));
  }
  temporary_.clear();
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  sync_folder(folder.empty() ? "." : folder);
}

void Output::commit() {
  flush();
  if (!final_path_.empty()) rename_to(final_path_);
}

std::optional<std::string> Output::keep_partial() {
  flush();
  if (final_path_.empty()) return std::nullopt;
  std::string path = partial_path(final_path_);
  rename_to(path);
  return path;
}

std::optional<FileIdentity> identity_of(const std::string& path, int standard) {
  struct stat status {};
  const int result = path == "-" ? ::fstat(standard, &status) : ::stat(path.c_str(), &status);
  if (result != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return FileIdentity{status.st_dev, status.st_ino};
}

std::string partial_path(const std::string& path) {
  return path + ".partial";
}

std::string_view final_name_of(std::string_view temporary) {
  const std::size_t around = 2 + kRandomDigits + kTemporaryEnd.size();
  if (temporary.size() <= around || temporary[0] != '.' || !temporary.ends_with(kTemporaryEnd)) return {};
  const std::string_view name = temporary.substr(1, temporary.size() - around);
  const std::string_view digits = temporary.substr(name.size() + 2, kRandomDigits);
  const bool ours =
      temporary[name.size() + 1] == '.' && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return ours ? name : std::string_view();
}

std::string lower_extension(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

std::string path_for_dimension(const std::string& path, std::size_t dimension) {
  const std::filesystem::path whole(path);
  std::filesystem::path name = whole.stem();
  name += ".";
  name += std::to_string(dimension);
  name += whole.extension();
  return (whole.parent_path() / name).string();
}

}  // namespace stella::cli
