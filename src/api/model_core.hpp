// What every handle to one model shares; no Asio, and no ownership of the Runtime, so that work under way on the
// runtime's threads never keeps the runtime from being destroyed by its owners.
#pragma once

#include "base/unique_function.hpp"
#include "engine/model.hpp"
#include "stella/options.hpp"
#include "stella/runtime.hpp"
#include "stella/types.hpp"

#include <cstddef>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::api {

class Completions;
class HubGate;

/// One model and its parts. Thread-safe; the operations complete as engine::Model says.
struct ModelCore {
  /// Throws Error(invalid_argument) where `model` is neither a directory nor a repository id.
  ModelCore(const std::string& model, const ModelOptions& options, Runtime& runtime);

  void load(const std::stop_token& stop, Completion<std::shared_ptr<const engine::Checkpoint>> done) const;
  void embed_one(std::string text, std::string task, std::optional<std::size_t> dimension, const std::stop_token& stop,
                 Completion<std::vector<float>> done) const;
  void embed_all(std::vector<std::string> texts, std::string task, std::optional<std::size_t> dimension,
                 const std::stop_token& stop, Completion<std::vector<std::vector<float>>> done) const;
  void embed_all(std::vector<std::string> texts, EmbedOptions options, const std::stop_token& stop,
                 Completion<std::vector<Embedding>> done) const;
  void embed_chunked(std::vector<std::string> texts, EmbedOptions options, const std::stop_token& stop,
                     Completion<std::vector<Embedding>> done) const;
  void tokenize(std::vector<std::string> texts, TokenizeOptions options, const std::stop_token& stop,
                Completion<std::vector<Tokens>> done) const;
  void describe(const std::stop_token& stop, Completion<ModelDescription> done) const;
  void check_health(const std::stop_token& stop, Completion<bool> done) const;
  void get_file(const std::string& registry_key, std::string file, const std::stop_token& stop,
                Completion<std::filesystem::path> done) const;
  void download(std::vector<std::size_t> dimensions, bool all_heads, const std::stop_token& stop,
                Completion<std::vector<DownloadedFile>> done) const;

  /// The registry's, or the checkpoint's once it has been read; empty while neither is known.
  std::vector<std::size_t> dimensions() const;
  std::size_t choose_dimension(std::optional<std::size_t> wanted) const;
  std::size_t estimate_memory(std::size_t texts) const;
  std::map<std::string, std::string> config() const;

  ModelInfo info;
  std::string revision;
  Precision precision = Precision::automatic;
  std::string kernels;
  std::size_t threads = 0;
  std::shared_ptr<const HubOptions> hub_options;
  ProgressCallback on_progress;
  std::shared_ptr<HubGate> hub;
  std::shared_ptr<Completions> completions;
  std::shared_ptr<engine::Model> model;
};

ModelDescription to_description(const engine::Checkpoint& checkpoint, std::optional<engine::PrecisionChoice> choice);

}  // namespace stella::api
