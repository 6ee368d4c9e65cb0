// Texts from arguments, files and pipes, with bounded memory.
#pragma once

#include "cli/failure.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace stella::cli {

enum class InputFormat : std::uint8_t { lines, jsonl };

/// Called before a read or write that may block, with the descriptor and the poll(2) events wanted. It may throw.
using WaitFunction = std::function<void(int descriptor, short events)>;

/// Longest text in bytes (the library's own limit), and longest line of JSON, in which escapes take up to six bytes for
/// one.
inline constexpr std::size_t kMaxTextBytes = 1'000'000;
inline constexpr std::size_t kMaxJsonLineBytes = 6'200'000;

/// One line of JSON → its text: a JSON string, or an object's `field`. Throws std::invalid_argument that says what is
/// wrong, without file and line.
std::string text_of_json(std::string_view line, const std::string& field);

/// Lines of a descriptor. Keeps at most one line and one read ahead in memory.
class LineReader {
 public:
  /// `descriptor` is not closed. `max_line` bounds a line's bytes.
  LineReader(int descriptor, std::size_t max_line, WaitFunction wait);

  /// The next line without its LF or CRLF, valid until the next call; nothing at the end. Throws std::length_error
  /// for a line that is too long and std::system_error where reading fails.
  std::optional<std::string_view> next();

  /// Whether next() would return without waiting for the other end of a pipe or a terminal.
  bool available();

 private:
  bool fill();
  bool holds_line();

  int descriptor_;
  std::size_t max_line_;
  WaitFunction wait_;
  bool may_block_;  ///< A pipe, socket or terminal.
  bool at_end_ = false;
  std::error_code error_{};  ///< Of the read that ended it.
  std::string buffer_{};
  std::size_t start_ = 0;    ///< Of the next line in buffer_.
  std::size_t scanned_ = 0;  ///< No LF in buffer_[start_, scanned_).
};

/// Texts that go through the model together.
struct Chunk {
  std::size_t first_index = 0;  ///< Of texts[0] among all rows.
  std::vector<std::string> texts{};
};

/// Where texts come from. Every text given out is valid UTF-8 and neither empty nor too large.
class TextSource {
 public:
  virtual ~TextSource() = default;
  /// Up to `max_texts` texts and little more than `max_bytes` bytes, without waiting for more once it has one; empty at
  /// the end. A bad text ends the chunk before it and is thrown, as Failure(kBadInput), by the call after.
  virtual Chunk read(std::size_t max_texts, std::size_t max_bytes) = 0;
  /// Whether read() would return at once.
  virtual bool available() = 0;
  /// "line 7 of texts.jsonl", "TEXT argument 2": of the row `index`.
  virtual std::string describe(std::size_t index) const = 0;
};

std::unique_ptr<TextSource> make_argument_source(std::vector<std::string> texts);

/// `path` "-" is standard input. Throws Failure(kBadInput) where it cannot be opened.
std::unique_ptr<TextSource> make_file_source(const std::string& path, InputFormat format, std::string field,
                                             WaitFunction wait);

}  // namespace stella::cli
