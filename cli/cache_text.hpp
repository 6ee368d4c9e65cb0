// What `stella cache` prints.
#pragma once

#include "stella/cache.hpp"
#include "stella/packed_weights.hpp"

#include <cstddef>
#include <string>

namespace stella::cli {

/// "1 file", "2 files"
std::string count(std::size_t number, const std::string& singular);

/// `cache ls`: for people, and as one line of JSON (docs/cli.md has its members).
std::string cache_text(const cache::Contents& contents, const packed_weights::Contents& packed);
std::string cache_json(const cache::Contents& contents, const packed_weights::Contents& packed);

/// A line of `cache prune`.
std::string waste_text(const cache::Waste& waste);

/// A line of `cache verify`.
std::string problem_text(const cache::Problem& problem, bool repair);
std::string problem_text(const packed_weights::Problem& problem);

}  // namespace stella::cli
