#include "base/repo_names.hpp"
#include "hub/cache/file_io.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"
#include "hub/cache/tar.hpp"

#include <map>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

void write_text(NewFile& out, const std::string& text) {
  out.write(std::as_bytes(std::span(text)));
}

void write_blob(NewFile& out, const RepoPaths& paths, const std::string& entry_name, Progress progress,
                const std::string& etag, const ProgressCallback& on_progress, const std::stop_token& stop) {
  const fs::path blob = paths.blob(etag);
  const UniqueFd fd = open_regular(blob);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw io_error("look at", blob, errno);
  progress.total = static_cast<std::uint64_t>(status.st_size);
  progress.from_cache = true;
  write_text(out, tar_header({TarEntry::Kind::file, entry_name, {}, progress.total}));
  const std::string hash = hash_range(fd, 0, progress.total, etag, blob, stop, [&](std::span<const std::byte> block) {
    out.write(block);
    progress.bytes += block.size();
    if (on_progress) on_progress(progress);
  });
  if (hash != etag) {
    throw Error(Errc::integrity, "'" + progress.file + "' of '" + progress.repo +
                                     "' is damaged in the cache; run `stella cache verify " + progress.repo +
                                     " --repair`, then pack again");
  }
  write_text(out, tar_padding(progress.total));
  progress.finished = true;
  if (on_progress) on_progress(progress);
}

// The archive replaces what has its name, and must not replace a device or a pipe.
void check_target(const std::filesystem::path& archive) {
  struct stat status {};
  if (::stat(archive.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return;
  throw Error(Errc::invalid_argument, "'" + archive.string() + "' is not a regular file; name a file for the archive");
}

}  // namespace
}  // namespace stella::hub

namespace stella::cache {

void pack(const HubOptions& hub, const std::string& repo, const std::string& revision,
          const std::filesystem::path& archive, const ProgressCallback& on_progress, const std::stop_token& stop) {
  using namespace stella::hub;
  check_repo(repo);
  check_revision(revision);
  check_target(archive);
  const RepoPaths paths(hub.cache_dir, repo);
  const auto commit = known_commit(paths, revision);
  const std::vector<File> files = commit ? files_of(paths, BlobIndex(paths), *commit) : std::vector<File>{};
  if (files.empty()) {
    throw Error(Errc::local_entry_not_found,
                "the cache holds no revision '" + revision + "' of '" + repo + "'; download it first");
  }
  std::map<std::string, std::string> blobs;  // etag, a file that it is
  for (const File& file : files) {
    if (!file.size) {
      throw Error(Errc::integrity, "the link of '" + file.path + "' of '" + repo +
                                       "' leads nowhere; run `stella cache verify " + repo +
                                       " --repair`, then pack again");
    }
    if (file.blob.empty()) {
      throw Error(Errc::invalid_argument,
                  "'" + file.path + "' of '" + repo +
                      "' is none of the cache's blobs (stored without a symbolic link, or linked to elsewhere), so its "
                      "hash is not known; download into another HF_HOME without HF_HUB_DISABLE_SYMLINKS");
    }
    blobs.emplace(file.blob, file.path);
  }
  const std::string root = paths.folder().filename().string() + "/";
  NewFile out(archive);
  for (const auto& [etag, file] : blobs) {
    write_blob(out, paths, root + "blobs/" + etag, {.repo = repo, .file = file}, etag, on_progress, stop);
  }
  for (const File& file : files) {
    const std::string name = root + "snapshots/" + *commit + "/" + file.path;
    write_text(out, tar_header({TarEntry::Kind::link, name, RepoPaths::link_target(file.path, file.blob)}));
  }
  if (revision != *commit) {
    write_text(out, tar_header({TarEntry::Kind::file, root + "refs/" + revision, {}, commit->size()}));
    write_text(out, *commit + tar_padding(commit->size()));
  }
  write_text(out, tar_end());
  out.commit();
}

}  // namespace stella::cache
