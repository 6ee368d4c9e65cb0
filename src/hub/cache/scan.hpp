// What lies in a cache, for this layer: the walk that listing, removing and checking share. Blocks on the disk.
#pragma once

#include "hub/cache/links.hpp"
#include "hub/cache/paths.hpp"
#include "stella/cache.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella::hub {

/// "org/name" of "models--org--name"; empty for anything else.
std::string repo_of_folder(const std::string& folder);

/// (revision, commit) of all refs, sorted.
std::vector<std::pair<std::string, std::string>> refs_of(const RepoPaths& paths);

/// Commits with a snapshot, sorted.
std::vector<std::string> commits_of(const RepoPaths& paths);

/// A snapshot's names, sorted by path; `blobs` are the repository's.
std::vector<cache::File> files_of(const RepoPaths& paths, const BlobIndex& blobs, const std::string& commit);

/// One repository as it is now.
cache::Repository scan_repo(const RepoPaths& paths, const std::string& repo);

/// The folders of all repositories, or of `repo` alone where it is not empty and present.
std::vector<std::pair<std::string, RepoPaths>> repos_of(const std::filesystem::path& cache_dir,
                                                        const std::string& repo = {});

}  // namespace stella::hub
