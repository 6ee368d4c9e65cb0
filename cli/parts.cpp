#include "cli/parts.hpp"

#include "base/json.hpp"
#include "base/sha.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <span>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace stella::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = std::size_t{1} << 20U;
constexpr const char* kManifest = "manifest.json";
constexpr std::string_view kPartStart = "part-";
constexpr std::string_view kDigits = "0123456789";

UniqueFd open_to_read(const std::string& path, const std::string& what) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat status {};
  if (file && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)) return file;
  const std::string why = file ? "is no regular file" : std::strerror(errno);
  throw Failure(kBadInput, "cannot read " + what + " '" + path + "': " + why + "; give a file");
}

/// Calls `take` with one block after another.
template <class Take>
void read_blocks(const UniqueFd& file, const std::string& path, const WaitFunction& wait, Take take) {
  std::string block(kReadBytes, '\0');
  while (true) {
    if (wait) wait(file.get(), POLLIN);
    const ssize_t got = ::read(file.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Failure(kRuntimeFailure, with_errno("cannot read '" + path + "'", errno) + "; check the disk");
    if (got == 0) return;
    take(std::string_view(block.data(), static_cast<std::size_t>(got)));
  }
}

/// Where lines begin, block by block.
class PartCutter {
 public:
  PartCutter(InputPlan& plan, std::size_t parts) : plan_(plan), count_(parts) {}

  void take(std::string_view block) {
    for (std::size_t at = 0; at < block.size();) {
      if (at_line_start_) begin_line(read_ + at);
      const void* end = std::memchr(block.data() + at, '\n', block.size() - at);
      at_line_start_ = end != nullptr;
      at = end == nullptr ? block.size() : static_cast<std::size_t>(static_cast<const char*>(end) - block.data()) + 1;
    }
    read_ += block.size();
  }

  void finish() {
    while (plan_.parts.size() < count_) plan_.parts.push_back({read_, 0, plan_.rows, 0});
    for (std::size_t i = 0; i < count_; ++i) {
      PartRange& part = plan_.parts[i];
      const bool last = i + 1 == count_;
      part.bytes = (last ? read_ : plan_.parts[i + 1].offset) - part.offset;
      part.rows = (last ? plan_.rows : plan_.parts[i + 1].first_row) - part.first_row;
    }
  }

 private:
  void begin_line(std::uint64_t offset) {
    // The first line that begins at or behind a part's share of the bytes is its first.
    while (plan_.parts.size() < count_ && offset >= share(plan_.parts.size())) {
      plan_.parts.push_back({offset, 0, plan_.rows, 0});
    }
    ++plan_.rows;
  }
  std::uint64_t share(std::size_t part) const {
    return plan_.bytes / count_ * part + plan_.bytes % count_ * part / count_;
  }

  InputPlan& plan_;
  std::size_t count_;
  std::uint64_t read_ = 0;
  bool at_line_start_ = true;
};

std::string part_name(std::size_t part, std::size_t parts) {
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "part-%05zu-of-%05zu", part, parts);
  return name.data();
}

struct HashedFile {
  std::uint64_t bytes = 0;
  std::string sha256{};
};
HashedFile hash_file(const std::string& path, const WaitFunction& wait) {
  Sha256 hash;
  HashedFile result;
  read_blocks(open_to_read(path, "the finished part"), path, wait, [&](std::string_view block) {
    hash.update(std::as_bytes(std::span(block)));
    result.bytes += block.size();
  });
  result.sha256 = to_hex(hash.digest());
  return result;
}

/// The file as a JSON object; nothing where it is missing.
std::optional<json::object> read_object(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  boost::system::error_code fault;
  json::value value = json::parse(read_text_file(path), fault);
  if (fault || !value.is_object()) return json::object();
  return std::move(value.as_object());
}

std::uint64_t number_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  boost::system::error_code wrong;  // less than none, for example
  const auto number = value == nullptr ? 0 : value->to_number<std::uint64_t>(wrong);
  return wrong ? 0 : number;
}

/// Of a member that is a string; "" where there is none.
std::string text_of(const json::value& value, const char* key) {
  const json::value* text = value.is_object() ? value.as_object().if_contains(key) : nullptr;
  return text != nullptr && text->is_string() ? std::string(text->as_string()) : std::string();
}

