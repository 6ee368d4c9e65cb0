// Where the names in a cache lead. What a link says is never looked at, only what the system finds behind it: other
// clients write absolute links, folders are moved and reached by links, contents are shared between revisions,
// repositories and users by links and by hard links. Blocks on the disk.
#pragma once

#include "hub/cache/paths.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace stella::hub {

/// One file, link or folder, whatever its names.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};

FileId id_of(const struct stat& status);
/// Of what `path` leads to; nothing where that is nothing.
std::optional<FileId> id_of(const std::filesystem::path& path);
/// Of `path` itself, a link for example.
std::optional<FileId> own_id_of(const std::filesystem::path& path);

/// A name on the way: of a folder, a link or the file at the end.
struct Hop {
  std::optional<FileId> folder;  ///< In which the name is.
  std::string name;
  std::optional<FileId> id;  ///< Of the name itself, a link for example; nothing where it is missing.
};

struct Route {
  std::vector<Hop> hops;             ///< From the root on, through every link.
  std::optional<struct stat> end{};  ///< What reading would open; nothing where it leads nowhere.
  int failure = 0;                   ///< errno where that could not be found out.

  bool is_file() const noexcept { return end && S_ISREG(end->st_mode); }
};

/// Follows `path`, name by name, as the system does.
Route follow(const std::filesystem::path& path);

/// The blobs of one repository, to be recognised at the end of a route.
class BlobIndex {
 public:
  /// Throws Error(io_error) where the folder cannot be read.
  explicit BlobIndex(const RepoPaths& paths);

  /// The hash whose blob the route passes or ends in (then it may be a hard link), also where that blob is missing;
  /// empty where it passes none.
  std::string blob_of(const Route& route) const;

 private:
  std::optional<FileId> folder_;
  std::map<FileId, std::string> contents_;
};

/// The entries of a folder, links to one followed; sorted; none where it is missing or no folder. Throws
/// Error(io_error) where it cannot be read: what cannot be seen must not be taken for absent.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

/// Calls `use` for what lies below a folder and is no folder itself, and `on_folder` for each folder, `folder`
/// included. Linked folders are walked too, as what lies in them can be loaded, but no folder inside itself. Throws
/// Error(io_error) where a folder cannot be read, Error(malformed_file) for a tree beyond all reason.
void walk(const std::filesystem::path& folder, const std::function<void(const std::filesystem::path&)>& use);

/// Whether `path`, links followed, is a folder; `path` itself, no link followed; a link.
bool is_folder(const std::filesystem::path& path);
bool is_real_folder(const std::filesystem::path& path);
bool is_link(const std::filesystem::path& path);

/// Whether a snapshot's name lies in the repository's own folder, not behind a linked folder.
bool is_own_name(const RepoPaths& paths, const std::string& commit, const std::string& file);

/// What the names in all snapshots of a cache pass and end in, those in some repositories' or snapshots' folders left
/// out.
class Uses {
 public:
  /// `except` are the folders that are left out. Throws as walk() does; another repository than that of `paths` may be
  /// unreadable.
  Uses(const RepoPaths& paths, const std::vector<std::filesystem::path>& except);

  /// Whether a link leads to `path`, or a name of its own repository to the same file. Hard links of other
  /// repositories do not count: tools that save room make them, and they keep the file whatever goes here.
  bool contain(const std::filesystem::path& path) const;
  /// `path`, or something below it, whose removal would break a name; empty where there is nothing.
  std::filesystem::path broken_by_removing(const std::filesystem::path& path) const;

 private:
  void add(const std::filesystem::path& repository, bool is_own);
  bool has_name(const std::filesystem::path& path) const;

  std::set<FileId> except_{};
  std::set<FileId> ids_{};
  std::set<std::pair<FileId, std::string>> names_{};  // the folder, the name in it
};

}  // namespace stella::hub
