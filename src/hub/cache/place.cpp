#include "hub/cache/place.hpp"

#include "base/file.hpp"
#include "hub/cache/file_io.hpp"
#include "hub/cache/folder.hpp"
#include "hub/cache/paths.hpp"
#include "hub/cache/store.hpp"

#include <filesystem>
#include <sys/statvfs.h>
#include <utility>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

// ("a/b", "c") of "a/b/c"
std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

class Placer {
 public:
  Placer(const HubOptions& hub, const TarReader& reader, const Bundle& bundle, const std::stop_token& stop)
      : hub_(hub), reader_(reader), bundle_(bundle), stop_(stop), paths_(hub.cache_dir, bundle.repo) {}

  void place() const;

 private:
  void place_blob(const Folder& locks, const Folder& blobs, const std::string& etag) const;
  void place_link(const Folder& snapshots, const Bundle::Link& link) const;
  static void place_ref(const Folder& repository, const std::string& revision, const std::string& commit);
  void write_content(const std::string& etag, FileIn& out) const;

  const HubOptions& hub_;
  const TarReader& reader_;
  const Bundle& bundle_;
  const std::stop_token& stop_;
  const RepoPaths paths_;
};

// The archive may change while it is read, so the hash is taken again of what is written.
void Placer::write_content(const std::string& etag, FileIn& out) const {
  const TarEntry& entry = bundle_.blobs.at(etag);
  const auto write = [&](std::span<const std::byte> block) { out.write(block); };
  if (hash_range(reader_.fd(), entry.offset, entry.size, etag, reader_.path(), stop_, write) != etag) {
    reader_.refuse("it changed while it was read");
  }
  out.commit();
}

// What is there already is hashed, and replaced where it is damaged.
void Placer::place_blob(const Folder& locks, const Folder& blobs, const std::string& etag) const {
  const FileLock lock = wait_for_lock(locks, etag + ".lock", stop_);
  const fs::path path = paths_.blob(etag);
  const std::uint64_t size = bundle_.blobs.at(etag).size;
  std::error_code error;
  if (is_file(path) && fs::file_size(path, error) == size && !error) {
    if (hash_range(open_regular(path), 0, size, etag, path, stop_, {}) == etag) return;
  }
  FileIn out(blobs, etag, ".incomplete");
  write_content(etag, out);
}

void Placer::place_link(const Folder& snapshots, const Bundle::Link& link) const {
  const auto [above, name] = split(link.file);
  const Folder folder = snapshots.make_all(link.commit + (above.empty() ? "" : "/" + above));
  const std::string target = RepoPaths::link_target(link.file, link.etag);
  const bool linked = hub_.symlinks && (folder.link_text(name) == target || folder.link(name, target));
  if (!linked) {
    FileIn out(folder, name, ".tmp");
    write_content(link.etag, out);
  }
  folder.sync();
}

// Nothing torn may lie in refs/: see write_ref().
void Placer::place_ref(const Folder& repository, const std::string& revision, const std::string& commit) {
  const auto [above, name] = split(revision);
  const Folder folder = repository.make("refs").make_all(above);
  FileIn out(folder, name, ".tmp", repository);
  out.write(commit);
  out.commit();
  folder.sync();
}

// Names come after what they name.
void Placer::place() const {
  make_cache(paths_);
  const Folder root = Folder::open(hub_.cache_dir);
  const std::string name = paths_.folder().filename();
  const Folder locks = root.make_all(".locks/" + name);
  const Folder repository = root.make(name);
  const Folder blobs = repository.make("blobs");
  for (const auto& [etag, entry] : bundle_.blobs) place_blob(locks, blobs, etag);
  blobs.sync();
  const Folder snapshots = repository.make("snapshots");
  for (const auto& link : bundle_.links) place_link(snapshots, link);
  for (const auto& [revision, commit] : bundle_.refs) place_ref(repository, revision, commit);
}

}  // namespace

void check_place(const HubOptions& hub, const Bundle& bundle) {
  const RepoPaths paths(hub.cache_dir, bundle.repo);
  std::error_code error;
  if (!fs::exists(hub.cache_dir, error)) return;
  const Folder root = Folder::open(hub.cache_dir);
  const std::string name = paths.folder().filename();
  root.check_all(".locks/" + name);
  root.check_all(name + "/blobs");
  for (const auto& link : bundle.links) {
    root.check_all(name + "/snapshots/" + link.commit + "/" + split(link.file).first);
  }
  for (const auto& [revision, commit] : bundle.refs) root.check_all(name + "/refs/" + split(revision).first);
  struct statvfs disk {};
  if (::fstatvfs(root.fd().get(), &disk) != 0) return;
  std::uint64_t needed = 0;
  for (const auto& [etag, entry] : bundle.blobs) needed += is_file(paths.blob(etag)) ? 0 : entry.size;
  const std::uint64_t room = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (needed <= room) return;
  throw Error(Errc::io_error, "no room in " + hub.cache_dir.string() + " for '" + bundle.repo + "': " +
                                  std::to_string(needed) + " bytes are needed, " + std::to_string(room) + " free");
}

void place(const HubOptions& hub, const TarReader& reader, const Bundle& bundle, const std::stop_token& stop) {
  Placer(hub, reader, bundle, stop).place();
}

}  // namespace stella::hub
