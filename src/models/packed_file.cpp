#include "models/packed_file.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stella::models {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'s', 't', 'e', 'l', 'l', 'a', 'P', 'W'};
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kStep = std::size_t{4} << 20U;  // bytes hashed, written or dropped at a time

struct Trailer {
  std::array<char, 8> magic = kMagic;
  std::uint64_t version = kVersion;
  std::uint64_t index_at = 0;
  std::uint64_t index_bytes = 0;
  Sha256::Digest hash{};
};
static_assert(sizeof(Trailer) == 64);

[[noreturn]] void malformed(const fs::path& path, const char* what) {
  throw Error(Errc::malformed_file, path.string() + ": the packed weights " + what + "; remove the file",
              {.file = path.string()});
}

/// A number and the space or line end behind it; advances `text`.
bool take_number(std::string_view& text, std::size_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data() + text.size() || *end != ' ') return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

/// Of every process and every writer in it.
std::string temporary_suffix() {
  static std::atomic<unsigned> number{0};
  return ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
}

}  // namespace

PackedFile::PackedFile(MappedFile file) : file_(std::move(file)) {
  // A pass reads all weights: with small pages, a tenth of a query's time goes into finding them.
  file_.prefer_huge_pages();
  const auto bytes = file_.bytes();
  Trailer trailer;
  if (bytes.size() < sizeof(trailer)) malformed(path(), "are cut short");
  hashed_bytes_ = bytes.size() - sizeof(trailer);
  std::memcpy(&trailer, bytes.data() + hashed_bytes_, sizeof(trailer));
  if (trailer.magic != kMagic || trailer.version != kVersion) malformed(path(), "are cut short or of another version");
  if (trailer.index_at > hashed_bytes_ || trailer.index_bytes != hashed_bytes_ - trailer.index_at) {
    malformed(path(), "have a damaged trailer");
  }
  read_index({reinterpret_cast<const char*>(bytes.data()) + trailer.index_at, trailer.index_bytes});
}

void PackedFile::read_index(std::string_view text) {
  const std::size_t first_line = text.find('\n');
  if (first_line == std::string_view::npos) malformed(path(), "have a damaged index");
  about_ = text.substr(0, first_line);
  text.remove_prefix(first_line + 1);
  while (!text.empty()) {
    std::size_t at = 0;
    std::size_t size = 0;
    const bool numbers = take_number(text, at) && take_number(text, size);
    const std::size_t end = text.find('\n');
    if (!numbers || end == std::string_view::npos || at % kAlignment != 0 || at > hashed_bytes_ ||
        size > hashed_bytes_ - at) {
      malformed(path(), "have a damaged index");
    }
    parts_.emplace(text.substr(0, end), file_.bytes().subspan(at, size));
    text.remove_prefix(end + 1);
  }
}

std::shared_ptr<const PackedFile> PackedFile::open(const fs::path& path) {
  return std::shared_ptr<const PackedFile>(new PackedFile(MappedFile(path)));
}

std::span<const std::byte> PackedFile::part(const std::string& name) const {
  const auto found = parts_.find(name);
  if (found == parts_.end()) malformed(path(), ("lack '" + name + "'").c_str());
  return found->second;
}

bool PackedFile::hash_matches(const std::function<void(std::size_t)>& on_progress) const {
  Sha256 hash;
  for (std::size_t at = 0; at < hashed_bytes_; at += kStep) {
    const std::size_t size = std::min(kStep, hashed_bytes_ - at);
    hash.update(file_.bytes().subspan(at, size));
    file_.drop(at, size);
    if (on_progress) on_progress(at + size);
  }
  Trailer trailer;
  std::memcpy(&trailer, file_.bytes().data() + hashed_bytes_, sizeof(trailer));
  return hash.digest() == trailer.hash;
}

PackedFileWriter::PackedFileWriter(const fs::path& path) : path_(path), temporary_(path.string() + temporary_suffix()) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) {
    throw Error(Errc::io_error, "cannot create " + temporary_.string() + ": " + std::strerror(errno),
                {.file = path.string()});
  }
  // A file system without locks is no reason to keep nothing.
  static_cast<void>(::flock(fd_, LOCK_EX | LOCK_NB));
}

PackedFileWriter::~PackedFileWriter() {
  if (fd_ >= 0) {
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }
}

void PackedFileWriter::write(std::span<const std::byte> bytes) {
  hash_.update(bytes);
  while (!bytes.empty() && !failed_) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      failed_ = true;
      return;
    }
    at_ += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void PackedFileWriter::add(const std::string& name, std::span<const std::byte> bytes,
                           const std::function<void(std::span<const std::byte>)>& on_written) {
  if (failed_) return;
  index_ += std::to_string(at_) + " " + std::to_string(bytes.size()) + " " + name + "\n";
  while (!bytes.empty()) {
    // Writes that begin and end at huge pages of the file are cached in huge pages.
    const auto piece = bytes.first(std::min(kStep - at_ % kStep, bytes.size()));
    write(piece);
    if (on_written) on_written(piece);
    bytes = bytes.subspan(piece.size());
  }
  constexpr std::array<std::byte, kAlignment> kZeros{};
  write(std::span(kZeros).first((kAlignment - at_ % kAlignment) % kAlignment));
}

bool PackedFileWriter::commit(const std::string& about) {
  const std::string index = about + "\n" + index_;
  Trailer trailer;
  trailer.index_at = at_;
  trailer.index_bytes = index.size();
  write(std::as_bytes(std::span(index)));
  trailer.hash = hash_.digest();
  write(std::as_bytes(std::span(&trailer, 1)));
  const bool synced = !failed_ && ::fdatasync(fd_) == 0;
  ::close(std::exchange(fd_, -1));
  if (synced && ::rename(temporary_.c_str(), path_.c_str()) == 0) return true;
  ::unlink(temporary_.c_str());
  return false;
}

}  // namespace stella::models
