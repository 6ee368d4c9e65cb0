#include "cli/input.hpp"

#include "base/utf8.hpp"
#include "cli/text.hpp"

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

#include <boost/json.hpp>

namespace stella::cli {
namespace {

constexpr std::size_t kReadBytes = 65'536;

const char* kind_name(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "a boolean";
    case boost::json::kind::array:
      return "an array";
    case boost::json::kind::object:
      return "an object";
    case boost::json::kind::string:
      return "a string";
    default:
      return "a number";
  }
}

/// What is wrong with a text, or nothing.
std::optional<std::string> problem_of(std::string_view text, std::size_t max_bytes) {
  if (text.empty()) return "is empty; give it a text or remove it";
  if (text.size() > max_bytes) return "holds more than 1,000,000 bytes; split it";
  if (const std::size_t at = utf8::find_invalid(text); at != std::string_view::npos) {
    return "is not valid UTF-8 (byte " + std::to_string(at + 1) + "); convert it to UTF-8";
  }
  return std::nullopt;
}

}  // namespace

std::string text_of_json(std::string_view line, const std::string& field) {
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse({line.data(), line.size()}, error);
  if (error) throw std::invalid_argument("is not JSON (" + error.message() + ")");
  const boost::json::value* text = &value;
  if (const auto* object = value.if_object()) {
    text = object->if_contains(field);
    if (text == nullptr) {
      throw std::invalid_argument("has no field " + json_string(field) + "; name the text's field with --field");
    }
    if (!text->is_string()) {
      throw std::invalid_argument("has " + std::string(kind_name(*text)) + " in field " + json_string(field) +
                                  "; a string is wanted");
    }
  } else if (!value.is_string()) {
    throw std::invalid_argument("is " + std::string(kind_name(value)) + "; a JSON string or an object with field " +
                                json_string(field) + " is wanted");
  }
  const auto& string = text->get_string();
  return {string.data(), string.size()};
}

LineReader::LineReader(int descriptor, std::size_t max_line, WaitFunction wait)
    : descriptor_(descriptor), max_line_(max_line), wait_(std::move(wait)) {
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
  scanned_ -= start_;
  start_ = 0;
  const std::size_t old_size = buffer_.size();
  buffer_.resize(old_size + kReadBytes);
  if (may_block_ && wait_) wait_(descriptor_, POLLIN);
  ssize_t got = 0;
  do {
    got = ::read(descriptor_, buffer_.data() + old_size, kReadBytes);
  } while (got < 0 && errno == EINTR);
  const int error_number = errno;
  buffer_.resize(old_size + static_cast<std::size_t>(got > 0 ? got : 0));
  at_end_ = got <= 0;
  if (got < 0) error_ = std::error_code(error_number, std::generic_category());
  return !at_end_;
}

std::optional<std::string_view> LineReader::next() {
  while (!holds_line()) {
    if (buffer_.size() - start_ > max_line_) throw std::length_error("line too long");
    if (at_end_ || !fill()) {
      if (error_) throw std::system_error(error_);
      if (start_ == buffer_.size()) return std::nullopt;
      const std::string_view last = std::string_view(buffer_).substr(start_);
      start_ = scanned_ = buffer_.size();
      return last;
    }
  }
  std::string_view line = std::string_view(buffer_).substr(start_, scanned_ - start_);
  start_ = scanned_ = scanned_ + 1;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.size() > max_line_) throw std::length_error("line too long");
  return line;
}

bool LineReader::available() {
  while (!at_end_ && !holds_line() && buffer_.size() - start_ <= max_line_) {
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
  explicit ArgumentSource(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      if (const auto problem = problem_of(texts_[i], kMaxTextBytes))
        throw Failure(kBadInput, describe(i) + " " + *problem);
    }
  }

  Chunk read(std::size_t max_texts, std::size_t max_bytes) override {
    Chunk chunk{next_, {}};
    std::size_t bytes = 0;
    while (next_ < texts_.size() && chunk.texts.size() < max_texts && bytes < max_bytes) {
      bytes += texts_[next_].size();
      chunk.texts.push_back(std::move(texts_[next_++]));
    }
    return chunk;
  }

  bool available() override { return true; }
  std::string describe(std::size_t index) const override { return "TEXT argument " + std::to_string(index + 1); }

 private:
  std::vector<std::string> texts_;
  std::size_t next_ = 0;
};

