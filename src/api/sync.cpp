#include "stella/sync.hpp"

#include "api/completions.hpp"
#include "api/hub_files.hpp"
#include "api/model_core.hpp"
#include "api/runtime_impl.hpp"
#include "api/wait_for.hpp"

#include <utility>

namespace stella::sync {

using api::wait_for;

struct Model::Impl {
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<const api::ModelCore> core;
};

Model::Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Model Model::load(const std::string& model, const HubOptions& hub, Precision precision,
                  const std::filesystem::path& share_directory) {
  const ModelOptions options{.precision = precision, .hub = hub, .share_directory = share_directory};
  auto impl = std::make_shared<Impl>();
  impl->runtime = Runtime::shared();
  impl->core = std::make_shared<const api::ModelCore>(model, options, *impl->runtime);
  wait_for<std::shared_ptr<const engine::Checkpoint>>([&](auto done) { impl->core->load({}, std::move(done)); });
  return Model(std::move(impl));
}

std::vector<float> Model::embed(const std::string& text, const std::string& task, std::size_t dimension) const {
  impl_->core->completions->check_process();
  const auto wanted = dimension != 0 ? std::optional(dimension) : std::nullopt;
  return wait_for<std::vector<float>>(
      [&](auto done) { impl_->core->embed_one(text, task, wanted, {}, std::move(done)); });
}

std::vector<Embedding> Model::batch_embed(const std::vector<std::string>& texts, const EmbedOptions& options) const {
  impl_->core->completions->check_process();
  return wait_for<std::vector<Embedding>>(
      [&](auto done) { impl_->core->embed_all(texts, options, {}, std::move(done)); });
}

std::vector<std::size_t> Model::supported_dimensions() const {
  return impl_->core->dimensions();
}

std::filesystem::path huggingface_file(const std::string& registry_key, const std::string& file,
                                       const std::string& revision, const HubOptions& hub) {
  const std::shared_ptr<Runtime> runtime = Runtime::shared();
  const auto files =
      api::hub_files(runtime->impl().hub, {registry_key, revision, std::make_shared<const HubOptions>(hub), {}});
  return wait_for<std::filesystem::path>([&](auto done) { files->get(file, {}, std::move(done)); });
}

}  // namespace stella::sync
