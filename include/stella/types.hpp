// What is known of a model, and what its operations give back. Plain values; no Asio here.
#pragma once

#include "stella/bundled.hpp"
#include "stella/hub.hpp"
#include "stella/options.hpp"
#include "stella/request.hpp"  // IWYU pragma: export

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stella {

class Registry;
class Runtime;

/// What is known of a model without loading it.
struct ModelInfo {
  std::string registry_key;             ///< "NovaSearch/stella_en_400M_v5", or the directory as given.
  std::string name;                     ///< Last part of the key.
  std::string provider;                 ///< Organisation; "local" for a directory.
  bool local = false;                   ///< A directory on disk rather than a hub repository.
  std::vector<std::size_t> dimensions;  ///< Sizes of its vectors; empty for a model the registry does not know.
  std::size_t default_dimension = 0;    ///< 0: the pooled vector's size.
  std::size_t recommended_batch_size = 16;
  std::size_t max_batch_size = 10'000;  ///< Texts of one batch_embed(); more are Error(batch_too_large).
  std::size_t estimated_memory_mb = 0;
};

/// What the checkpoint's own files say.
struct ModelDescription {
  std::string model_type;  ///< "new", "qwen2" or "bert".
  std::size_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, intermediate = 0, vocab_size = 0;
  std::size_t default_max_length = 0;          ///< The checkpoint's own, within max_length_limit.
  std::size_t max_length_limit = 0;            ///< Most tokens that may be asked for.
  std::vector<std::size_t> dimensions;         ///< Sizes of the trained heads, ascending; empty: pooled vector only.
  std::size_t default_dimension = 0;           ///< 1024 where such a head exists, else modules.json's, else hidden.
  std::map<std::string, std::string> prompts;  ///< Every task that embedding knows → its prompt; "" for none.
  std::string default_task;                    ///< The checkpoint's default_prompt_name, else "s2p" or "none".
  std::filesystem::path directory;             ///< Snapshot or local directory that holds config.json.
  std::string commit;                          ///< Of the repository, where `directory` is a snapshot in a hub cache.
  /// The precision on this machine where it is known: the model is loaded, was loaded before, or one was asked for.
  std::optional<Precision> precision;
  std::string precision_reason;  ///< Why, in words; empty while it is not known.

  /// What embedding puts before each text for `task`; empty: the default one. Throws Error(invalid_argument) that lists
  /// the tasks for one that the model does not know.
  std::string prompt_for(const std::string& task) const;
};

/// Packed weights are kept on disk so that the next start maps them: as many bytes again as the model has at its
/// precision (stella/packed_weights.hpp lists and removes them).
struct PackedWeightsOptions {
  bool keep = true;
  std::filesystem::path directory{};  ///< Empty: packed_weights::default_directory(hub).
  /// An encoder whose files are smaller than this is packed in no time: nothing is kept of it, and Precision::automatic
  /// is f32.
  std::size_t small_model_bytes = std::size_t{32} << 20U;
};

/// How a model is fetched, loaded and run.
struct ModelOptions {
  std::string revision = "main";
  /// automatic: the fastest that agrees with f32 on this checkpoint, found out at the first load and kept with the
  /// packed weights, so that it stays what it is.
  Precision precision = Precision::automatic;
  PackedWeightsOptions packed_weights{};
  std::optional<HubOptions> hub{};                 ///< Empty: HubOptions::from_environment() when the model is made.
  ProgressCallback on_progress{};                  ///< Of each file's transfer.
  std::function<void(double fraction)> on_load{};  ///< Of packing the weights, 0 to 1; from a Runtime thread.
  std::shared_ptr<Runtime> runtime{};              ///< Empty: Runtime::shared().
  std::shared_ptr<const Registry> registry{};      ///< Of models known by name; empty: Registry::builtin().
  /// Where the bundled model lies if not beside the program or the library (stella/bundled.hpp).
  std::filesystem::path share_directory = STELLA_SHARE_DIRECTORY;
};

}  // namespace stella