/// Closes a descriptor that it opened.
class InputDescriptor {
 public:
  explicit InputDescriptor(const std::string& path) : owned_(path != "-") {
    if (!owned_) return;
    do {
      value_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    } while (value_ < 0 && errno == EINTR);
    const auto refuse = [&](int error_number) {
      throw Failure(kBadInput, with_errno("cannot read --input '" + path + "'", error_number) +
                                   "; check the path and its permissions");
    };
    if (value_ < 0) refuse(errno);
    struct stat status {};
    if (fstat(value_, &status) == 0 && S_ISDIR(status.st_mode)) {
      ::close(value_);
      refuse(EISDIR);
    }
  }
  InputDescriptor(const InputDescriptor&) = delete;
  InputDescriptor& operator=(const InputDescriptor&) = delete;
  ~InputDescriptor() {
    if (owned_) ::close(value_);
  }
  int value() const noexcept { return value_; }

 private:
  bool owned_;
  int value_ = STDIN_FILENO;
};

class FileSource final : public TextSource {
 public:
  FileSource(const std::string& path, InputFormat format, std::string field, WaitFunction wait)
      : name_(path == "-" ? "standard input" : path),
        format_(format),
        field_(std::move(field)),
        descriptor_(path),
        lines_limit_(format == InputFormat::lines ? kMaxTextBytes : kMaxJsonLineBytes),
        lines_(descriptor_.value(), lines_limit_, std::move(wait)) {}

  Chunk read(std::size_t max_texts, std::size_t max_bytes) override {
    if (failure_) throw Failure(*failure_);
    Chunk chunk{next_, {}};
    std::size_t bytes = 0;
    while (!ended_ && chunk.texts.size() < max_texts && bytes < max_bytes) {
      if (!chunk.texts.empty() && !lines_.available()) break;
      try {
        auto text = next_text();
        if (!text) {
          ended_ = true;
          break;
        }
        bytes += text->size();
        chunk.texts.push_back(std::move(*text));
        ++next_;
      } catch (const Failure& failure) {
        if (chunk.texts.empty()) throw;
        failure_ = failure;
        break;
      }
    }
    return chunk;
  }

  bool available() override { return failure_ || ended_ || lines_.available(); }
  std::string describe(std::size_t index) const override {
    return "line " + std::to_string(index + 1) + " of " + name_;  // every line is a row
  }

 private:
  /// Throws Failure that names the line.
  std::optional<std::string> next_text() {
    try {
      const auto line = lines_.next();
      if (!line) return std::nullopt;
      std::optional<std::string> problem = problem_of(*line, lines_limit_);
      std::string text;
      if (!problem) {
        text = format_ == InputFormat::lines ? std::string(*line) : text_of_json(*line, field_);
        problem = problem_of(text, kMaxTextBytes);
      }
      if (problem) throw std::invalid_argument(*problem);
      return text;
    } catch (const std::length_error&) {
      throw Failure(kBadInput, describe(next_) + " is longer than a text may be (1,000,000 bytes); split it");
    } catch (const std::invalid_argument& error) {
      throw Failure(kBadInput, describe(next_) + " " + error.what());
    } catch (const std::system_error& error) {
      throw Failure(kBadInput, "cannot read " + name_ + " after line " + std::to_string(next_) + ": " +
                                   error.code().message() + "; check the file and its disk");
    }
  }

  std::string name_;
  InputFormat format_;
  std::string field_;
  InputDescriptor descriptor_;
  std::size_t lines_limit_;
  LineReader lines_;
  std::size_t next_ = 0;  ///< Index of the next row.
  bool ended_ = false;
  std::optional<Failure> failure_{};
};

}  // namespace

std::unique_ptr<TextSource> make_argument_source(std::vector<std::string> texts) {
  return std::make_unique<ArgumentSource>(std::move(texts));
}

std::unique_ptr<TextSource> make_file_source(const std::string& path, InputFormat format, std::string field,
                                             WaitFunction wait) {
  return std::make_unique<FileSource>(path, format, std::move(field), std::move(wait));
}

}  // namespace stella::cli
