// Reads the reference vectors that a checkpoint brings in goldens/goldens.safetensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace stella::cli {

/// Float32 vectors by name, read from the file one at a time. Format: https://huggingface.co/docs/safetensors
/// (8 bytes little-endian header length, JSON header, data). Throws Failure(kRuntimeFailure) that names file and entry.
class VectorFile {
 public:
  explicit VectorFile(std::filesystem::path path);

  bool contains(const std::string& name) const { return entries_.contains(name); }
  std::vector<std::string> names() const;
  std::vector<float> read(const std::string& name) const;

 private:
  struct Entry {
    std::uint64_t offset = 0;  ///< In the file.
    std::size_t count = 0;     ///< Floats.
  };
  [[noreturn]] void fail(const std::string& problem) const;

  std::filesystem::path path_;
  std::map<std::string, Entry> entries_{};
};

}  // namespace stella::cli
