// A model by name, loaded at first use.
#pragma once

#include "stella/capable.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace stella {

/// A model by name: cheap to make and to copy (copies share their state). Nothing is fetched or read until an operation
/// asks; the weights are loaded once by the first embed() and then kept. Concurrent first calls share one load; a
/// failed load fails those calls and the next call tries again.
class StellaEmbeddingModel final : public TextEmbeddingCapable {
 public:
  /// `model`: an existing directory in the hub's file layout, "demo" for the bundled model, else a repository id.
  /// Throws Error(invalid_argument) where it is none of them, or a path to nothing or to a file., and
  /// Error(resource_limit | out_of_memory) where Runtime::shared() cannot be made.
  explicit StellaEmbeddingModel(std::string model, ModelOptions options = {});
  StellaEmbeddingModel(const StellaEmbeddingModel&) = default;
  StellaEmbeddingModel& operator=(const StellaEmbeddingModel&) = default;
  ~StellaEmbeddingModel() override;

  /// One file of a repository (of this model's revision), from the hub's cache or the hub. `registry_key` is normally
  /// info().registry_key. For a local directory: the path inside it, or Error(entry_not_found).
  template <class Token = boost::asio::use_awaitable_t<>>
  auto huggingface_file(std::string registry_key, std::string file, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::filesystem::path)>(
        [](auto handler, StellaEmbeddingModel* self, std::string key_arg, std::string file_arg) {
          self->start_huggingface_file(std::move(key_arg), std::move(file_arg), detail::posted(std::move(handler)));
        },
        token, this, std::move(registry_key), std::move(file));
  }

  /// Every file that embedding at `dimensions` needs, concurrently; empty: the default dimension; all_heads: every
  /// head.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto download(std::vector<std::size_t> dimensions, bool all_heads = false, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<DownloadedFile>)>(
        [](auto handler, StellaEmbeddingModel* self, std::vector<std::size_t> dimensions_arg, bool all_arg) {
          self->start_download(std::move(dimensions_arg), all_arg, detail::posted(std::move(handler)));
        },
        token, this, std::move(dimensions), all_heads);
  }

  const ModelInfo& info() const noexcept override;
  std::vector<std::size_t> supported_dimensions() const override;
  std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const override;
  std::size_t estimate_memory_usage(std::size_t texts) const override;
  std::map<std::string, std::string> config_info() const override;
  bool supports_task(std::string_view task) const override;
  const ModelOptions& options() const noexcept;

 private:
  friend class LoadedStellaModel;
  struct Impl;
  std::shared_ptr<Impl> impl_;

  void start_embed(std::string text, std::string task, std::optional<std::size_t> dimension,
                   Handler<std::vector<float>> handler) override;
  void start_batch_embed(std::vector<std::string> texts, std::string task, std::optional<std::size_t> dimension,
                         Handler<std::vector<std::vector<float>>> handler) override;
  void start_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                         Handler<std::vector<Embedding>> handler) override;
  void start_chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                 Handler<std::vector<Embedding>> handler) override;
  void start_tokenize(std::vector<std::string> texts, TokenizeOptions options,
                      Handler<std::vector<Tokens>> handler) override;
  void start_describe(Handler<ModelDescription> handler) override;
  void start_health_check(Handler<bool> handler) override;
  void start_huggingface_file(std::string registry_key, std::string file, Handler<std::filesystem::path> handler);
  void start_download(std::vector<std::size_t> dimensions, bool all_heads,
                      Handler<std::vector<DownloadedFile>> handler);
};

}  // namespace stella
