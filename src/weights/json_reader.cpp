#include "weights/json_reader.hpp"

#include "stella/error.hpp"

#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>

namespace stella::weights {
namespace {

namespace json = boost::json;

/// Finds a key that an object holds twice. Only keys and nesting matter; values pass by.
struct DuplicateKeys {
  // NOLINTBEGIN(readability-identifier-naming): the parser asks for these names
  static constexpr std::size_t max_object_size = SIZE_MAX;
  static constexpr std::size_t max_array_size = SIZE_MAX;
  static constexpr std::size_t max_key_size = SIZE_MAX;
  static constexpr std::size_t max_string_size = SIZE_MAX;
  // NOLINTEND(readability-identifier-naming)
  using Code = boost::system::error_code;

  std::vector<std::set<std::string, std::less<>>> open;  // keys seen in each object that is being read
  std::string key;
  std::optional<std::string> duplicate;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    open.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    open.pop_back();
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code& error) {
    key.append(part.data(), part.size());
    if (!open.back().insert(key).second) {
      duplicate = key;
      error = json::error::syntax;
      return false;
    }
    key.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, Code&) { return true; }
  bool on_string(json::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return true; }
  bool on_double(double, json::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }
};

std::string place(std::string_view text, std::size_t offset) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (const char c : text.substr(0, offset)) {
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n' ? 1 : 0;
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace

json::value parse_json(std::string_view text, const std::string& file) {
  json::stream_parser parser;
  boost::system::error_code error;
  const std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (!error) parser.finish(error);
  if (error) {
    throw Error(Errc::malformed_file, file + ": not valid JSON at " + place(text, read) + ": " + error.message(),
                {.file = file});
  }
  json::basic_parser<DuplicateKeys> keys(json::parse_options{});
  keys.write_some(false, text.data(), text.size(), error);
  if (keys.handler().duplicate) {
    throw Error(Errc::malformed_file, file + ": key '" + *keys.handler().duplicate + "' appears twice", {.file = file});
  }
  return parser.release();
}

JsonObject::JsonObject(const json::value& value, std::string file)
    : object_(value.if_object()), file_(std::move(file)) {
  if (object_ == nullptr) throw Error(Errc::malformed_file, file_ + ": not a JSON object", {.file = file_});
}

const json::value* JsonObject::find(std::string_view key) const {
  const json::value* value = object_->if_contains({key.data(), key.size()});
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonObject::malformed(std::string_view key, const std::string& what) const {
  throw Error(Errc::malformed_file, file_ + ": key '" + std::string(key) + "' " + what, {.file = file_});
}

void JsonObject::unsupported(std::string_view key, const std::string& what) const {
  throw Error(Errc::unsupported_model, file_ + ": " + std::string(key) + " " + what, {.file = file_});
}

std::optional<std::size_t> JsonObject::optional_size(std::string_view key, std::size_t low) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  boost::system::error_code error;
  const auto number = value->to_number<std::uint64_t>(error);
  if (error || value->is_double() || number < low || number > kLargest) {
    malformed(key, "is " + json::serialize(*value) + ", not a whole number from " + std::to_string(low) + " to " +
                       std::to_string(kLargest));
  }
  return number;
}

std::size_t JsonObject::size(std::string_view key, std::size_t low) const {
  const auto value = optional_size(key, low);
  if (!value) malformed(key, "is missing");
  return *value;
}

std::size_t JsonObject::size_or(std::string_view key, std::size_t fallback, std::size_t low) const {
  return optional_size(key, low).value_or(fallback);
}

double JsonObject::positive_or(std::string_view key, double fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->to_number<double>() : 0;
  if (!(number > 0) || !std::isfinite(number)) {
    malformed(key, "is " + json::serialize(*value) + ", not a number above zero");
  }
  return number;
}

bool JsonObject::flag_or(std::string_view key, bool fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) malformed(key, "is " + json::serialize(*value) + ", not true or false");
  return value->get_bool();
}

std::string JsonObject::text_or(std::string_view key, std::string fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) malformed(key, "is " + json::serialize(*value) + ", not a string");
  return std::string(value->get_string());
}

std::string JsonObject::text(std::string_view key) const {
  if (!has(key)) malformed(key, "is missing");
  return text_or(key, {});
}

}  // namespace stella::weights
