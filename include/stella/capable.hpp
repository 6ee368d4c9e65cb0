// The operations that every embedding model has, asynchronous; handler.hpp says how they complete.
#pragma once

#include "stella/handler.hpp"
#include "stella/options.hpp"
#include "stella/request.hpp"
#include "stella/types.hpp"

#include <cstddef>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella {

/// The operations that every embedding model has. Thread-safe. One virtual per operation takes a type-erased handler;
/// the templates above them take any completion token.
class TextEmbeddingCapable {
 public:
  virtual ~TextEmbeddingCapable() = default;

  /// One text's vector: (dimension) floats of unit length. Empty task or dimension: the model's default. Errors:
  /// empty_text, text_too_large, invalid_utf8, unsupported_dimension (lists the heads), invalid_argument for a task
  /// that the model does not know (lists the tasks), and those of loading.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto embed(std::string text, std::string task = {}, std::optional<std::size_t> dimension = {}, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<float>)>(
        [](auto handler, TextEmbeddingCapable* self, std::string text_arg, std::string task_arg,
           std::optional<std::size_t> dimension_arg) {
          self->start_embed(std::move(text_arg), std::move(task_arg), dimension_arg,
                            detail::posted(std::move(handler)));
        },
        token, this, std::move(text), std::move(task), dimension);
  }

  /// One vector per text, in order. Error messages for one text say its index.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto batch_embed(std::vector<std::string> texts, std::string task = {}, std::optional<std::size_t> dimension = {},
                   Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<std::vector<float>>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, std::string task_arg,
           std::optional<std::size_t> dimension_arg) {
          self->start_batch_embed(std::move(texts_arg), std::move(task_arg), dimension_arg,
                                  detail::posted(std::move(handler)));
        },
        token, this, std::move(texts), std::move(task), dimension);
  }

  /// As above with every option, several dimensions from one forward pass, and token counts in the result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto batch_embed(std::vector<std::string> texts, EmbedOptions options, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<Embedding>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, EmbedOptions options_arg) {
          self->start_batch_embed(std::move(texts_arg), std::move(options_arg), detail::posted(std::move(handler)));
        },
        token, this, std::move(texts), std::move(options));
  }

  /// As batch_embed for any number of texts, order kept; the first error ends it. The engine cuts the list into packed
  /// batches of bounded tokens. An empty list gives an empty result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<Embedding>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, EmbedOptions options_arg) {
          self->start_chunked_batch_embed(std::move(texts_arg), std::move(options_arg),
                                          detail::posted(std::move(handler)));
        },
        token, this, std::move(texts), std::move(options));
  }

  auto chunked_batch_embed(std::vector<std::string> texts) {
    return chunked_batch_embed(std::move(texts), EmbedOptions{});
  }

  /// Token ids as embed() would use them. Loads the tokenizer only, no weights.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto tokenize(std::vector<std::string> texts, TokenizeOptions options, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<Tokens>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, TokenizeOptions options_arg) {
          self->start_tokenize(std::move(texts_arg), std::move(options_arg), detail::posted(std::move(handler)));
        },
        token, this, std::move(texts), std::move(options));
  }

  auto tokenize(std::vector<std::string> texts) { return tokenize(std::move(texts), TokenizeOptions{}); }

  /// The checkpoint's description, from its small files only.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto describe(Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, ModelDescription)>(
        [](auto handler, TextEmbeddingCapable* self) { self->start_describe(detail::posted(std::move(handler))); },
        token, this);
  }

  /// Embeds one short text and checks that the vector is finite and of unit length; completes with the verdict.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto health_check(Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, bool)>(
        [](auto handler, TextEmbeddingCapable* self) { self->start_health_check(detail::posted(std::move(handler))); },
        token, this);
  }

  // What can be said at once, from the registry (and, for a loaded model, from the checkpoint).
  virtual const ModelInfo& info() const noexcept = 0;
  virtual std::vector<std::size_t> supported_dimensions() const = 0;
  /// The dimension that would be used; throws Error(unsupported_dimension) listing the heads.
  virtual std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const = 0;
  /// True also while the dimensions are not known, before a model that is not registered has been read.
  bool supports_dimension(std::size_t dimension) const;
  /// Whether `task` names a task. Before the checkpoint has been read: one of the names that every model knows.
  virtual bool supports_task(std::string_view task) const;
  std::size_t recommended_batch_size() const noexcept { return info().recommended_batch_size; }
  std::size_t max_batch_size() const noexcept { return info().max_batch_size; }
  /// Bytes that a batch of `texts` texts would take beside the weights, at the default maximum length. An estimate.
  virtual std::size_t estimate_memory_usage(std::size_t texts) const = 0;
  /// Settings as (name, value) text pairs, for display.
  virtual std::map<std::string, std::string> config_info() const = 0;

  /// Throw Error(empty_text | text_too_large | invalid_utf8 | empty_batch | batch_too_large); a batch's message starts
  /// "Text at index {i}".
  static void validate_input(std::string_view text);
  static void validate_batch(const std::vector<std::string>& texts);

 protected:
  TextEmbeddingCapable() = default;
  TextEmbeddingCapable(const TextEmbeddingCapable&) = default;
  TextEmbeddingCapable& operator=(const TextEmbeddingCapable&) = default;

  virtual void start_embed(std::string text, std::string task, std::optional<std::size_t> dimension,
                           Handler<std::vector<float>> handler) = 0;
  virtual void start_batch_embed(std::vector<std::string> texts, std::string task, std::optional<std::size_t> dimension,
                                 Handler<std::vector<std::vector<float>>> handler) = 0;
  virtual void start_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                 Handler<std::vector<Embedding>> handler) = 0;
  virtual void start_chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                         Handler<std::vector<Embedding>> handler) = 0;
  virtual void start_tokenize(std::vector<std::string> texts, TokenizeOptions options,
                              Handler<std::vector<Tokens>> handler) = 0;
  virtual void start_describe(Handler<ModelDescription> handler) = 0;
  virtual void start_health_check(Handler<bool> handler) = 0;
};

}  // namespace stella
