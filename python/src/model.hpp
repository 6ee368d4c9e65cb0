// stella::Model as Python's layer uses it: operations that are started, and what can be said at once.
#pragma once

#include "operation.hpp"
#include "stella/model.hpp"
#include "stella/runtime.hpp"

#include <cstddef>
#include <memory>
#include <mutex>
#include <nanobind/nanobind.h>
#include <optional>
#include <string>
#include <vector>

namespace stella::python {

/// What a model is made with; an absent text is the environment's.
struct ModelSettings {
  std::string name;
  std::string revision;
  std::string precision;
  std::optional<std::string> token{};  ///< Empty: anonymous.
  std::optional<std::string> cache_folder{};
  bool local_files_only = false;
  std::string ca_file{};     ///< Used where the environment names no certificates.
  std::string ca_problem{};  ///< Why there is none: then the hub is not asked.
};

/// What one request to embed asks for, beside its texts.
struct EmbedSettings {
  std::optional<std::string> task{};
  std::optional<std::string> prompt{};
  std::size_t dimension = 0;
  bool normalize = true;
  std::optional<std::size_t> max_length{};
  bool refuse_long = false;
  bool bulk = false;
};

/// Thread-safe. Methods are called with the interpreter's lock held. None blocks but close(), which may drop the last
/// owner of the runtime and then joins its threads, without that lock.
class NativeModel {
 public:
  NativeModel(const ModelSettings& settings, std::shared_ptr<Runtime> runtime);
  NativeModel(const NativeModel&) = delete;
  NativeModel& operator=(const NativeModel&) = delete;
  ~NativeModel() { close(); }

  std::shared_ptr<Operation> load(std::shared_ptr<Queue> queue) const;
  std::shared_ptr<Operation> describe(std::shared_ptr<Queue> queue) const;
  /// Row i of `out`, (texts, dimension) float32 whose rows are contiguous, is text i's vector.
  std::shared_ptr<Operation> embed(std::vector<std::string> texts, const EmbedSettings& settings, nanobind::object out,
                                   std::shared_ptr<Queue> queue) const;
  std::shared_ptr<Operation> tokenize(std::vector<std::string> texts, const EmbedSettings& settings) const;

  std::size_t embedding_dimension(std::optional<std::size_t> wanted) const {
    return handle().embedding_dimension(wanted);
  }
  std::string precision() const;  ///< "auto" while it is not loaded.
  bool supports_task(const std::string& task) const { return handle().supports_task(task); }
  bool is_loaded() const { return handle().is_loaded(); }
  /// Lets go of the weights, and of the model, for good.
  void close();
  /// In a forked child: leaves everything where it is, for good.
  void abandon();

 private:
  /// Throws Error(shut_down) after close().
  Model handle() const;

  mutable std::mutex mutex_;
  Model model_;  // guarded by mutex_
};

}  // namespace stella::python
