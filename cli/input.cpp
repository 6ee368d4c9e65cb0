#include "cli/input.hpp"

#include "base/file.hpp"
#include "base/utf8.hpp"
#include "cli/descriptors.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stella::cli {
namespace {

constexpr std::size_t kReadBytes = 65'536;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr const char* kEmpty = "is empty; give it a text, remove it or use --skip-empty";

/// What is wrong with a text that is not empty, or nothing.
std::optional<std::string> problem_of(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) return "holds more than 1,000,000 bytes; split it";
  if (const std::size_t at = utf8::find_invalid(text); at != std::string_view::npos) {
    return "is not valid UTF-8 (byte " + std::to_string(at + 1) + "); convert it to UTF-8";
  }
  return std::nullopt;
}

}  // namespace

void Chunk::cut(std::size_t texts_left) {
  texts.resize(texts_left);
  indices.resize(texts_left);
  kept.resize(texts_left);
}

LineReader::LineReader(int descriptor, std::size_t max_line, WaitFunction wait, bool at_start)
    : descriptor_(descriptor), max_line_(max_line), wait_(std::move(wait)), at_start_(at_start) {
  struct stat status {};
  may_block_ = fstat(descriptor, &status) != 0 || S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) ||
               (S_ISCHR(status.st_mode) && isatty(descriptor) == 1);
}

bool LineReader::holds_line() {
  const void* end = std::memchr(buffer_.data() + scanned_, '\n', buffer_.size() - scanned_);
  scanned_ = end != nullptr ? static_cast<std::size_t>(static_cast<const char*>(end) - buffer_.data()) : buffer_.size();
  return end != nullptr;
}

bool LineReader::fill() {
  buffer_.erase(0, start_);
  dropped_ += start_;
  scanned_ -= start_;
  start_ = 0;
  const std::size_t old_size = buffer_.size();
  buffer_.resize(old_size + kReadBytes);
  ssize_t got = 0;
  do {
    // Of a file as well, which is always ready: a signal is looked for on the way.
    if (wait_) wait_(descriptor_, POLLIN);
    got = ::read(descriptor_, buffer_.data() + old_size, kReadBytes);
  } while (got < 0 && (errno == EINTR || (errno == EAGAIN && wait_)));
  const int error_number = errno;
  buffer_.resize(old_size + static_cast<std::size_t>(got > 0 ? got : 0));
  at_end_ = got <= 0;
  if (got < 0) error_ = std::error_code(error_number, std::generic_category());
  return !at_end_;
}

/// Room for the mark and for the CR of an end of line that is not read whole yet.
bool LineReader::holds_too_much() const noexcept {
  return buffer_.size() - start_ > max_line_ + kByteOrderMark.size() + 1;
}

std::string_view LineReader::without_mark(std::string_view line) {
  if (std::exchange(at_start_, false) && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  return line;
}

std::optional<std::string_view> LineReader::next() {
  while (!holds_line()) {
    if (holds_too_much()) throw std::length_error("line too long");
    if (at_end_ || !fill()) {
      if (error_) throw std::system_error(error_);
      const bool nothing = start_ == buffer_.size();
      const std::string_view last = without_mark(std::string_view(buffer_).substr(start_));
      start_ = scanned_ = buffer_.size();
      if (last.size() > max_line_) throw std::length_error("line too long");
      return nothing || last.empty() ? std::nullopt : std::optional(last);
    }
  }
  std::string_view line = without_mark(std::string_view(buffer_).substr(start_, scanned_ - start_));
  start_ = scanned_ = scanned_ + 1;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.size() > max_line_) throw std::length_error("line too long");
  return line;
}

bool LineReader::available() {
  while (!at_end_ && !holds_line() && !holds_too_much()) {
    if (may_block_) {
      pollfd entry{descriptor_, POLLIN, 0};
      if (::poll(&entry, 1, 0) == 0) return false;
    }
    fill();
  }
  return true;
}

namespace {

class ArgumentSource final : public TextSource {
 public:
  ArgumentSource(std::vector<std::string> texts, bool skip_empty, std::string what)
      : texts_(std::move(texts)), what_(std::move(what)) {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      if (texts_[i].empty() && skip_empty) continue;
      if (texts_[i].empty()) throw Failure(kBadInput, describe(i) + " " + kEmpty);
      if (const auto problem = problem_of(texts_[i], kMaxTextBytes))
        throw Failure(kBadInput, describe(i) + " " + *problem);
    }
  }

  Chunk read(std::size_t max_texts, std::size_t max_bytes, bool) override {
    Chunk chunk;
    for (std::size_t bytes = 0; next_ < texts_.size() && chunk.size() < max_texts && bytes < max_bytes; ++next_) {
      if (texts_[next_].empty()) {
        ++skipped_;
        continue;
      }
      bytes += texts_[next_].size();
      chunk.texts.push_back(std::move(texts_[next_]));
      chunk.indices.push_back(next_);
      chunk.kept.emplace_back();
    }
    chunk.last = next_ == texts_.size();
    return chunk;
  }

  std::string describe(std::size_t index) const override { return what_ + " " + std::to_string(index + 1); }
  std::size_t skipped() const noexcept override { return skipped_; }
  std::optional<std::uint64_t> size() const noexcept override { return std::nullopt; }

 private:
  std::vector<std::string> texts_;
  std::string what_;
  std::size_t next_ = 0;
  std::size_t skipped_ = 0;
};

