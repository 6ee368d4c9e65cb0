// Checking what lies in a cache. Blocks on the disk.
#pragma once

#include "stella/cache.hpp"

#include <filesystem>
#include <stop_token>
#include <string>

namespace stella::hub {

/// The first half of cache::verify(): finds problems, and with `remove_bad` takes away bad blobs and the links that
/// lead to them or nowhere. A problem whose blob a download holds stays, and its `failure` says so.
cache::Report check_cache(const std::filesystem::path& cache_dir, const std::string& repo, bool remove_bad,
                          const ProgressCallback& on_progress, const std::stop_token& stop);

}  // namespace stella::hub
