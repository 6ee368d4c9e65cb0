// Looking after the folder of packed weights: stella/packed_weights.hpp.
#include "engine/packed_store.hpp"
#include "stella/error.hpp"
#include "stella/packed_weights.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace stella::packed_weights {
namespace {

namespace fs = std::filesystem;
using engine::kChoiceSuffix;
using engine::kPackedSuffix;
using engine::kTemporaryMark;

enum class Kind : std::uint8_t { packed, choice, packed_temporary, choice_temporary, other };

Kind kind_of(const std::string& name) {
  const auto is_temporary_of = [&](std::string_view suffix) {
    return name.find(std::string(suffix) + std::string(kTemporaryMark)) != std::string::npos;
  };
  if (is_temporary_of(kPackedSuffix)) return Kind::packed_temporary;
  if (is_temporary_of(kChoiceSuffix)) return Kind::choice_temporary;
  if (name.ends_with(kPackedSuffix)) return Kind::packed;
  return name.ends_with(kChoiceSuffix) ? Kind::choice : Kind::other;
}

bool is_temporary(Kind kind) {
  return kind == Kind::packed_temporary || kind == Kind::choice_temporary;
}

[[noreturn]] void fail(const char* doing, const fs::path& path, const std::error_code& error) {
  throw Error(Errc::io_error, std::string("cannot ") + doing + " " + path.string() + ": " + error.message(),
              {.file = path.string()});
}

struct Entry {
  fs::path path;
  Kind kind = Kind::other;
};

/// The files that are the store's own, sorted; none where the folder is missing. No link is followed.
std::vector<Entry> entries_of(const fs::path& directory) {
  std::vector<Entry> entries;
  std::error_code error;
  fs::directory_iterator files(directory, error);
  if (error == std::errc::no_such_file_or_directory) return entries;
  for (; !error && files != fs::directory_iterator(); files.increment(error)) {
    std::error_code gone;
    const Kind kind = kind_of(files->path().filename().string());
    const bool is_file = files->symlink_status(gone).type() == fs::file_type::regular;
    if (kind != Kind::other && is_file) entries.push_back({files->path(), kind});
  }
  if (error) fail("read", directory, error);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
  return entries;
}

std::optional<engine::PackedAbout> about_of(const Entry& entry) {
  try {
    if (entry.kind == Kind::packed) return engine::read_about(models::PackedFile::open(entry.path)->about());
  } catch (const Error&) {
    return std::nullopt;
  }
  if (entry.kind != Kind::choice) return std::nullopt;
  std::ifstream in(entry.path);
  std::string line;
  std::getline(in, line);
  return engine::read_about(line);
}

File describe(const Entry& entry) {
  File file;
  file.path = entry.path;
  file.unfinished = is_temporary(entry.kind);
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

/// Whether nobody writes a temporary file any more: a writer holds its lock, or has only just made it.
bool is_left_over(const fs::path& path) {
  constexpr std::chrono::minutes kJustMade{1};
  std::error_code error;
  const auto written = fs::last_write_time(path, error);
  if (error || fs::file_time_type::clock::now() - written < kJustMade) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const bool held = ::flock(fd, LOCK_EX | LOCK_NB) != 0;
  ::close(fd);
  return !held;
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
    if (!packed->hash_matches(show)) fault = "its bytes do not have the hash that was written with them";
    if (fault.empty() && !file.readable) fault = "it does not say what it holds";
  } catch (const Error& error) {
    if (error.errc() != Errc::malformed_file) throw;
    fault = "its trailer or index is damaged";
  }
  progress.finished = true;
  progress.from_cache = true;
  progress.bytes = file.bytes;
  if (on_progress) on_progress(progress);
  return fault;
}

}  // namespace

fs::path default_directory(const HubOptions& hub) {
  const fs::path& cache = hub.cache_dir;
  return (cache.has_filename() ? cache : cache.parent_path()).parent_path() / "stella";
}

Contents list(const fs::path& directory) {
  Contents contents{directory, 0, {}};
  for (const Entry& entry : entries_of(directory)) {
    if (entry.kind != Kind::packed && entry.kind != Kind::packed_temporary) continue;
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
    if (!belongs(entry, about ? about->source : std::string(), name)) continue;
    if (is_temporary(entry.kind) && !is_left_over(entry.path)) {
      ++removed.busy;
      continue;
    }
    std::error_code error;
    const auto size = fs::file_size(entry.path, error);
    if (!fs::remove(entry.path, error)) {
      if (error) fail("remove", entry.path, error);
      continue;
    }
    if (entry.kind != Kind::packed && entry.kind != Kind::packed_temporary) continue;
    ++removed.files;
    removed.bytes += size;
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
