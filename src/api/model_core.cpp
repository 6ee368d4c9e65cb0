#include "api/model_core.hpp"

#include "api/callbacks.hpp"
#include "api/hub_files.hpp"
#include "api/model_argument.hpp"
#include "api/runtime_impl.hpp"
#include "base/log.hpp"
#include "engine/validation.hpp"
#include "stella/bundled.hpp"
#include "stella/error.hpp"
#include "stella/packed_weights.hpp"
#include "stella/registry.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace stella::api {
namespace {

namespace fs = std::filesystem;

ModelInfo describe_directory(const fs::path& directory, const std::string& as_given) {
  ModelInfo info;
  const fs::path normal = fs::absolute(directory).lexically_normal();
  info.registry_key = as_given;
  info.name = (normal.has_filename() ? normal : normal.parent_path()).filename().string();
  info.provider = "local";
  info.local = true;
  return info;
}

ModelInfo describe_repository(const std::string& id, const Registry& registry) {
  if (auto known = registry.find(id)) return *std::move(known);
  ModelInfo info;
  const std::size_t slash = id.find('/');
  info.registry_key = id;
  info.name = slash == std::string::npos ? id : id.substr(slash + 1);
  info.provider = slash == std::string::npos ? std::string() : id.substr(0, slash);
  return info;
}

ModelInfo find_info(const std::string& model, const Registry& registry) {
  std::error_code error;
  if (fs::is_directory(model, error)) return describe_directory(model, model);
  if (const std::string why = why_no_model(model); !why.empty()) throw Error(Errc::invalid_argument, why);
  return describe_repository(model, registry);
}

std::string join_numbers(const std::vector<std::size_t>& numbers) {
  std::string text;
  for (const std::size_t number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

}  // namespace

ModelCore::ModelCore(const std::string& model_name, const ModelOptions& options_arg, Runtime& runtime,
                     std::shared_ptr<engine::MemoryGate> memory)
    : info(find_info(resolve_model(model_name, options_arg.share_directory),
                     options_arg.registry ? *options_arg.registry : Registry::builtin())),
      options(options_arg),
      kernels(to_string(runtime.kernels())),
      threads(runtime.compute_threads()),
      hub_options(std::make_shared<const HubOptions>(*options.hub)),
      hub(runtime.impl().hub),
      callbacks(runtime.impl().callbacks) {
  options.runtime = nullptr;
  callbacks->check_process();
  engine::ModelSetup setup;
  setup.files = info.local ? engine::directory_files(info.registry_key, *runtime.impl().files)
                           : hub_files(hub, {info.registry_key, options.revision, hub_options, options.on_progress});
  setup.known = {.name = info.name, .dimensions = info.dimensions};
  setup.precision = options.precision;
  setup.on_load = options.on_load;
  if (options.packed_weights.keep) {
    const fs::path& chosen = options.packed_weights.directory;
    setup.packed_folder = chosen.empty() ? packed_weights::default_directory(*options.hub) : chosen;
    if (setup.packed_folder.empty() && !options.hub->home.empty()) {
      log(LogLevel::warning,
          "packed weights are not kept, for HF_HOME and HF_HUB_CACHE name the same folder, in which "
          "only models may lie; set HF_HOME to another");
    }
  }
  setup.small_encoder_bytes = options.packed_weights.small_model_bytes;
  setup.memory = std::move(memory);
  model = engine::Model::create(runtime.impl().machine(), std::move(setup));
}

void ModelCore::get_file(const std::string& registry_key, std::string file, const std::stop_token& stop,
                         Completion<std::filesystem::path> done) const {
  if (registry_key == info.registry_key) return model->parts().files().get(std::move(file), stop, std::move(done));
  hub_files(hub, {registry_key, options.revision, hub_options, options.on_progress})
      ->get(std::move(file), stop, std::move(done));
}

std::vector<std::size_t> ModelCore::dimensions() const {
  if (const auto checkpoint = model->parts().peek_checkpoint()) return checkpoint->dimensions;
  return info.dimensions;
}

std::size_t ModelCore::choose_dimension(std::optional<std::size_t> wanted) const {
  const std::vector<std::size_t> known = dimensions();
  if (wanted) {
    if (!known.empty()) engine::validate_dimension(info.name, *wanted, known);
    return *wanted;
  }
  const auto checkpoint = model->parts().peek_checkpoint();
  return checkpoint ? checkpoint->default_dimension : info.default_dimension;
}

std::size_t ModelCore::estimate_memory(std::size_t texts) const {
  std::size_t hidden = 1024;
  std::size_t intermediate = 4096;
  std::size_t max_length = 512;  // what most checkpoints say
  std::size_t dimension = std::max<std::size_t>(1024, info.default_dimension);
  if (const auto checkpoint = model->parts().peek_checkpoint()) {
    hidden = checkpoint->spec.encoder.hidden;
    intermediate = checkpoint->spec.encoder.intermediate;
    max_length = checkpoint->default_max_length;
    dimension = checkpoint->default_dimension;
  }
  const std::size_t tokens = std::min(texts * max_length, std::max(engine::kTokensPerPass, max_length));
  // Of one layer at a time: the states and their residual, queries, keys, values and the attention's output, both
  // halves of the gated product.
  const std::size_t floats_per_token = 6 * hidden + 2 * intermediate;
  return sizeof(float) * (tokens * floats_per_token + texts * (hidden + dimension));
}

std::map<std::string, std::string> ModelCore::config() const {
  std::map<std::string, std::string> pairs{{"registry_key", info.registry_key},
                                           {"name", info.name},
                                           {"provider", info.provider},
                                           {"revision", options.revision},
                                           {"precision", to_string(options.precision)},
                                           {"kernels", kernels},
                                           {"compute_threads", std::to_string(threads)},
                                           {"dimensions", join_numbers(dimensions())},
                                           {"default_dimension", std::to_string(choose_dimension({}))},
                                           {"recommended_batch_size", std::to_string(info.recommended_batch_size)},
                                           {"max_batch_size", std::to_string(info.max_batch_size)}};
  if (info.local) pairs.erase("revision");
  if (const auto weights = model->parts().peek_encoder()) {
    pairs["precision"] = to_string(weights->choice.precision);
    pairs["precision_reason"] = weights->choice.reason;
    pairs["packed_weights"] = !weights->mapped ? "in memory" : weights->packed ? "packed, then mapped" : "mapped";
  }
  if (const auto checkpoint = model->parts().peek_checkpoint()) {
    pairs["model_type"] = checkpoint->spec.encoder.model_type;
    pairs["max_length"] = std::to_string(checkpoint->default_max_length);
    pairs["max_length_limit"] = std::to_string(checkpoint->max_length_limit);
    pairs["default_task"] = checkpoint->prompts.default_task();
  }
  return pairs;
}

ModelDescription to_description(const engine::Checkpoint& checkpoint, std::optional<engine::PrecisionChoice> choice) {
  const weights::EncoderSpec& encoder = checkpoint.spec.encoder;
  ModelDescription description;
  description.model_type = encoder.model_type;
  description.hidden = encoder.hidden;
  description.layers = encoder.layers;
  description.heads = encoder.heads;
  description.kv_heads = encoder.kv_heads;
  description.intermediate = encoder.intermediate;
  description.vocab_size = encoder.vocab_size;
  description.default_max_length = checkpoint.default_max_length;
  description.max_length_limit = checkpoint.max_length_limit;
  for (const auto& [size, folder] : checkpoint.heads) description.dimensions.push_back(size);
  description.default_dimension = checkpoint.default_dimension;
  description.prompts = checkpoint.prompts.all();
  description.default_task = checkpoint.prompts.default_task();
  description.directory = checkpoint.directory;
  std::filesystem::path snapshot = checkpoint.directory.lexically_normal();
  if (!snapshot.has_filename()) snapshot = snapshot.parent_path();  // of a name that ends in a slash
  if (snapshot.parent_path().filename() == "snapshots") description.commit = snapshot.filename().string();
  if (choice) {
    description.precision = choice->precision;
    description.precision_reason = std::move(choice->reason);
  }
  return description;
}

}  // namespace stella::api

namespace stella {

std::string ModelDescription::prompt_for(const std::string& task) const {
  return engine::get_task(prompts, task.empty() ? default_task : task);
}

}  // namespace stella
