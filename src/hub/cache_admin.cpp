#include "hub/cache_admin.hpp"

#include "hub/cache_paths.hpp"
#include "hub/cache_store.hpp"
#include "hub/file_lock.hpp"
#include "hub/hasher.hpp"
#include "hub/unique_fd.hpp"

#include <algorithm>
#include <fcntl.h>
#include <span>
#include <string_view>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";

/// "org/name" of "models--org--name"; empty for anything else.
std::string repo_of(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) return {};
  std::string repo;
  const std::string_view name = std::string_view(folder).substr(kPrefix.size());
  const std::size_t dashes = name.find("--");
  repo.append(name.substr(0, dashes));
  if (dashes != std::string_view::npos) repo.append(1, '/').append(name.substr(dashes + 2));
  try {
    check_repo(repo);
  } catch (const Error&) {
    return {};
  }
  return repo;
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    found.push_back(at->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::uint64_t size_of(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

std::uint64_t bytes_on_disk(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512U : 0;
}

std::vector<std::string> commits_of(const RepoPaths& paths) {
  std::vector<std::string> commits;
  for (const fs::path& folder : entries(paths.folder() / "snapshots")) {
    if (is_commit(folder.filename().native())) commits.push_back(folder.filename());
  }
  return commits;
}

CachedRepo describe_repo(const RepoPaths& paths, const std::string& repo) {
  CachedRepo found{repo, paths.folder()};
  for (const fs::path& blob : entries(paths.blobs())) {
    if (blob.extension() == ".incomplete") {
      found.unfinished_bytes += bytes_on_disk(blob);
    } else {
      found.bytes += size_of(blob);
    }
  }
  found.commits = commits_of(paths);
  for (const std::string& commit : found.commits) {
    for (const std::string& file : snapshot_files(paths, commit)) {
      ++found.files;
      if (!fs::is_symlink(paths.pointer(commit, file))) found.bytes += size_of(paths.pointer(commit, file));
    }
  }
  const fs::path refs = paths.folder() / "refs";
  std::error_code error;
  for (fs::recursive_directory_iterator at(refs, error), end; !error && at != end; at.increment(error)) {
    if (!is_file(at->path())) continue;
    const std::string revision = at->path().lexically_relative(refs).generic_string();
    if (const auto commit = known_commit(paths, revision)) found.refs.emplace_back(revision, *commit);
  }
  std::sort(found.refs.begin(), found.refs.end());
  return found;
}

std::string hash_of(const fs::path& blob, const std::string& etag) {
  const UniqueFd fd(::open(blob.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw io_error("open", blob, errno);
  Hasher hasher(etag, size_of(blob));
  std::vector<std::byte> buffer(256U * 1024U);
  while (true) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("read", blob, errno);
    if (count == 0) return hasher.digest();
    hasher.update(std::span(buffer).first(static_cast<std::size_t>(count)));
  }
}

std::vector<std::pair<std::string, std::string>> users_of(const RepoPaths& paths, const std::string& etag) {
  std::vector<std::pair<std::string, std::string>> users;
  for (const std::string& commit : commits_of(paths)) {
    for (const std::string& file : snapshot_files(paths, commit)) {
      std::error_code error;
      if (fs::read_symlink(paths.pointer(commit, file), error).filename() == etag) users.emplace_back(commit, file);
    }
  }
  return users;
}

// Whether to go on.
bool check_blob(const RepoPaths& paths, const std::string& repo, const fs::path& blob, bool remove_damaged,
                const std::function<bool(const fs::path&, std::uint64_t)>& on_blob, CacheCheck& check) {
  const std::string etag = blob.filename();
  const std::uint64_t size = size_of(blob);
  if (on_blob && !on_blob(blob, size)) return false;
  ++check.blobs;
  check.bytes += size;
  if (hash_of(blob, etag) == etag) return true;
  DamagedBlob damaged{repo, blob, users_of(paths, etag)};
  if (remove_damaged) {
    const auto lock = FileLock::try_acquire(paths.lock(etag));
    if (!lock) {
      ++check.busy;
    } else if (::unlink(blob.c_str()) != 0 && errno != ENOENT) {
      throw io_error("remove", blob, errno);
    }
  }
  check.damaged.push_back(std::move(damaged));
  return true;
}

}  // namespace

std::vector<CachedRepo> list_cache(const fs::path& cache_dir) {
  std::vector<CachedRepo> repos;
  for (const fs::path& folder : entries(cache_dir)) {
    const std::string repo = repo_of(folder.filename());
    if (!repo.empty() && fs::is_directory(folder)) repos.push_back(describe_repo(RepoPaths(cache_dir, repo), repo));
  }
  return repos;
}

CacheCheck check_cache(const fs::path& cache_dir, const std::string& repo, bool remove_damaged,
                       const std::function<bool(const fs::path& blob, std::uint64_t size)>& on_blob) {
  if (!repo.empty()) check_repo(repo);
  CacheCheck check;
  for (const CachedRepo& cached : list_cache(cache_dir)) {
    if (!repo.empty() && cached.repo != repo) continue;
    const RepoPaths paths(cache_dir, cached.repo);
    for (const fs::path& blob : entries(paths.blobs())) {
      if (!is_etag(blob.filename().native()) || !is_file(blob)) continue;
      if (!check_blob(paths, cached.repo, blob, remove_damaged, on_blob, check)) return check;
    }
    for (const std::string& commit : cached.commits) {
      for (const std::string& file : snapshot_files(paths, commit)) {
        if (!fs::is_symlink(paths.pointer(commit, file))) ++check.unhashed;
      }
    }
  }
  return check;
}

bool remove_repo(const fs::path& cache_dir, const std::string& repo) {
  check_repo(repo);
  const RepoPaths paths(cache_dir, repo);
  if (!fs::is_directory(fs::symlink_status(paths.folder()))) return false;
  std::error_code error;
  fs::remove_all(paths.folder(), error);
  if (error) throw io_error("remove", paths.folder(), error.value());
  return true;
}

}  // namespace stella::hub
