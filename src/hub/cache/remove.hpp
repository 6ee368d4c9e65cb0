// Taking things out of a cache: what removing, repairing and pruning share. Blocks on the disk.
#pragma once

#include "hub/cache/links.hpp"
#include "hub/cache/paths.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace stella::hub {

/// "<etag>" of "<etag>" and of what a download calls its unfinished files; empty for other names.
std::string etag_of(const std::string& name);

/// A folder with all in it; links are removed, never what they lead to. What is missing is no error.
void remove_tree(const std::filesystem::path& path);
void remove_file(const std::filesystem::path& path);

/// With what is known of the revision besides. Blobs and refs stay.
void remove_snapshot(const RepoPaths& paths, const std::string& commit);

/// The repository's folder, where no revision, ref or blob is left in it and nothing leads there.
void remove_if_empty(const RepoPaths& paths, const Uses& uses);

/// On the disk: what removing the name gives back. Nothing for a link, and where there are more names.
std::uint64_t freed_bytes(const std::filesystem::path& path);
/// Of plain files in a snapshot.
std::uint64_t plain_bytes(const std::filesystem::path& snapshot);

}  // namespace stella::hub
