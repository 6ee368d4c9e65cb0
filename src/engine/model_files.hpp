// Where a checkpoint's files come from: a directory, or whatever the layer above provides (the hub).
#pragma once

#include "base/unique_function.hpp"

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
/// inline where nothing had to be waited for.
class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  /// The file on disk. Error(entry_not_found) where the checkpoint has none of that name.
  virtual void get(std::string file, std::stop_token stop, Completion<std::filesystem::path> done) = 0;
  /// Every file of the checkpoint.
  virtual void list(std::stop_token stop, Completion<std::vector<std::string>> done) = 0;
  /// For messages: the directory, or the repository.
  virtual const std::string& source() const noexcept = 0;
  virtual bool is_local() const noexcept = 0;
};

/// get() for a file without which the checkpoint is none: a local directory that lacks it is malformed
/// (Error(malformed_file)), which is no matter of the hub.
void get_required(ModelFiles& files, std::string file, std::stop_token stop, Completion<std::filesystem::path> done);

/// Whether `error` says that the checkpoint has no such file.
bool is_entry_not_found(const std::exception_ptr& error);

/// A local directory in the hub's layout. `pool` outlives every operation.
std::shared_ptr<ModelFiles> directory_files(const std::filesystem::path& directory, ThreadPool& pool);

}  // namespace stella::engine
