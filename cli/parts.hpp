// A folder of parts: a long file embedded piece by piece, so that a run that was killed goes on where it was.
//
//   manifest.json                 what the rows are made with, the input and its parts; at the end also the totals
//   part-00002-of-00008.jsonl     rows, with the input's numbering; v.256.npy and v.1024.npy of several dimensions
//   part-00002-of-00008.json      written last: the part is finished; its counts, sizes and hashes
//
// Every file is written beside and renamed. One run at a time works in a folder (flock).
#pragma once

#include "base/file.hpp"
#include "cli/input.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stella::cli {

/// Whole lines of the input.
struct PartRange {
  std::uint64_t offset = 0;  ///< Of its first byte.
  std::uint64_t bytes = 0;
  std::size_t first_row = 0;
  std::size_t rows = 0;  ///< Lines, those that will be skipped included.
};

struct InputPlan {
  std::uint64_t bytes = 0;
  std::size_t rows = 0;
  std::string sha256{};
  std::vector<PartRange> parts{};  ///< As many as wanted, about equally many bytes each; some may be empty.
};
/// Reads the file once. Throws Failure(kBadInput) where it cannot be read or is no regular file.
InputPlan plan_parts(const std::string& path, std::size_t parts, const WaitFunction& wait);

/// Names and JSON values.
using Settings = std::vector<std::pair<std::string, std::string>>;

/// What became of a part.
struct PartCounts {
  std::size_t rows = 0;
  std::size_t skipped = 0;
  std::size_t truncated = 0;
  std::uint64_t tokens = 0;
  PartCounts& operator+=(const PartCounts& other);
};

/// A part as it lies in a folder: finished, damaged, or neither.
struct PartState {
  std::optional<PartCounts> counts{};  ///< Of a part whose rows are all there as they were written.
  std::string damage{};                ///< What is wrong with one that was finished once.
};

/// What was begun in a folder earlier.
struct Manifest {
  Settings settings{};
  std::size_t parts = 0;
  /// Of a setting that is a string; nothing where there is none.
  std::optional<std::string> text(const std::string& name) const;
};

class PartsFolder {
 public:
  /// Makes the folder where it is missing, and locks it. Throws Failure: another run works in it, something else is
  /// there, or the manifest is none.
  explicit PartsFolder(std::string path, WaitFunction wait);

  const std::optional<Manifest>& manifest() const noexcept { return manifest_; }
  /// Throws Failure(kBadInput) that names the first of the settings that is not as in the manifest.
  void compare(const Settings& settings) const;
  /// Writes the manifest, unless it is there, and takes away what a killed run has left of its parts.
  void begin(const Settings& settings, const InputPlan& plan);

  /// Reads the part's files whole, where its record is there.
  PartState state_of(std::size_t part, const PartRange& range) const;
  /// "DIR/part-00002-of-00008" + suffix.
  std::string path_of(std::size_t part, const std::string& suffix) const;
  /// The files of its rows are there.
  void finish(std::size_t part, const PartCounts& counts, const std::vector<std::string>& files) const;
  /// All parts are finished.
  void complete(const Settings& settings, const InputPlan& plan, const PartCounts& totals) const;

 private:
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  void read_manifest();
  void refuse_parts() const;
  bool is_left_over(std::string_view name) const;
  bool is_part(std::string_view stem) const;
  void write_manifest(const Settings& settings, const InputPlan& plan, const PartCounts* totals) const;

  std::string path_;
  WaitFunction wait_;
  UniqueFd lock_{};
  std::optional<Manifest> manifest_{};
  std::size_t parts_ = 0;
};

}  // namespace stella::cli
