#include "stella/loaded_model.hpp"

#include "api/bridge.hpp"
#include "api/embedding_model_impl.hpp"
#include "api/runtime_impl.hpp"
#include "base/immortal.hpp"
#include "stella/error.hpp"

#include <utility>

namespace stella {
namespace {

Error empty_handle() {
  return {Errc::invalid_argument, "this LoadedStellaModel is empty; assign it from LoadedStellaModel::load()"};
}

}  // namespace

struct LoadedStellaModel::Impl {
  std::shared_ptr<Runtime> runtime;  // owned as in StellaEmbeddingModel
  std::shared_ptr<const api::ModelCore> core;
  ModelDescription description;
};

LoadedStellaModel::~LoadedStellaModel() = default;

template <class T, class Start>
void LoadedStellaModel::start(Handler<T> handler, Start start_on) {
  if (!impl_) {  // then there is no runtime of its own that could complete the handler
    return api::fail_bridged<T>(std::move(handler), Runtime::shared()->impl().completions,
                                std::make_exception_ptr(empty_handle()));
  }
  api::start_bridged<T>(
      std::move(handler), impl_->core->completions,
      [&](const std::stop_token& stop, Completion<T> done) { start_on(*impl_->core, stop, std::move(done)); });
}

void LoadedStellaModel::start_load(StellaEmbeddingModel base, Handler<LoadedStellaModel> handler) {
  using Loaded = std::shared_ptr<const engine::Checkpoint>;
  base.impl_->start<LoadedStellaModel>(
      std::move(handler), [&](const api::ModelCore& core, const std::stop_token& stop, auto done) {
        // The runtime is found again when there is something to hand out: until then only the caller keeps it.
        core.load(stop, [done = std::move(done), core = base.impl_->core, weak = std::weak_ptr(base.impl_->runtime)](
                            std::exception_ptr error, const Loaded& checkpoint) mutable {
          if (error) return done(std::move(error), {});
          auto impl = std::make_shared<Impl>();
          impl->core = std::move(core);
          impl->description = api::to_description(*checkpoint, impl->core->model->parts().peek_encoder()->choice);
          impl->runtime = weak.lock();
          if (!impl->runtime) {
            return done(std::make_exception_ptr(Error(Errc::shut_down, "the runtime is shutting down")), {});
          }
          LoadedStellaModel loaded;
          loaded.impl_ = std::move(impl);
          done(nullptr, std::move(loaded));
        });
      });
}

const ModelInfo& LoadedStellaModel::info() const noexcept {
  static const Immortal<ModelInfo> empty;
  return impl_ ? impl_->core->info : *empty;
}

std::vector<std::size_t> LoadedStellaModel::supported_dimensions() const {
  if (!impl_) throw empty_handle();
  return impl_->core->dimensions();
}

std::size_t LoadedStellaModel::embedding_dimension(std::optional<std::size_t> wanted) const {
  if (!impl_) throw empty_handle();
  return impl_->core->choose_dimension(wanted);
}

std::size_t LoadedStellaModel::estimate_memory_usage(std::size_t texts) const {
  if (!impl_) throw empty_handle();
  return impl_->core->estimate_memory(texts);
}

std::map<std::string, std::string> LoadedStellaModel::config_info() const {
  if (!impl_) throw empty_handle();
  return impl_->core->config();
}

bool LoadedStellaModel::supports_task(std::string_view task) const {
  if (!impl_) throw empty_handle();
  return engine::find_task(impl_->description.prompts, task) != nullptr;
}

const ModelDescription& LoadedStellaModel::description() const {
  if (!impl_) throw empty_handle();
  return impl_->description;
}

Precision LoadedStellaModel::precision() const {
  if (!impl_) throw empty_handle();
  return impl_->core->model->parts().peek_encoder()->choice.precision;
}

std::size_t LoadedStellaModel::weight_bytes() const {
  if (!impl_) throw empty_handle();
  return impl_->core->model->parts().weight_bytes();
}

void LoadedStellaModel::start_embed(std::string text, std::string task, std::optional<std::size_t> dimension,
                                    Handler<std::vector<float>> handler) {
  start<std::vector<float>>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.embed_one(std::move(text), std::move(task), dimension, stop, std::move(done));
  });
}

void LoadedStellaModel::start_batch_embed(std::vector<std::string> texts, std::string task,
                                          std::optional<std::size_t> dimension,
                                          Handler<std::vector<std::vector<float>>> handler) {
  start<std::vector<std::vector<float>>>(
      std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
        core.embed_all(std::move(texts), std::move(task), dimension, stop, std::move(done));
      });
}

void LoadedStellaModel::start_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                          Handler<std::vector<Embedding>> handler) {
  start<std::vector<Embedding>>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.embed_all(std::move(texts), std::move(options), stop, std::move(done));
  });
}

void LoadedStellaModel::start_chunked_batch_embed(std::vector<std::string> texts, EmbedOptions options,
                                                  Handler<std::vector<Embedding>> handler) {
  start<std::vector<Embedding>>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.embed_chunked(std::move(texts), std::move(options), stop, std::move(done));
  });
}

void LoadedStellaModel::start_tokenize(std::vector<std::string> texts, TokenizeOptions options,
                                       Handler<std::vector<Tokens>> handler) {
  start<std::vector<Tokens>>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.tokenize(std::move(texts), std::move(options), stop, std::move(done));
  });
}

void LoadedStellaModel::start_describe(Handler<ModelDescription> handler) {
  start<ModelDescription>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.describe(stop, std::move(done));
  });
}

void LoadedStellaModel::start_health_check(Handler<bool> handler) {
  start<bool>(std::move(handler), [&](const api::ModelCore& core, const auto& stop, auto done) {
    core.check_health(stop, std::move(done));
  });
}

}  // namespace stella
