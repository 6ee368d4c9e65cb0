#include "stella/model.hpp"

#include "api/callbacks.hpp"
#include "api/model_core.hpp"
#include "api/runtime_impl.hpp"
#include "base/immortal.hpp"
#include "engine/prompt.hpp"
#include "engine/validation.hpp"
#include "stella/error.hpp"

#include <cmath>
#include <utility>

namespace stella {
namespace {

ModelOptions completed(ModelOptions options) {
  if (!options.hub) options.hub = HubOptions::from_environment();
  if (!options.runtime) options.runtime = Runtime::shared();
  return options;
}

[[noreturn]] void throw_empty_handle() {
  throw Error(Errc::invalid_argument,
              "this model is an empty handle; assign it from a model made by name or from LoadedStellaModel::load()");
}

/// Starts an operation on what `core` has; whatever goes wrong on the way goes to the callback.
template <class T, class Start>
void start(const std::shared_ptr<const api::ModelCore>& core, Callback<T> callback, Start start_on) {
  // An empty handle has no runtime of its own that could call back.
  auto done = api::completion_of(std::move(callback), core ? core->callbacks : Runtime::shared()->impl().callbacks);
  try {
    if (!core) throw_empty_handle();
    core->callbacks->check_process();
    start_on(*core, std::move(done));
  } catch (...) {
    done(std::current_exception(), {});
  }
}

/// Finite and of unit length, as every normalised vector of a working model is.
bool is_unit(std::span<const float> vector) {
  constexpr double kTolerance = 1e-3;
  double square = 0;
  for (const float x : vector) square += static_cast<double>(x) * static_cast<double>(x);
  return std::isfinite(square) && std::abs(std::sqrt(square) - 1) < kTolerance;
}

const api::ModelCore& checked(const std::shared_ptr<const api::ModelCore>& core) {
  if (!core) throw_empty_handle();
  return *core;
}

}  // namespace

Model::Model(const std::string& model, ModelOptions options) {
  options = completed(std::move(options));
  core_ = std::make_shared<const api::ModelCore>(model, options, *options.runtime);
  runtime_ = std::move(options.runtime);
}

void Model::load(std::stop_token stop, Callback<ModelDescription> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<ModelDescription> done) {
    core.model->parts().load(
        stop, [done = std::move(done)](std::exception_ptr error, const engine::LoadedParts& parts) mutable {
          if (error) return done(std::move(error), {});
          done(nullptr, api::to_description(*parts.checkpoint, parts.encoder->choice));
        });
  });
}

void Model::embed(EmbedRequest request, std::stop_token stop, Callback<EmbedResult> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<EmbedResult> done) {
    core.model->embed(std::move(request), stop, std::move(done));
  });
}

void Model::tokenize(TokenizeRequest request, std::stop_token stop, Callback<std::vector<Tokens>> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<std::vector<Tokens>> done) {
    core.model->tokenize(std::move(request), stop, std::move(done));
  });
}

void Model::decode(DecodeRequest request, std::stop_token stop, Callback<std::vector<std::string>> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<std::vector<std::string>> done) {
    core.model->decode(std::move(request), stop, std::move(done));
  });
}

void Model::describe(std::stop_token stop, Callback<ModelDescription> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<ModelDescription> done) {
    core.model->parts().describe(stop,
                                 [done = std::move(done)](std::exception_ptr error, engine::Description found) mutable {
                                   if (error) return done(std::move(error), {});
                                   done(nullptr, api::to_description(*found.checkpoint, std::move(found.choice)));
                                 });
  });
}

void Model::check_health(std::stop_token stop, Callback<bool> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<bool> done) {
    core.model->embed(request_for("health check", "none", {}), stop,
                      [done = std::move(done)](std::exception_ptr error, const EmbedResult& result) mutable {
                        const bool healthy = !error && is_unit(result.vectors.front().row(0));
                        done(std::move(error), healthy);
                      });
  });
}

void Model::download(DownloadRequest request, std::stop_token stop,
                     Callback<std::vector<DownloadedFile>> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<std::vector<DownloadedFile>> done) {
    core.model->parts().download(std::move(request), stop, std::move(done));
  });
}

void Model::huggingface_file(std::string registry_key, std::string file, std::stop_token stop,
                             Callback<std::filesystem::path> callback) const {
  start(core_, std::move(callback), [&](const api::ModelCore& core, Completion<std::filesystem::path> done) {
    core.get_file(registry_key, std::move(file), stop, std::move(done));
  });
}

void Model::unload() const {
  checked(core_).model->parts().let_go();
}

Stopper Model::stopper() const {
  return core_ ? Stopper(core_->callbacks->signals) : Stopper();
}

const ModelInfo& Model::info() const noexcept {
  static const Immortal<ModelInfo> empty;
  return core_ ? core_->info : *empty;
}

ModelOptions Model::options() const {
  ModelOptions options = checked(core_).options;
  options.runtime = runtime_;
  return options;
}

std::vector<std::size_t> Model::supported_dimensions() const {
  return checked(core_).dimensions();
}

std::size_t Model::embedding_dimension(std::optional<std::size_t> wanted) const {
  return checked(core_).choose_dimension(wanted);
}

bool Model::supports_task(std::string_view task) const {
  const auto checkpoint = checked(core_).model->parts().peek_checkpoint();
  return checkpoint ? checkpoint->prompts.has(task) : engine::is_known_task(task);
}

std::size_t Model::estimate_memory_usage(std::size_t texts) const {
  return checked(core_).estimate_memory(texts);
}

std::map<std::string, std::string> Model::config_info() const {
  return checked(core_).config();
}

bool Model::is_loaded() const {
  return checked(core_).model->parts().is_loaded();
}

std::optional<Precision> Model::precision() const {
  const auto weights = checked(core_).model->parts().peek_encoder();
  return weights ? std::optional(weights->choice.precision) : std::nullopt;
}

MemoryUse Model::memory() const {
  return checked(core_).model->parts().memory();
}

Model Model::Weak::lock() const {
  Model model;
  model.runtime_ = runtime_.lock();
  if (model.runtime_) model.core_ = core_;
  return model;
}

void Model::validate_text(std::string_view text) {
  engine::validate_text(text);
}

void Model::validate_batch(const std::vector<std::string>& texts) {
  engine::validate_batch(texts);
}

std::vector<Embedding> to_embeddings(const EmbedResult& result) {
  std::vector<Embedding> rows(result.texts.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TokenCount& count = result.texts[i];
    rows[i] = {count.tokens, count.full_tokens, count.truncated, {}};
    for (const FloatMatrix& matrix : result.vectors) {
      const auto row = matrix.row(i);
      rows[i].vectors.emplace_back(matrix.columns, std::vector<float>(row.begin(), row.end()));
    }
  }
  return rows;
}

EmbedRequest request_for(std::string text, std::string task, std::optional<std::size_t> dimension) {
  EmbedRequest request;
  request.texts.push_back(std::move(text));
  request.options.task = std::move(task);
  if (dimension) request.options.dimensions.push_back(*dimension);
  request.indexed_errors = false;
  return request;
}

}  // namespace stella
