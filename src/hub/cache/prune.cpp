#include "base/repo_names.hpp"
#include "hub/cache/file_lock.hpp"
#include "hub/cache/links.hpp"
#include "hub/cache/remove.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <set>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;
using cache::Waste;

// "{name}.{8 or 16 hexadecimal digits}.tmp"
bool is_temporary_name(std::string_view name) {
  constexpr std::string_view kSuffix = ".tmp";
  if (!name.ends_with(kSuffix)) return false;
  name.remove_suffix(kSuffix.size());
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view digits = name.substr(dot + 1);
  constexpr std::string_view kHex = "0123456789abcdef";
  return (digits.size() == 8 || digits.size() == 16) && digits.find_first_not_of(kHex) == std::string_view::npos;
}

bool is_old(const fs::path& path) {
  constexpr std::time_t kHour = 3600;
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && status.st_mtim.tv_sec < std::time(nullptr) - kHour;
}

class Pruner {
 public:
  explicit Pruner(bool dry_run) : dry_run_(dry_run) {}

  void prune(const std::string& repo, const RepoPaths& paths);
  cache::Pruned take() { return std::move(pruned_); }

 private:
  bool lock_blobs(const RepoPaths& paths);
  static std::set<std::string> superseded(const RepoPaths& paths);
  void prune_revisions(const RepoPaths& paths, const std::set<std::string>& commits);
  void prune_blobs(const RepoPaths& paths, const Uses& uses);
  void prune_temporary(const RepoPaths& paths, const fs::path& entry);
  void prune_temporaries(const RepoPaths& paths, const fs::path& folder);
  void add(Waste::Kind kind, const RepoPaths& paths, const fs::path& path, std::uint64_t bytes);

  const bool dry_run_;
  std::string repo_{};
  std::vector<FileLock> locks_{};
  cache::Pruned pruned_{};
};

// A blob's lock is held while a download links it. False where somebody holds one.
bool Pruner::lock_blobs(const RepoPaths& paths) {
  std::set<std::string> etags;
  for (const fs::path& entry : entries_of(paths.blobs())) etags.insert(etag_of(entry.filename()));
  etags.erase("");
  for (const std::string& etag : etags) {
    if (dry_run_ && !own_id_of(paths.lock(etag))) continue;  // and do not make it
    auto lock = FileLock::try_acquire(paths.lock(etag));
    if (!lock) return false;
    locks_.push_back(std::move(*lock));
  }
  return true;
}

std::set<std::string> Pruner::superseded(const RepoPaths& paths) {
  std::set<std::string> named;
  for (const auto& [revision, commit] : refs_of(paths)) {
    if (is_folder(paths.snapshot(commit))) named.insert(commit);
  }
  std::set<std::string> commits;
  if (named.empty()) return commits;
  for (const std::string& commit : commits_of(paths)) {
    if (!named.contains(commit)) commits.insert(commit);
  }
  return commits;
}

void Pruner::add(Waste::Kind kind, const RepoPaths& paths, const fs::path& path, std::uint64_t bytes) {
  const std::string name = kind == Waste::Kind::revision ? path.filename().string()
                                                         : path.lexically_relative(paths.folder()).generic_string();
  pruned_.waste.push_back({kind, repo_, name, bytes});
  pruned_.bytes += bytes;
}

void Pruner::prune_revisions(const RepoPaths& paths, const std::set<std::string>& commits) {
  for (const std::string& commit : commits) {
    add(Waste::Kind::revision, paths, paths.snapshot(commit), plain_bytes(paths.snapshot(commit)));
    if (!dry_run_) remove_snapshot(paths, commit);
  }
}

void Pruner::prune_blobs(const RepoPaths& paths, const Uses& uses) {
  for (const fs::path& entry : entries_of(paths.blobs())) {
    const std::string name = entry.filename();
    if (is_real_folder(entry)) continue;  // nobody's
    const bool unfinished = name.ends_with(".incomplete") && !etag_of(name).empty();
    if (!unfinished && !(is_etag(name) && is_file(entry) && !uses.contain(entry))) continue;
    add(unfinished ? Waste::Kind::unfinished : Waste::Kind::blob, paths, entry, freed_bytes(entry));
    if (!dry_run_) remove_file(entry);
  }
}

void Pruner::prune_temporary(const RepoPaths& paths, const fs::path& entry) {
  if (is_real_folder(entry) || !is_temporary_name(entry.filename().native()) || !is_old(entry)) return;
  add(Waste::Kind::temporary, paths, entry, freed_bytes(entry));
  if (!dry_run_) remove_file(entry);
}

// In real folders only.
void Pruner::prune_temporaries(const RepoPaths& paths, const fs::path& folder) {
  if (!is_real_folder(folder)) return;
  for (const fs::path& entry : entries_of(folder)) {
    prune_temporary(paths, entry);
    prune_temporaries(paths, entry);
  }
}

void Pruner::prune(const std::string& repo, const RepoPaths& paths) {
  repo_ = repo;
  const std::size_t before = pruned_.waste.size();
  for (const fs::path& folder :
       {paths.folder(), paths.blobs(), paths.folder() / "snapshots", paths.folder() / "refs"}) {
    if (is_link(folder)) return;
  }
  locks_.clear();
  if (!lock_blobs(paths)) {
    ++pruned_.busy;
    return;
  }
  std::set<std::string> commits = superseded(paths);
  std::vector<fs::path> folders;
  for (const std::string& commit : commits) folders.push_back(paths.snapshot(commit));
  // What stays may lead into another that then stays, too.
  for (bool changed = true; changed;) {
    const Uses by_the_rest(paths, folders);
    changed = std::erase_if(folders, [&](const fs::path& folder) {
                if (by_the_rest.broken_by_removing(folder).empty()) return false;
                commits.erase(folder.filename());
                return true;
              }) != 0;
  }
  const Uses uses(paths, folders);
  prune_revisions(paths, commits);
  prune_blobs(paths, uses);
  for (const fs::path& entry : entries_of(paths.folder())) prune_temporary(paths, entry);  // refs, to be
  prune_temporaries(paths, paths.folder() / "refs");
  prune_temporaries(paths, paths.folder() / "snapshots");
  if (pruned_.waste.size() != before && !dry_run_) remove_if_empty(paths, uses);
}

}  // namespace
}  // namespace stella::hub

namespace stella::cache {

Pruned prune(const HubOptions& hub, bool dry_run) {
  hub::Pruner pruner(dry_run);
  std::vector<std::string> failures;
  for (const auto& [repo, paths] : hub::repos_of(hub.cache_dir)) {
    try {
      pruner.prune(repo, paths);
    } catch (const Error& error) {
      failures.push_back(repo + ": " + error.what());
    }
  }
  Pruned pruned = pruner.take();
  pruned.failures = std::move(failures);
  return pruned;
}

}  // namespace stella::cache
