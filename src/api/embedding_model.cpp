#include "stella/embedding_model.hpp"

#include "api/bridge.hpp"
#include "api/embedding_model_impl.hpp"

#include <utility>

namespace stella {
namespace {

std::shared_ptr<Runtime> runtime_of(const ModelOptions& options) {
  return options.runtime ? options.runtime : Runtime::shared();
}

}  // namespace

StellaEmbeddingModel::Impl::Impl(const std::string& model, ModelOptions options_arg)
    : runtime(runtime_of(options_arg)),
      options(std::move(options_arg)),
      core(std::make_shared<const api::ModelCore>(model, options, *runtime)) {
  options.runtime = runtime;
}

StellaEmbeddingModel::StellaEmbeddingModel(std::string model, ModelOptions options)
    : impl_(std::make_shared<Impl>(model, std::move(options))) {}

StellaEmbeddingModel::~StellaEmbeddingModel() = default;

const ModelInfo& StellaEmbeddingModel::info() const noexcept {
  return impl_->core->info;
}

std::vector<std::size_t> StellaEmbeddingModel::supported_dimensions() const {
  return impl_->core->dimensions();
}

std::size_t StellaEmbeddingModel::embedding_dimension(std::optional<std::size_t> wanted) const {
  return impl_->core->choose_dimension(wanted);
}

std::size_t StellaEmbeddingModel::estimate_memory_usage(std::size_t texts) const {
  return impl_->core->estimate_memory(texts);
}

std::map<std::string, std::string> StellaEmbeddingModel::config_info() const {
  return impl_->core->config();
}

bool StellaEmbeddingModel::supports_task(std::string_view task) const {
  const auto checkpoint = impl_->core->model->parts().peek_checkpoint();
  return checkpoint ? checkpoint->prompts.has(task) : TextEmbeddingCapable::supports_task(task);
}

const ModelOptions& StellaEmbeddingModel::options() const noexcept {
  return impl_->options;
}

void StellaEmbeddingModel::start_embed(std::string text, std::string task, std::optional<std::size_t> dimension,
                                       Handler<std::vector<float>> handler) {
  impl_->start<std::vector<float>>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.embed_one(std::move(text), std::move(task), dimension, stop, std::move(done));
  });
}

void StellaEmbeddingModel::start_batch_embed(std::vector<std::string> texts, std::string task,
                                             std::optional<std::size_t> dimension,
                                             Handler<std::vector<std::vector<float>>> handler) {
  impl_->start<std::vector<std::vector<float>>>(
      std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
        core.embed_all(std::move(texts), std::move(task), dimension, stop, std::move(done));
      });
}

void StellaEmbeddingModel::start_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                             Handler<std::vector<Embedding>> handler) {
  impl_->start<std::vector<Embedding>>(std::move(handler),
                                       [&](const api::ModelCore& core, const auto& stop, auto done) {
                                         core.embed_all(std::move(texts), std::move(options), stop, std::move(done));
                                       });
}

void StellaEmbeddingModel::start_chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                                     Handler<std::vector<Embedding>> handler) {
  impl_->start<std::vector<Embedding>>(
      std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
        core.embed_chunked(std::move(texts), std::move(options), stop, std::move(done));
      });
}

void StellaEmbeddingModel::start_tokenize(std::vector<std::string> texts, TokenizeOptions options,
                                          Handler<std::vector<Tokens>> handler) {
  impl_->start<std::vector<Tokens>>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.tokenize(std::move(texts), std::move(options), stop, std::move(done));
  });
}

void StellaEmbeddingModel::start_describe(Handler<ModelDescription> handler) {
  impl_->start<ModelDescription>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.describe(stop, std::move(done));
  });
}

void StellaEmbeddingModel::start_health_check(Handler<bool> handler) {
  impl_->start<bool>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.check_health(stop, std::move(done));
  });
}

void StellaEmbeddingModel::start_huggingface_file(std::string registry_key, std::string file,
                                                  Handler<std::filesystem::path> handler) {
  impl_->start<std::filesystem::path>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.get_file(registry_key, std::move(file), stop, std::move(done));
  });
}

void StellaEmbeddingModel::start_download(std::vector<std::size_t> dimensions, bool all_heads,
                                          Handler<std::vector<DownloadedFile>> handler) {
  impl_->start<std::vector<DownloadedFile>>(std::move(handler),
                                            [&](const api::ModelCore& core, const auto& stop, auto done) {
                                              core.download(std::move(dimensions), all_heads, stop, std::move(done));
                                            });
}

}  // namespace stella
