#include "engine/packed_store.hpp"

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/sha.hpp"
#include "base/text.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr const char* kVersion = "1";  // of what calibration and choice mean
constexpr std::uint64_t kMaxChoiceBytes = std::uint64_t{64} << 10U;

/// The last part of a name, of characters that every file system takes.
std::string short_name(const std::string& name) {
  const fs::path path = fs::path(name).lexically_normal();
  std::string text = (path.has_filename() ? path : path.parent_path()).filename().string();
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.') c = '_';
  }
  return text.substr(0, 80);
}

std::string key_digits(const std::string& text) {
  return sha256_hex(std::string(kVersion) + "\n" + text).substr(0, 16);
}

/// A one-line JSON object, or nothing where it is none.
std::optional<json::object> parse_line(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

std::string text_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::optional<models::Agreement> agreement_of(const json::object& object) {
  const json::value* mean = object.if_contains("mean_cosine");
  const json::value* least = object.if_contains("least_cosine");
  if (mean == nullptr || least == nullptr || !mean->is_number() || !least->is_number()) return std::nullopt;
  return models::Agreement{mean->to_number<double>(), least->to_number<double>()};
}

/// What another try may not meet: no reason to go on as if the folder were empty, and choose anew.
bool is_passing(const Error& error) {
  return error.errc() == Errc::out_of_memory || error.errc() == Errc::resource_limit;
}

std::vector<std::string> parts_of(const std::string& content) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= content.size();) {
    const std::size_t end = std::min(content.find('|', at), content.size());
    parts.push_back(content.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

PackedLock::~PackedLock() {
  // While it is held: whoever waits for this file sees that it has lost its name, and takes the next.
  if (folder_->is_named(file_, name_)) folder_->remove(name_);
}

void PackedLock::touch() {
  constexpr std::chrono::seconds kOften{1};
  const auto now = steady_clock::now();
  if (now - touched_ < kOften) return;
  touched_ = now;
  static_cast<void>(::futimens(file_.get(), nullptr));
}

const PrivateFolder* PackedStore::open(bool create) {
  if (folder_ || !enabled()) return folder_.get();
  try {
    if (auto folder = PrivateFolder::open(path_, create))
      folder_ = std::make_shared<const PrivateFolder>(std::move(*folder));
  } catch (const Error& error) {
    if (is_passing(error)) throw;
    if (create) give_up(error.what());
  }
  return folder_.get();
}

void PackedStore::warn(const std::string& why) {
  if (std::exchange(warned_, true)) return;
  log(LogLevel::warning,
      why +
          "; packed weights are not kept: every start packs them again and, where no precision is named, "
          "chooses one for itself");
}

void PackedStore::give_up(const std::string& why) {
  warn(why);
  path_.clear();
  folder_.reset();
}

std::string PackedStore::name_of(const PackedKey& key) {
  return name_prefix(key.source.name) + to_string(key.precision) + "-" +
         key_digits(key.source.content + "\n" + key.layout) + std::string(kPackedSuffix);
}

std::string PackedStore::choice_name(const SourceIdentity& source, const std::string& kernels) {
  return name_prefix(source.name) + "auto-" + key_digits(source.content + "\n" + kernels) + std::string(kChoiceSuffix);
}

std::optional<StoredPacked> PackedStore::find(const PackedKey& key, Damaged damaged) {
  const PrivateFolder* folder = open(false);
  if (folder == nullptr) return std::nullopt;
  const std::string name = name_of(key);
  try {
    const auto file = folder->open_file(name);
    if (!file) return std::nullopt;
    StoredPacked stored{models::PackedFile::open(*file, folder->path_of(name)), {}};
    const auto about = parse_line(stored.file->about());
    if (about && text_of(*about, "content") == key.source.content && text_of(*about, "layout") == key.layout) {
      stored.agreement = agreement_of(*about);
      return stored;
    }
    throw Error(Errc::malformed_file, stored.file->path().string() + ": packed for other weights");
  } catch (const Error& failure) {
    if (is_passing(failure)) throw;
    if (damaged == Damaged::keep) return std::nullopt;
    if (failure.errc() == Errc::malformed_file) remove(key);
    log(LogLevel::warning, std::string(failure.what()) + "; packing again");
  }
  return std::nullopt;
}

void PackedStore::remove(const PackedKey& key) {
  const PrivateFolder* folder = open(false);
  if (folder != nullptr && folder->open_own(name_of(key))) folder->remove(name_of(key));
}

std::unique_ptr<PackedLock> PackedStore::lock(const SourceIdentity& source, const std::function<void()>& step) {
  constexpr std::chrono::milliseconds kBetween{50};
  constexpr std::chrono::seconds kSilence{30};
  if (open(true) == nullptr) return nullptr;
  const std::string name = name_prefix(source.name) + key_digits(source.content) + std::string(kLockSuffix);
  auto seen = steady_clock::now();
  timespec touched{};
  while (true) {
    step();
    auto file = folder_->open_lock_file(name);
    if (!file) return nullptr;
    const LockOutcome outcome = try_lock(*file);
    if (outcome == LockOutcome::none) return nullptr;
    if (outcome == LockOutcome::held) {
      if (!folder_->is_named(*file, name)) continue;  // its last holder took the name away
      auto lock = std::make_unique<PackedLock>(folder_, std::move(*file), name);
      lock->touch();
      return lock;
    }
    struct stat status {};
    static_cast<void>(::fstat(file->get(), &status));
    if (status.st_mtim.tv_sec != touched.tv_sec || status.st_mtim.tv_nsec != touched.tv_nsec) {
      touched = status.st_mtim;
      seen = steady_clock::now();
    } else if (steady_clock::now() - seen > kSilence) {
      log(LogLevel::warning, folder_->path_of(name).string() +
                                 ": held by a process that has shown no life for half a minute; going on without it");
      return nullptr;
    }
    std::this_thread::sleep_for(kBetween);
  }
}

std::unique_ptr<models::PackedFileWriter> PackedStore::writer(const PackedKey& key) {
  const PrivateFolder* folder = open(true);
  if (folder == nullptr) return nullptr;
  const std::string name = name_of(key);
  try {
    sweep(name, key.source, key.layout);
    return std::make_unique<models::PackedFileWriter>(folder_, name);
  } catch (const Error& failure) {
    if (is_passing(failure)) throw;
    give_up(failure.what());
    return nullptr;
  }
}

bool PackedStore::commit(models::PackedFileWriter& writer, const PackedKey& key,
                         const std::optional<models::Agreement>& agreement) {
  json::object about{{"source", key.source.name},
                     {"content", key.source.content},
                     {"precision", to_string(key.precision)},
                     {"layout", key.layout}};
  if (agreement) {
    about["mean_cosine"] = agreement->mean;
    about["least_cosine"] = agreement->least;
  }
  const bool kept = writer.commit(json::serialize(about));
  if (!kept) warn("cannot write " + path_of(key).string());
  return kept;
}

void PackedStore::sweep(const std::string& name, const SourceIdentity& source, const std::string& made_for) {
  const std::string_view suffix = name.ends_with(kChoiceSuffix) ? kChoiceSuffix : kPackedSuffix;
  for (const std::string& other : folder_->names()) {
    if (is_passing_name(other)) {
      const auto file = folder_->open_own(other);
      if (file && is_abandoned(*file)) folder_->remove(other);  // under its lock: nobody is about to use it
    } else if (other != name && other.ends_with(suffix) && other.starts_with(name_prefix(source.name)) &&
               is_superseded(other, source, made_for)) {
      folder_->remove(other);
    }
  }
}

/// Whether this user's file `name` is of no use any more once `source` is what its name stands for now. A blob that is
/// still in the hub's cache may be another revision's, which is used in turn with this one.
bool PackedStore::is_superseded(const std::string& name, const SourceIdentity& source,
                                const std::string& made_for) const {
  try {
    const auto file = folder_->open_own(name);
    if (!file) return false;
    models::PackedLine line{{}, true};
    if (name.ends_with(kPackedSuffix)) {
      line = models::read_packed_line(*file, folder_->path_of(name));
    } else {
      line.about = read_choice_line(*file, folder_->path_of(name));
    }
    const auto about = read_about(line.about);
    if (!about || about->source != source.name) return false;
    if (!line.current) return true;
    if (about->made_for != made_for || about->content == source.content) return false;
    const std::vector<std::string> parts = parts_of(about->content);
    return !std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
      std::error_code error;
      return is_blob_name(part) && fs::exists(source.blobs / part, error);
    });
  } catch (const Error&) {
    return false;
  }
}

