// A model by name, loaded at first use.
#pragma once

#include "stella/capable.hpp"

#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace stella {

/// A model by name: cheap to make and to copy (copies share their state). Nothing is fetched or read until an operation
/// asks; the weights are loaded once by the first embed() and then kept. Concurrent first calls share one load; a
/// failed load fails those calls and the next call tries again.
class StellaEmbeddingModel final : public TextEmbeddingCapable {
 public:
  /// As Model::Model().
  explicit StellaEmbeddingModel(const std::string& model, ModelOptions options = {})
      : TextEmbeddingCapable(Model(model, std::move(options))) {}

  /// One file of a repository (of this model's revision), from the hub's cache or the hub. `registry_key` is normally
  /// info().registry_key. For a local directory: the path inside it, or Error(entry_not_found).
  template <class Token = boost::asio::use_awaitable_t<>>
  auto huggingface_file(std::string registry_key, std::string file, Token&& token = {}) {
    return detail::initiate<std::filesystem::path>(
        token, model_,
        [registry_key = std::move(registry_key), file = std::move(file)](const Model& model, std::stop_token stop,
                                                                         Callback<std::filesystem::path> done) mutable {
          model.huggingface_file(std::move(registry_key), std::move(file), std::move(stop), std::move(done));
        });
  }

  /// Every file that embedding at `dimensions` needs, concurrently; empty: the default dimension; all_heads: every
  /// head.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto download(std::vector<std::size_t> dimensions, bool all_heads = false, Token&& token = {}) {
    return detail::initiate<std::vector<DownloadedFile>>(
        token, model_,
        [request = DownloadRequest{std::move(dimensions), all_heads}](
            const Model& model, std::stop_token stop, Callback<std::vector<DownloadedFile>> done) mutable {
          model.download(std::move(request), std::move(stop), std::move(done));
        });
  }

  ModelOptions options() const { return model_.options(); }
};

}  // namespace stella
