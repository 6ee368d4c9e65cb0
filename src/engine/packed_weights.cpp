// Looking after the folder of packed weights: stella/packed_weights.hpp.
#include "base/file.hpp"
#include "engine/packed_store.hpp"
#include "stella/error.hpp"
#include "stella/packed_weights.hpp"

#include <algorithm>
#include <fcntl.h>
#include <system_error>
#include <utility>

namespace stella::packed_weights {
namespace {

namespace fs = std::filesystem;
using engine::kChoiceSuffix;
using engine::kPackedSuffix;
using models::kTemporaryMark;

/// What is only there while someone works: packed weights half written; a choice half written, or a lock.
enum class Kind : std::uint8_t { packed, choice, packed_passing, other_passing, other };

Kind kind_of(const std::string& name) {
  if (engine::is_passing_name(name)) {
    const bool is_packed = name.find(std::string(kPackedSuffix) + std::string(kTemporaryMark)) != std::string::npos;
    return is_packed ? Kind::packed_passing : Kind::other_passing;
  }
  if (name.ends_with(kPackedSuffix)) return Kind::packed;
  return name.ends_with(kChoiceSuffix) ? Kind::choice : Kind::other;
}

bool is_passing(Kind kind) {
  return kind == Kind::packed_passing || kind == Kind::other_passing;
}

bool is_packed(Kind kind) {
  return kind == Kind::packed || kind == Kind::packed_passing;
}

[[noreturn]] void fail(const char* doing, const fs::path& path, const std::error_code& error) {
  throw io_error(doing, path, error.value());
}

struct Entry {
  fs::path path;
  Kind kind = Kind::other;
};

/// The files that are the store's own, sorted; none where the folder is missing. No link is followed.
std::vector<Entry> entries_of(const fs::path& directory) {
  std::vector<Entry> entries;
  std::error_code error;
  if (!fs::is_directory(directory, error) &&
      (!error || error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory)) {
    return entries;
  }
  for (const std::string& name : names_in(directory)) {
    const fs::path path = directory / name;
    const Kind kind = kind_of(name);
    if (kind != Kind::other && fs::symlink_status(path, error).type() == fs::file_type::regular) {
      entries.push_back({path, kind});
    }
  }
  return entries;
}

std::optional<engine::PackedAbout> about_of(const Entry& entry) {
  try {
    if (entry.kind == Kind::packed) return engine::read_about(models::PackedFile::open(entry.path)->about());
    if (entry.kind != Kind::choice) return std::nullopt;
    return engine::read_about(engine::read_choice_line(open_regular(entry.path, false), entry.path));
  } catch (const Error&) {
    return std::nullopt;
  }
}

File describe(const Entry& entry) {
  File file;
  file.path = entry.path;
  file.unfinished = is_passing(entry.kind);
  std::error_code gone;
  const auto size = fs::file_size(entry.path, gone);
  file.bytes = gone ? 0 : size;
  if (auto about = about_of(entry)) {
    file.readable = true;
    file.source = std::move(about->source);
    try {
      file.precision = parse_precision(about->precision);
    } catch (const Error&) {
      file.readable = false;
    }
  }
  return file;
}

/// `source` as engine::source_name() gives it; empty: all. A file that does not say whose it is goes by its name: it is
/// of no use to any source.
bool belongs(const Entry& entry, const std::string& said, const std::string& source) {
  if (source.empty() || said == source) return true;
  return said.empty() && entry.path.filename().string().starts_with(engine::name_prefix(source));
}

/// Removes it, unless it is one that somebody works with, or only counts it. False where it is kept for that, or gone.
bool remove_unless_busy(const Entry& entry, Removed& removed, bool count_only = false) {
  std::error_code error;
  const auto size = fs::file_size(entry.path, error);
  UniqueFd lock;
  if (is_passing(entry.kind)) {
    lock = UniqueFd(::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!lock || !engine::is_abandoned(lock)) {
      removed.busy += lock && is_packed(entry.kind) ? 1 : 0;
      return false;
    }
  }
  if (!count_only && !fs::remove(entry.path, error)) {
    if (error) fail("remove", entry.path, error);
    return false;
  }
  if (!is_packed(entry.kind)) return true;
  ++removed.files;
  removed.bytes += size;
  return true;
}

void check(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Error(Errc::cancelled, "cancelled while packed weights were being checked");
}

/// What is wrong with a file, or nothing.
std::string find_fault(const File& file, const ProgressCallback& on_progress, const std::stop_token& stop) {
  Progress progress{.repo = file.source, .file = file.path.filename().string(), .total = file.bytes};
  const auto show = [&](std::size_t bytes) {
    check(stop);
    progress.bytes = bytes;
    if (on_progress) on_progress(progress);
  };
  std::string fault;
  try {
    const auto packed = models::PackedFile::open(file.path);
    ParallelTeam team(1);
    fault = "its bytes do not have the checksums that were written with them";
    packed->check(team, show);
    fault = file.readable ? "" : "it does not say what it holds";
  } catch (const Error& error) {
    if (error.errc() != Errc::malformed_file) throw;
    if (fault.empty()) fault = "its trailer or index is damaged, or it is of an earlier version";
  }
  progress.finished = true;
  progress.from_cache = true;
  progress.bytes = file.bytes;
  if (on_progress) on_progress(progress);
  return fault;
}

}  // namespace

fs::path default_directory(const HubOptions& hub) {
  if (hub.home.empty()) return {};
  const auto plain = [](const fs::path& path) {
    const fs::path normal = path.lexically_normal();
    return normal.has_filename() ? normal : normal.parent_path();
  };
  // What lies in the hub's cache and is no model's is an error to Python's scan of it.
  return plain(hub.home) == plain(hub.cache_dir) ? fs::path() : hub.home / "stella";
}

Contents list(const fs::path& directory) {
  Contents contents{directory, 0, {}};
  for (const Entry& entry : entries_of(directory)) {
    if (!is_packed(entry.kind)) continue;
    contents.files.push_back(describe(entry));
    contents.bytes += contents.files.back().bytes;
  }
  return contents;
}

Removed remove(const fs::path& directory, const std::string& source) {
  const std::string name = source.empty() ? source : engine::source_name(source);
  Removed removed;
  for (const Entry& entry : entries_of(directory)) {
    const auto about = about_of(entry);
    if (belongs(entry, about ? about->source : std::string(), name)) remove_unless_busy(entry, removed);
  }
  return removed;
}

Removed remove_made_from(const fs::path& directory, const std::vector<std::string>& blobs) {
  Removed removed;
  if (blobs.empty()) return removed;
  for (const Entry& entry : entries_of(directory)) {
    const auto about = about_of(entry);
    if (about && engine::is_made_of(about->content, blobs)) remove_unless_busy(entry, removed);
  }
  return removed;
}

Removed prune(const fs::path& directory, const Known& has_source, const Known& has_blob, bool dry_run) {
  Removed removed;
  for (const Entry& entry : entries_of(directory)) {
    const auto about = about_of(entry);
    const bool says = about && !about->source.empty();
    const bool of_hub = says && !about->source.starts_with('/');
    const bool lost = of_hub && !engine::has_all_blobs(about->content, has_blob);
    const bool of_use = !says || (has_source(about->source) && !lost);
    if (is_passing(entry.kind) || !of_use) remove_unless_busy(entry, removed, dry_run);
  }
  return removed;
}

Report verify(const fs::path& directory, const std::string& source, bool repair, const ProgressCallback& on_progress,
              const std::stop_token& stop) {
  const std::string name = source.empty() ? source : engine::source_name(source);
  Report report;
  for (const Entry& entry : entries_of(directory)) {
    if (entry.kind != Kind::packed) continue;
    const File file = describe(entry);
    if (!belongs(entry, file.source, name)) continue;
    check(stop);
    std::string fault;
    try {
      fault = find_fault(file, on_progress, stop);
    } catch (const Error& error) {
      std::error_code ignored;
      if (error.errc() == Errc::io_error && !fs::exists(entry.path, ignored)) continue;  // removed meanwhile
      throw;
    }
    ++report.files;
    report.bytes += file.bytes;
    if (fault.empty()) continue;
    Problem problem{entry.path, file.source, std::move(fault), false, {}};
    std::error_code error;
    if (repair) problem.removed = fs::remove(entry.path, error) || !error;
    if (error) problem.failure = error.message();
    report.problems.push_back(std::move(problem));
  }
  return report;
}

}  // namespace stella::packed_weights