std::optional<PrecisionChoice> PackedStore::choice(const SourceIdentity& source, const std::string& kernels,
                                                   Damaged damaged) {
  const PrivateFolder* folder = open(false);
  if (folder == nullptr) return std::nullopt;
  const std::string name = choice_name(source, kernels);
  try {
    const auto file = folder->open_file(name);
    if (!file) return std::nullopt;
    const auto about = read_about(read_choice_line(*file, folder->path_of(name)));
    if (!about || about->content != source.content || about->made_for != kernels) return std::nullopt;
    const Precision precision = parse_precision(about->precision);
    if (precision == Precision::automatic) return std::nullopt;
    return PrecisionChoice{precision, printable_line(about->reason)};
  } catch (const Error& failure) {
    if (is_passing(failure)) throw;
    if (damaged == Damaged::remove) log(LogLevel::warning, std::string(failure.what()) + "; choosing again");
    return std::nullopt;
  }
}

void PackedStore::keep_choice(const SourceIdentity& source, const std::string& kernels, const PrecisionChoice& choice) {
  const PrivateFolder* folder = open(true);
  if (folder == nullptr) return;
  const std::string name = choice_name(source, kernels);
  const std::string line = json::serialize(json::object{{"source", source.name},
                                                        {"content", source.content},
                                                        {"kernels", kernels},
                                                        {"precision", to_string(choice.precision)},
                                                        {"reason", choice.reason}}) +
                           "\n";
  std::string temporary;
  try {
    sweep(name, source, kernels);
    const UniqueFd file = folder->create(name, kTemporaryMark, temporary);
    write_all(file, line, folder->path_of(temporary));
    auto committed = folder->commit_new(file, temporary, name);
    if (committed == PrivateFolder::Committed::others && !this->choice(source, kernels, Damaged::remove)) {
      committed =
          folder->commit(file, temporary, name) ? PrivateFolder::Committed::ours : PrivateFolder::Committed::failed;
    }
    if (committed != PrivateFolder::Committed::ours) folder->remove(temporary);
    if (committed == PrivateFolder::Committed::failed) give_up("cannot write " + folder->path_of(name).string());
  } catch (const Error& failure) {
    if (!temporary.empty()) folder->remove(temporary);
    if (is_passing(failure)) throw;
    give_up(failure.what());
  }
}

