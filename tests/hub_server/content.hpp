// What the hub serves: blobs, revisions, repositories. Not thread-safe; a Blob is immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace stella::test {

std::string sha256_hex(std::string_view bytes);
std::string git_sha1_hex(std::string_view bytes);

/// A file's content: in memory, or on disk where `path` is set.
struct Blob {
  std::string bytes{};
  std::filesystem::path path{};
  std::uint64_t size = 0;
  bool large = false;
  std::string git_sha1{};  ///< Of the content or, for large files, of the pointer file that git keeps.
  std::string sha256{};    ///< Of the content; large files only.

  const std::string& etag() const { return large ? sha256 : git_sha1; }
};
using BlobPtr = std::shared_ptr<const Blob>;

BlobPtr make_blob(std::string bytes, bool large);
/// Reads and hashes the file; the path is kept, its content is read again when it is served.
BlobPtr make_blob(const std::filesystem::path& path, bool large);

struct Revision {
  std::string commit{};
  std::map<std::string, BlobPtr> files{};  ///< By path inside the repository.
};
using RevisionPtr = std::shared_ptr<const Revision>;

struct Repo {
  std::map<std::string, RevisionPtr> by_name{};    ///< Branches and tags.
  std::map<std::string, RevisionPtr> by_commit{};  ///< Everything ever added.
  std::string token{};                             ///< Needed where private or gated.
  bool is_private = false;
  bool gated = false;

  /// Null where there is none.
  RevisionPtr find(const std::string& revision) const;
};

/// A revision from its files; where `commit` is empty it is derived from names and hashes.
RevisionPtr make_revision(std::map<std::string, BlobPtr> files, std::string commit);
/// Paths of the regular files below `directory`, relative, with '/'.
std::vector<std::string> files_below(const std::filesystem::path& directory);

/// The JSON of /api/models/{id}/tree/{rev}: entries [from, from + count) and how many there are in all.
struct TreePage {
  std::string json{};
  std::size_t entries = 0;
};
TreePage tree_json(const Revision& revision, bool recursive, std::size_t from, std::size_t count);
/// The JSON of /api/models/{id}/revision/{rev}.
std::string revision_json(const std::string& repo, const Repo& state, const Revision& revision);

}  // namespace stella::test
