// What is in the cache, and putting things there. Everything here reads or writes the disk and may block.
#pragma once

#include "hub/cache/paths.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace stella::hub {

/// Whether `path`, links followed, is a regular file.
bool is_file(const std::filesystem::path& path);

/// The commit that refs/<revision> names, or `revision` itself where it is a commit.
std::optional<std::string> known_commit(const RepoPaths& paths, const std::string& revision);

/// The cached file for a revision, without any network.
std::optional<std::filesystem::path> cached_file(const RepoPaths& paths, const std::string& revision,
                                                 const std::string& file);

/// Whether the hub once said that the commit lacks the file.
bool known_missing(const RepoPaths& paths, const std::string& commit, const std::string& file);

/// Remembers that answer. Failing to is no error: the cache may be read-only.
void record_missing(const RepoPaths& paths, const std::string& revision, const std::string& commit,
                    const std::string& file) noexcept;

/// Whether blobs/<etag> holds a body: a regular file, or a link into huggingface_hub's shared store that leads to one.
bool has_blob(const RepoPaths& paths, const std::string& etag);

/// Makes the cache's own folder and CACHEDIR.TAG in it. Throws Error(io_error).
void make_cache(const RepoPaths& paths);

/// Makes the folders for blobs and for the file's pointer, and CACHEDIR.TAG. Throws Error(io_error).
void make_folders(const RepoPaths& paths, const std::string& commit, const std::string& file);

/// Makes snapshots/<commit>/<file> point to the blob, in place of whatever is there; copies it where symbolic links are
/// not wanted or not possible. Throws Error(io_error).
void link_blob(const RepoPaths& paths, const std::string& commit, const std::string& file, const std::string& etag,
               bool symlinks);

/// Writes refs/<revision> where it does not name `commit` already; nothing for a revision that is a commit. Throws
/// Error(io_error).
void write_ref(const RepoPaths& paths, const std::string& revision, const std::string& commit);

/// Whether the file's bytes have the hash `etag`. Throws Error(io_error).
bool has_hash(const std::filesystem::path& path, const std::string& etag);

/// Paths of all files in the commit's snapshot, with '/'.
std::vector<std::string> snapshot_files(const RepoPaths& paths, const std::string& commit);

}  // namespace stella::hub
