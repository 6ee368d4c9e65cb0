// Texts from arguments, files and pipes, with bounded memory.
#pragma once

#include "cli/failure.hpp"
#include "cli/json_line.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <system_error>
#include <vector>

namespace stella::cli {

enum class InputFormat : std::uint8_t { lines, jsonl };

/// Called before a read or write, with the descriptor and the poll(2) events that it may have to wait for; with -1 it
/// waits for a moment. It may throw, because a signal came.
using WaitFunction = std::function<void(int descriptor, short events)>;

/// Longest text in bytes (the library's own limit), and longest line of JSON, in which escapes take up to six bytes for
/// one.
inline constexpr std::size_t kMaxTextBytes = 1'000'000;
inline constexpr std::size_t kMaxJsonLineBytes = 6'200'000;

/// Lines of a descriptor. Keeps at most one line and one read ahead in memory. A byte-order mark at the start is no
/// part of the first line.
class LineReader {
 public:
  /// `descriptor` is not closed. `max_line` bounds a line's bytes. `at_start`: it stands at the start of
  /// what is read.
  LineReader(int descriptor, std::size_t max_line, WaitFunction wait, bool at_start = true);

  /// The next line without its LF or CRLF, valid until the next call; nothing at the end. Throws std::length_error
  /// for a line that is too long and std::system_error where reading fails.
  std::optional<std::string_view> next();

  /// Whether next() would return without waiting for the other end of a pipe or a terminal.
  bool available();

  /// Bytes of the lines given out so far.
  std::uint64_t consumed() const noexcept { return dropped_ + start_; }

 private:
  bool fill();
  bool holds_line();
  bool holds_too_much() const noexcept;
  std::string_view without_mark(std::string_view line);

  int descriptor_;
  std::size_t max_line_;
  WaitFunction wait_;
  bool may_block_;  ///< A pipe, socket or terminal.
  bool at_end_ = false;
  bool at_start_;            ///< No line was given out yet.
  std::error_code error_{};  ///< Of the read that ended it.
  std::string buffer_{};
  std::size_t start_ = 0;      ///< Of the next line in buffer_.
  std::size_t scanned_ = 0;    ///< No LF in buffer_[start_, scanned_).
  std::uint64_t dropped_ = 0;  ///< Bytes that were before buffer_.
};

/// Texts that go through the model together.
struct Chunk {
  std::vector<std::string> texts{};
  std::vector<std::size_t> indices{};            ///< Of each text in the input; skipped ones are counted.
  std::vector<std::vector<std::string>> kept{};  ///< Of each text, the values of the fields to keep.
  std::uint64_t end = 0;                         ///< Bytes of the input up to the end of these texts.
  bool last = false;                             ///< No more texts come.

  std::size_t size() const noexcept { return texts.size(); }
  void cut(std::size_t texts_left);
};

/// Where texts come from. Every text given out is valid UTF-8 and neither empty nor too large.
class TextSource {
 public:
  virtual ~TextSource() = default;
  /// Up to `max_texts` texts and little more than `max_bytes` bytes. Waits for the first of them if it `may_wait`, and
  /// never for another. A bad text ends the chunk before it and is thrown, as Failure(kBadInput), by the call after.
  virtual Chunk read(std::size_t max_texts, std::size_t max_bytes, bool may_wait) = 0;
  /// "line 7 of texts.jsonl", "TEXT argument 2": of the row `index`.
  virtual std::string describe(std::size_t index) const = 0;
  /// Empty texts that were left out.
  virtual std::size_t skipped() const noexcept = 0;
  /// Bytes of the input, where it is a file.
  virtual std::optional<std::uint64_t> size() const noexcept = 0;
};

/// `what` names an argument in messages.
std::unique_ptr<TextSource> make_argument_source(std::vector<std::string> texts, bool skip_empty = false,
                                                 std::string what = "TEXT argument");

struct FileSourceOptions {
  InputFormat format = InputFormat::lines;
  JsonFields fields{};  ///< For jsonl.
  bool skip_empty = false;
  /// A piece of the file: from `offset` on, where row `first` begins, at most `rows` lines. A regular file then.
  std::uint64_t offset = 0;
  std::size_t first = 0;
  std::size_t rows = std::numeric_limits<std::size_t>::max();
};

/// `path` "-" is standard input. Throws Failure(kBadInput) where it cannot be opened.
std::unique_ptr<TextSource> make_file_source(const std::string& path, FileSourceOptions options, WaitFunction wait);

}  // namespace stella::cli
