#include "models/packed_file.hpp"

#include "base/crc32c.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <utility>
#include <vector>

namespace stella::models {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'s', 't', 'e', 'l', 'l', 'a', 'P', 'W'};
constexpr std::uint64_t kVersion = 2;
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kStep = std::size_t{4} << 20U;       // bytes written or dropped at a time
constexpr std::size_t kMaxIndex = std::size_t{16} << 20U;  // bytes; a model's index has some tens of thousands

constexpr std::string_view kWhole = "whole";
constexpr std::string_view kRows = "rows";

struct Trailer {
  std::array<char, 8> magic = kMagic;
  std::uint64_t version = kVersion;
  std::uint64_t index_at = 0;
  std::uint64_t index_bytes = 0;
  std::uint32_t index_crc = 0;
  std::array<char, 24> zeros{};
  std::uint32_t crc = 0;  // of all before it
};
static_assert(sizeof(Trailer) == 64 && offsetof(Trailer, crc) == 60);

std::uint32_t crc_of(const Trailer& trailer) {
  return crc32c(std::as_bytes(std::span(&trailer, 1)).first(offsetof(Trailer, crc)));
}

std::uint32_t crc_of(std::string_view text) {
  return crc32c(std::as_bytes(std::span(text)));
}

constexpr std::size_t padding_of(std::uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

[[noreturn]] void malformed(const fs::path& path, const std::string& what) {
  throw Error(Errc::malformed_file, path.string() + ": the packed weights " + what + "; remove the file",
              {.file = path.string()});
}

/// A number and the space behind it; advances `text`.
template <class T>
bool take_number(std::string_view& text, T& number, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end == text.data() + text.size() || *end != ' ') return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

/// A use and the space behind it; advances `text`.
bool take_use(std::string_view& text, PartUse& use) {
  const std::size_t end = text.find(' ');
  const std::string_view word = text.substr(0, end);
  if (end == std::string_view::npos || (word != kWhole && word != kRows)) return false;
  use = word == kRows ? PartUse::rows : PartUse::whole;
  text.remove_prefix(end + 1);
  return true;
}

/// The trailer, and nothing of it where the sizes in it do not fit the file.
bool read_trailer(std::span<const std::byte> bytes, Trailer& trailer) {
  if (bytes.size() < sizeof(trailer)) return false;
  const std::size_t before = bytes.size() - sizeof(trailer);
  std::memcpy(&trailer, bytes.data() + before, sizeof(trailer));
  return trailer.magic == kMagic && trailer.index_at <= before && trailer.index_bytes == before - trailer.index_at &&
         trailer.index_bytes <= kMaxIndex;
}

std::string_view index_of(std::span<const std::byte> bytes, const Trailer& trailer) {
  return {reinterpret_cast<const char*>(bytes.data()) + trailer.index_at, trailer.index_bytes};
}

}  // namespace

PackedFile::PackedFile(MappedFile file) : file_(std::move(file)) {
  // A pass reads all weights: with small pages, a tenth of a query's time goes into finding them.
  file_.prefer_huge_pages();
  Trailer trailer;
  if (!read_trailer(file_.bytes(), trailer)) malformed(path(), "are cut short or have a damaged trailer");
  if (trailer.version != kVersion) malformed(path(), "are of another version");
  if (trailer.crc != crc_of(trailer)) malformed(path(), "have a damaged trailer");
  const std::string index(index_of(file_.bytes(), trailer));  // what is checked is what is used
  if (trailer.index_crc != crc_of(index)) malformed(path(), "have a damaged index");
  read_index(index, trailer.index_at);
}

void PackedFile::read_index(std::string_view text, std::size_t parts_bytes) {
  const std::size_t first_line = text.find('\n');
  if (first_line == std::string_view::npos) malformed(path(), "have a damaged index");
  about_ = text.substr(0, first_line);
  text.remove_prefix(first_line + 1);
  std::size_t at = 0;
  while (!text.empty()) {
    Part part{at, 0, 0, PartUse::whole};
    const bool numbers =
        take_number(text, part.size, 10) && take_number(text, part.crc, 16) && take_use(text, part.use);
    const std::size_t end = text.find('\n');
    if (!numbers || end == std::string_view::npos || part.size > parts_bytes - at ||
        padding_of(part.size) > parts_bytes - at - part.size ||
        !parts_.emplace(std::string(text.substr(0, end)), part).second) {
      malformed(path(), "have a damaged index");
    }
    at += part.size + padding_of(part.size);
    text.remove_prefix(end + 1);
  }
  if (at != parts_bytes) malformed(path(), "have a damaged index");
}

std::shared_ptr<const PackedFile> PackedFile::open(const UniqueFd& file, const fs::path& path) {
  return std::shared_ptr<const PackedFile>(new PackedFile(MappedFile(file, path)));
}

std::shared_ptr<const PackedFile> PackedFile::open(const fs::path& path) {
  return open(open_regular(path, false), path);
}

std::span<const std::byte> PackedFile::part(const std::string& name) const {
  const auto found = parts_.find(name);
  if (found == parts_.end()) malformed(path(), "lack '" + name + "'");
  return file_.bytes().subspan(found->second.at, found->second.size);
}

