#include "hub/cache/tar.hpp"

#include "base/ascii.hpp"
#include "hub/cache/file_io.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <sys/stat.h>

namespace stella::hub {
namespace {

constexpr std::uint64_t kMaxPaxRecords = 64U * 1024U;
constexpr std::uint64_t kMaxOctal = 077777777777;  // eleven digits

std::string_view text_of(std::span<const char> field) {
  const auto end = std::find(field.begin(), field.end(), '\0');
  return {field.data(), static_cast<std::size_t>(end - field.begin())};
}

// ustar's header block.
struct Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, target[100], magic[6], version[2],
      user[32], group[32], major[8], minor[8], prefix[155], unused[12];

  // The sum of all bytes, the checksum's own counted as spaces.
  unsigned sum() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(this);
    unsigned total = 0;
    for (std::size_t i = 0; i < sizeof *this; ++i) total += bytes[i];
    for (const char c : checksum) total += ' ' - static_cast<unsigned>(static_cast<unsigned char>(c));
    return total;
  }

  static std::string make(char kind, std::string_view entry_name, std::string_view link, std::uint64_t bytes,
                          unsigned permissions) {
    Header header{};
    std::memcpy(header.name, entry_name.data(), std::min(entry_name.size(), sizeof header.name));
    std::memcpy(header.target, link.data(), std::min(link.size(), sizeof header.target));
    const auto octal = [](std::span<char> field, std::uint64_t value) {
      for (std::size_t i = field.size() - 1; i-- > 0; value /= 8) field[i] = static_cast<char>('0' + value % 8);
    };
    octal(header.mode, permissions);
    octal(header.uid, 0);
    octal(header.gid, 0);
    octal(header.size, std::min(bytes, kMaxOctal));
    octal(header.mtime, 0);
    header.type = kind;
    std::memcpy(header.magic, "ustar", sizeof header.magic);
    std::memcpy(header.version, "00", sizeof header.version);
    octal(std::span(header.checksum).first(7), header.sum());
    header.checksum[7] = ' ';
    return {reinterpret_cast<const char*>(&header), sizeof header};
  }
};
static_assert(sizeof(Header) == kTarBlock);

// "LENGTH key=value\n", where LENGTH counts itself.
std::string pax_record(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  std::size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) length = std::to_string(length).size() + rest.size();
  return std::to_string(length) + rest;
}

}  // namespace

std::string tar_header(const TarEntry& entry) {
  constexpr std::size_t kMaxName = 100;
  std::string records;
  if (entry.name.size() > kMaxName) records += pax_record("path", entry.name);
  if (entry.target.size() > kMaxName) records += pax_record("linkpath", entry.target);
  if (entry.size > kMaxOctal) records += pax_record("size", std::to_string(entry.size));
  std::string header;
  if (!records.empty()) {
    header = Header::make('x', "pax", "", records.size(), 0644) + records + tar_padding(records.size());
  }
  const char kind = entry.kind == TarEntry::Kind::link ? '2' : entry.kind == TarEntry::Kind::folder ? '5' : '0';
  return header + Header::make(kind, entry.name, entry.target, entry.size, kind == '2' ? 0777 : 0644);
}

std::string tar_padding(std::uint64_t size) {
  return std::string((kTarBlock - size % kTarBlock) % kTarBlock, '\0');
}

std::string tar_end() {
  return std::string(2 * kTarBlock, '\0');
}

TarReader::TarReader(const std::filesystem::path& path) : path_(path), fd_(open_regular(path)) {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) throw io_error("look at", path, errno);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void TarReader::refuse(const std::string& why) const {
  ErrorContext context;
  context.file = path_.string();
  throw Error(Errc::malformed_file,
              "refused the archive '" + path_.string() + "': " + why + "; make it anew with `stella download --pack`",
              std::move(context));
}

std::string TarReader::read(std::uint64_t size) {
  std::string bytes(size, '\0');
  if (size > size_ - offset_ || read_at(fd_, offset_, std::as_writable_bytes(std::span(bytes)), path_) != size) {
    refuse("it ends too early");
  }
  offset_ += size;
  return bytes;
}

void TarReader::skip_content(std::uint64_t size) {
  const std::uint64_t left = size_ - offset_;
  const std::uint64_t padded = size > left ? size : size + tar_padding(size).size();
  if (padded > left) refuse("it ends too early");
  offset_ += padded;
}

std::uint64_t TarReader::number(std::span<const char> field) const {
  std::uint64_t value = 0;
  const std::string_view digits = trim(text_of(field));
  if (digits.size() > 11) refuse("a number in it is malformed");
  for (const char c : digits) {
    if (c < '0' || c > '7') refuse("a number in it is malformed");
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

void TarReader::take_pax_records(std::uint64_t size) {
  if (size > kMaxPaxRecords) refuse("a pax header in it is too long");
  const std::uint64_t content = offset_;
  const std::string records = read(size);
  offset_ = content;
  skip_content(size);
  for (std::string_view rest = records; !rest.empty();) {
    const auto space = rest.find(' ');
    const auto length = space == std::string_view::npos ? std::nullopt : parse_number(rest.substr(0, space));
    if (!length || *length <= space + 1 || *length > rest.size() || rest[*length - 1] != '\n') {
      refuse("a pax header in it is malformed");
    }
    const std::string_view record = rest.substr(space + 1, *length - space - 2);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos) refuse("a pax header in it is malformed");
    const std::string_view key = record.substr(0, equals);
    const std::string value(record.substr(equals + 1));
    if (key == "path") next_name_ = value;
    if (key == "linkpath") next_target_ = value;
    if (key == "size" && !(next_size_ = parse_number(value))) refuse("a pax header in it is malformed");
    if (key.starts_with("GNU.sparse.")) refuse("it holds a sparse file");
    rest.remove_prefix(*length);
  }
}

std::optional<TarEntry> TarReader::next() {
  while (true) {
    const std::string block = read(kTarBlock);
    if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; })) return std::nullopt;
    Header header{};
    std::memcpy(&header, block.data(), sizeof header);
    if (number(header.checksum) != header.sum()) refuse("it is damaged, or no tar archive");
    const std::uint64_t size = number(header.size);
    if (header.type == 'x') {
      take_pax_records(size);
      continue;
    }
    if (header.type == 'g') {  // comments for all that follows
      skip_content(size);
      continue;
    }
    TarEntry entry;
    const std::string prefix(std::memcmp(header.magic, "ustar", 6) == 0 ? text_of(header.prefix) : "");
    const std::string name(text_of(header.name));
    entry.name = next_name_.value_or(prefix.empty() ? name : prefix + "/" + name);
    entry.target = next_target_.value_or(std::string(text_of(header.target)));
    entry.size = next_size_.value_or(size);
    next_name_.reset(), next_target_.reset(), next_size_.reset();
    switch (header.type) {
      case '0':
      case '\0':
        entry.kind = TarEntry::Kind::file;
        entry.offset = offset_;
        skip_content(entry.size);
        return entry;
      case '2':
      case '5':
        entry.kind = header.type == '2' ? TarEntry::Kind::link : TarEntry::Kind::folder;
        if (entry.size != 0) refuse("a link or folder in it has content");
        return entry;
      default:
        refuse("it holds more than files, folders and symbolic links");
    }
  }
}

}  // namespace stella::hub
