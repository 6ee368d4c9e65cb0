#include "base/file.hpp"
#include "hub/cache_scan.hpp"
#include "hub/cache_store.hpp"
#include "hub/file_lock.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

// "<etag>" of "<etag>" and of what a download calls its unfinished files; empty for other names.
std::string etag_of(const std::string& name) {
  std::string etag = name.substr(0, name.find('.'));
  return is_etag(etag) ? etag : std::string();
}

// The locks of all blobs, unfinished ones included, that satisfy `wanted`. Nothing for those that a download holds.
template <class Wanted>
std::map<std::string, std::optional<FileLock>> lock_blobs(const RepoPaths& paths, Wanted wanted) {
  std::map<std::string, std::optional<FileLock>> locks;
  for (const fs::path& entry : entries_of(paths.blobs())) {
    const std::string etag = etag_of(entry.filename());
    if (etag.empty() || locks.contains(etag) || !wanted(etag)) continue;
    locks.emplace(etag, FileLock::try_acquire(paths.lock(etag)));
  }
  return locks;
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);  // removes links, never what they lead to
  if (error) throw io_error("remove", path, error.value());
}

void remove_file(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw io_error("remove", path, errno);
}

// An emptied folder of a ref with slashes goes too.
void remove_ref(const RepoPaths& paths, const std::string& revision) {
  remove_file(paths.ref(revision));
  std::error_code error;
  const fs::path refs = paths.folder() / "refs";
  for (fs::path folder = paths.ref(revision).parent_path(); folder != refs; folder = folder.parent_path()) {
    if (!fs::remove(folder, error) || error) return;
  }
}

cache::Removed remove_repo(const RepoPaths& paths, const std::string& repo) {
  const auto locks = lock_blobs(paths, [](const std::string&) { return true; });
  for (const auto& [etag, lock] : locks) {
    if (!lock) {
      throw Error(Errc::io_error, "cannot remove '" + repo + "': its file " + etag.substr(0, 12) +
                                      "… is just being downloaded; wait until that has ended, or stop it");
    }
  }
  const cache::Repository before = scan_repo(paths, repo);
  // Names go before contents: whoever looks meanwhile finds nothing rather than a link to nowhere.
  remove_tree(paths.folder() / "refs");
  remove_tree(paths.folder() / "snapshots");
  remove_tree(paths.folder());
  return {before.revisions.size(), before.blobs.size() + before.unfinished.size(), before.bytes, 0};
}

cache::Removed remove_revision(const RepoPaths& paths, const std::string& repo, const std::string& revision) {
  check_revision(revision);
  const auto commit = known_commit(paths, revision);
  const auto refs = refs_of(paths);
  const auto named = [&](const auto& ref) { return commit && ref.second == *commit; };
  const bool present = commit && is_real_folder(paths.snapshot(*commit));
  if (!present && std::none_of(refs.begin(), refs.end(), named)) {
    throw Error(Errc::invalid_argument, "the cache holds no revision '" + revision + "' of '" + repo +
                                            "'; `stella cache ls` shows what it holds");
  }
  cache::Removed removed{.revisions = 1};
  std::set<std::string> used;
  for (const cache::File& file : files_of(paths, *commit)) {
    if (file.blob.empty()) removed.bytes += file.size.value_or(0);
    if (!file.blob.empty()) used.insert(file.blob);
  }
  for (const auto& ref : refs) {
    if (named(ref)) remove_ref(paths, ref.first);
  }
  const auto locks = lock_blobs(paths, [&](const std::string& etag) { return used.contains(etag); });
  remove_tree(paths.snapshot(*commit));
  remove_tree(paths.folder() / ".no_exist" / *commit);
  remove_file(paths.folder() / "trees" / (*commit + ".json"));  // Python's listing of the revision
  const std::set<std::string> still_used = referenced_blobs(paths);
  for (const auto& [etag, lock] : locks) {
    if (still_used.contains(etag)) continue;
    if (!lock) {
      ++removed.busy;
      continue;
    }
    for (const fs::path& entry : entries_of(paths.blobs())) {
      if (etag_of(entry.filename()) != etag) continue;
      struct stat status {};
      if (::stat(entry.c_str(), &status) == 0) removed.bytes += static_cast<std::uint64_t>(status.st_size);
      remove_file(entry);
      ++removed.blobs;
    }
  }
  if (commits_of(paths).empty() && refs_of(paths).empty() && entries_of(paths.blobs()).empty()) {
    remove_tree(paths.folder());
  }
  return removed;
}

}  // namespace
}  // namespace stella::hub

namespace stella::cache {

Removed remove(const HubOptions& hub, const std::string& repo, const std::optional<std::string>& revision) {
  hub::check_repo(repo);
  const auto repos = hub::repos_of(hub.cache_dir, repo);
  if (repos.empty()) {
    throw Error(Errc::invalid_argument, "the cache " + hub.cache_dir.string() + " holds no '" + repo +
                                            "'; `stella cache ls` shows what it holds");
  }
  const hub::RepoPaths& paths = repos.front().second;
  return revision ? hub::remove_revision(paths, repo, *revision) : hub::remove_repo(paths, repo);
}

}  // namespace stella::cache
