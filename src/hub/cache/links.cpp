#include "hub/cache/links.hpp"

#include "base/file.hpp"
#include "base/repo_names.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxLinks = 40;  // as the system allows
constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxFiles = 100'000;

bool is_absent(int number) {
  return number == ENOENT || number == ENOTDIR || number == ELOOP;
}

/// Like is_folder(), but throws where it cannot be known.
bool is_known_folder(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return S_ISDIR(status.st_mode);
  if (is_absent(errno) || ::lstat(path.c_str(), &status) == 0) return false;  // or a link to where one may not look
  if (is_absent(errno)) return false;
  throw io_error("look at", path, errno);
}

class Walker {
 public:
  explicit Walker(const std::function<void(const fs::path&)>& use) : use_(use) {}

  void walk(const fs::path& folder) {
    const auto id = id_of(folder);
    if (!id || std::find(above_.begin(), above_.end(), *id) != above_.end()) return;
    above_.push_back(*id);
    for (const fs::path& entry : entries_of(folder)) {
      if (++seen_ > kMaxFiles || above_.size() > kMaxDepth) {
        throw Error(Errc::malformed_file,
                    "'" + folder.string() + "' holds too many files, or folders too deep, to be a model's; remove it",
                    {.file = folder.string()});
      }
      is_known_folder(entry) ? walk(entry) : use_(entry);
    }
    above_.pop_back();
  }

 private:
  const std::function<void(const fs::path&)>& use_;
  std::vector<FileId> above_{};
  std::size_t seen_ = 0;
};

}  // namespace

FileId id_of(const struct stat& status) {
  return {status.st_dev, status.st_ino};
}

std::optional<FileId> id_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return id_of(status);
}

std::optional<FileId> own_id_of(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return id_of(status);
}

Route follow(const fs::path& path) {
  Route route;
  std::vector<std::string> ahead;  // the next part of the path last
  const auto push = [&ahead](const fs::path& parts) {
    std::vector<std::string> names;
    for (const fs::path& part : parts.relative_path()) names.push_back(part);
    ahead.insert(ahead.end(), names.rbegin(), names.rend());
  };
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  fs::path at = "/";
  push(whole);
  for (std::size_t links = 0; !ahead.empty() && links <= kMaxLinks;) {
    const std::string name = std::move(ahead.back());
    ahead.pop_back();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      at = at.parent_path();  // no link is in it
      continue;
    }
    Hop hop{own_id_of(at), name, {}};
    struct stat status {};
    const fs::path next = at / name;
    const bool present = ::lstat(next.c_str(), &status) == 0;
    if (present) hop.id = id_of(status);
    route.hops.push_back(std::move(hop));
    if (!present) break;
    if (!S_ISLNK(status.st_mode)) {
      at = next;
      continue;
    }
    ++links;
    const fs::path target = fs::read_symlink(next, error);
    if (error) break;
    if (target.is_absolute()) at = "/";
    push(target);
  }
  struct stat end {};
  if (::stat(path.c_str(), &end) == 0) {
    route.end = end;
  } else if (!is_absent(errno)) {
    route.failure = errno;
  }
  return route;
}

BlobIndex::BlobIndex(const RepoPaths& paths) : folder_(id_of(paths.blobs())) {
  for (const fs::path& entry : entries_of(paths.blobs())) {
    struct stat status {};
    const std::string name = entry.filename();
    if (is_etag(name) && ::stat(entry.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      contents_.emplace(id_of(status), name);
    }
  }
}

std::string BlobIndex::blob_of(const Route& route) const {
  for (const Hop& hop : route.hops) {
    if (folder_ && hop.folder == folder_ && is_etag(hop.name)) return hop.name;
  }
  const auto found = route.end ? contents_.find(id_of(*route.end)) : contents_.end();
  return found == contents_.end() ? std::string() : found->second;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!is_known_folder(folder)) return found;
  try {
    for (const std::string& name : names_in(folder)) found.push_back(folder / name);
  } catch (const Error&) {
    if (is_known_folder(folder)) throw;  // else it has gone meanwhile
  }
  return found;
}

void walk(const fs::path& folder, const std::function<void(const fs::path&)>& use) {
  Walker(use).walk(folder);
}

bool is_folder(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_real_folder(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_link(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

bool is_own_name(const RepoPaths& paths, const std::string& commit, const std::string& file) {
  fs::path folder = paths.pointer(commit, file).parent_path();
  while (folder != paths.folder()) {
    if (!is_real_folder(folder)) return false;
    folder = folder.parent_path();
  }
  return true;
}

Uses::Uses(const RepoPaths& paths, const std::vector<fs::path>& except) {
  const auto own = id_of(paths.folder());
  for (const fs::path& folder : except) {
    if (const auto id = own_id_of(folder)) except_.insert(*id);
  }
  for (const fs::path& repository : entries_of(paths.cache_dir())) {
    const bool is_own = id_of(repository) == own;
    try {
      add(repository, is_own);
    } catch (const Error& error) {
      // Another user's, most likely, whose links lead to blobs of their own.
      if (error.errc() != Errc::io_error || is_own) throw;
    }
  }
}

void Uses::add(const fs::path& repository, bool is_own) {
  const auto is_left_out = [&](const fs::path& folder) {
    const auto id = own_id_of(folder);
    return id && except_.contains(*id);
  };
  if (is_left_out(repository)) return;
  for (const fs::path& snapshot : entries_of(repository / "snapshots")) {
    if (is_left_out(snapshot)) continue;
    walk(snapshot, [&](const fs::path& name) {
      for (const Hop& hop : follow(name).hops) {
        if (hop.folder) names_.emplace(*hop.folder, hop.name);
        if (hop.id && is_own) ids_.insert(*hop.id);
      }
    });
  }
}

bool Uses::has_name(const fs::path& path) const {
  const auto folder = id_of(path.parent_path());
  return folder && names_.contains({*folder, path.filename()});
}

bool Uses::contain(const fs::path& path) const {
  const auto own = own_id_of(path);
  const auto end = id_of(path);
  return has_name(path) || (own && ids_.contains(*own)) || (end && ids_.contains(*end));
}

fs::path Uses::broken_by_removing(const fs::path& path) const {
  if (has_name(path)) return path;
  if (!is_real_folder(path)) return {};
  for (const fs::path& entry : entries_of(path)) {
    if (fs::path found = broken_by_removing(entry); !found.empty()) return found;
  }
  return {};
}

}  // namespace stella::hub
