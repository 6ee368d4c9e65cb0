#include "hub/download/partial_file.hpp"

#include "base/ascii.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <vector>

namespace stella::hub {
namespace {

constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
constexpr mode_t kMode = 0666;                         // less the umask, as Python's client has it
constexpr std::uint64_t kMaxRecordBytes = 32U << 20U;  // a line for each 512 KiB: good for some hundred GB
constexpr std::uint64_t kWriteback = 16U << 20U;

std::uint32_t crc32(std::string_view text) {
  std::uint32_t crc = ~0U;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ (0xedb88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

ino_t inode_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(' ', begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

}  // namespace

std::string checksummed_line(const std::string& text) {
  constexpr char kHex[] = "0123456789abcdef";
  const std::uint32_t crc = crc32(text);
  std::string line = text + " ";
  for (int shift = 28; shift >= 0; shift -= 4) line += kHex[(crc >> static_cast<unsigned>(shift)) & 15U];
  return line + "\n";
}

std::optional<std::string_view> verified_line(std::string_view line) {
  const std::size_t space = line.rfind(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view text = line.substr(0, space);
  if (checksummed_line(std::string(text)) != std::string(line) + "\n") return std::nullopt;
  return text;
}

PartialFile::PartialFile(const RepoPaths& paths, const std::string& etag, std::optional<std::uint64_t> size)
    : etag_(etag), path_(paths.partial(etag)), record_path_(paths.partial_record(etag)), size_(size) {
  if (!size || !open_existing(*size)) open_fresh();
  write_record();
}

bool PartialFile::open_existing(std::uint64_t size) {
  struct stat status {};
  if (::lstat(record_path_.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  fd_ = UniqueFd(::open(path_.c_str(), kFlags));
  if (!fd_ || ::fstat(fd_.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1 ||
      static_cast<std::uint64_t>(status.st_size) != size) {
    return false;
  }
  try {
    load_record(read_text_file(record_path_, kMaxRecordBytes));
  } catch (const Error&) {
    return false;  // of no use to us: begin again
  }
  return resumed_.total() > 0;
}

void PartialFile::load_record(std::string_view text) {
  const std::string header =
      "stella-partial 1 " + etag_ + " " + std::to_string(*size_) + " " + std::to_string(inode_of(fd_.get()));
  bool first = true;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return;
    const auto line = verified_line(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!line) return;
    if (std::exchange(first, false)) {
      if (*line != header) return;
      continue;
    }
    const auto words = words_of(*line);
    const auto from = words.size() == 2 ? parse_number(words[0]) : std::nullopt;
    const auto to = words.size() == 2 ? parse_number(words[1]) : std::nullopt;
    if (!from || !to || *from >= *to || *to > *size_) return;
    resumed_.add(*from, *to);
  }
}

void PartialFile::open_fresh() {
  resumed_ = {};
  ::unlink(path_.c_str());
  fd_ = UniqueFd(::open(path_.c_str(), kFlags | O_CREAT | O_EXCL, kMode));
  if (!fd_) throw io_error("create", path_, errno);
  if (size_) set_size(*size_);
}

void PartialFile::set_size(std::uint64_t size) {
  size_ = size;
  constexpr std::uint64_t kLargest = static_cast<std::uint64_t>(1) << 62U;
  if (size > kLargest) throw io_error("make room in", path_, EFBIG);
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) throw io_error("make room in", path_, errno);
}

void PartialFile::write_record() {
  const std::filesystem::path temporary = path_.parent_path() / (etag_ + ".stella-record.incomplete");
  ::unlink(temporary.c_str());
  record_ = UniqueFd(::open(temporary.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
  if (!record_) throw io_error("create", temporary, errno);
  std::string text = checksummed_line("stella-partial 1 " + etag_ + " " + std::to_string(size_.value_or(0)) + " " +
                                      std::to_string(inode_of(fd_.get())));
  for (const auto& [first, end] : resumed_.ranges()) {
    text += checksummed_line(std::to_string(first) + " " + std::to_string(end));
  }
  write_all(record_, text, temporary);
  if (::rename(temporary.c_str(), record_path_.c_str()) != 0 && errno != ENOENT) {
    throw io_error("create", record_path_, errno);
  }
}

void PartialFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::string line = checksummed_line(std::to_string(offset) + " " + std::to_string(offset + bytes.size()));
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("write", path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
    unsynced_ += static_cast<std::uint64_t>(count);
  }
  write_all(record_, line, record_path_);
  if (unsynced_ < kWriteback) return;
  // The disk begins now, so that publish() has little left to wait for. Not being able to is no error.
  unsynced_ = 0;
  static_cast<void>(::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
}

void PartialFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw io_error("read", path_, count < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void PartialFile::restart(std::optional<std::uint64_t> size) {
  size_ = size;
  open_fresh();
  write_record();
}

bool PartialFile::is_in_place() const {
  struct stat named {};
  return ::lstat(path_.c_str(), &named) == 0 && S_ISREG(named.st_mode) && named.st_ino == inode_of(fd_.get());
}

// The name is gone but the descriptor still holds every byte.
void PartialFile::write_again() {
  const UniqueFd old = std::move(fd_);
  fd_ = {};
  ::unlink(path_.c_str());
  fd_ = UniqueFd(::open(path_.c_str(), kFlags | O_CREAT | O_EXCL, kMode));
  if (!fd_) throw io_error("create", path_, errno);
  std::vector<char> buffer(1U << 20U);
  off_t offset = 0;
  while (true) {
    const ssize_t count = ::pread(old.get(), buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("read", path_, errno);
    if (count == 0) return;
    write_all(fd_, std::string_view(buffer.data(), static_cast<std::size_t>(count)), path_);
    offset += count;
  }
}

// A power cut after a rename may leave the name with the file's size and zeros for its bytes, so the bytes go first.
void PartialFile::publish(const std::filesystem::path& destination) {
  if (!is_in_place()) write_again();
  sync();
  while (::rename(path_.c_str(), destination.c_str()) != 0) {
    if (errno != ENOENT) throw io_error("create", destination, errno);
    write_again();
    sync();
  }
  ::unlink(record_path_.c_str());
  sync_folder(destination.parent_path());
}

void PartialFile::sync() {
  if (::fdatasync(fd_.get()) != 0 && errno != EINVAL && errno != ENOSYS) throw io_error("write", path_, errno);
}

void PartialFile::remove() noexcept {
  ::unlink(path_.c_str());
  ::unlink(record_path_.c_str());
}

}  // namespace stella::hub
