// Stella models: text in, vectors out, asynchronously.
//
// Every operation is an Asio initiating function with the signature void(std::exception_ptr, T). It takes any
// completion token last (use_awaitable by default; use_future, deferred, a callback, …), copies its arguments when
// initiated, does its work on the model's Runtime and posts its completion to the handler's associated executor.
// Nothing blocks the caller. Cancellation (terminal, partial or total) drops a queued request at once; a batch that is
// already being computed finishes and its result is dropped; a download stops when its last waiter has left. The error
// is then Error(cancelled).
#pragma once

#include "stella/error.hpp"
#include "stella/hub.hpp"
#include "stella/options.hpp"
#include "stella/runtime.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella {

/// A completion handler of any kind, type-erased.
template <class T>
using Handler = boost::asio::any_completion_handler<void(std::exception_ptr, T)>;

/// What is known of a model without loading it.
struct ModelInfo {
  std::string registry_key;             ///< "NovaSearch/stella_en_400M_v5", or the directory as given.
  std::string name;                     ///< Last part of the key.
  std::string provider;                 ///< Organisation; "local" for a directory.
  bool local = false;                   ///< A directory on disk rather than a hub repository.
  std::vector<std::size_t> dimensions;  ///< The registry's heads; empty for a model the registry does not know.
  std::size_t default_dimension = 0;    ///< 0: the pooled vector's size.
  std::size_t recommended_batch_size = 16;
  std::size_t max_batch_size = 64;
  std::size_t estimated_memory_mb = 0;
};

/// What the checkpoint's own files say.
struct ModelDescription {
  std::string model_type;  ///< "new", "qwen2" or "bert".
  std::size_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, intermediate = 0, vocab_size = 0;
  std::size_t default_max_length = 0;          ///< sentence_bert_config.json's max_seq_length, within max_length_limit.
  std::size_t max_length_limit = 0;            ///< Most tokens that may be asked for.
  std::vector<std::size_t> dimensions;         ///< Sizes of the trained heads, ascending; empty: pooled vector only.
  std::size_t default_dimension = 0;           ///< 1024 where such a head exists, else modules.json's, else hidden.
  std::map<std::string, std::string> prompts;  ///< Task name → prompt text, the checkpoint's before the built-in ones.
  std::string default_task;                    ///< "s2p" or "none".
  std::filesystem::path directory;             ///< Snapshot or local directory that holds config.json.
};

/// A text's token ids.
struct Tokens {
  std::vector<std::int32_t> ids;
  std::size_t full_tokens = 0;  ///< Before truncation.
  bool truncated = false;
};

struct TokenizeOptions {
  std::string task{};
  std::optional<std::string> prompt{};
  std::optional<std::size_t> max_length{};
  bool add_special_tokens = true;
  OnLong on_long = OnLong::truncate;
};

/// The operations that every embedding model has. Thread-safe. One virtual per operation takes a type-erased handler;
/// the templates above them take any completion token.
class TextEmbeddingCapable {
 public:
  virtual ~TextEmbeddingCapable() = default;

  /// One text's vector: (dimension) floats of unit length. Empty task or dimension: the model's default. Errors:
  /// empty_text, text_too_large, invalid_utf8, unsupported_dimension (lists the heads), and those of loading.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto embed(std::string text, std::string task = {}, std::optional<std::size_t> dimension = {}, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<float>)>(
        [](auto handler, TextEmbeddingCapable* self, std::string text_arg, std::string task_arg,
           std::optional<std::size_t> dimension_arg) {
          self->start_embed(std::move(text_arg), std::move(task_arg), dimension_arg, std::move(handler));
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
          self->start_batch_embed(std::move(texts_arg), std::move(task_arg), dimension_arg, std::move(handler));
        },
        token, this, std::move(texts), std::move(task), dimension);
  }

  /// As above with every option, several dimensions from one forward pass, and token counts in the result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto batch_embed(std::vector<std::string> texts, EmbedOptions options, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<Embedding>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, EmbedOptions options_arg) {
          self->start_batch_embed(std::move(texts_arg), std::move(options_arg), std::move(handler));
        },
        token, this, std::move(texts), std::move(options));
  }

  /// As batch_embed for any number of texts, in chunks of recommended_batch_size(), order kept; the first error ends
  /// it. An empty list gives an empty result.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options = {}, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<Embedding>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, EmbedOptions options_arg) {
          self->start_chunked_batch_embed(std::move(texts_arg), std::move(options_arg), std::move(handler));
        },
        token, this, std::move(texts), std::move(options));
  }

  /// Token ids as embed() would use them. Loads the tokenizer only, no weights.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto tokenize(std::vector<std::string> texts, TokenizeOptions options = {}, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<Tokens>)>(
        [](auto handler, TextEmbeddingCapable* self, std::vector<std::string> texts_arg, TokenizeOptions options_arg) {
          self->start_tokenize(std::move(texts_arg), std::move(options_arg), std::move(handler));
        },
        token, this, std::move(texts), std::move(options));
  }

  /// The checkpoint's description, from its small files only.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto describe(Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, ModelDescription)>(
        [](auto handler, TextEmbeddingCapable* self) { self->start_describe(std::move(handler)); }, token, this);
  }

  /// Embeds one short text and checks that the vector is finite and of unit length; completes with the verdict.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto health_check(Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, bool)>(
        [](auto handler, TextEmbeddingCapable* self) { self->start_health_check(std::move(handler)); }, token, this);
  }

  // What can be said at once, from the registry (and, for a loaded model, from the checkpoint).
  virtual const ModelInfo& info() const noexcept = 0;
  virtual std::vector<std::size_t> supported_dimensions() const = 0;
  /// The dimension that would be used; throws Error(unsupported_dimension) listing the heads.
  virtual std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const = 0;
  bool supports_dimension(std::size_t dimension) const;
  bool supports_task(std::string_view task) const;
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

