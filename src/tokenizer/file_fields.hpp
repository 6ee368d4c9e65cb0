// Reading the members of a tokenizer.json, with errors that say which.
#pragma once

#include "stella/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <simdjson.h>
#include <string>
#include <string_view>

namespace stella::tokenizer {

/// What the readers of all parts share. Not for files other than tokenizer.json.
class FileFields {
 public:
  using array = simdjson::dom::array;
  using element = simdjson::dom::element;
  using object = simdjson::dom::object;

  static constexpr std::int64_t kMaxId = (std::int64_t{1} << 24) - 1;
  static constexpr std::size_t kMaxComponents = 32;  // of a kind; published files have up to six

  explicit FileFields(const std::string& source) : source_(source) {}

  [[noreturn]] void malformed(const std::string& what) const;
  [[noreturn]] void unsupported(const std::string& what) const;
  [[noreturn]] void beyond_limit(const std::string& what, std::size_t limit) const;

  /// A member that is there and not null.
  static std::optional<element> find(const object& from, std::string_view name);
  element need(const object& from, std::string_view name, const std::string& path) const;
  object as_object(const element& value, const std::string& path) const { return as<object>(value, path, "an object"); }
  array as_array(const element& value, const std::string& path) const { return as<array>(value, path, "an array"); }
  std::string_view text(const element& value, const std::string& path) const {
    return as<std::string_view>(value, path, "a string");
  }
  std::uint64_t count(const element& value, const std::string& path) const {
    return as<std::uint64_t>(value, path, "a number");
  }
  double real(const element& value, const std::string& path) const { return as<double>(value, path, "a number"); }
  std::string_view need_text(const object& from, std::string_view name, const std::string& path) const {
    return text(need(from, name, path + "." + std::string(name)), path + "." + std::string(name));
  }
  std::string_view type_of(const object& component, const std::string& path) const {
    return need_text(component, "type", path);
  }
  bool flag(const object& from, std::string_view name, const std::string& path, std::optional<bool> otherwise) const;
  std::int32_t id(const element& value, const std::string& path) const;

  const std::string& source() const noexcept { return source_; }

 private:
  template <class T>
  T as(const element& value, const std::string& path, const char* kind) const {
    T result;
    if (value.get(result) != simdjson::SUCCESS) malformed(path + " is not " + kind);
    return result;
  }

  const std::string& source_;
};

}  // namespace stella::tokenizer
