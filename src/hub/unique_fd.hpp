// An owned file descriptor, and the error that a failed system call becomes.
#pragma once

#include "stella/error.hpp"

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stella::hub {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
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
  int fd_ = -1;
};

/// Error(io_error) "cannot {action} {path}: {what the system says}".
inline Error io_error(const std::string& action, const std::filesystem::path& path, int number) {
  ErrorContext context;
  context.file = path.string();
  return {Errc::io_error, "cannot " + action + " " + path.string() + ": " + std::generic_category().message(number),
          std::move(context)};
}

}  // namespace stella::hub
