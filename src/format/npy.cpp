#include "format/npy.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace stella::format {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

std::size_t little_endian(std::string_view bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8U | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// What follows "'name':" in Python's literal of a dict.
std::string_view after_key(std::string_view dict, std::string_view name) {
  for (const char quote : {'\'', '"'}) {
    const std::string key = quote + std::string(name) + quote;
    std::size_t at = dict.find(key);
    if (at == std::string_view::npos) continue;
    at = dict.find_first_not_of(' ', at + key.size());
    if (at == std::string_view::npos || dict[at] != ':') continue;
    at = dict.find_first_not_of(' ', at + 1);
    if (at != std::string_view::npos) return dict.substr(at);
  }
  throw std::invalid_argument("has a header without '" + std::string(name) + "'");
}

/// The numbers of "(3, 256)".
std::pair<std::size_t, std::size_t> two_numbers(std::string_view tuple) {
  const std::invalid_argument wrong("has not two dimensions, rows and columns");
  const std::size_t end = tuple.find(')');
  if (!tuple.starts_with('(') || end == std::string_view::npos) throw wrong;
  tuple = tuple.substr(1, end - 1);
  const auto number = [&] {
    tuple.remove_prefix(std::min(tuple.find_first_not_of(' '), tuple.size()));
    std::size_t value = 0;
    const auto [after, error] = std::from_chars(tuple.data(), tuple.data() + tuple.size(), value);
    if (error != std::errc{}) throw wrong;
    tuple.remove_prefix(static_cast<std::size_t>(after - tuple.data()));
    tuple.remove_prefix(std::min(tuple.find_first_not_of(' '), tuple.size()));
    return value;
  };
  const std::size_t rows = number();
  if (!tuple.starts_with(',')) throw wrong;
  tuple.remove_prefix(1);
  const std::size_t columns = number();
  if (!tuple.empty() && tuple != ",") throw wrong;
  return {rows, columns};
}

std::size_t size_of_rows(std::size_t rows, std::size_t columns) {
  std::size_t values = 0;
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(rows, columns, &values) || __builtin_mul_overflow(values, sizeof(float), &bytes) ||
      bytes > std::size_t{1} << 62U) {
    throw std::invalid_argument("claims more rows than any file holds");
  }
  return bytes;
}

}  // namespace

std::string npy_header(std::size_t rows, std::size_t columns) {
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(kNpyHeaderBytes - 10);
  header += '\0';
  header += "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
            std::to_string(columns) + "), }";
  header.resize(kNpyHeaderBytes - 1, ' ');
  return header + '\n';
}

NpyHeader parse_npy_header(std::string_view start) {
  if (!start.starts_with(kMagic) || start.size() < 10) throw std::invalid_argument("is no .npy file");
  const auto version = static_cast<unsigned char>(start[6]);
  if (version < 1 || version > 3) {
    throw std::invalid_argument("is of .npy format " + std::to_string(version) + ", which is not known");
  }
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::size_t begin = 8 + length_bytes;
  if (start.size() < begin) throw std::invalid_argument("ends in its header");
  const std::size_t length = little_endian(start.substr(8, length_bytes));
  if (begin + length > kMaxNpyHeaderBytes) {
    throw std::invalid_argument("has a header of more than " + std::to_string(kMaxNpyHeaderBytes) + " bytes");
  }
  if (begin + length > start.size()) throw std::invalid_argument("ends in its header");
  const std::string_view dict = start.substr(begin, length);
  const std::string_view type = after_key(dict, "descr");
  if (!type.starts_with("'<f4'") && !type.starts_with("\"<f4\"")) {
    throw std::invalid_argument("does not hold little-endian float32 ('<f4')");
  }
  if (!after_key(dict, "fortran_order").starts_with("False")) {
    throw std::invalid_argument("is in Fortran order; save it with numpy.ascontiguousarray()");
  }
  const auto [rows, columns] = two_numbers(after_key(dict, "shape"));
  return {rows, columns, begin + length, begin + length + size_of_rows(rows, columns)};
}

}  // namespace stella::format
