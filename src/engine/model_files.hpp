// Where a checkpoint's files come from: a directory, or whatever the layer above provides (the hub).
#pragma once

#include "base/unique_function.hpp"
#include "engine/awaited.hpp"

#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace stella {
class ThreadPool;
}

namespace stella::engine {

/// Files of one checkpoint by their path inside it. Thread-safe; completions run on threads of the implementation, or
/// inline where nothing had to be waited for. An operation may outlive the object: what it needs it keeps.
class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  /// The file on disk. Error(entry_not_found) where the checkpoint has none of that name.
  virtual void get(std::string file, std::stop_token stop, Completion<std::filesystem::path> done) = 0;
  /// Every file of the checkpoint.
  virtual void list(std::stop_token stop, Completion<std::vector<std::string>> done) = 0;
  /// After loading has failed on what a file holds: looks at the bytes of every file given out, and replaces those that
  /// are not what they should be (a power cut leaves zeros). Says whether any was; loading is then worth another try.
  /// Error(integrity) where a file is damaged and cannot be replaced.
  virtual void mend(std::stop_token stop, Completion<bool> done);
  /// For messages: the directory, or the repository.
  virtual const std::string& source() const noexcept = 0;
  virtual bool is_local() const noexcept = 0;
};

/// A file that is being fetched, for a thread that may wait for it.
class AwaitedFile {
 public:
  /// Without a required one the checkpoint is none.
  enum class Need : std::uint8_t { required, optional };
  /// Asks for it. A failure is told to `together`, where given.
  AwaitedFile(ModelFiles& files, std::string name, Need need, const Together* together = nullptr);
  const std::string& name() const noexcept { return name_; }

  /// Once. Empty where an optional file is not there. Throws what ModelFiles::get() fails with; a local directory
  /// without a required file is malformed (Error(malformed_file)), which is no matter of the hub.
  std::filesystem::path get(const std::stop_token& stop) { return path_.get(stop); }

 private:
  std::string name_;
  Awaited<std::filesystem::path> path_;
};

/// Whether `error` may come of a file whose bytes are not what they should be.
bool may_be_damage(const std::exception_ptr& error);

/// Whether `error` says that the checkpoint has no such file.
bool is_entry_not_found(const std::exception_ptr& error);

/// A local directory in the hub's layout. `pool` outlives every operation.
std::shared_ptr<ModelFiles> directory_files(const std::filesystem::path& directory, ThreadPool& pool);

}  // namespace stella::engine