void write_counts(format::JsonText& text, const PartCounts& counts) {
  text.member("rows", counts.rows).member("skipped", counts.skipped);
  text.member("truncated", counts.truncated).member("tokens", counts.tokens);
}

void write_file(const std::string& path, const std::string& text, const WaitFunction& wait) {
  Output output(path, wait);
  output.write(text + "\n");
  output.commit();
}

}  // namespace

InputPlan plan_parts(const std::string& path, std::size_t parts, const WaitFunction& wait) {
  const UniqueFd file = open_to_read(path, "--input");
  struct stat status {};
  static_cast<void>(::fstat(file.get(), &status));
  InputPlan plan;
  plan.bytes = static_cast<std::uint64_t>(status.st_size);
  Sha256 hash;
  PartCutter cutter(plan, parts);
  std::uint64_t read = 0;
  read_blocks(file, path, wait, [&](std::string_view block) {
    hash.update(std::as_bytes(std::span(block)));
    cutter.take(block);
    read += block.size();
  });
  if (read != plan.bytes) {
    throw Failure(kRuntimeFailure, "'" + path + "' changed while it was read; wait until it is complete");
  }
  cutter.finish();
  plan.sha256 = to_hex(hash.digest());
  return plan;
}

PartCounts& PartCounts::operator+=(const PartCounts& other) {
  rows += other.rows;
  skipped += other.skipped;
  truncated += other.truncated;
  tokens += other.tokens;
  return *this;
}

std::optional<std::string> Manifest::text(const std::string& name) const {
  for (const auto& [known, value] : settings) {
    if (known != name) continue;
    const json::value parsed = json::parse(value);
    if (parsed.is_string()) return std::string(parsed.as_string());
  }
  return std::nullopt;
}

PartsFolder::PartsFolder(std::string path, WaitFunction wait) : path_(std::move(path)), wait_(std::move(wait)) {
  std::error_code error;
  fs::create_directories(path_, error);
  lock_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_) {
    throw WriteFailure(with_errno("cannot write into --output '" + path_ + "'", errno) +
                       "; with --parts it is a folder: check the path and its permissions");
  }
  // A file system without locks is no reason not to work.
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw Failure(kRuntimeFailure, "another run works in '" + path_ + "'; wait for its end, or name another folder");
  }
  read_manifest();
}

void PartsFolder::read_manifest() {
  const auto object = read_object(file(kManifest));
  if (!object) return refuse_parts();
  const json::value* settings = object->if_contains("settings");
  const json::value* parts = object->if_contains("parts");
  if (settings == nullptr || !settings->is_object() || parts == nullptr || !parts->is_array()) {
    throw Failure(kBadInput, "'" + file(kManifest) + "' is no manifest of `stella embed --parts`; name another folder");
  }
  Manifest read;
  for (const auto& [name, value] : settings->as_object()) read.settings.emplace_back(name, json::serialize(value));
  read.parts = parts->as_array().size();
  parts_ = read.parts;
  manifest_ = std::move(read);
}

/// Nobody knows of which texts they are.
void PartsFolder::refuse_parts() const {
  for (const std::string& name : names_in(path_)) {
    if (!name.starts_with("part-") || name.find("-of-") == std::string::npos) continue;
    throw Failure(kBadInput, "'" + path_ + "' has " + name + " of an earlier run, but no " + kManifest +
                                 "; remove the parts, or name another folder");
  }
}

void PartsFolder::compare(const Settings& settings) const {
  if (!manifest_) return;
  for (const auto& [name, value] : settings) {
    const std::string wanted = json::serialize(json::parse(value));
    std::string begun = "null";
    for (const auto& [known, old] : manifest_->settings) {
      if (known == name) begun = old;
    }
    if (begun == wanted) continue;
    throw Failure(kBadInput, "'" + path_ + "' was begun with " + name + " " + begun + ", and this run has " + wanted +
                                 "; go on with the same, or name another folder");
  }
}

