// Writing below a folder that others may have prepared. Blocks on the disk.
#pragma once

#include "base/file.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace stella::hub {

/// A folder held open. What lies in it is reached by name from there, so that no symbolic link in the place of a
/// folder, planted before or meanwhile, is followed. Names are single parts of paths. All throw io_error(), and
/// Error(io_error) where a link or anything else has the name of a folder.
class Folder {
 public:
  /// Links on the way to `path` are followed.
  static Folder open(const std::filesystem::path& path);

  /// Nothing where nothing has the name.
  std::optional<Folder> enter(const std::string& name) const;
  /// Made where missing.
  Folder make(const std::string& name) const;
  /// The same for "a/b/c"; for "" this folder.
  Folder make_all(std::string_view path) const;
  /// Throws where making that would throw because of what is there already.
  void check_all(std::string_view path) const;

  /// A symbolic link, over whatever file has the name. False where the file system has none.
  bool link(const std::string& name, const std::string& target) const;
  /// Text of the link of that name; empty where it is none.
  std::string link_text(const std::string& name) const;
  /// Makes the names in it durable.
  void sync() const noexcept;

  const UniqueFd& fd() const noexcept { return fd_; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  Folder(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Folder copy() const;

  UniqueFd fd_;
  std::filesystem::path path_;  // for messages
};

/// A new file in a folder that gets its name when it is complete and on the disk, over whatever file has it, or
/// vanishes. The folder's names are not yet durable then: Folder::sync().
class FileIn {
 public:
  /// The temporary name is "{name}.{random}{suffix}", in `temporaries`, of the same file system.
  FileIn(const Folder& folder, std::string name, std::string_view suffix, const Folder& temporaries);
  FileIn(const Folder& folder, std::string name, std::string_view suffix)
      : FileIn(folder, std::move(name), suffix, folder) {}
  FileIn(const FileIn&) = delete;
  FileIn& operator=(const FileIn&) = delete;
  ~FileIn();

  void write(std::span<const std::byte> bytes) { write_all(fd_, bytes, folder_.path() / name_); }
  void write(std::string_view text) { write_all(fd_, text, folder_.path() / name_); }
  void commit();

 private:
  const Folder& folder_;
  const Folder& temporaries_;
  std::string name_;
  std::string temporary_;  // empty once renamed
  UniqueFd fd_;
};

}  // namespace stella::hub
