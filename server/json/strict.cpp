#include "server/json/strict.hpp"

#include "base/json.hpp"
#include "base/utf8.hpp"

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace stella::server {
namespace {

using json::error_code;
using json::string_view;

/// Builds the value and remembers the keys of the objects that are open.
class Builder {
 public:
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  Builder() { values_.reset(); }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t size, error_code&) {
    keys_.pop_back();
    values_.push_object(size);
    return true;
  }
  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(std::size_t size, error_code&) {
    values_.push_array(size);
    return true;
  }
  bool on_key_part(string_view part, std::size_t, error_code&) {
    key_.append(part.data(), part.size());
    values_.push_chars(part);
    return true;
  }
  bool on_key(string_view rest, std::size_t, error_code& error) {
    key_.append(rest.data(), rest.size());
    if (!keys_.back().insert(std::exchange(key_, {})).second) {
      duplicate_ = true;
      error = json::make_error_code(json::error::syntax);
      return false;
    }
    values_.push_key(rest);
    return true;
  }
  bool on_string_part(string_view part, std::size_t, error_code&) {
    values_.push_chars(part);
    return true;
  }
  bool on_string(string_view rest, std::size_t, error_code&) {
    values_.push_string(rest);
    return true;
  }
  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(std::int64_t value, string_view, error_code&) {
    values_.push_int64(value);
    return true;
  }
  bool on_uint64(std::uint64_t value, string_view, error_code&) {
    values_.push_uint64(value);
    return true;
  }
  bool on_double(double value, string_view, error_code& error) {
    if (!std::isfinite(value)) {
      error = json::make_error_code(json::error::exponent_overflow);
      return false;
    }
    values_.push_double(value);
    return true;
  }
  bool on_bool(bool value, error_code&) {
    values_.push_bool(value);
    return true;
  }
  bool on_null(error_code&) {
    values_.push_null();
    return true;
  }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }

  json::value release() { return values_.release(); }
  bool found_duplicate() const noexcept { return duplicate_; }

 private:
  json::value_stack values_{};
  std::vector<std::set<std::string>> keys_{};
  std::string key_{};
  bool duplicate_ = false;
};

json::parse_options strict_options() {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  return options;
}

std::string at(std::size_t offset) {
  return " at byte " + std::to_string(offset);
}

}  // namespace

json::value parse_json(std::string_view text) {
  if (const std::size_t wrong = utf8::find_invalid(text); wrong != std::string_view::npos) {
    throw BadJson("the text is not UTF-8" + at(wrong));
  }
  json::basic_parser<Builder> parser(strict_options());
  error_code error;
  const std::size_t parsed = parser.write_some(false, text.data(), text.size(), error);
  if (parser.handler().found_duplicate())
    throw BadJson("a key appears twice in one object, before byte " + std::to_string(parsed));
  if (error)
    throw BadJson((error == json::error::incomplete ? "the document is not complete" : error.message()) + at(parsed));
  if (text.find_first_not_of(" \t\r\n", parsed) != std::string_view::npos) {
    throw BadJson("something follows the document" + at(parsed));
  }
  return parser.handler().release();
}

}  // namespace stella::server
