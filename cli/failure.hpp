// How the program ends: exit statuses and the exceptions that carry them.
#pragma once

#include <stdexcept>
#include <string>

namespace stella::cli {

inline constexpr int kOk = 0;
inline constexpr int kRuntimeFailure = 1;
inline constexpr int kBadInput = 2;  ///< Usage or input.
inline constexpr int kHubFailure = 3;
inline constexpr int kInterrupted = 130;

/// Ends the program with `status` and one line on standard error.
class Failure : public std::runtime_error {
 public:
  Failure(int status, const std::string& line) : std::runtime_error(line), status_(status) {}
  int status() const noexcept { return status_; }

 private:
  int status_;
};

/// A signal asked the program to stop. what() is the line for the user: what was finished, and where it is.
class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int signal_number, const std::string& line = "interrupted")
      : std::runtime_error(line), signal_number_(signal_number) {}
  int signal_number() const noexcept { return signal_number_; }
  /// 130 for SIGINT, as shells report it.
  int status() const noexcept { return 128 + signal_number_; }

 private:
  int signal_number_;
};

/// The reader of standard output has gone (`stella … | head`): not worth a word.
class BrokenPipe : public std::runtime_error {
 public:
  BrokenPipe() : std::runtime_error("broken pipe") {}
};

/// "message: No such file or directory" of errno.
std::string with_errno(const std::string& message, int error_number);

}  // namespace stella::cli
