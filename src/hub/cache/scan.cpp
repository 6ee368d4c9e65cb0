#include "hub/cache/scan.hpp"

#include "base/repo_names.hpp"
#include "hub/cache/store.hpp"
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

std::vector<std::pair<std::string, std::string>> refs_of(const RepoPaths& paths) {
  std::vector<std::pair<std::string, std::string>> refs;
  const fs::path folder = paths.folder() / "refs";
  walk(folder, [&](const fs::path& ref) {
    const std::string revision = ref.lexically_relative(folder).generic_string();
    if (is_commit(revision) || !is_file(ref)) return;
    if (const auto commit = known_commit(paths, revision)) refs.emplace_back(revision, *commit);
  });
  std::sort(refs.begin(), refs.end());
  return refs;
}

std::vector<std::string> commits_of(const RepoPaths& paths) {
  std::vector<std::string> commits;
  for (const fs::path& folder : entries_of(paths.folder() / "snapshots")) {
    if (is_commit(folder.filename().native()) && is_folder(folder)) commits.push_back(folder.filename());
  }
  return commits;
}

std::vector<cache::File> files_of(const RepoPaths& paths, const BlobIndex& blobs, const std::string& commit) {
  std::vector<cache::File> files;
  const fs::path folder = paths.snapshot(commit);
  walk(folder, [&](const fs::path& entry) {
    const Route route = follow(entry);
    cache::File file{entry.lexically_relative(folder).generic_string()};
    file.blob = blobs.blob_of(route);
    if (route.is_file()) file.size = static_cast<std::uint64_t>(route.end->st_size);
    files.push_back(std::move(file));
  });
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

cache::Repository scan_repo(const RepoPaths& paths, const std::string& repo) {
  cache::Repository found{repo, paths.folder()};
  const auto refs = refs_of(paths);
  const BlobIndex index(paths);
  std::set<std::string> referenced;
  std::set<FileId> counted;
  const auto count = [&](const fs::path& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !counted.insert(id_of(status)).second) return;
    found.bytes += static_cast<std::uint64_t>(status.st_size);
  };
  for (const std::string& commit : commits_of(paths)) {
    cache::Revision revision{commit};
    for (const auto& [name, target] : refs) {
      if (target == commit) revision.refs.push_back(name);
    }
    revision.files = files_of(paths, index, commit);
    for (const cache::File& file : revision.files) {
      if (!file.blob.empty()) referenced.insert(file.blob);
      const fs::path name = paths.pointer(commit, file.path);
      if (file.size && !is_link(name) && is_own_name(paths, commit, file.path)) count(name);
    }
    found.revisions.push_back(std::move(revision));
  }
  for (const fs::path& entry : entries_of(paths.blobs())) {
    const std::string name = entry.filename();
    if (name.ends_with(".incomplete")) {
      found.unfinished.push_back({name, bytes_on_disk(entry)});
      found.bytes += found.unfinished.back().bytes;
    } else if (is_etag(name) && is_file(entry)) {
      found.blobs.push_back({name, size_of(entry), referenced.contains(name)});
      count(entry);
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
    if (name.empty() || (!repo.empty() && name != repo) || !is_folder(folder)) continue;
    repos.emplace_back(name, RepoPaths(root, name));
  }
  return repos;
}

}  // namespace stella::hub

namespace stella::cache {

Contents list(const HubOptions& hub) {
  Contents contents{hub.cache_dir};
  for (const auto& [repo, paths] : hub::repos_of(hub.cache_dir)) {
    try {
      contents.repositories.push_back(hub::scan_repo(paths, repo));
    } catch (const Error& error) {
      contents.repositories.push_back({repo, paths.folder()});
      contents.repositories.back().failure = error.what();
    }
    contents.bytes += contents.repositories.back().bytes;
  }
  return contents;
}

}  // namespace stella::cache
