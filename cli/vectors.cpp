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

NpyRows::NpyRows(const std::string& path, const std::string& remedy)
    : name_("--vectors '" + path + "'"), file_(open_vectors(path, remedy)) {
  try {
    std::string start(format::kMaxNpyHeaderBytes, '\0');
    start.resize(read_up_to(file_.get(), start.data(), start.size()));
    header_ = format::parse_npy_header(start);
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) throw std::system_error(errno, std::generic_category());
    if (static_cast<std::size_t>(status.st_size) != header_.file_bytes) {
      throw std::invalid_argument("has " + std::to_string(status.st_size) + " bytes, and its header speaks of " +
                                  std::to_string(header_.file_bytes) + "; make it again");
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