std::string name_prefix(const std::string& source) {
  return short_name(source) + "-";
}

bool is_passing_name(const std::string& name) {
  for (const std::string_view suffix : {kPackedSuffix, kChoiceSuffix}) {
    if (name.find(std::string(suffix) + std::string(kTemporaryMark)) != std::string::npos) return true;
  }
  return name.ends_with(kLockSuffix);
}

bool is_abandoned(const UniqueFd& file) {
  constexpr std::chrono::hours kLong{1};
  const LockOutcome outcome = try_lock(file);
  if (outcome != LockOutcome::none) return outcome == LockOutcome::held;
  struct stat status {};
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() - kLong);
  return ::fstat(file.get(), &status) == 0 && status.st_mtim.tv_sec < now;
}

std::optional<PackedAbout> read_about(const std::string& line) {
  const auto object = parse_line(line);
  if (!object) return std::nullopt;
  const std::string layout = text_of(*object, "layout");
  return PackedAbout{text_of(*object, "source"), text_of(*object, "content"), text_of(*object, "precision"),
                     layout.empty() ? text_of(*object, "kernels") : layout, text_of(*object, "reason")};
}

std::string read_choice_line(const UniqueFd& file, const fs::path& path) {
  std::string text(kMaxChoiceBytes, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("read", path, errno);
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return text.substr(0, std::min(text.find('\n'), filled));
}

bool is_made_of(const std::string& content, const std::vector<std::string>& blobs) {
  const std::vector<std::string> parts = parts_of(content);
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return std::find(blobs.begin(), blobs.end(), part) != blobs.end();
  });
}

bool has_all_blobs(const std::string& content, const std::function<bool(const std::string&)>& has_blob) {
  const std::vector<std::string> parts = parts_of(content);
  return std::all_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return !is_blob_name(part) || has_blob(part); });
}

}  // namespace stella::engine