struct ModelOptions {
  std::string revision = "main";
  Precision precision = Precision::automatic;
  HubOptions hub = HubOptions::from_environment();
  ProgressCallback on_progress{};                  ///< Of each file's transfer.
  std::function<void(double fraction)> on_load{};  ///< Of packing the weights, 0 to 1; from a Runtime thread.
  std::shared_ptr<Runtime> runtime{};              ///< Empty: Runtime::shared().
};

/// Files of one download() call.
struct DownloadedFile {
  std::string file;
  std::filesystem::path path;
  std::uint64_t size = 0;
};

/// A model by name: cheap to make and to copy (copies share their state). Nothing is fetched or read until an operation
/// asks; the weights are loaded once by the first embed() and then kept. Concurrent first calls share one load; a
/// failed load fails those calls and the next call tries again.
class StellaEmbeddingModel final : public TextEmbeddingCapable {
 public:
  /// `model`: an existing directory in the hub's file layout, else a repository id. Throws Error(invalid_argument)
  /// where it is neither.
  explicit StellaEmbeddingModel(std::string model, ModelOptions options = {});
  ~StellaEmbeddingModel() override;

  /// One file of a repository (of this model's revision), from the hub's cache or the hub. `registry_key` is normally
  /// info().registry_key. For a local directory: the path inside it, or Error(entry_not_found).
  template <class Token = boost::asio::use_awaitable_t<>>
  auto huggingface_file(std::string registry_key, std::string file, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::filesystem::path)>(
        [](auto handler, StellaEmbeddingModel* self, std::string key_arg, std::string file_arg) {
          self->start_huggingface_file(std::move(key_arg), std::move(file_arg), std::move(handler));
        },
        token, this, std::move(registry_key), std::move(file));
  }

  /// Every file that embedding at `dimensions` needs, concurrently; empty: the default dimension; all_heads: every
  /// head.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto download(std::vector<std::size_t> dimensions, bool all_heads = false, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, std::vector<DownloadedFile>)>(
        [](auto handler, StellaEmbeddingModel* self, std::vector<std::size_t> dimensions_arg, bool all_arg) {
          self->start_download(std::move(dimensions_arg), all_arg, std::move(handler));
        },
        token, this, std::move(dimensions), all_heads);
  }

  const ModelInfo& info() const noexcept override;
  std::vector<std::size_t> supported_dimensions() const override;
  std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const override;
  std::size_t estimate_memory_usage(std::size_t texts) const override;
  std::map<std::string, std::string> config_info() const override;
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

/// A model whose tokenizer and weights are in memory. Cheap to copy; copies share the weights. Heads are fetched and
/// kept as dimensions are first asked for.
class LoadedStellaModel final : public TextEmbeddingCapable {
 public:
  /// Fetches what is missing, loads, and completes with the model.
  template <class Token = boost::asio::use_awaitable_t<>>
  static auto load(const StellaEmbeddingModel& base, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, LoadedStellaModel)>(
        [](auto handler, StellaEmbeddingModel model) { start_load(std::move(model), std::move(handler)); }, token,
        base);
  }

  /// An empty handle (completion signatures need one); every operation on it throws Error(invalid_argument).
  LoadedStellaModel() = default;
  ~LoadedStellaModel() override;

  const ModelInfo& info() const noexcept override;
  std::vector<std::size_t> supported_dimensions() const override;
  std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const override;
  std::size_t estimate_memory_usage(std::size_t texts) const override;
  std::map<std::string, std::string> config_info() const override;
  const ModelDescription& description() const;
  Precision precision() const;       ///< Never automatic.
  std::size_t weight_bytes() const;  ///< Memory that encoder and loaded heads take.

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;

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
