// The one core that everything else is made of: requests in, results to callbacks; no Asio here. stella.hpp has the
// same operations for Asio's completion tokens and coroutines, sync.hpp blocking ones.
#pragma once

#include "stella/callback.hpp"
#include "stella/request.hpp"
#include "stella/types.hpp"

#include <cstddef>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace stella {

namespace api {
struct ModelCore;
}

/// A model by name. Cheap to make and to copy; copies share their state and own the Runtime. Nothing is fetched or read
/// until an operation asks: each part (small files, tokenizer, encoder, every head) is then fetched and loaded once,
/// however many ask, and kept. A failure fails those who wait for it, and the next operation tries again. Thread-safe.
///
/// Operations block nobody. Each takes a request, a stop token and a callback (stella/callback.hpp says on which thread
/// it runs), and calls that exactly once with an Error or a value; none throws. A requested stop completes what is
/// queued at once with Error(cancelled), ends a pass that nobody waits for any more between two layers, and a download
/// when its last waiter has left.
class Model {
 public:
  /// `model`: an existing directory in the hub's file layout, "demo" for the bundled model, else a repository id.
  /// Throws Error(invalid_argument) where it is none of them, and Error(resource_limit | out_of_memory) where
  /// Runtime::shared() cannot be made.
  explicit Model(const std::string& model, ModelOptions options = {});
  /// An empty handle; every operation on it fails with Error(invalid_argument).
  Model() = default;

  /// Fetches what is missing and loads all but the heads.
  void load(std::stop_token stop, Callback<ModelDescription> done) const;
  /// Errors: empty_text, text_too_large, text_too_long, invalid_utf8, empty_batch, batch_too_large, invalid_argument
  /// (a task, length, token id or output memory), unsupported_dimension, overloaded, deadline_exceeded, and those of
  /// loading.
  void embed(EmbedRequest request, std::stop_token stop, Callback<EmbedResult> done) const;
  /// Token ids as embed() would use them. Loads the tokenizer only.
  void tokenize(TokenizeRequest request, std::stop_token stop, Callback<std::vector<Tokens>> done) const;
  /// The text of each list of ids, as the tokenizer's decoder puts it together. Loads the tokenizer only.
  void decode(DecodeRequest request, std::stop_token stop, Callback<std::vector<std::string>> done) const;
  /// The checkpoint's description, from its small files only.
  void describe(std::stop_token stop, Callback<ModelDescription> done) const;
  /// Embeds one short text; whether the vector is finite and of unit length.
  void check_health(std::stop_token stop, Callback<bool> done) const;
  /// Every file that embedding at the dimensions needs, concurrently.
  void download(DownloadRequest request, std::stop_token stop, Callback<std::vector<DownloadedFile>> done) const;
  /// One file of a repository (of this model's revision), from the hub's cache or the hub. `registry_key` is normally
  /// info().registry_key. For a local directory: the path inside it, or Error(entry_not_found).
  void huggingface_file(std::string registry_key, std::string file, std::stop_token stop,
                        Callback<std::filesystem::path> done) const;

  /// Lets go of tokenizer, encoder and heads. Requests that run keep what they use until they are over; the next
  /// operation loads again.
  void unload() const;

  // What can be said at once: from the registry, and once the checkpoint has been read, from that. On an empty handle
  // all but operator bool and info() throw Error(invalid_argument).
  explicit operator bool() const noexcept { return core_ != nullptr; }
  const ModelInfo& info() const noexcept;
  /// As given, with the hub's options and the runtime filled in.
  ModelOptions options() const;
  std::vector<std::size_t> supported_dimensions() const;
  /// The dimension that would be used; throws Error(unsupported_dimension) listing the heads.
  std::size_t embedding_dimension(std::optional<std::size_t> wanted = {}) const;
  /// Whether `task` names a task. Before the checkpoint has been read: one of the names that every model knows.
  bool supports_task(std::string_view task) const;
  /// Bytes that a batch of `texts` texts would take beside the weights, at the default maximum length. An estimate.
  std::size_t estimate_memory_usage(std::size_t texts) const;
  /// Settings as (name, value) text pairs, for display.
  std::map<std::string, std::string> config_info() const;
  bool is_loaded() const;                      ///< Whether tokenizer and encoder are in memory.
  std::optional<Precision> precision() const;  ///< Of a loaded model; never automatic.
  MemoryUse memory() const;                    ///< Of encoder and heads, now.
  /// For callers in which nothing that a stop completes may run.
  Stopper stopper() const;

  /// Throw Error(empty_text | text_too_large | invalid_utf8 | empty_batch | batch_too_large); a batch's message starts
  /// "Text at index {i}".
  static void validate_text(std::string_view text);
  static void validate_batch(const std::vector<std::string>& texts);

  /// The same model without owning the Runtime, for what waits inside of it and must not keep it from ending.
  class Weak {
   public:
    Weak() = default;
    explicit Weak(const Model& model) : runtime_(model.runtime_), core_(model.core_) {}
    /// An empty handle once the Runtime has gone.
    Model lock() const;

   private:
    std::weak_ptr<Runtime> runtime_{};
    std::shared_ptr<const api::ModelCore> core_{};
  };

 private:
  std::shared_ptr<Runtime> runtime_{};
  std::shared_ptr<const api::ModelCore> core_{};
};

}  // namespace stella
