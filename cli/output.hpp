// Where results go: standard output, or a file that appears whole or not at all.
#pragma once

#include "base/file.hpp"
#include "cli/input.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace stella::cli {

/// What an Output throws where it cannot be written, with kRuntimeFailure and the file's name.
class WriteFailure : public Failure {
 public:
  explicit WriteFailure(const std::string& line) : Failure(kRuntimeFailure, line) {}
};

/// A buffered output. To a path: a temporary file beside it, renamed over it by commit() and removed by the destructor
/// otherwise; devices and pipes are written in place. Every failure (a full disk among them) throws WriteFailure; a
/// closed pipe throws BrokenPipe.
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

  /// Instead of commit(): makes what was written so far visible as "{path}.partial", whose name it gives; nothing where
  /// the output is written in place.
  std::optional<std::string> keep_partial();

 private:
  void own(int descriptor);
  void open_path(const std::string& path);
  void open_in_place(const std::string& path, bool fifo);
  void write_all(std::string_view bytes);
  void rename_to(const std::string& path);
  [[noreturn]] void fail(int error_number) const;
  void remove_temporary() noexcept;

  std::string name_;          ///< For messages.
  std::string final_path_{};  ///< Empty: written in place.
  std::string temporary_{};   ///< Empty once renamed or removed.
  UniqueFd file_{};           ///< Nothing where standard output is written to.
  int descriptor_ = -1;       ///< Of file_ or standard output.
  bool regular_ = false;
  bool may_block_ = false;
  WaitFunction wait_;
  std::string buffer_{};
  std::string writing_{};  ///< Apart, so that nothing is written twice where writing is interrupted.
};

/// What tells whether two names are one file, whatever links lead there.
struct FileIdentity {
  dev_t device;
  ino_t inode;
  bool operator==(const FileIdentity&) const = default;
};
/// Of a regular file; nothing where there is none. "-" is `standard`, standard input or output.
std::optional<FileIdentity> identity_of(const std::string& path, int standard);

/// Beside an output, for what was finished before a failure: "v.npy.partial".
std::string partial_path(const std::string& path);

/// "v.npy" of ".v.npy.0123456789abcdef.tmp", the name that an Output to it writes under, and a killed one leaves;
/// "" of others.
std::string_view final_name_of(std::string_view temporary);

/// ".npy" of "dir/V.NPY", or nothing.
std::string lower_extension(const std::string& path);

/// "dir/v.npy", 256 → "dir/v.256.npy"; "v" → "v.256".
std::string path_for_dimension(const std::string& path, std::size_t dimension);

}  // namespace stella::cli
