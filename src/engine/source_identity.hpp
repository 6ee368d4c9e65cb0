// What a checkpoint's weights are: which packed weights are theirs, and whether the files are what they are said to be.
#pragma once

#include "weights/tensors.hpp"

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace stella::engine {

/// What a checkpoint's weights are, so that packed ones of others are never taken for them.
struct SourceIdentity {
  std::string name{};     // the repository or directory, for people
  std::string content{};  // of every file, '|' between: content_part()
  /// Of every file the hash that the hub's cache names it by; empty for a file outside of that.
  std::vector<std::string> hashes{};
  std::filesystem::path blobs{};  // the folder of such files; empty for a checkpoint outside of the cache
};

/// Of a blob of the hub's cache its name, which is its hash and which SourceCheck holds it to. Of any other file path,
/// size, device, inode, times of change (mtime, and ctime, which no program can set) and a hash of samples: an image of
/// a file system may have been made with the same times and inodes for other content. Throws io_error().
SourceIdentity identify(const std::string& name, const std::vector<std::filesystem::path>& files);

/// A model's name as the folder keeps it: for a directory its full path without links, as it may be named in many ways.
std::string source_name(const std::string& model);

/// Whether `text` is the name of a blob: the digits of a sha256, or of git's sha1.
bool is_blob_name(const std::string& text);

/// Throws Error(integrity) of a file of the hub's cache that is not what its name says, though it may parse; any other
/// file is taken as it is. `content` is all of it.
void check_sound(const std::filesystem::path& file, std::span<const std::byte> content);

/// The text of a checkpoint's JSON file that is sound, of at most weights::kMaxJsonBytes. Throws as read_text_file()
/// and check_sound() do.
std::string read_sound_text(const std::filesystem::path& file);

/// Hashes the files of the hub's cache that a checkpoint is packed from, on a thread of its own beside the packing,
/// which reads them whole anyway. A damaged blob keeps its name, and what is made of it would be taken for right.
class SourceCheck {
 public:
  SourceCheck(std::shared_ptr<const weights::Tensors> tensors, std::vector<std::string> hashes);
  SourceCheck(const SourceCheck&) = delete;
  SourceCheck& operator=(const SourceCheck&) = delete;
  /// Gives up.
  ~SourceCheck() = default;

  /// Waits until all is hashed. `step` is called several times a second and throws to give up. Throws Error(integrity)
  /// of a file that is not what its name says. May be called again.
  void finish(const std::function<void()>& step);

 private:
  void run(const std::stop_token& stop, const std::function<void()>& step);

  const std::shared_ptr<const weights::Tensors> tensors_;
  const std::vector<std::string> hashes_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;          // guarded by mutex_
  std::exception_ptr failed_;  // guarded by mutex_
  std::jthread thread_;        // last: it uses the others
};

}  // namespace stella::engine
