#include "cli/vectors.hpp"

#include "cli/failure.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stella::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's floats are read as they lie in memory");

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

/// As many bytes as `to` has room for, or up to the end of the file.
std::size_t read_up_to(int file, char* to, std::size_t bytes) {
  std::size_t got = 0;
  while (got < bytes) {
    const ssize_t part = ::read(file, to + got, bytes - got);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) throw std::system_error(errno, std::generic_category());
    if (part == 0) break;
    got += static_cast<std::size_t>(part);
  }
  return got;
}

UniqueFd open_vectors(const std::string& path, const std::string& remedy) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 && errno == ENOENT) {
    throw Failure(kBadInput, "--vectors '" + path + "' is not there; " + remedy);
  }
  try {
    return open_regular(path);
  } catch (const Error& error) {
    throw Failure(kBadInput, std::string("--vectors: ") + error.what());
  }
}

}  // namespace

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
  size_of_rows(rows, columns);
  return {rows, columns, begin + length};
}

NpyRows::NpyRows(const std::string& path, const std::string& remedy)
    : name_("--vectors '" + path + "'"), file_(open_vectors(path, remedy)) {
  try {
    std::string start(kMaxNpyHeaderBytes, '\0');
    start.resize(read_up_to(file_.get(), start.data(), start.size()));
    header_ = parse_npy_header(start);
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) throw std::system_error(errno, std::generic_category());
    const std::size_t wanted = header_.bytes + size_of_rows(header_.rows, header_.columns);
    if (static_cast<std::size_t>(status.st_size) != wanted) {
      throw std::invalid_argument("has " + std::to_string(status.st_size) + " bytes, and its header speaks of " +
                                  std::to_string(wanted) + "; make it again");
    }
    if (::lseek(file_.get(), static_cast<off_t>(header_.bytes), SEEK_SET) < 0) {
      throw std::system_error(errno, std::generic_category());
    }
  } catch (const std::invalid_argument& error) {
    throw Failure(kBadInput, name_ + " " + error.what());
  } catch (const std::system_error& error) {
    throw Failure(kBadInput, "cannot read " + name_ + ": " + error.code().message());
  }
}

void NpyRows::read(std::span<float> to) {
  try {
    if (read_up_to(file_.get(), reinterpret_cast<char*>(to.data()), to.size_bytes()) != to.size_bytes()) {
      throw Failure(kBadInput, name_ + " became shorter while it was read");
    }
  } catch (const std::system_error& error) {
    throw Failure(kBadInput, "cannot read " + name_ + ": " + error.code().message());
  }
  const auto bad = std::find_if_not(to.begin(), to.end(), [](float value) { return std::isfinite(value); });
  if (bad != to.end()) {
    const std::size_t row = next_ + static_cast<std::size_t>(bad - to.begin()) / columns();
    throw Failure(kBadInput, name_ + " holds a value that is not finite in row " + std::to_string(row + 1));
  }
  next_ += columns() == 0 ? 0 : to.size() / columns();
}

}  // namespace stella::cli
