// A model whose weights are in memory.
#pragma once

#include "stella/capable.hpp"
#include "stella/embedding_model.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace stella {

/// A model whose tokenizer and weights are in memory. Cheap to copy; copies share the weights. Heads are fetched and
/// kept as dimensions are first asked for.
class LoadedStellaModel final : public TextEmbeddingCapable {
 public:
  /// Fetches what is missing, loads, and completes with the model.
  template <class Token = boost::asio::use_awaitable_t<>>
  static auto load(const StellaEmbeddingModel& base, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, LoadedStellaModel)>(
        [](auto handler, StellaEmbeddingModel model) {
          start_load(std::move(model), detail::posted(std::move(handler)));
        },
        token, base);
  }

  /// An empty handle (completion signatures need one); every operation on it fails with Error(invalid_argument).
  LoadedStellaModel() = default;
  LoadedStellaModel(const LoadedStellaModel&) = default;
  LoadedStellaModel(LoadedStellaModel&&) = default;  ///< Leaves an empty handle.
  LoadedStellaModel& operator=(const LoadedStellaModel&) = default;
  LoadedStellaModel& operator=(LoadedStellaModel&&) = default;
  ~LoadedStellaModel() override;

  const ModelInfo& info() const noexcept override;
  std::vector<std::size_t> supported_dimensions() const override;
  std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const override;
  std::size_t estimate_memory_usage(std::size_t texts) const override;
  std::map<std::string, std::string> config_info() const override;
  bool supports_task(std::string_view task) const override;
  const ModelDescription& description() const;
  Precision precision() const;       ///< Never automatic.
  std::size_t weight_bytes() const;  ///< Memory that encoder and loaded heads take.

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;

  template <class T, class Start>
  void start(Handler<T> handler, Start start_on);
  static void start_load(StellaEmbeddingModel base, Handler<LoadedStellaModel> handler);
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
};

}  // namespace stella
