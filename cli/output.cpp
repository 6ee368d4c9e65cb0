#include "cli/output.hpp"

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
    descriptor_ = STDOUT_FILENO;
  } else {
    open_path(path);
  }
  struct stat status {};
  if (fstat(descriptor_, &status) == 0) regular_ = S_ISREG(status.st_mode);
  may_block_ = !regular_;
}

void Output::open_path(const std::string& path) {
  std::error_code error;
  std::filesystem::path target = path;
  struct stat status {};
  const bool exists = stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(EISDIR);
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(errno);
    return;
  }
  if (exists && access(path.c_str(), W_OK) != 0) fail(errno);
  // Through a link the file that it names is replaced, not the link.
  if (exists) target = std::filesystem::canonical(path, error);
  if (error) fail(error.value());
  final_path_ = target.string();
  const mode_t mode = exists ? status.st_mode & 0777 : 0666;
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    std::string name = ".";
    name.append(target.filename().string()).append(".").append(std::to_string(getpid()));
    name.append("-").append(std::to_string(attempt)).append(".tmp");
    temporary_ = (target.parent_path() / name).string();
    descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor_ < 0 && (errno != EEXIST || attempt == 100)) {
      const int error_number = errno;
      temporary_.clear();
      fail(error_number);
    }
  }
  if (exists && fchmod(descriptor_, mode) != 0) fail(errno);
}

Output::~Output() {
  remove_temporary();
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void Output::remove_temporary() noexcept {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void Output::fail(int error_number) const {
  throw Failure(kRuntimeFailure, with_errno("cannot write " + name_, error_number) + remedy(error_number));
}

void Output::write(std::string_view bytes) {
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void Output::flush() {
  write_all(buffer_);
  buffer_.clear();
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

void Output::commit() {
  flush();
  if (final_path_.empty()) return;
  if (fsync(descriptor_) != 0) fail(errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(errno);
  if (std::rename(temporary_.c_str(), final_path_.c_str()) != 0) fail(errno);
  temporary_.clear();
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
