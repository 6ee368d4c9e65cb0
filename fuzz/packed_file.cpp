// Packed weights. By the first byte: any bytes; a good file with some changed; parts and an index with the checksums
// that they need.
#include "models/packed_file.hpp"

#include "base/crc32c.hpp"
#include "fuzz.hpp"

#include <cstring>
#include <vector>

using namespace stella;
using fuzz::check;

namespace {

const std::vector<std::string>& names() {
  static const std::vector<std::string> kNames = {"a", "layer.0.weight", "empty", ""};
  return kNames;
}

std::string good_file(const std::filesystem::path& folder) {
  auto place = PrivateFolder::open(folder / "good", true);
  check(place.has_value(), "a folder can be made");
  models::PackedFileWriter writer(std::make_shared<const PrivateFolder>(std::move(*place)), "file");
  const std::vector<std::byte> bytes(700, std::byte{7});
  writer.add("a", std::span(bytes).first(100));
  writer.add("layer.0.weight", bytes);
  writer.add("empty", {});
  check(writer.commit("packed weights, for a fuzzer"), "a file can be written");
  return read_text_file(folder / "good" / "file");
}

/// Edits: place (2 bytes), number of bytes, the bytes.
std::string edited(std::string bytes, std::string_view edits) {
  while (edits.size() > 3) {
    const auto byte = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(edits[i])}; };
    const std::size_t place = (byte(0) | byte(1) << 8) % (bytes.size() + 1);
    const std::size_t count = std::min(byte(2) % 16, edits.size() - 3);
    bytes.replace(place, std::min(count, bytes.size() - place), edits.substr(3, count));
    edits.remove_prefix(3 + count);
  }
  return bytes;
}

/// As many blocks of zeros as the first byte says, an index, and the trailer that belongs to both.
std::string with_index(std::string_view index) {
  const std::size_t blocks = index.empty() ? 0 : static_cast<unsigned char>(index[0]) % 32;
  index.remove_prefix(std::min<std::size_t>(1, index.size()));
  std::string bytes(blocks * 64, '\0');
  bytes += index;
  const auto put = [&bytes](const auto& value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  bytes += "stellaPW";
  put(std::uint64_t{2});
  put(std::uint64_t{blocks * 64});
  put(std::uint64_t{index.size()});
  put(crc32c(std::as_bytes(std::span(index))));
  bytes.append(24, '\0');
  put(crc32c(std::as_bytes(std::span(bytes)).last(60)));
  return bytes;
}

/// Whether the file was read and has the checksums that it names.
bool read(const std::filesystem::path& path, ParallelTeam& team) {
  return fuzz::holds_or_throws([&] {
    const auto file = models::PackedFile::open(path);
    check(file->about().find('\n') == std::string::npos, "about is a line");
    for (const std::string& name : names()) {
      fuzz::holds_or_throws([&] {
        const auto part = file->part(name);
        check(part.size() <= file->bytes(), "a part lies in the file");
        check(part.empty() || reinterpret_cast<std::uintptr_t>(part.data()) % 64 == 0, "a part is aligned");
        check(part.empty() || crc32c(part) <= UINT32_MAX, "a part can be read");
      });
    }
    file->check(team);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder kFolder;
  static const std::string kGood = good_file(kFolder.path());
  static ParallelTeam kTeam(1);
  if (size == 0) return 0;
  const std::string_view rest = fuzz::text_of(data + 1, size - 1);
  const int kind = data[0] % 3;
  const std::string bytes = kind == 0 ? std::string(rest) : kind == 1 ? edited(kGood, rest) : with_index(rest);
  const bool sound = read(kFolder.write("packed", bytes), kTeam);
  if (kind == 1) check(sound == (bytes == kGood), "every byte is under a checksum");
  return 0;
}
