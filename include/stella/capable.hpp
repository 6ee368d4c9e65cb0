// The operations that every embedding model has, asynchronous; handler.hpp says how they complete.
#pragma once

#include "stella/detail/pending_handler.hpp"
#include "stella/handler.hpp"
#include "stella/model.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/use_awaitable.hpp>

namespace stella {

/// The operations that every embedding model has: those of stella::Model, for any completion token. Thread-safe.
class TextEmbeddingCapable {
 private:
  static EmbedRequest request_of(std::vector<std::string> texts, EmbedOptions options, bool any_count) {
    EmbedRequest request;
    request.texts = std::move(texts);
    request.options = std::move(options);
    request.any_count = any_count;
    return request;
  }

  /// `shape` makes what is asked for of the result.
  template <class T, class Token, class Shape>
  auto initiate_embed(Token& token, EmbedRequest request, Shape shape) {
    return detail::initiate<T>(
        token, model_,
        [request = std::move(request), shape](const Model& model, std::stop_token stop, Callback<T> done) mutable {
          model.embed(std::move(request), std::move(stop), std::move(done).template from<EmbedResult>(shape));
        });
  }

 public:
  /// One text's vector: (dimension) floats of unit length. Empty task or dimension: the model's default. Errors:
  /// empty_text, text_too_large, invalid_utf8, unsupported_dimension (lists the heads), invalid_argument for a task
  /// that the model does not know (lists the tasks), and those of loading.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto embed(std::string text, std::string task = {}, std::optional<std::size_t> dimension = {}, Token&& token = {}) {
    return initiate_embed<std::vector<float>>(token, request_for(std::move(text), std::move(task), dimension),
                                              [](const EmbedResult& result) {
                                                const auto row = result.vectors.front().row(0);
                                                return std::vector<float>(row.begin(), row.end());
                                              });
  }

  /// One vector per text, in order. Error messages for one text say its index.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto batch_embed(std::vector<std::string> texts, std::string task = {}, std::optional<std::size_t> dimension = {},
                   Token&& token = {}) {
    EmbedRequest request = request_for({}, std::move(task), dimension);
    request.texts = std::move(texts);
    request.indexed_errors = true;
    return initiate_embed<std::vector<std::vector<float>>>(token, std::move(request), [](const EmbedResult& result) {
      std::vector<std::vector<float>> rows;
      rows.reserve(result.texts.size());
      for (std::size_t i = 0; i < result.texts.size(); ++i) {
        const auto row = result.vectors.front().row(i);
        rows.emplace_back(row.begin(), row.end());
      }
      return rows;
    });
  }

  /// As above with every option, several dimensions from one forward pass, and token counts in the result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto batch_embed(std::vector<std::string> texts, EmbedOptions options, Token&& token = {}) {
    return initiate_embed<std::vector<Embedding>>(token, request_of(std::move(texts), std::move(options), false),
                                                  to_embeddings);
  }

  /// As batch_embed for any number of texts, order kept; the first error ends it. The engine cuts the list into packed
  /// batches of bounded tokens. An empty list gives an empty result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options, Token&& token = {}) {
    return initiate_embed<std::vector<Embedding>>(token, request_of(std::move(texts), std::move(options), true),
                                                  to_embeddings);
  }

  auto chunked_batch_embed(std::vector<std::string> texts) {
    return chunked_batch_embed(std::move(texts), EmbedOptions{});
  }

  /// Texts or token ids, with everything that can be asked for and all that there is to know of the result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto embed(EmbedRequest request, Token&& token = {}) {
    return initiate_embed<EmbedResult>(token, std::move(request), [](EmbedResult result) { return result; });
  }

  /// Token ids as embed() would use them. Loads the tokenizer only, no weights.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto tokenize(std::vector<std::string> texts, TokenizeOptions options, Token&& token = {}) {
    TokenizeRequest request;
    request.texts = std::move(texts);
    request.options = std::move(options);
    return detail::initiate<std::vector<Tokens>>(
        token, model_,
        [request = std::move(request)](const Model& model, std::stop_token stop,
                                       Callback<std::vector<Tokens>> done) mutable {
          model.tokenize(std::move(request), std::move(stop), std::move(done));
        });
  }

  auto tokenize(std::vector<std::string> texts) { return tokenize(std::move(texts), TokenizeOptions{}); }

  /// The checkpoint's description, from its small files only.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto describe(Token&& token = {}) {
    return detail::initiate<ModelDescription>(
        token, model_, [](const Model& model, std::stop_token stop, Callback<ModelDescription> done) {
          model.describe(std::move(stop), std::move(done));
        });
  }

  /// Embeds one short text and checks that the vector is finite and of unit length; completes with the verdict.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto health_check(Token&& token = {}) {
    return detail::initiate<bool>(token, model_, [](const Model& model, std::stop_token stop, Callback<bool> done) {
      model.check_health(std::move(stop), std::move(done));
    });
  }

  // What can be said at once, as stella::Model says it.
  const ModelInfo& info() const noexcept { return model_.info(); }
  std::vector<std::size_t> supported_dimensions() const { return model_.supported_dimensions(); }
  std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const {
    return model_.embedding_dimension(wanted);
  }
  /// True also while the dimensions are not known, before a model that is not registered has been read.
  bool supports_dimension(std::size_t dimension) const {
    const std::vector<std::size_t> supported = supported_dimensions();
    return supported.empty() || std::find(supported.begin(), supported.end(), dimension) != supported.end();
  }
  bool supports_task(std::string_view task) const { return model_.supports_task(task); }
  std::size_t recommended_batch_size() const noexcept { return info().recommended_batch_size; }
  /// Texts of one batch_embed(): more are Error(batch_too_large).
  std::size_t max_batch_size() const noexcept { return info().max_batch_size; }
  std::size_t estimate_memory_usage(std::size_t texts) const { return model_.estimate_memory_usage(texts); }
  std::map<std::string, std::string> config_info() const { return model_.config_info(); }

  static void validate_input(std::string_view text) { Model::validate_text(text); }
  static void validate_batch(const std::vector<std::string>& texts) { Model::validate_batch(texts); }

  /// The core that all this is made of.
  const Model& core() const noexcept { return model_; }

 protected:
  TextEmbeddingCapable() = default;
  explicit TextEmbeddingCapable(Model model) : model_(std::move(model)) {}

  Model model_{};
};

}  // namespace stella
