// The folder in which packed weights are kept between runs, and what was chosen for a model on this machine.
//
//   {name}-{precision}-{key}.packed   packed weights (models/packed_file.hpp)
//   {name}-auto-{key}.choice          the precision that Precision::automatic stands for, one line of JSON
//   {name}-{key}.lock                 while a process chooses and packs
//
// `key` is 16 digits of sha256 over everything that the content depends on: what the checkpoint's files hold, the
// layout of the kernels, versions. Files appear whole (rename) and are never changed afterwards, so that any number of
// processes may use the folder at once.
#pragma once

#include "base/private_folder.hpp"
#include "engine/source_identity.hpp"
#include "models/calibration.hpp"
#include "models/packed_file.hpp"
#include "stella/options.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stella::engine {

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

/// Held by the one load that chooses for a checkpoint and packs it; others wait. Ends with the object, or with the
/// process in any way.
class PackedLock {
 public:
  PackedLock(std::shared_ptr<const PrivateFolder> folder, UniqueFd file, std::string name)
      : folder_(std::move(folder)), file_(std::move(file)), name_(std::move(name)) {}
  PackedLock(const PackedLock&) = delete;
  PackedLock& operator=(const PackedLock&) = delete;
  ~PackedLock();

  /// Tells those who wait that the work goes on. To be called often; cheap.
  void touch();

 private:
  const std::shared_ptr<const PrivateFolder> folder_;
  const UniqueFd file_;
  const std::string name_;
  std::chrono::steady_clock::time_point touched_{};
};

/// One load's view of the folder, which must be its user's alone (PrivateFolder). Where it is not, or cannot be made,
/// nothing is found and nothing is kept, with one warning when something was to be. Not thread-safe. Throws
/// Error(out_of_memory | resource_limit): such a machine has no answer whether something is kept.
class PackedStore {
 public:
  /// Empty: nothing is kept, nothing found.
  explicit PackedStore(std::filesystem::path folder) : path_(std::move(folder)) {}

  bool enabled() const noexcept { return !path_.empty(); }
  /// Whether something can be kept, as far as that is known before it is written. Makes the folder.
  bool can_keep() { return open(true) != nullptr; }
  std::filesystem::path path_of(const PackedKey& key) const { return path_ / name_of(key); }

  /// Whether what is damaged, or another's, is taken away, and said so in the log.
  enum class Damaged : std::uint8_t { keep, remove };
  /// Maps what is there for `key`. Its parts have not been checked (PackedFile::check).
  std::optional<StoredPacked> find(const PackedKey& key, Damaged damaged = Damaged::keep);
  /// Takes away what was found to be damaged later, where it is this user's.
  void remove(const PackedKey& key);

  /// Waits for its turn. `step` is called several times a second and throws to give up. Null where there is nothing to
  /// lock, or where the holder has shown no life for half a minute: then the work goes on without.
  std::unique_ptr<PackedLock> lock(const SourceIdentity& source, const std::function<void()>& step);

  /// Null where the folder cannot be written. First takes away what killed processes have left, and what was packed for
  /// the same from earlier contents of this source.
  std::unique_ptr<models::PackedFileWriter> writer(const PackedKey& key);
  bool commit(models::PackedFileWriter& writer, const PackedKey& key,
              const std::optional<models::Agreement>& agreement);

  /// `kernels` is kernels::name_of(): another processor, another choice.
  std::optional<PrecisionChoice> choice(const SourceIdentity& source, const std::string& kernels,
                                        Damaged damaged = Damaged::keep);
  /// A choice that is there stays, unless it is damaged: where nothing can be locked, or a lock was not waited for, the
  /// first one stands for all. A folder that cannot be written keeps nothing; that is no error.
  void keep_choice(const SourceIdentity& source, const std::string& kernels, const PrecisionChoice& choice);

 private:
  static std::string name_of(const PackedKey& key);
  static std::string choice_name(const SourceIdentity& source, const std::string& kernels);
  const PrivateFolder* open(bool create);
  void warn(const std::string& why);
  void give_up(const std::string& why);
  void sweep(const std::string& name, const SourceIdentity& source, const std::string& made_for);
  bool is_superseded(const std::string& name, const SourceIdentity& source, const std::string& made_for) const;

  std::filesystem::path path_;
  std::shared_ptr<const PrivateFolder> folder_;  // once opened
  bool warned_ = false;
};

inline constexpr std::string_view kPackedSuffix = ".packed";
inline constexpr std::string_view kChoiceSuffix = ".choice";
inline constexpr std::string_view kLockSuffix = ".lock";
using models::kTemporaryMark;

/// What the names of a source's files in the folder start with. Sources whose last parts are equal share it.
std::string name_prefix(const std::string& source);

/// What a file of the folder says of itself: empty strings where it does not.
struct PackedAbout {
  std::string source;
  std::string content;
  std::string precision;
  std::string made_for;  // layout, or kernels of a choice
  std::string reason;    // of a choice
};
/// Of a packed file's line or the line of a choice; nothing where it is no JSON object.
std::optional<PackedAbout> read_about(const std::string& line);

/// Whether a file of this name is only there while someone works: a temporary file or a lock.
bool is_passing_name(const std::string& name);
/// Whether nobody holds such a file's lock any more; `file` then does, as long as it is open. Without locks its age
/// tells.
bool is_abandoned(const UniqueFd& file);

/// The line of a choice; empty where it is no such file. Throws io_error().
std::string read_choice_line(const UniqueFd& file, const std::filesystem::path& path);

/// Whether a content is of one of these blobs.
bool is_made_of(const std::string& content, const std::vector<std::string>& blobs);
/// Whether all the blobs that it was made of are still there; what is no blob counts as there.
bool has_all_blobs(const std::string& content, const std::function<bool(const std::string&)>& has_blob);

}  // namespace stella::engine