void PartsFolder::begin(const Settings& settings, const InputPlan& plan) {
  parts_ = plan.parts.size();
  for (const std::string& name : names_in(path_)) {
    if (is_left_over(name)) ::unlink(file(name).c_str());
  }
  if (!manifest_) write_manifest(settings, plan, nullptr);
}

/// What else lies there is somebody's own.
bool PartsFolder::is_left_over(std::string_view name) const {
  const std::string_view whole = final_name_of(name);
  if (whole == kManifest) return true;
  const std::string_view stem = whole.substr(0, whole.find('.'));
  std::string_view rest = whole.substr(stem.size());
  if (rest == ".json") return is_part(stem);
  for (const std::string_view format : {".jsonl", ".npy", ".f32"}) {
    if (!rest.ends_with(format)) continue;
    rest.remove_suffix(format.size());  // what is left is ".256" where there are several dimensions
    return is_part(stem) && (rest.empty() || (rest.size() > 1 && rest.find_first_not_of(kDigits, 1) == rest.npos));
  }
  return false;
}

/// Whether it is the name of one of the parts.
bool PartsFolder::is_part(std::string_view stem) const {
  std::size_t part = 0;
  if (!stem.starts_with(kPartStart)) return false;
  std::from_chars(stem.data() + kPartStart.size(), stem.data() + stem.size(), part);
  return part < parts_ && part_name(part, parts_) == stem;
}

void PartsFolder::write_manifest(const Settings& settings, const InputPlan& plan, const PartCounts* totals) const {
  format::JsonText text;
  text.begin_object().member("format_version", 1).member("complete", totals != nullptr);
  if (totals != nullptr) {
    text.key("totals").begin_object();
    write_counts(text, *totals);
    text.end_object();
  }
  text.key("settings").begin_object();
  for (const auto& [name, value] : settings) text.key(name).raw(value);
  text.end_object().key("parts").begin_array();
  for (std::size_t i = 0; i < plan.parts.size(); ++i) {
    const PartRange& part = plan.parts[i];
    text.begin_object().member("name", part_name(i, plan.parts.size())).member("first_row", part.first_row);
    text.member("rows", part.rows).member("bytes", part.bytes).end_object();
  }
  write_file(file(kManifest), text.end_array().end_object().take(), wait_);
}

std::string PartsFolder::path_of(std::size_t part, const std::string& suffix) const {
  return file(part_name(part, parts_) + suffix);
}

PartState PartsFolder::state_of(std::size_t part, const PartRange& range) const {
  const auto object = read_object(path_of(part, ".json"));
  if (!object) return {};
  const PartCounts counts{number_of(*object, "rows"), number_of(*object, "skipped"), number_of(*object, "truncated"),
                          number_of(*object, "tokens")};
  const json::value* files = object->if_contains("files");
  const bool says_all = files != nullptr && files->is_array() && !files->as_array().empty();
  if (!says_all || counts.rows + counts.skipped != range.rows) {
    return {std::nullopt, "'" + path_of(part, ".json") + "' is damaged"};
  }
  for (const json::value& one : files->as_array()) {
    const std::string path = file(text_of(one, "name"));
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (error) return {std::nullopt, "'" + path + "' is missing"};
    if (size != number_of(one.as_object(), "bytes") || hash_file(path, wait_).sha256 != text_of(one, "sha256")) {
      return {std::nullopt, "'" + path + "' is not as it was written"};
    }
  }
  return {counts, {}};
}

void PartsFolder::finish(std::size_t part, const PartCounts& counts, const std::vector<std::string>& files) const {
  format::JsonText text;
  text.begin_object().member("part", part);
  write_counts(text, counts);
  text.key("files").begin_array();
  for (const std::string& path : files) {
    const HashedFile hashed = hash_file(path, wait_);
    text.begin_object().member("name", fs::path(path).filename().string()).member("bytes", hashed.bytes);
    text.member("sha256", hashed.sha256).end_object();
  }
  write_file(path_of(part, ".json"), text.end_array().end_object().take(), wait_);
}

void PartsFolder::complete(const Settings& settings, const InputPlan& plan, const PartCounts& totals) const {
  write_manifest(settings, plan, &totals);
}

}  // namespace stella::cli
