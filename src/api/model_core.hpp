// What every handle to one model shares; no Asio, and no ownership of the Runtime, so that work under way on the
// runtime's threads never keeps the runtime from being destroyed by its owners.
#pragma once

#include "base/unique_function.hpp"
#include "engine/memory_gate.hpp"
#include "engine/model.hpp"
#include "stella/options.hpp"
#include "stella/runtime.hpp"
#include "stella/types.hpp"

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::api {

class Callbacks;
class HubGate;

/// One model and its parts. Thread-safe; the operations of `model` complete as engine::Model says.
struct ModelCore {
  /// Throws Error(invalid_argument) where `model` is neither a directory nor a repository id. `options` has hub options
  /// and a registry. `memory` is asked before parts are loaded; null: nobody is.
  ModelCore(const std::string& model, const ModelOptions& options, Runtime& runtime,
            std::shared_ptr<engine::MemoryGate> memory = {});

  void get_file(const std::string& registry_key, std::string file, const std::stop_token& stop,
                Completion<std::filesystem::path> done) const;

  /// The registry's, or the checkpoint's once it has been read; empty while neither is known.
  std::vector<std::size_t> dimensions() const;
  std::size_t choose_dimension(std::optional<std::size_t> wanted) const;
  std::size_t estimate_memory(std::size_t texts) const;
  std::map<std::string, std::string> config() const;

  ModelInfo info;
  ModelOptions options;  // without the runtime
  std::string kernels;
  std::size_t threads = 0;
  std::shared_ptr<const HubOptions> hub_options;
  std::shared_ptr<HubGate> hub;
  std::shared_ptr<Callbacks> callbacks;
  std::shared_ptr<engine::Model> model;
};

ModelDescription to_description(const engine::Checkpoint& checkpoint, std::optional<engine::PrecisionChoice> choice);

}  // namespace stella::api
