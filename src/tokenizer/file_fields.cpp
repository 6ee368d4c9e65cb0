#include "tokenizer/file_fields.hpp"

namespace stella::tokenizer {

void FileFields::malformed(const std::string& what) const {
  throw Error(Errc::malformed_file, source_ + ": " + what + "; download the file again", {.file = source_});
}

void FileFields::unsupported(const std::string& what) const {
  throw Error(Errc::unsupported_model,
              source_ + ": " + what +
                  " is not supported; tokenizers of BERT's kind (WordPiece) and of Qwen2's (byte-level BPE) are",
              {.file = source_});
}

void FileFields::beyond_limit(const std::string& what, std::size_t limit) const {
  throw Error(Errc::limit_exceeded, source_ + ": " + what + " beyond the limit of " + std::to_string(limit),
              {.file = source_});
}

std::optional<FileFields::element> FileFields::find(const object& from, std::string_view name) {
  element value;
  if (from.at_key(name).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

FileFields::element FileFields::need(const object& from, std::string_view name, const std::string& path) const {
  const auto value = find(from, name);
  if (!value) malformed(path + " is missing");
  return *value;
}

bool FileFields::flag(const object& from, std::string_view name, const std::string& path,
                      std::optional<bool> otherwise) const {
  const auto value = find(from, name);
  if (!value && otherwise) return *otherwise;
  if (!value) malformed(path + "." + std::string(name) + " is missing");
  return as<bool>(*value, path + "." + std::string(name), "true or false");
}

std::int32_t FileFields::id(const element& value, const std::string& path) const {
  const auto number = as<std::int64_t>(value, path, "a number");
  if (number < 0 || number > kMaxId) malformed(path + " is not an id: " + std::to_string(number));
  return static_cast<std::int32_t>(number);
}

}  // namespace stella::tokenizer
