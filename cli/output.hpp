// Where results go: standard output, or a file that appears whole or not at all.
#pragma once

#include "cli/input.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace stella::cli {

/// A buffered output. To a path: a temporary file beside it, renamed over it by commit() and removed by the destructor
/// otherwise; devices and pipes are written in place. Every failure (a full disk among them) throws
/// Failure(kRuntimeFailure) that names the file; a closed pipe throws BrokenPipe.
class Output {
 public:
  /// "-" is standard output. `wait` is called before a write that may block.
  explicit Output(const std::string& path, WaitFunction wait = {});
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output();

  void write(std::string_view bytes);
  /// Hands everything written so far to the system.
  void flush();
  /// Overwrites bytes that were written before; regular files only.
  void patch(std::size_t offset, std::string_view bytes);
  bool regular() const noexcept { return regular_; }

  /// Makes the result durable and visible under its name.
  void commit();

 private:
  void open_path(const std::string& path);
  void write_all(std::string_view bytes);
  [[noreturn]] void fail(int error_number) const;
  void remove_temporary() noexcept;

  std::string name_;          ///< For messages.
  std::string final_path_{};  ///< Empty: written in place.
  std::string temporary_{};   ///< Empty once renamed or removed.
  int descriptor_ = -1;
  bool regular_ = false;
  bool may_block_ = false;
  WaitFunction wait_;
  std::string buffer_{};
};

/// "dir/v.npy", 256 → "dir/v.256.npy"; "v" → "v.256".
std::string path_for_dimension(const std::string& path, std::size_t dimension);

}  // namespace stella::cli
