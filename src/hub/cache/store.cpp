#include "hub/cache/store.hpp"

#include "base/ascii.hpp"
#include "base/file.hpp"
#include "base/repo_names.hpp"
#include "hub/cache/file_io.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <span>
#include <string_view>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

// Makes the folder above `path`, and every name that this makes durable.
void make_parent(const fs::path& path) {
  const fs::path folder = path.parent_path();
  std::vector<fs::path> made;
  std::error_code error;
  for (fs::path at = folder; !at.empty() && !fs::exists(at, error); at = at.parent_path()) made.push_back(at);
  fs::create_directories(folder, error);
  if (error) throw io_error("create folder", folder, error.value());
  for (auto at = made.rbegin(); at != made.rend(); ++at) {
    sync_folder(at->has_parent_path() ? at->parent_path() : fs::path("."));
  }
}

// A new file with these bytes; an existing one, or a link, is not touched.
void write_new_file(const fs::path& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!fd) throw io_error("create", path, errno);
  try {
    write_all(fd, text, path);
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

void copy_durably(const fs::path& from, const fs::path& to) {
  const UniqueFd source = open_regular(from);
  NewFile copy(to);
  std::vector<std::byte> buffer(kIoBlock);
  for (std::uint64_t at = 0;;) {
    const std::size_t count = read_at(source, at, buffer, from);
    if (count == 0) break;
    copy.write(std::span<const std::byte>(buffer).first(count));
    at += count;
  }
  copy.commit();
}

// Whether the file system let us make the link.
bool make_link(const std::string& target, const fs::path& pointer) {
  if (::symlink(target.c_str(), pointer.c_str()) == 0) return true;
  if (errno == EEXIST) {
    std::error_code error;
    if (fs::read_symlink(pointer, error) == fs::path(target) && !error) return true;
    const fs::path temporary = pointer.parent_path() / (pointer.filename().string() + "." + random_hex(16) + ".tmp");
    if (::symlink(target.c_str(), temporary.c_str()) != 0) return false;
    if (::rename(temporary.c_str(), pointer.c_str()) == 0) return true;
    const int number = errno;
    ::unlink(temporary.c_str());
    throw io_error("replace", pointer, number);
  }
  if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) return false;
  throw io_error("create link", pointer, errno);
}

// A short text that may be missing, or be anything but a file.
std::string small_text(const fs::path& path) {
  constexpr std::uint64_t kMaxBytes = 4096;
  try {
    return read_text_file(path, kMaxBytes);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

bool is_file(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

std::optional<std::string> known_commit(const RepoPaths& paths, const std::string& revision) {
  if (is_commit(revision)) return revision;
  const std::string text = small_text(paths.ref(revision));
  const std::string_view commit = trim(text);
  return is_commit(commit) ? std::optional(std::string(commit)) : std::nullopt;
}

std::optional<fs::path> cached_file(const RepoPaths& paths, const std::string& revision, const std::string& file) {
  const auto commit = known_commit(paths, revision);
  if (!commit) return std::nullopt;
  fs::path pointer = paths.pointer(*commit, file);
  if (!is_file(pointer)) return std::nullopt;
  return pointer;
}

bool known_missing(const RepoPaths& paths, const std::string& commit, const std::string& file) {
  return is_file(paths.no_exist(commit, file));
}

void record_missing(const RepoPaths& paths, const std::string& revision, const std::string& commit,
                    const std::string& file) noexcept {
  try {
    const fs::path path = paths.no_exist(commit, file);
    if (!is_file(path)) {
      make_parent(path);
      write_new_file(path, "");
    }
    write_ref(paths, revision, commit);
  } catch (const std::exception&) {
    return;  // only a later request's round trip is lost
  }
}

bool has_blob(const RepoPaths& paths, const std::string& etag) {
  const fs::path blob = paths.blob(etag);
  struct stat status {};
  if (::lstat(blob.c_str(), &status) != 0) return false;
  if (S_ISREG(status.st_mode)) return true;
  std::error_code error;
  const fs::path target = fs::read_symlink(blob, error);
  return !error && is_shared_store_link(target.native()) && is_file(blob);
}

void make_folders(const RepoPaths& paths, const std::string& commit, const std::string& file) {
  make_parent(paths.blobs() / "x");
  make_parent(paths.pointer(commit, file));
  make_cache(paths);
}

void make_cache(const RepoPaths& paths) {
  const fs::path tag = paths.cachedir_tag();
  make_parent(tag);
  struct stat status {};
  if (::lstat(tag.c_str(), &status) == 0) return;
  try {
    write_new_file(tag,
                   "Signature: 8a477f597d28d172789f06886806bc55\n"
                   "# This file is a cache directory tag created by stella.cpp.\n"
                   "# For information about cache directory tags, see:\n"
                   "#\thttps://bford.info/cachedir/\n");
  } catch (const Error&) {
    if (::lstat(tag.c_str(), &status) != 0) throw;  // else another process was faster
  }
}

void link_blob(const RepoPaths& paths, const std::string& commit, const std::string& file, const std::string& etag,
               bool symlinks) {
  const fs::path pointer = paths.pointer(commit, file);
  if (symlinks && make_link(RepoPaths::link_target(file, etag), pointer)) return sync_folder(pointer.parent_path());
  copy_durably(paths.blob(etag), pointer);
}

void write_ref(const RepoPaths& paths, const std::string& revision, const std::string& commit) {
  if (revision == commit) return;
  const fs::path ref = paths.ref(revision);
  if (small_text(ref) == commit) return;
  make_parent(ref);
  // Whatever lies in refs/ is a ref to Python's client, which calls a repository corrupted for one that is torn.
  NewFile file(ref, ".", ".tmp", 0666, paths.folder());
  file.write(commit);
  file.commit();
}

bool has_hash(const fs::path& path, const std::string& etag) {
  const UniqueFd fd = open_regular(path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw io_error("stat", path, errno);
  return hash_range(fd, 0, static_cast<std::uint64_t>(status.st_size), etag, path, {}, {}) == etag;
}

std::vector<std::string> snapshot_files(const RepoPaths& paths, const std::string& commit) {
  const fs::path folder = paths.snapshot(commit);
  std::error_code error;
  if (!fs::is_directory(folder, error)) return {};
  std::vector<std::string> files = names_below(folder);
  std::erase_if(files, [&](const std::string& file) { return !is_file(folder / file); });
  return files;
}

}  // namespace stella::hub
