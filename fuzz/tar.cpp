// Archives: reading their entries, and unpacking them into a cache, beside which nothing may change.
#include "hub/cache/tar.hpp"

#include "fuzz.hpp"
#include "stella/cache.hpp"

using namespace stella;
using fuzz::check;
namespace fs = std::filesystem;

namespace {

void read_entries(const fs::path& path, std::size_t size) {
  hub::TarReader reader(path);
  std::uint64_t last = 0;
  while (const auto entry = reader.next()) {
    if (entry->kind != hub::TarEntry::Kind::file) continue;
    check(entry->offset >= last && entry->size <= size && entry->offset <= size - entry->size,
          "a file lies in the archive");
    last = entry->offset;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder kFolder;
  const fs::path archive = kFolder.write("archive.tar", fuzz::text_of(data, size));
  fuzz::holds_or_throws([&] { read_entries(archive, size); });
  const fs::path cache = kFolder.path() / "cache";
  const bool unpacked = fuzz::holds_or_throws([&] {
    HubOptions options;
    options.cache_dir = cache;
    for (const auto& one : cache::unpack(options, archive)) {
      check(one.directory.string().starts_with(cache.string()), "a snapshot lies in the cache");
    }
  });
  for (const auto& entry : fs::directory_iterator(kFolder.path())) {
    const std::string name = entry.path().filename().string();
    check(name == "archive.tar" || name == "cache", "nothing is written beside the cache");
  }
  std::error_code error;
  if (unpacked || fs::exists(cache, error)) fs::remove_all(cache, error);
  return 0;
}
