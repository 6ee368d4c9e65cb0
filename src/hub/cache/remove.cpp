#include "hub/cache/remove.hpp"

#include "base/file.hpp"
#include "base/repo_names.hpp"
#include "hub/cache/file_lock.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <sys/stat.h>

namespace stella::hub {

namespace fs = std::filesystem;

std::string etag_of(const std::string& name) {
  std::string etag = name.substr(0, name.find('.'));
  return is_etag(etag) ? etag : std::string();
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);  // removes links, never what they lead to
  if (error) throw io_error("remove", path, error.value());
}

void remove_file(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw io_error("remove", path, errno);
}

void remove_snapshot(const RepoPaths& paths, const std::string& commit) {
  remove_tree(paths.snapshot(commit));
  remove_tree(paths.folder() / ".no_exist" / commit);
  remove_file(paths.folder() / "trees" / (commit + ".json"));  // Python's listing of the revision
}

std::uint64_t freed_bytes(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1) return 0;
  const bool has_holes = path.native().ends_with(".incomplete");
  return static_cast<std::uint64_t>(has_holes ? status.st_blocks * 512 : status.st_size);
}

std::uint64_t plain_bytes(const fs::path& snapshot) {
  std::uint64_t bytes = 0;
  if (!is_real_folder(snapshot)) return bytes;
  for (const std::string& file : names_below(snapshot)) bytes += freed_bytes(snapshot / file);
  return bytes;
}

void remove_if_empty(const RepoPaths& paths, const Uses& uses) {
  const bool empty = commits_of(paths).empty() && refs_of(paths).empty() && entries_of(paths.blobs()).empty();
  if (!empty || is_link(paths.folder()) || !uses.broken_by_removing(paths.folder()).empty()) return;
  remove_tree(paths.folder());
}

namespace {

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

// An emptied folder of a ref with slashes goes too.
void remove_ref(const RepoPaths& paths, const std::string& revision) {
  remove_file(paths.ref(revision));
  std::error_code error;
  const fs::path refs = paths.folder() / "refs";
  for (fs::path folder = paths.ref(revision).parent_path(); folder != refs; folder = folder.parent_path()) {
    if (!fs::remove(folder, error) || error) return;
  }
}

// Takes away blobs and unfinished ones, of which the locks are given, but those that `uses` knows.
void remove_blobs(const RepoPaths& paths, const std::map<std::string, std::optional<FileLock>>& locks, const Uses& uses,
                  cache::Removed& removed) {
  for (const fs::path& entry : entries_of(paths.blobs())) {
    const auto lock = locks.find(etag_of(entry.filename()));
    if (lock == locks.end()) continue;
    if (uses.contain(entry)) {
      ++removed.used;
      continue;
    }
    if (!lock->second) {
      ++removed.busy;
      continue;
    }
    removed.bytes += freed_bytes(entry);
    remove_file(entry);
    ++removed.blobs;
  }
}

// Whoever made links from one snapshot into another did so by hand, and can tell which is to go first.
void check_unused(const Uses& uses, const fs::path& folder, const std::string& what) {
  const fs::path used = uses.broken_by_removing(folder);
  if (used.empty()) return;
  throw Error(Errc::io_error, "cannot remove " + what + ": a link of another revision in this cache leads to " +
                                  used.string() + "; remove that revision first");
}

// What lies behind a linked folder may be anybody's.
void check_parts(const RepoPaths& paths, const std::string& repo) {
  for (const char* name : {"snapshots", "blobs", "refs", ".no_exist", "trees"}) {
    const fs::path part = paths.folder() / name;
    if (!is_link(part)) continue;
    throw Error(Errc::io_error, "cannot remove anything of '" + repo + "': " + part.string() +
                                    " is a link, and what lies behind one is not removed; remove it by hand");
  }
}

// The link, which is all that is this cache's.
cache::Removed remove_linked_repo(const RepoPaths& paths, const std::string& repo) {
  check_unused(Uses(paths, {paths.folder()}), paths.folder(), "'" + repo + "'");
  std::error_code error;
  cache::Removed removed{.link_target = fs::canonical(paths.folder(), error)};
  remove_file(paths.folder());
  return removed;
}

cache::Removed remove_repo(const RepoPaths& paths, const std::string& repo) {
  if (is_link(paths.folder())) return remove_linked_repo(paths, repo);
  check_parts(paths, repo);
  const auto locks = lock_blobs(paths, [](const std::string&) { return true; });
  for (const auto& [etag, lock] : locks) {
    if (!lock) {
      throw Error(Errc::io_error, "cannot remove '" + repo + "': its file " + etag.substr(0, 12) +
                                      "… is just being downloaded; wait until that has ended, or stop it");
    }
  }
  const Uses uses(paths, {paths.folder()});
  for (const char* part : {"snapshots", "refs"}) check_unused(uses, paths.folder() / part, "'" + repo + "'");
  cache::Removed removed{};
  for (const std::string& commit : commits_of(paths)) {
    removed.bytes += plain_bytes(paths.snapshot(commit));
    ++removed.revisions;
  }
  // Names go before contents: whoever looks meanwhile finds nothing rather than a link to nowhere.
  remove_tree(paths.folder() / "refs");
  remove_tree(paths.folder() / "snapshots");
  remove_blobs(paths, locks, uses, removed);
  if (removed.used == 0 && uses.broken_by_removing(paths.folder()).empty()) remove_tree(paths.folder());
  return removed;
}

cache::Removed remove_revision(const RepoPaths& paths, const std::string& repo, const std::string& revision) {
  check_revision(revision);
  const auto commit = known_commit(paths, revision);
  const auto refs = refs_of(paths);
  const auto named = [&](const auto& ref) { return commit && ref.second == *commit; };
  const bool present = commit && is_folder(paths.snapshot(*commit));
  if (!present && std::none_of(refs.begin(), refs.end(), named)) {
    throw Error(Errc::invalid_argument, "the cache holds no revision '" + revision + "' of '" + repo +
                                            "'; `stella cache ls` shows what it holds");
  }
  check_parts(paths, repo);
  const fs::path snapshot = paths.snapshot(*commit);
  std::set<std::string> used;
  for (const cache::File& file : files_of(paths, BlobIndex(paths), *commit)) used.insert(file.blob);
  // A download links under the blob's lock, so no name is added to these while we hold it.
  const auto locks = lock_blobs(paths, [&](const std::string& etag) { return used.contains(etag); });
  const Uses uses(paths, {snapshot});
  check_unused(uses, snapshot, "revision '" + revision + "' of '" + repo + "'");
  cache::Removed removed{.revisions = 1, .bytes = plain_bytes(snapshot)};
  for (const auto& ref : refs) {
    if (named(ref)) remove_ref(paths, ref.first);
  }
  remove_snapshot(paths, *commit);
  remove_blobs(paths, locks, uses, removed);
  removed.used = 0;  // other revisions' as a matter of course
  remove_if_empty(paths, uses);
  return removed;
}

}  // namespace
}  // namespace stella::hub

namespace stella::cache {

Removed remove(const HubOptions& hub, const std::string& repo, const std::optional<std::string>& revision) {
  check_repo(repo);
  const auto repos = hub::repos_of(hub.cache_dir, repo);
  if (repos.empty()) {
    throw Error(Errc::invalid_argument, "the cache " + hub.cache_dir.string() + " holds no '" + repo +
                                            "'; `stella cache ls` shows what it holds");
  }
  const hub::RepoPaths& paths = repos.front().second;
  return revision ? hub::remove_revision(paths, repo, *revision) : hub::remove_repo(paths, repo);
}

}  // namespace stella::cache
