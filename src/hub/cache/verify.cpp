#include "hub/cache/verify.hpp"

#include "base/repo_names.hpp"
#include "hub/cache/file_io.hpp"
#include "hub/cache/remove.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;
using Users = std::vector<cache::Problem::User>;
using Repositories = std::vector<std::pair<std::string, RepoPaths>>;

// Checks all blobs, then all names; collects into one report.
class Checker {
 public:
  Checker(bool remove_bad, const ProgressCallback& on_progress, const std::stop_token& stop)
      : remove_bad_(remove_bad), on_progress_(on_progress), stop_(stop) {}

  void check(const Repositories& repositories);
  cache::Report take() { return std::move(report_); }

 private:
  template <class Part>
  void guarded(const std::string& repo, Part part);
  void check_blobs(const std::string& repo, const RepoPaths& paths);
  void check_links(const std::string& repo, const RepoPaths& paths, const BlobIndex& blobs);
  void check_blob(const std::string& repo, const RepoPaths& paths, const std::string& etag, const Users& users);
  bool is_sound(const std::string& repo, const RepoPaths& paths, const std::string& etag, const std::string& name);
  void remove(const RepoPaths& paths, cache::Problem& problem);
  static void remove_names(const RepoPaths& paths, const cache::Problem& problem);
  bool is_mended(const RepoPaths& paths, const cache::Problem& problem);

  const bool remove_bad_;
  const ProgressCallback& on_progress_;
  const std::stop_token& stop_;
  cache::Report report_{};
};

// What cannot be read at all is one problem, and the rest is checked all the same.
template <class Part>
void Checker::guarded(const std::string& repo, Part part) {
  try {
    part();
  } catch (const Error& error) {
    if (error.errc() == Errc::cancelled) throw;
    cache::Problem problem{cache::Problem::Kind::unreadable, repo};
    problem.failure = error.what();
    report_.problems.push_back(std::move(problem));
  }
}

void Checker::check(const Repositories& repositories) {
  for (const auto& [repo, paths] : repositories) {
    guarded(repo, [&, &repo = repo, &paths = paths] { check_blobs(repo, paths); });
  }
  const auto is_unreadable = [&](const std::string& repo) {
    return std::any_of(report_.problems.begin(), report_.problems.end(), [&](const cache::Problem& problem) {
      return problem.repo == repo && problem.kind == cache::Problem::Kind::unreadable && problem.blob.empty() &&
             problem.users.empty();
    });
  };
  // After all blobs: a name may lead to another repository's.
  for (const auto& [repo, paths] : repositories) {
    if (is_unreadable(repo)) continue;
    guarded(repo, [&, &repo = repo, &paths = paths] { check_links(repo, paths, BlobIndex(paths)); });
  }
}

void Checker::check_blobs(const std::string& repo, const RepoPaths& paths) {
  const BlobIndex blobs(paths);
  std::map<std::string, Users> users;
  for (const std::string& commit : commits_of(paths)) {
    for (const cache::File& file : files_of(paths, blobs, commit)) {
      if (!file.blob.empty()) users[file.blob].push_back({commit, file.path});
    }
  }
  for (const fs::path& entry : entries_of(paths.blobs())) {
    const std::string name = entry.filename();
    if (is_etag(name)) check_blob(repo, paths, name, users[name]);
  }
}

void Checker::check_links(const std::string& repo, const RepoPaths& paths, const BlobIndex& blobs) {
  for (const std::string& commit : commits_of(paths)) {
    for (const cache::File& file : files_of(paths, blobs, commit)) {
      if (file.size) {
        report_.unhashed += file.blob.empty() ? 1 : 0;
        continue;
      }
      struct stat status {};
      const bool blob_there = !file.blob.empty() && ::lstat(paths.blob(file.blob).c_str(), &status) == 0;
      if (blob_there) continue;  // a blob that is no file: check_blob has reported it with its users
      cache::Problem problem{cache::Problem::Kind::dangling, repo, file.blob, {{commit, file.path}}};
      if (const int failure = follow(paths.pointer(commit, file.path)).failure; failure != 0) {
        problem.kind = cache::Problem::Kind::unreadable;
        problem.failure = io_error("look at", paths.pointer(commit, file.path), failure).what();
      } else if (remove_bad_) {
        remove(paths, problem);
      }
      report_.problems.push_back(std::move(problem));
    }
  }
}

