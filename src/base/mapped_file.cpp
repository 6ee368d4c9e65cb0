#include "base/mapped_file.hpp"

#include <cerrno>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace stella {

MappedFile::MappedFile(const std::filesystem::path& path) : MappedFile(open_regular(path), path) {}

MappedFile::MappedFile(const UniqueFd& fd, const std::filesystem::path& path) : path_(path) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw io_error("stat", path, errno);
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) throw io_error("map", path, errno);
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(std::size_t offset, std::size_t length) const noexcept {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t first = (offset + page - 1) / page * page;  // whole pages inside the range only
  const std::size_t last = (offset + length) / page * page;
  if (data_ == nullptr || last <= first || last > size_) return;
  ::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
}

bool MappedFile::populate(std::span<const std::byte> part) const noexcept {
#if defined(MADV_POPULATE_READ)
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto first = static_cast<std::size_t>(part.data() - data_) / page * page;
  const auto end = static_cast<std::size_t>(part.data() - data_) + part.size();
  if (part.empty() || ::madvise(const_cast<std::byte*>(data_) + first, end - first, MADV_POPULATE_READ) == 0)
    return true;
  return errno != EFAULT && errno != EHWPOISON;
#else
  return true;
#endif
}

void MappedFile::prefer_huge_pages() const noexcept {
#if defined(MADV_HUGEPAGE)
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_HUGEPAGE);
#endif
}

}  // namespace stella
