// The record beside an unfinished download: lines as they are, or, after a first odd byte, with the checksums they
// need.
#include "fuzz.hpp"
#include "hub/download/partial_file.hpp"

#include <sys/stat.h>

using namespace stella;
using fuzz::check;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kSize = 1000;

std::string record_of(const std::uint8_t* data, std::size_t size, const std::string& header) {
  std::string_view rest = fuzz::text_of(data + 1, size - 1);
  if (data[0] % 2 == 0) return std::string(rest);
  std::string record = hub::checksummed_line(header);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    record += hub::checksummed_line(std::string(rest.substr(0, end)));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return record;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder kFolder;
  static const std::string kEtag(64, 'a');
  if (size == 0) return 0;
  const hub::RepoPaths paths(kFolder.path(), "a/b");
  fs::create_directories(paths.blobs());
  const fs::path body = paths.partial(kEtag);
  {
    std::ofstream(body).put('x');
    fs::resize_file(body, kSize);
  }
  struct stat status {};
  check(::stat(body.c_str(), &status) == 0, "the body is there");
  const std::string header =
      "stella-partial 1 " + kEtag + " " + std::to_string(kSize) + " " + std::to_string(status.st_ino);
  const std::string record = record_of(data, size, header);
  std::ofstream(paths.partial_record(kEtag), std::ios::binary)
      .write(record.data(), static_cast<std::streamsize>(record.size()));
  const bool opened = fuzz::holds_or_throws([&] {
    hub::PartialFile file(paths, kEtag, kSize);
    std::uint64_t total = 0, last = 0;
    for (const auto& [first, end] : file.resumed().ranges()) {
      check(first < end && end <= kSize && (total == 0 || first > last), "ranges lie in the file, apart and in order");
      total += end - first;
      last = end;
    }
    check(total == file.resumed().total(), "ranges add up");
    file.write(kSize - 1, std::as_bytes(std::span("x", 1)));
    file.remove();
  });
  check(opened, "a record never prevents a download");
  if (const auto line = hub::verified_line(fuzz::text_of(data, size))) {
    check(hub::checksummed_line(std::string(*line)) == std::string(fuzz::text_of(data, size)) + "\n",
          "a line has one checksum");
  }
  return 0;
}
