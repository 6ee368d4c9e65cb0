// The folder in which packed weights are kept between runs, and what was chosen for a model on this machine.
//
//   {name}-{precision}-{key}.packed   packed weights (models/packed_file.hpp)
//   {name}-auto-{key}.choice          the precision that Precision::automatic stands for, one line of JSON
//
// `key` is 16 digits of sha256 over everything that the content depends on: what the checkpoint's files hold, the
// layout of the kernels, versions. Files appear whole (rename) and are never changed afterwards, so that any number of
// processes may use the folder at once.
#pragma once

#include "models/calibration.hpp"
#include "models/packed_file.hpp"
#include "stella/options.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stella::engine {

/// What a checkpoint's weights are, so that packed ones of others are never taken for them.
struct SourceIdentity {
  std::string name;     // the repository or directory, for people
  std::string content;  // the hub's hashes of the files; for files outside of its cache their path, size and time
};

/// Reads no more than file names and times. Throws Error(io_error).
SourceIdentity identify(const std::string& name, const std::vector<std::filesystem::path>& files);

/// What a packed file is for.
struct PackedKey {
  SourceIdentity source;
  Precision precision = Precision::f32;
  std::string layout;  // kernels::layout_id()
};

struct PrecisionChoice {
  Precision precision = Precision::f32;
  std::string reason;
};

struct StoredPacked {
  std::shared_ptr<const models::PackedFile> file;
  std::optional<models::Agreement> agreement;  // none for f32, which is what the others are compared with
};

/// Const and thread-safe: it holds nothing but the folder's name.
class PackedStore {
 public:
  /// Empty: nothing is kept, nothing found.
  explicit PackedStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  bool enabled() const noexcept { return !folder_.empty(); }
  std::filesystem::path path_of(const PackedKey& key) const;

  /// Maps what is there for `key`. A file that is damaged, or another's, is removed and not found.
  std::optional<StoredPacked> find(const PackedKey& key) const;
  /// Null where the folder cannot be written.
  std::unique_ptr<models::PackedFileWriter> writer(const PackedKey& key) const;
  static bool commit(models::PackedFileWriter& writer, const PackedKey& key,
                     const std::optional<models::Agreement>& agreement);
  void remove(const PackedKey& key) const;

  /// `kernels` is kernels::name_of(): another processor, another choice.
  std::optional<PrecisionChoice> choice(const SourceIdentity& source, const std::string& kernels) const;
  /// A folder that cannot be written keeps nothing; that is no error.
  void keep_choice(const SourceIdentity& source, const std::string& kernels, const PrecisionChoice& choice) const;

 private:
  std::filesystem::path choice_path(const SourceIdentity& source, const std::string& kernels) const;

  std::filesystem::path folder_;
};

inline constexpr std::string_view kPackedSuffix = ".packed";
inline constexpr std::string_view kChoiceSuffix = ".choice";
inline constexpr std::string_view kTemporaryMark = ".tmp-";  // between such a name and what makes it unique

/// What the names of a source's files in the folder start with. Sources whose last parts are equal share it.
std::string name_prefix(const std::string& source);

/// What a file of the folder says of itself: empty strings where it does not.
struct PackedAbout {
  std::string source;
  std::string precision;
};
/// Of a packed file's line or the line of a choice; nothing where it is no JSON object.
std::optional<PackedAbout> read_about(const std::string& line);

/// A model's name as the folder keeps it: for a directory its full path without links, as it may be named in many ways.
std::string source_name(const std::string& model);

}  // namespace stella::engine