/// A file to read, or standard input. Opening a FIFO does not wait for its writer, which no signal would end; reading
/// does.
class InputDescriptor {
 public:
  InputDescriptor(const std::string& path, std::uint64_t offset) {
    if (path == "-") {
      if (!is_missing(STDIN_FILENO)) return;
      throw Failure(kBadInput, "cannot read --input -: standard input is closed; open it, or give a file");
    }
    int descriptor = -1;
    do {
      descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (descriptor < 0 && errno == EINTR);
    const int error_number = errno;
    owned_ = UniqueFd(descriptor);
    const auto refuse = [&](int number) {
      throw Failure(kBadInput,
                    with_errno("cannot read --input '" + path + "'", number) + "; check the path and its permissions");
    };
    if (!owned_) refuse(error_number);
    struct stat status {};
    if (fstat(owned_.get(), &status) == 0 && S_ISDIR(status.st_mode)) refuse(EISDIR);
    if (offset != 0 && ::lseek(owned_.get(), static_cast<off_t>(offset), SEEK_SET) < 0) refuse(errno);
  }
  int value() const noexcept { return owned_ ? owned_.get() : STDIN_FILENO; }

  /// Bytes from the place where it stands to the end of a regular file.
  std::optional<std::uint64_t> size() const noexcept {
    struct stat status {};
    if (fstat(value(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    const off_t place = std::max<off_t>(::lseek(value(), 0, SEEK_CUR), 0);
    return static_cast<std::uint64_t>(std::max<off_t>(status.st_size - place, 0));
  }

 private:
  UniqueFd owned_{};
};

class FileSource final : public TextSource {
 public:
  FileSource(const std::string& path, FileSourceOptions options, WaitFunction wait)
      : name_(path == "-" ? "standard input" : path),
        options_(std::move(options)),
        descriptor_(path, options_.offset),
        size_(descriptor_.size()),
        lines_limit_(options_.format == InputFormat::lines ? kMaxTextBytes : kMaxJsonLineBytes),
        lines_(descriptor_.value(), lines_limit_, std::move(wait), options_.offset == 0),
        next_(options_.first) {}

  Chunk read(std::size_t max_texts, std::size_t max_bytes, bool may_wait) override {
    if (failure_) throw Failure(*failure_);
    Chunk chunk;
    for (std::size_t bytes = 0; !ended_ && chunk.size() < max_texts && bytes < max_bytes;) {
      if ((!may_wait || chunk.size() != 0) && !lines_.available()) break;
      try {
        auto line = next_ - options_.first < options_.rows ? next_line() : std::nullopt;
        if (!line) {
          ended_ = true;
          break;
        }
        const std::size_t index = next_++;
        if (line->text.empty()) {
          ++skipped_;
          continue;
        }
        bytes += line->text.size();
        for (const std::string& value : line->kept) bytes += value.size();
        chunk.texts.push_back(std::move(line->text));
        chunk.indices.push_back(index);
        chunk.kept.push_back(std::move(line->kept));
      } catch (const Failure& failure) {
        if (chunk.size() == 0) throw;
        failure_ = failure;
        break;
      }
    }
    chunk.end = lines_.consumed();
    chunk.last = ended_;
    return chunk;
  }

  std::string describe(std::size_t index) const override {
    return "line " + std::to_string(index + 1) + " of " + name_;  // every line is a row
  }
  std::size_t skipped() const noexcept override { return skipped_; }
  std::optional<std::uint64_t> size() const noexcept override { return size_; }

 private:
  /// The next line's text and fields; its text is empty where it is to be skipped. Throws Failure that names the line.
  std::optional<JsonLine> next_line() {
    try {
      const auto line = lines_.next();
      if (!line) return std::nullopt;
      JsonLine result;
      std::optional<std::string> problem = problem_of(*line, lines_limit_);
      if (!problem && !line->empty()) {
        if (options_.format == InputFormat::lines) {
          result.text = *line;
        } else {
          result = parse_json_line(*line, options_.fields);
        }
        problem = problem_of(result.text, kMaxTextBytes);
      }
      if (!problem && result.text.empty() && !options_.skip_empty) problem = kEmpty;
      if (problem) throw std::invalid_argument(*problem);
      return result;
    } catch (const std::length_error&) {
      throw Failure(kBadInput, describe(next_) + " is longer than " +
                                   (options_.format == InputFormat::lines ? "a text may be (1,000,000 bytes)"
                                                                          : "a line may be (6,200,000 bytes)") +
                                   "; split it");
    } catch (const std::invalid_argument& error) {
      throw Failure(kBadInput, describe(next_) + " " + error.what());
    } catch (const std::system_error& error) {
      throw Failure(kBadInput, "cannot read " + name_ + " after line " + std::to_string(next_) + ": " +
                                   error.code().message() + "; check the file and its disk");
    }
  }

  std::string name_;
  FileSourceOptions options_;
  InputDescriptor descriptor_;
  std::optional<std::uint64_t> size_;
  std::size_t lines_limit_;
  LineReader lines_;
  std::size_t next_;  ///< Index of the next row.
  std::size_t skipped_ = 0;
  bool ended_ = false;
  std::optional<Failure> failure_{};
};

}  // namespace

std::unique_ptr<TextSource> make_argument_source(std::vector<std::string> texts, bool skip_empty, std::string what) {
  return std::make_unique<ArgumentSource>(std::move(texts), skip_empty, std::move(what));
}

std::unique_ptr<TextSource> make_file_source(const std::string& path, FileSourceOptions options, WaitFunction wait) {
  return std::make_unique<FileSource>(path, std::move(options), std::move(wait));
}

}  // namespace stella::cli
