#include "hub/cache_scan.hpp"

#include "hub/cache_store.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <string_view>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

std::uint64_t size_of(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

std::uint64_t bytes_on_disk(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512U : 0;
}

// The hash of the blob that a link leads to by its text alone; empty where it leads anywhere else.
std::string blob_of_link(const RepoPaths& paths, const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  if (error) return {};
  const std::string hash = target.filename();
  if (!is_etag(hash)) return {};
  const fs::path full = (target.is_absolute() ? target : link.parent_path() / target).lexically_normal();
  return full == paths.blob(hash).lexically_normal() ? hash : std::string();
}

// Calls `use(entry)` for what lies below a folder and is no folder itself. Links are not followed.
template <class Use>
void walk(const fs::path& folder, Use use) {
  if (!is_real_folder(folder)) return;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (!is_real_folder(at->path())) use(at->path());
  }
}

}  // namespace

std::string repo_of_folder(const std::string& folder) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder.starts_with(kPrefix)) return {};
  const std::string_view name = std::string_view(folder).substr(kPrefix.size());
  const std::size_t dashes = name.find("--");
  std::string repo(name.substr(0, dashes));
  if (dashes != std::string_view::npos) repo.append(1, '/').append(name.substr(dashes + 2));
  try {
    check_repo(repo);
  } catch (const Error&) {
    return {};
  }
  return repo;
}

bool is_real_folder(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() == fs::file_type::directory;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!is_real_folder(folder)) return found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    found.push_back(at->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::pair<std::string, std::string>> refs_of(const RepoPaths& paths) {
  std::vector<std::pair<std::string, std::string>> refs;
  const fs::path folder = paths.folder() / "refs";
  walk(folder, [&](const fs::path& ref) {
    const std::string revision = ref.lexically_relative(folder).generic_string();
    if (is_commit(revision)) return;
    if (const auto commit = known_commit(paths, revision)) refs.emplace_back(revision, *commit);
  });
  std::sort(refs.begin(), refs.end());
  return refs;
}

std::vector<std::string> commits_of(const RepoPaths& paths) {
  std::vector<std::string> commits;
  for (const fs::path& folder : entries_of(paths.folder() / "snapshots")) {
    if (is_commit(folder.filename().native()) && is_real_folder(folder)) commits.push_back(folder.filename());
  }
  return commits;
}

std::vector<cache::File> files_of(const RepoPaths& paths, const std::string& commit) {
  std::vector<cache::File> files;
  const fs::path folder = paths.snapshot(commit);
  walk(folder, [&](const fs::path& entry) {
    cache::File file{entry.lexically_relative(folder).generic_string()};
    const bool link = fs::is_symlink(fs::symlink_status(entry));
    if (link) file.blob = blob_of_link(paths, entry);
    const bool sound = link ? !file.blob.empty() && has_blob(paths, file.blob) : is_file(entry);
    if (sound) file.size = size_of(entry);
    files.push_back(std::move(file));
  });
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::set<std::string> referenced_blobs(const RepoPaths& paths) {
  std::set<std::string> hashes;
  for (const std::string& commit : commits_of(paths)) {
    for (const cache::File& file : files_of(paths, commit)) {
      if (!file.blob.empty()) hashes.insert(file.blob);
    }
  }
  return hashes;
}

cache::Repository scan_repo(const RepoPaths& paths, const std::string& repo) {
  cache::Repository found{repo, paths.folder()};
  std::set<std::string> referenced;
  const auto refs = refs_of(paths);
  for (const std::string& commit : commits_of(paths)) {
    cache::Revision revision{commit};
    for (const auto& [name, target] : refs) {
      if (target == commit) revision.refs.push_back(name);
    }
    revision.files = files_of(paths, commit);
    for (const cache::File& file : revision.files) {
      if (!file.blob.empty()) referenced.insert(file.blob);
      if (file.blob.empty()) found.bytes += file.size.value_or(0);
    }
    found.revisions.push_back(std::move(revision));
  }
  for (const fs::path& entry : entries_of(paths.blobs())) {
    const std::string name = entry.filename();
    if (name.ends_with(".incomplete")) {
      found.unfinished.push_back({name, bytes_on_disk(entry)});
      found.bytes += found.unfinished.back().bytes;
    } else if (is_etag(name) && has_blob(paths, name)) {
      found.blobs.push_back({name, size_of(entry), referenced.contains(name)});
      found.bytes += found.blobs.back().size;
    }
  }
  return found;
}

std::vector<std::pair<std::string, RepoPaths>> repos_of(const fs::path& cache_dir, const std::string& repo) {
  if (!repo.empty()) check_repo(repo);
  std::error_code error;
  const fs::path root = fs::canonical(cache_dir, error);  // the cache itself may be reached by a link
  std::vector<std::pair<std::string, RepoPaths>> repos;
  if (error) return repos;
  for (const fs::path& folder : entries_of(root)) {
    const std::string name = repo_of_folder(folder.filename());
    if (name.empty() || (!repo.empty() && name != repo) || !is_real_folder(folder)) continue;
    repos.emplace_back(name, RepoPaths(root, name));
  }
  return repos;
}

}  // namespace stella::hub

namespace stella::cache {

Contents list(const HubOptions& hub) {
  Contents contents{hub.cache_dir};
  for (const auto& [repo, paths] : hub::repos_of(hub.cache_dir)) {
    contents.repositories.push_back(hub::scan_repo(paths, repo));
    contents.bytes += contents.repositories.back().bytes;
  }
  return contents;
}

}  // namespace stella::cache
