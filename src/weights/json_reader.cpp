#include "weights/json_reader.hpp"

#include "base/lfs.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace stella::weights {
namespace {

/// Offset behind the string that starts at `at`.
std::size_t after_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

/// `text` with the numbers that only Python writes spelt as one too large for a double, which reads as infinite.
std::string without_names(std::string_view text) {
  constexpr std::array<std::string_view, 2> kNames{"NaN", "Infinity"};
  std::string result;
  result.reserve(text.size() + 16);
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      const std::size_t end = after_string(text, at);
      result += text.substr(at, end - at);
      at = end;
      continue;
    }
    const auto* const name =
        std::find_if(kNames.begin(), kNames.end(), [&](std::string_view n) { return text.substr(at, n.size()) == n; });
    if (name != kNames.end()) {
      result += "1e999";
      at += name->size();
    } else {
      result += text[at++];
    }
  }
  return result;
}

json::value parse(std::string_view text, const std::string& file) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::stream_parser parser({}, options);
  boost::system::error_code error;
  const std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (!error) parser.finish(error);
  if (!error) return parser.release();
  if (error == json::error::too_deep) {
    throw Error(Errc::limit_exceeded,
                file + ": nests deeper than the " + std::to_string(kMaxJsonDepth) + " levels that are read",
                {.file = file});
  }
  throw Error(Errc::malformed_file, file + ": not valid JSON at " + json_place(text, read) + ": " + error.message(),
              {.file = file});
}

}  // namespace

std::string json_place(std::string_view text, std::size_t offset) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (const char c : text.substr(0, offset)) {
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n' ? 1 : 0;
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

json::value parse_json(std::string_view text, const std::string& file) {
  if (text.size() > kMaxJsonBytes) {
    throw Error(Errc::limit_exceeded,
                file + ": has " + std::to_string(text.size()) + " bytes, more than the " +
                    std::to_string(kMaxJsonBytes) + " that are read of such a file",
                {.file = file});
  }
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  refuse_lfs_pointer(text, file);
  const bool names = text.find("NaN") != std::string_view::npos || text.find("Infinity") != std::string_view::npos;
  return names ? parse(without_names(text), file) : parse(text, file);
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
  const auto number = value->to_number<std::uint64_t>(error);  // an error also for a double that is not whole
  if (error || number < low || number > kLargest) {
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
