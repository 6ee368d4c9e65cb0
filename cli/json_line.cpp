#include "cli/json_line.hpp"

#include "base/utf8.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>

namespace stella::cli {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The grammar of RFC 8259 over one line. Each function reads what its name says from `at_` on and throws where it is
/// something else. Nothing recurses: a line may be as deep as it likes without touching the stack.
class Scanner {
 public:
  explicit Scanner(std::string_view line) : line_(line) {}

  /// The bytes of a whole value.
  std::string_view value() {
    skip_space();
    const std::size_t start = at_;
    open_.clear();
    do {
      if (begin_value()) end_value();
    } while (!open_.empty());
    return line_.substr(start, at_ - start);
  }

  /// The bytes of a string, with its quotes.
  std::string_view string() {
    skip_space();
    const std::size_t start = at_;
    expect('"', "string");
    while (peek() != '"') {
      if (at_ == line_.size()) fail("a string that does not end");
      if (static_cast<unsigned char>(peek()) < 0x20) fail("a control character in a string");
      if (line_[at_++] == '\\') escape();
    }
    ++at_;
    return line_.substr(start, at_ - start);
  }

  bool take(char c) {
    skip_space();
    if (at_ == line_.size() || line_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c, const char* wanted) {
    if (!take(c)) fail(at_ == line_.size() ? "it ends too early" : "no " + std::string(wanted) + " where one is due");
  }

  void expect_end() {
    skip_space();
    if (at_ != line_.size()) fail("more after its end");
  }

  void count_outer_level() { levels_ = kMaxJsonDepth - 1; }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("is not JSON (" + what + " at byte " + std::to_string(at_ + 1) + ")");
  }

  char peek() const { return at_ < line_.size() ? line_[at_] : '\0'; }

  void skip_space() {
    while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t' || line_[at_] == '\r')) ++at_;
  }

  /// True where a value has ended, false where one inside it comes first.
  bool begin_value() {
    skip_space();
    const char c = peek();
    if (c == '{' || c == '[') {
      ++at_;
      if (take(c == '{' ? '}' : ']')) return true;
      if (open_.size() == levels_) {
        throw std::invalid_argument("is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels; flatten it");
      }
      open_ += c;
      if (c == '{') key();
      return false;
    }
    if (c == '"') {
      string();
    } else if (c == '-' || is_digit(c)) {
      number();
    } else {
      literal();
    }
    return true;
  }

  /// Closes what ends here, up to the comma before the next value.
  void end_value() {
    while (!open_.empty()) {
      const bool object = open_.back() == '{';
      if (take(',')) {
        if (object) key();
        return;
      }
      expect(object ? '}' : ']', object ? "',' or '}'" : "',' or ']'");
      open_.pop_back();
    }
  }

  void key() {
    string();
    expect(':', "':'");
  }

  void number() {
    const auto digits = [this] {
      if (!is_digit(peek())) fail("a number that is none");
      while (is_digit(peek())) ++at_;
    };
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else {
      digits();
    }
    if (peek() == '.') {
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
  }

  void literal() {
    for (const std::string_view word : {"true", "false", "null"}) {
      if (line_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return;
      }
    }
    fail(at_ == line_.size() ? "it ends too early" : "no value where one is due");
  }

  void escape() {
    const char c = peek();
    ++at_;
    if (c == 'u') {
      const std::uint32_t unit = hexadecimal();
      if (unit >= 0xDC00 && unit <= 0xDFFF) fail("half of a surrogate pair");
      if (unit < 0xD800 || unit > 0xDBFF) return;
      const bool pair = line_.substr(at_, 2) == "\\u";
      at_ += pair ? 2 : 0;
      const std::uint32_t low = pair ? hexadecimal() : 0;
      if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
      return;
    }
    if (std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) {
      at_ = std::min(at_, line_.size());
      fail("an unknown escape");
    }
  }

  std::uint32_t hexadecimal() {
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!letter && !is_digit(c)) fail("an unknown escape");
      unit = unit * 16 + static_cast<std::uint32_t>(letter ? (c | 0x20) - 'a' + 10 : c - '0');
      ++at_;
    }
    return unit;
  }

