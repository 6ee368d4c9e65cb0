// Looking after a cache: what is in it, whether it is sound, taking things out. Everything blocks on the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace stella::hub {

struct CachedRepo {
  std::string repo;                    ///< "org/name".
  std::filesystem::path folder;        ///< models--org--name
  std::uint64_t bytes = 0;             ///< Bodies, each counted once however many revisions use it.
  std::size_t files = 0;               ///< Names in all snapshots.
  std::uint64_t unfinished_bytes = 0;  ///< On disk in *.incomplete files.
  std::vector<std::pair<std::string, std::string>> refs{};  ///< (revision, commit)
  std::vector<std::string> commits{};                       ///< Those with a snapshot.
};

/// The model repositories in a cache, sorted by name; none where the folder does not exist. Entries of other kinds
/// (data sets, folders of other programs) are left alone.
std::vector<CachedRepo> list_cache(const std::filesystem::path& cache_dir);

/// A blob whose bytes do not have the hash that is its name.
struct DamagedBlob {
  std::string repo;
  std::filesystem::path blob;
  std::vector<std::pair<std::string, std::string>> files{};  ///< (commit, file) whose link leads to it.
};

struct CacheCheck {
  std::uint64_t bytes = 0;   ///< Hashed.
  std::size_t blobs = 0;     ///< Hashed.
  std::size_t unhashed = 0;  ///< Plain files in snapshots (written without symbolic links): nothing names their hash.
  std::size_t busy = 0;      ///< Locked by a download.
  std::vector<DamagedBlob> damaged{};
};

/// Hashes every blob of `repo`, or of all repositories where it is empty. `on_blob` is called before each one with its
/// path and size, and ends the check by returning false. With `remove_damaged` what is wrong is deleted, under its
/// lock, so that the next request fetches it again. Throws Error(io_error), Error(invalid_argument).
CacheCheck check_cache(const std::filesystem::path& cache_dir, const std::string& repo, bool remove_damaged,
                       const std::function<bool(const std::filesystem::path& blob, std::uint64_t size)>& on_blob = {});

/// Removes a repository; false where the cache has none of that name. Downloads of it that are under way
/// survive: they write their file again. Throws Error(io_error), Error(invalid_argument).
bool remove_repo(const std::filesystem::path& cache_dir, const std::string& repo);

}  // namespace stella::hub
