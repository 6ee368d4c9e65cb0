// The hub's cache on this machine: what it holds, taking things out, checking it, carrying it elsewhere. The layout is
// that of Python's huggingface_hub (docs/hub.md), which may use the same cache at the same time.
//
// Every function here blocks its thread on the disk (verify() also on the network): call it from a thread of its own,
// never from a Runtime thread. Thread-safe, also against other processes: blobs are changed under the lock that
// downloads hold. Where links lead decides what is used and what is whole, not what they say; what can be loaded
// through them is never removed, nor anything behind a linked folder, but for a repository's own. All throw Error;
// io_error and, for names that no repository can have, invalid_argument. A `stop` that is requested ends a call with
// Error(cancelled).
#pragma once

#include "stella/hub.hpp"
#include "stella/options.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::cache {

/// A name in a revision.
struct File {
  std::string path;                     ///< Inside the repository, with '/'.
  std::optional<std::uint64_t> size{};  ///< Bytes; nothing where it leads to no file, and so cannot be loaded.
  std::string blob{};  ///< Hash that names the content; empty for a plain file (HF_HUB_DISABLE_SYMLINKS) and for one
                       ///< outside of the repository's blobs.
};

struct Revision {
  std::string commit;               ///< 40 hexadecimal digits.
  std::vector<std::string> refs{};  ///< Branches and tags that name it.
  std::vector<File> files{};        ///< Sorted by path.
};

struct Blob {
  std::string hash;  ///< 64 digits: sha256 of the content; 40: git's sha1("blob {size}\0" + content).
  std::uint64_t size = 0;
  bool referenced = false;  ///< By a file of some revision.
};

/// What a download has left for its next run.
struct Unfinished {
  std::string name;         ///< In blobs/, ends in ".incomplete".
  std::uint64_t bytes = 0;  ///< On the disk; the file may have holes.
};

struct Repository {
  std::string repo;  ///< "org/name"
  std::filesystem::path folder{};
  std::uint64_t bytes = 0;  ///< On the disk: each content once, however many revisions use it, and what is unfinished.
  std::vector<Revision> revisions{};
  std::vector<Blob> blobs{};
  std::vector<Unfinished> unfinished{};
  std::string failure{};  ///< Why it could not be read; then only the names above are filled in.
};

struct Contents {
  std::filesystem::path directory{};
  std::uint64_t bytes = 0;
  std::vector<Repository> repositories{};  ///< Sorted by name.
};

/// The model repositories in hub.cache_dir; none where the folder does not exist. Data sets and whatever else lies
/// there are left alone.
Contents list(const HubOptions& hub = HubOptions::from_environment());

struct Removed {
  std::size_t revisions = 0;
  std::size_t blobs = 0;                ///< With unfinished ones.
  std::uint64_t bytes = 0;              ///< Of blobs and plain files.
  std::size_t busy = 0;                 ///< Blobs that a download holds at this moment: kept.
  std::size_t used = 0;                 ///< Blobs that files of other repositories lead to: kept.
  std::filesystem::path link_target{};  ///< Of a repository's folder that was only a link: what is left, untouched.
};

/// Removes a repository, or one revision of it (a branch, a tag or a commit) with every ref to it; blobs that no other
/// revision uses, by whatever links or hard links, go with it. Of a repository whose folder is a link the link goes.
/// Throws Error(invalid_argument) where the cache holds no such thing. A whole repository of which a file is just being
/// downloaded is refused with Error(io_error), unchanged.
Removed remove(const HubOptions& hub, const std::string& repo, const std::optional<std::string>& revision = {});

/// What prune() takes away.
struct Waste {
  enum class Kind : std::uint8_t {
    unfinished,  ///< A download, or an unpacking, that nobody goes on with at this moment.
    revision,    ///< No branch or tag names it, but one names another revision of the repository.
    blob,        ///< No file of a revision that stays leads to it.
    temporary    ///< Written by a process that was killed, more than an hour ago.
  };
  Kind kind = Kind::unfinished;
  std::string repo{};
  std::string name{};  ///< A commit for a revision, else a path in the repository's folder.
  std::uint64_t bytes = 0;
};

struct Pruned {
  std::vector<Waste> waste{};
  std::uint64_t bytes = 0;
  std::size_t busy = 0;                 ///< Repositories of which a file is just being downloaded: as they were.
  std::vector<std::string> failures{};  ///< A line for each repository that could not be read or changed.
};

/// Removes what is of no more use, or says only what that is. What a branch or a tag names stays, as do repositories
/// that have none, and whatever lies behind linked folders.
Pruned prune(const HubOptions& hub, bool dry_run = false);

struct Problem {
  enum class Kind : std::uint8_t {
    damaged,    ///< The blob's bytes do not have the hash that is its name.
    dangling,   ///< A name that leads to no file.
    unreadable  ///< It, or the repository as a whole, could not be looked at: `failure` says why. Nothing was changed.
  };
  struct User {
    std::string commit, file;
  };
  Kind kind = Kind::damaged;
  std::string repo{};
  std::string blob{};         ///< Hash; empty for a name that leads to no blob.
  std::vector<User> users{};  ///< Files that are affected.
  bool repaired = false;
  std::string failure{};  ///< Why it could not be repaired.
};

struct Report {
  std::size_t blobs = 0;     ///< Hashed.
  std::uint64_t bytes = 0;   ///< Hashed.
  std::size_t unhashed = 0;  ///< Plain files in revisions, and those outside the cache: nothing says their hash.
  std::vector<Problem> problems{};
};

/// Hashes every blob of `repo`, or of all repositories where it is empty, and looks at every link. With `repair`, what
/// is wrong is removed under its lock and the files that lost it are fetched again at their commits; what fails is in
/// the report. `on_progress` gets every blob's hashing, then every file's transfer.
Report verify(const HubOptions& hub, const std::string& repo = {}, bool repair = false,
              const ProgressCallback& on_progress = {}, const std::stop_token& stop = {});

/// Writes one revision as a tar archive (POSIX pax) for a machine without a network: its blobs, links and ref in the
/// cache's layout. Each blob is hashed on the way. `archive` appears whole or not at all. Throws
/// Error(local_entry_not_found) where the cache lacks the revision, Error(integrity) for a damaged blob,
/// Error(invalid_argument) for a revision with plain files in place of links.
void pack(const HubOptions& hub, const std::string& repo, const std::string& revision,
          const std::filesystem::path& archive, const ProgressCallback& on_progress = {},
          const std::stop_token& stop = {});

struct Unpacked {
  std::string repo, commit;
  std::filesystem::path directory;  ///< The snapshot.
};

/// Puts what pack() wrote into hub.cache_dir; refs last, and they then name the archive's commits. The archive is read
/// and hashed whole before anything is written: one that holds anything but blobs with the right hash, links to them
/// and refs to its own commits is refused with Error(malformed_file) or Error(integrity), and nothing has changed.
std::vector<Unpacked> unpack(const HubOptions& hub, const std::filesystem::path& archive,
                             const ProgressCallback& on_progress = {}, const std::stop_token& stop = {});

}  // namespace stella::cache