bool Checker::is_sound(const std::string& repo, const RepoPaths& paths, const std::string& etag,
                       const std::string& name) {
  const fs::path blob = paths.blob(etag);
  if (!is_file(blob)) return false;
  const UniqueFd fd = open_regular(blob);  // whoever loads it follows links as well
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw io_error("look at", blob, errno);
  Progress progress{.repo = repo, .file = name, .total = static_cast<std::uint64_t>(status.st_size)};
  progress.from_cache = true;
  const std::string hash = hash_range(fd, 0, progress.total, etag, blob, stop_, [&](std::span<const std::byte> block) {
    progress.bytes += block.size();
    if (on_progress_) on_progress_(progress);
  });
  progress.finished = true;
  if (on_progress_) on_progress_(progress);
  return hash == etag;
}

void Checker::check_blob(const std::string& repo, const RepoPaths& paths, const std::string& etag, const Users& users) {
  check_stop(stop_);
  cache::Problem problem{cache::Problem::Kind::damaged, repo, etag, users};
  struct stat status {};
  try {
    const bool sound = is_sound(repo, paths, etag, users.empty() ? etag : users.front().file);
    const bool present = ::stat(paths.blob(etag).c_str(), &status) == 0;
    ++report_.blobs;
    report_.bytes += present && S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
    if (sound) return;
    if (remove_bad_) remove(paths, problem);
  } catch (const Error& error) {
    if (error.errc() != Errc::io_error) throw;
    if (::lstat(paths.blob(etag).c_str(), &status) != 0) return;  // removed meanwhile
    problem.kind = cache::Problem::Kind::unreadable;
    problem.failure = error.what();
  }
  report_.problems.push_back(std::move(problem));
}

// Whether another process has put it right since it was looked at; asked under the lock, so that the answer lasts.
bool Checker::is_mended(const RepoPaths& paths, const cache::Problem& problem) {
  if (problem.kind == cache::Problem::Kind::damaged) return is_sound(problem.repo, paths, problem.blob, problem.blob);
  return std::all_of(problem.users.begin(), problem.users.end(),
                     [&](const auto& user) { return is_file(paths.pointer(user.commit, user.file)); });
}

// The names go, too: Python's client warns of links to nowhere. One behind a linked folder stays; the next download
// makes the blob that it leads to.
void Checker::remove_names(const RepoPaths& paths, const cache::Problem& problem) {
  for (const auto& user : problem.users) {
    if (is_own_name(paths, user.commit, user.file)) remove_file(paths.pointer(user.commit, user.file));
  }
}

// Takes away the blob, where it is what is wrong, and the names of its users.
void Checker::remove(const RepoPaths& paths, cache::Problem& problem) {
  try {
    std::optional<FileLock> lock;
    if (!problem.blob.empty()) {
      lock = FileLock::try_acquire(paths.lock(problem.blob));
      if (!lock) {
        problem.failure = "a download holds it; try again when that has ended";
        return;
      }
    }
    if (is_mended(paths, problem)) return;
    remove_names(paths, problem);
    if (problem.kind == cache::Problem::Kind::damaged) remove_file(paths.blob(problem.blob));
  } catch (const Error& error) {
    if (error.errc() == Errc::cancelled) throw;
    problem.failure = error.what();
  }
}

}  // namespace

cache::Report check_cache(const fs::path& cache_dir, const std::string& repo, bool remove_bad,
                          const ProgressCallback& on_progress, const std::stop_token& stop) {
  const auto repos = repos_of(cache_dir, repo);
  if (repos.empty() && !repo.empty()) {
    throw Error(Errc::invalid_argument,
                "the cache " + cache_dir.string() + " holds no '" + repo + "'; `stella cache ls` shows what it holds");
  }
  Checker checker(remove_bad, on_progress, stop);
  checker.check(repos);
  return checker.take();
}

}  // namespace stella::hub
