#include "hub/cache_store.hpp"

#include "base/file.hpp"
#include "hub/text.hpp"

#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <sys/stat.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

std::string random_suffix() {
  constexpr char kHex[] = "0123456789abcdef";
  std::random_device random;
  std::string suffix;
  for (int i = 0; i < 8; ++i) suffix += kHex[random() & 15U];
  return suffix;
}

void make_parent(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) throw io_error("create folder", path.parent_path(), error.value());
}

// A new file with these bytes; an existing one, or a link, is not touched.
void write_new_file(const fs::path& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!fd) throw io_error("create", path, errno);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int number = errno;
    ::unlink(path.c_str());
    throw io_error("write", path, number != 0 ? number : ENOSPC);
  }
}

fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / (path.filename().string() + "." + random_suffix() + ".tmp");
}

void rename_over(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  const int number = errno;
  ::unlink(from.c_str());
  throw io_error("replace", to, number);
}

// Whether the file system let us make the link.
bool make_link(const std::string& target, const fs::path& pointer) {
  if (::symlink(target.c_str(), pointer.c_str()) == 0) return true;
  if (errno == EEXIST) {
    std::error_code error;
    if (fs::read_symlink(pointer, error) == fs::path(target) && !error) return true;
    const fs::path temporary = temporary_beside(pointer);
    if (::symlink(target.c_str(), temporary.c_str()) != 0) return false;
    rename_over(temporary, pointer);
    return true;
  }
  if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) return false;
  throw io_error("create link", pointer, errno);
}

}  // namespace

bool is_file(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

std::optional<std::string> known_commit(const RepoPaths& paths, const std::string& revision) {
  if (is_commit(revision)) return revision;
  if (!is_file(paths.ref(revision))) return std::nullopt;  // a FIFO would keep us waiting
  std::ifstream file(paths.ref(revision), std::ios::binary);
  std::string text(64, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  text = std::string(trim(text));
  if (!is_commit(text)) return std::nullopt;
  return text;
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
  if (is_file(pointer)) return;
  if (symlinks && make_link(RepoPaths::link_target(file, etag), pointer)) return;
  const fs::path temporary = temporary_beside(pointer);
  std::error_code error;
  fs::copy_file(paths.blob(etag), temporary, error);
  if (error) {
    ::unlink(temporary.c_str());
    throw io_error("copy a blob to", pointer, error.value());
  }
  rename_over(temporary, pointer);
}

void write_ref(const RepoPaths& paths, const std::string& revision, const std::string& commit) {
  if (revision == commit) return;
  const fs::path ref = paths.ref(revision);
  {
    std::ifstream file(ref, std::ios::binary);
    if (std::string(std::istreambuf_iterator<char>(file), {}) == commit) return;
  }
  make_parent(ref);
  const fs::path temporary = temporary_beside(ref);
  write_new_file(temporary, commit);
  rename_over(temporary, ref);
}

std::vector<std::string> snapshot_files(const RepoPaths& paths, const std::string& commit) {
  std::vector<std::string> files;
  const fs::path folder = paths.snapshot(commit);
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (is_file(at->path())) files.push_back(at->path().lexically_relative(folder).generic_string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace stella::hub
