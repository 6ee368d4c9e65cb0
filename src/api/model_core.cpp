#include "api/model_core.hpp"

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
#include <cmath>
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

ModelInfo describe_repository(const std::string& id) {
  if (auto known = Registry::builtin().find(id)) return *std::move(known);
  ModelInfo info;
  const std::size_t slash = id.find('/');
  info.registry_key = id;
  info.name = slash == std::string::npos ? id : id.substr(slash + 1);
  info.provider = slash == std::string::npos ? std::string() : id.substr(0, slash);
  return info;
}

ModelInfo find_info(const std::string& model) {
  std::error_code error;
  if (fs::is_directory(model, error)) return describe_directory(model, model);
  if (const std::string why = why_no_model(model); !why.empty()) throw Error(Errc::invalid_argument, why);
  return describe_repository(model);
}

std::vector<std::size_t> one_dimension(std::optional<std::size_t> dimension) {
  return dimension ? std::vector{*dimension} : std::vector<std::size_t>{};
}

std::string join_numbers(const std::vector<std::size_t>& numbers) {
  std::string text;
  for (const std::size_t number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

/// Finite and of unit length, as every normalised vector of a working model is.
bool is_unit(const std::vector<float>& vector) {
  constexpr double kTolerance = 1e-3;
  double square = 0;
  for (const float x : vector) square += static_cast<double>(x) * static_cast<double>(x);
  return std::isfinite(square) && std::abs(std::sqrt(square) - 1) < kTolerance;
}

}  // namespace

ModelCore::ModelCore(const std::string& model_name, const ModelOptions& options, Runtime& runtime)
    : info(find_info(resolve_model(model_name, options.share_directory))),
      revision(options.revision),
      precision(options.precision),
      kernels(to_string(runtime.kernels())),
      threads(runtime.compute_threads()),
      hub_options(std::make_shared<const HubOptions>(options.hub)),
      on_progress(options.on_progress),
      hub(runtime.impl().hub),
      completions(runtime.impl().completions) {
  completions->check_process();
  engine::ModelSetup setup;
  setup.files = info.local ? engine::directory_files(info.registry_key, *runtime.impl().files)
                           : hub_files(hub, {info.registry_key, revision, hub_options, on_progress});
  setup.known = {.name = info.name, .dimensions = info.dimensions};
  setup.precision = options.precision;
  setup.on_load = options.on_load;
  if (options.packed_weights.keep) {
    const fs::path& chosen = options.packed_weights.directory;
    setup.packed_folder = chosen.empty() ? packed_weights::default_directory(options.hub) : chosen;
    if (setup.packed_folder.empty() && !options.hub.home.empty()) {
      log(LogLevel::warning,
          "packed weights are not kept, for HF_HOME and HF_HUB_CACHE name the same folder, in which "
          "only models may lie; set HF_HOME to another");
    }
  }
  setup.small_encoder_bytes = options.packed_weights.small_model_bytes;
  model = engine::Model::create(runtime.impl().machine(), std::move(setup));
}

void ModelCore::load(const std::stop_token& stop, Completion<std::shared_ptr<const engine::Checkpoint>> done) const {
  model->parts().load(stop, [done = std::move(done)](std::exception_ptr error, engine::LoadedParts parts) mutable {
    done(std::move(error), std::move(parts.checkpoint));
  });
}

void ModelCore::embed_one(std::string text, std::string task, std::optional<std::size_t> dimension,
                          const std::stop_token& stop, Completion<std::vector<float>> done) const {
  engine::EmbedJob job;
  job.texts.push_back(std::move(text));
  job.options.task = std::move(task);
  job.options.dimensions = one_dimension(dimension);
  job.indexed_errors = false;
  model->embed(std::move(job), stop,
               [done = std::move(done)](std::exception_ptr error, std::vector<Embedding> rows) mutable {
                 if (error) return done(std::move(error), {});
                 done(nullptr, std::move(rows.front().vectors.front().second));
               });
}

void ModelCore::embed_all(std::vector<std::string> texts, std::string task, std::optional<std::size_t> dimension,
                          const std::stop_token& stop, Completion<std::vector<std::vector<float>>> done) const {
  EmbedOptions options;
  options.task = std::move(task);
  options.dimensions = one_dimension(dimension);
  embed_all(std::move(texts), std::move(options), stop,
            [done = std::move(done)](std::exception_ptr error, std::vector<Embedding> rows) mutable {
              std::vector<std::vector<float>> vectors;
              vectors.reserve(rows.size());
              for (Embedding& row : rows) vectors.push_back(std::move(row.vectors.front().second));
              done(std::move(error), std::move(vectors));
            });
}

void ModelCore::embed_all(std::vector<std::string> texts, EmbedOptions options, const std::stop_token& stop,
                          Completion<std::vector<Embedding>> done) const {
  model->embed({.texts = std::move(texts), .options = std::move(options)}, stop, std::move(done));
}

void ModelCore::embed_chunked(std::vector<std::string> texts, EmbedOptions options, const std::stop_token& stop,
                              Completion<std::vector<Embedding>> done) const {
  if (texts.empty()) return done(nullptr, {});
  model->embed({.texts = std::move(texts), .options = std::move(options), .limit_batch = false}, stop, std::move(done));
}

void ModelCore::tokenize(std::vector<std::string> texts, TokenizeOptions options, const std::stop_token& stop,
                         Completion<std::vector<Tokens>> done) const {
  engine::TokenizeJob job{.texts = std::move(texts),
                          .task = std::move(options.task),
                          .prompt = std::move(options.prompt),
                          .max_length = options.max_length,
                          .add_special_tokens = options.add_special_tokens,
                          .on_long = options.on_long};
  model->tokenize(std::move(job), stop,
                  [done = std::move(done)](std::exception_ptr error, engine::TextResults results) mutable {
                    std::vector<Tokens> rows;
                    rows.reserve(results.encodings.size());
                    for (tokenizer::Encoding& encoding : results.encodings) {
                      const bool truncated = encoding.truncated();
                      rows.push_back({std::move(encoding.ids), encoding.full_tokens, truncated});
                    }
                    done(std::move(error), std::move(rows));
                  });
}

void ModelCore::describe(const std::stop_token& stop, Completion<ModelDescription> done) const {
  model->parts().describe(stop,
                          [done = std::move(done)](std::exception_ptr error, engine::Description description) mutable {
                            if (error) return done(std::move(error), {});
                            done(nullptr, to_description(*description.checkpoint, std::move(description.choice)));
                          });
}

void ModelCore::check_health(const std::stop_token& stop, Completion<bool> done) const {
  embed_one("health check", "none", {}, stop,
            [done = std::move(done)](std::exception_ptr error, const std::vector<float>& vector) mutable {
              const bool healthy = !error && is_unit(vector);
              done(std::move(error), healthy);
            });
}

void ModelCore::get_file(const std::string& registry_key, std::string file, const std::stop_token& stop,
                         Completion<std::filesystem::path> done) const {
  if (registry_key == info.registry_key) return model->parts().files().get(std::move(file), stop, std::move(done));
  hub_files(hub, {registry_key, revision, hub_options, on_progress})->get(std::move(file), stop, std::move(done));
}

void ModelCore::download(std::vector<std::size_t> dimensions, bool all_heads, const std::stop_token& stop,
                         Completion<std::vector<DownloadedFile>> done) const {
  model->parts().download(
      std::move(dimensions), all_heads, stop,
      [done = std::move(done)](std::exception_ptr error, std::vector<engine::FetchedFile> files) mutable {
        std::vector<DownloadedFile> result;
        result.reserve(files.size());
        for (engine::FetchedFile& file : files) {
          result.push_back({std::move(file.file), std::move(file.path), file.size});
        }
        done(std::move(error), std::move(result));
      });
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
                                           {"revision", revision},
                                           {"precision", to_string(precision)},
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
