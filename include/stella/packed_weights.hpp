// Packed weights that earlier loads have kept on this machine (PackedWeightsOptions): what there is, taking it out,
// checking it. They are copies that any load can make again; removing them costs the next load its packing, and lets
// Precision::automatic choose anew.
//
// Every function here blocks its thread on the disk: call it from a thread of its own, never from a Runtime thread.
// Thread-safe, also against other processes: files appear whole and are never changed, a model that has mapped one
// keeps it after its removal, and what is just being written is left alone. All throw Error(io_error). A `stop` that is
// requested ends a call with Error(cancelled).
#pragma once

#include "stella/hub.hpp"
#include "stella/options.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::packed_weights {

/// Where they are kept unless PackedWeightsOptions says otherwise: the folder "stella" in `hub.home`. Empty, which is
/// nowhere, without one, and where `hub.home` is `hub.cache_dir` itself, in which only models may lie.
std::filesystem::path default_directory(const HubOptions& hub = HubOptions::from_environment());

struct File {
  std::filesystem::path path{};
  std::string source{};  ///< The repository, or the directory's full path; empty where the file does not say.
  std::optional<Precision> precision{};  ///< Nothing where the file does not say.
  std::uint64_t bytes = 0;
  bool readable = false;    ///< Its sizes and index are whole; what it holds is for verify() to check.
  bool unfinished = false;  ///< A temporary file: just being written, or left over from a load that was killed.
};

struct Contents {
  std::filesystem::path directory{};
  std::uint64_t bytes = 0;
  std::vector<File> files{};  ///< Sorted by path.
};

/// The packed weights in `directory`; none where it does not exist. Other files there are left alone, here and below.
Contents list(const std::filesystem::path& directory);

struct Removed {
  std::size_t files = 0;    ///< Packed weights, unfinished ones included.
  std::uint64_t bytes = 0;  ///< Of those.
  std::size_t busy = 0;     ///< Just being written: kept.
};

/// Removes the packed weights of `source`, a repository or a directory as models are named, or all where it is empty;
/// also what Precision::automatic was found to stand for, and temporary files that nobody writes any more.
Removed remove(const std::filesystem::path& directory, const std::string& source = {});

/// Removes what was made from any of these blobs of the hub's cache (the hashes that name them), such as damaged ones.
Removed remove_made_from(const std::filesystem::path& directory, const std::vector<std::string>& blobs);

using Known = std::function<bool(const std::string&)>;

/// Removes what no load will use, or counts only what that is: what was made for a source that `has_source` does not
/// know, or for a repository from blobs (the hashes that name them) that `has_blob` does not know, and what killed
/// loads have left.
Removed prune(const std::filesystem::path& directory, const Known& has_source, const Known& has_blob,
              bool dry_run = false);

struct Problem {
  std::filesystem::path path{};
  std::string source{};  ///< Empty where the file does not say.
  std::string what{};    ///< What is wrong, in words.
  bool removed = false;
  std::string failure{};  ///< Why it could not be removed.
};

struct Report {
  std::size_t files = 0;    ///< Read whole.
  std::uint64_t bytes = 0;  ///< Of those.
  std::vector<Problem> problems{};
};

/// Reads every file of `source`, or all where it is empty, and compares with the checksums that were written with it.
/// With `repair` a damaged one is removed: the next load packs again. `on_progress` gets each file's hashing.
Report verify(const std::filesystem::path& directory, const std::string& source = {}, bool repair = false,
              const ProgressCallback& on_progress = {}, const std::stop_token& stop = {});

}  // namespace stella::packed_weights
