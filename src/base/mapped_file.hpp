// A file mapped read-only.
#pragma once

#include "base/file.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace stella {

/// Owns a private read-only mapping of a whole file. The bytes stay at one address for the object's life, also when it
/// is moved. Const members are thread-safe. A file that another process truncates while mapped raises SIGBUS on access:
/// cache blobs are never changed in place, and that is what makes mapping them safe.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws as open_regular(), naming the file.
  explicit MappedFile(const std::filesystem::path& path);
  /// Of an open file, which may be closed afterwards.
  MappedFile(const UniqueFd& file, const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

  /// Tells the kernel that [offset, offset + length) will not be read again soon, so that its pages can go.
  void drop(std::size_t offset, std::size_t length) const noexcept;

  /// Reads `part`, which lies in bytes(), before it is looked at. False where the disk cannot: looking would end the
  /// process. Without an answer by the system, true.
  bool populate(std::span<const std::byte> part) const noexcept;

  /// Asks the kernel to read and map in huge pages, for what is read from end to end again and again.
  void prefer_huge_pages() const noexcept;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::filesystem::path path_;
};

}  // namespace stella