void PackedFile::check(ParallelTeam& team, const std::function<void(std::size_t)>& on_progress) const {
  constexpr std::size_t kPiece = std::size_t{1} << 20U;
  constexpr std::size_t kRound = 64;  // pieces between two reports
  struct Piece {
    std::span<const std::byte> bytes;
    PartUse use;
    std::uint32_t crc = 0;
    bool readable = true;
  };
  std::vector<const decltype(parts_)::value_type*> in_order;  // as they lie in the file
  for (const auto& part : parts_) in_order.push_back(&part);
  std::sort(in_order.begin(), in_order.end(), [](const auto* a, const auto* b) { return a->second.at < b->second.at; });
  std::vector<Piece> pieces;
  for (const auto* part : in_order) {
    const std::size_t end = part->second.at + part->second.size + padding_of(part->second.size);
    for (std::size_t at = part->second.at; at < end; at += kPiece) {
      pieces.push_back({file_.bytes().subspan(at, std::min(kPiece, end - at)), part->second.use});
    }
  }
  std::size_t done = 0;
  for (std::size_t first = 0; first < pieces.size(); first += kRound) {
    const std::span<Piece> round = std::span(pieces).subspan(first, std::min(kRound, pieces.size() - first));
    team.run(round.size(), [&](std::size_t task, std::size_t) {
      Piece& piece = round[task];
      piece.readable = file_.populate(piece.bytes);
      if (piece.readable) piece.crc = crc32c(piece.bytes);
      if (piece.use == PartUse::rows) {
        file_.drop(static_cast<std::size_t>(piece.bytes.data() - file_.bytes().data()), piece.bytes.size());
      }
    });
    for (const Piece& piece : round) {
      if (!piece.readable) throw io_error("read", path(), EIO);
      done += piece.bytes.size();
    }
    if (on_progress) on_progress(done);
  }
  auto piece = pieces.cbegin();
  for (const auto* part : in_order) {
    std::uint32_t crc = 0;
    for (std::size_t left = part->second.size + padding_of(part->second.size); left > 0; ++piece) {
      crc = crc32c_combine(crc, piece->crc, piece->bytes.size());
      left -= piece->bytes.size();
    }
    if (crc != part->second.crc) malformed(path(), "have a damaged part '" + part->first + "'");
  }
}

PackedLine read_packed_line(const UniqueFd& file, const fs::path& path) {
  const MappedFile mapped(file, path);
  Trailer trailer;
  if (!read_trailer(mapped.bytes(), trailer)) return {};
  const std::string_view index = index_of(mapped.bytes(), trailer);
  return {std::string(index.substr(0, index.find('\n'))), trailer.version == kVersion};
}

PackedFileWriter::PackedFileWriter(std::shared_ptr<const PrivateFolder> folder, std::string name)
    : folder_(std::move(folder)), name_(std::move(name)), file_(folder_->create(name_, kTemporaryMark, temporary_)) {}

PackedFileWriter::~PackedFileWriter() {
  if (!temporary_.empty()) folder_->remove(temporary_);
}

void PackedFileWriter::write(std::span<const std::byte> bytes) {
  if (failed_) return;
  try {
    write_all(file_, bytes, folder_->path_of(temporary_));
    at_ += bytes.size();
    start_writeback();
  } catch (const Error&) {
    failed_ = true;
  }
}

/// So that the disk works while the next parts are packed, and commit() has little left to wait for.
void PackedFileWriter::start_writeback() noexcept {
#if defined(SYNC_FILE_RANGE_WRITE)
  constexpr std::uint64_t kEvery = std::uint64_t{64} << 20U;
  if (at_ - on_its_way_ < kEvery) return;
  static_cast<void>(::sync_file_range(file_.get(), static_cast<off_t>(on_its_way_),
                                      static_cast<off_t>(at_ - on_its_way_), SYNC_FILE_RANGE_WRITE));
  on_its_way_ = at_;
#endif
}

void PackedFileWriter::add(const std::string& name, std::span<const std::byte> bytes, PartUse use,
                           const std::function<void(std::span<const std::byte>)>& on_written) {
  if (failed_) return;
  const std::size_t size = bytes.size();
  std::uint32_t crc = 0;
  while (!bytes.empty()) {
    // Writes that begin and end at huge pages of the file are cached in huge pages.
    const auto piece = bytes.first(std::min(kStep - at_ % kStep, bytes.size()));
    crc = crc32c(piece, crc);
    write(piece);
    if (failed_) return;
    if (on_written) on_written(piece);
    bytes = bytes.subspan(piece.size());
  }
  constexpr std::array<std::byte, kAlignment> kZeros{};
  const auto padding = std::span(kZeros).first(padding_of(size));
  write(padding);
  std::array<char, 48> line{};
  std::snprintf(line.data(), line.size(), "%zu %08x ", size, crc32c(padding, crc));
  index_.append(line.data()).append(use == PartUse::rows ? kRows : kWhole).append(" ").append(name).append("\n");
}

bool PackedFileWriter::commit(const std::string& about) {
  const std::string index = about + "\n" + index_;
  Trailer trailer;
  trailer.index_at = at_;
  trailer.index_bytes = index.size();
  trailer.index_crc = crc_of(index);
  trailer.crc = crc_of(trailer);
  write(std::as_bytes(std::span(index)));
  write(std::as_bytes(std::span(&trailer, 1)));
  if (failed_ || !folder_->commit(file_, temporary_, name_)) return false;
  temporary_.clear();
  return true;
}

}  // namespace stella::models
