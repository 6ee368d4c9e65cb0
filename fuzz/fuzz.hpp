// What all fuzzers share: invariants that end the run where they do not hold, and errors that are fit to be shown.
#pragma once

#include "base/utf8.hpp"
#include "stella/error.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <unistd.h>

namespace stella::fuzz {

/// Ends the run: libFuzzer keeps the input.
inline void check(bool holds, const char* invariant) {
  if (holds) return;
  std::fprintf(stderr, "invariant broken: %s\n", invariant);
  std::abort();
}

/// An error is one line of at most 4 KiB, valid UTF-8, with nothing that a terminal would obey.
inline void check_line(std::string_view line) {
  check(!line.empty() && line.size() <= 4096, "an error has between 1 byte and 4 KiB");
  check(utf8::find_invalid(line) == std::string_view::npos, "an error is valid UTF-8");
  for (std::size_t at = 0; at < line.size();) {
    const utf8::Decoded c = utf8::decode(line.data() + at);
    check(c.value >= 0x20 && c.value != 0x7F && (c.value < 0x80 || c.value >= 0xA0),
          "an error has no control characters");
    at += c.length;
  }
}

/// Runs `work`, which may throw stella::Error and nothing else; whether it did not.
template <class Work>
bool holds_or_throws(Work&& work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    check_line(error.what());
    return false;
  }
}

/// The input in pieces: each ends with a zero byte, the last at the end.
class Pieces {
 public:
  Pieces(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const noexcept { return rest_.empty(); }
  std::string next() {
    const std::size_t end = rest_.find('\0');
    const std::string piece(rest_.substr(0, end));
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return piece;
  }

 private:
  std::string_view rest_;
};

/// A folder of this process that goes with it.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "stella-fuzz-XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr, "a temporary folder can be made");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path write(const char* name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace stella::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