  std::string_view line_;
  std::size_t at_ = 0;
  std::string open_{};  ///< The brackets of the value that are not closed.
  std::size_t levels_ = kMaxJsonDepth;
};

char32_t hexadecimal_at(std::string_view text, std::size_t at) {
  char32_t unit = 0;
  for (const char c : text.substr(at, 4)) {
    unit = unit * 16 + static_cast<char32_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return unit;
}

/// What a string that the Scanner has read stands for.
std::string decode(std::string_view quoted) {
  const std::string_view in = quoted.substr(1, quoted.size() - 2);
  std::string out;
  for (std::size_t at = 0; at < in.size();) {
    const std::size_t plain = std::min(in.find('\\', at), in.size());
    out.append(in.substr(at, plain - at));
    at = plain;
    if (at == in.size()) break;
    const char c = in[at + 1];
    at += 2;
    if (c != 'u') {
      constexpr std::string_view kNames = "bfnrt";
      constexpr std::string_view kValues = "\b\f\n\r\t";
      const std::size_t name = kNames.find(c);
      out += name == std::string_view::npos ? c : kValues[name];
      continue;
    }
    char32_t code_point = hexadecimal_at(in, at);
    at += 4;
    if (code_point >= 0xD800 && code_point <= 0xDBFF) {
      code_point = 0x10000 + ((code_point - 0xD800) << 10) + (hexadecimal_at(in, at + 2) - 0xDC00);
      at += 6;
    }
    utf8::append(out, code_point);
  }
  return out;
}

/// A value that the Scanner has read, without white space and with nothing in it that a terminal would obey.
std::string compact(std::string_view value) {
  std::string out;
  bool in_string = false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (!in_string && (c == ' ' || c == '\t' || c == '\r')) continue;
    if (c == '"') in_string = !in_string;
    const std::size_t length = format::unseen_bytes(value.substr(i));
    if (length != 0) {
      format::append_json_escape(out, value.substr(i, length));
      i += length - 1;
      continue;
    }
    out += c;
    if (in_string && c == '\\') out += value[++i];
  }
  return out;
}

const char* kind_name(std::string_view value) {
  switch (value.front()) {
    case 'n':
      return "null";
    case 't':
    case 'f':
      return "a boolean";
    case '[':
      return "an array";
    case '{':
      return "an object";
    case '"':
      return "a string";
    default:
      return "a number";
  }
}

}  // namespace

JsonLine parse_json_line(std::string_view line, const JsonFields& fields) {
  Scanner scanner(line);
  JsonLine result;
  if (!scanner.take('{')) {
    const std::string_view value = scanner.value();
    scanner.expect_end();
    if (value.front() != '"') {
      throw std::invalid_argument("is " + std::string(kind_name(value)) + "; a JSON string or an object with field " +
                                  format::json_string(fields.text) + " is wanted");
    }
    result.text = decode(value);
    result.kept.assign(fields.keep.size(), "null");
    return result;
  }
  scanner.count_outer_level();
  std::optional<std::string_view> text;
  std::vector<std::string_view> kept(fields.keep.size(), "null");
  if (!scanner.take('}')) {
    do {
      const std::string key = decode(scanner.string());
      scanner.expect(':', "':'");
      const std::string_view value = scanner.value();
      if (key == fields.text) text = value;
      for (std::size_t i = 0; i < kept.size(); ++i) {
        if (key == fields.keep[i]) kept[i] = value;
      }
    } while (scanner.take(','));
    scanner.expect('}', "',' or '}'");
  }
  scanner.expect_end();
  if (!text) {
    throw std::invalid_argument("has no field " + format::json_string(fields.text) +
                                "; name the text's field with --field");
  }
  if (text->front() != '"') {
    throw std::invalid_argument("has " + std::string(kind_name(*text)) + " in field " +
                                format::json_string(fields.text) + "; a string is wanted");
  }
  result.text = decode(*text);
  for (const std::string_view value : kept) result.kept.push_back(compact(value));
  return result;
}

}  // namespace stella::cli
