#include "stella/registry.hpp"

#include "base/immortal.hpp"
#include "stella/error.hpp"

#include <array>
#include <mutex>
#include <shared_mutex>
#include <utility>

namespace stella {
namespace {

constexpr std::array<std::size_t, 7> kStellaHeads{256, 768, 1024, 2048, 4096, 6144, 8192};

ModelInfo builtin_model(std::string provider, std::string name) {
  ModelInfo info;
  info.registry_key = provider + "/" + name;
  info.name = std::move(name);
  info.provider = std::move(provider);
  return info;
}

ModelInfo small_stella(std::string provider) {
  ModelInfo info = builtin_model(std::move(provider), "stella_en_400M_v5");
  info.dimensions.assign(kStellaHeads.begin(), kStellaHeads.end());
  info.default_dimension = 1024;
  info.recommended_batch_size = 16;
  info.estimated_memory_mb = 1600;
  return info;
}

ModelInfo large_stella(std::string provider) {
  ModelInfo info = builtin_model(std::move(provider), "stella_en_1.5B_v5");
  info.dimensions.assign(kStellaHeads.begin(), kStellaHeads.end());
  info.default_dimension = 1024;
  info.recommended_batch_size = 8;
  info.estimated_memory_mb = 7200;
  return info;
}

ModelInfo mini_lm() {
  ModelInfo info = builtin_model("sentence-transformers", "all-MiniLM-L6-v2");
  info.dimensions = {384};  // the pooled vector: this model has no dense heads
  info.default_dimension = 384;
  info.recommended_batch_size = 32;
  info.estimated_memory_mb = 100;
  return info;
}

}  // namespace

struct Registry::Impl {
  mutable std::shared_mutex mutex;
  std::map<std::string, ModelInfo, std::less<>> models;  // guarded by mutex

  void add(ModelInfo info) {
    std::string key = info.registry_key;
    if (key.empty()) throw Error(Errc::invalid_argument, "a model needs a registry key to be registered under");
    const std::unique_lock lock(mutex);
    if (!models.try_emplace(key, std::move(info)).second) {
      throw Error(Errc::already_registered, "the model '" + key + "' is already registered; choose another key");
    }
  }
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {
  for (const char* provider : {"NovaSearch", "dunzhang"}) {
    impl_->add(small_stella(provider));
    impl_->add(large_stella(provider));
  }
  impl_->add(mini_lm());
}

Registry::~Registry() = default;

const Registry& Registry::builtin() {
  static const Immortal<Registry> registry;
  return *registry;
}

std::optional<ModelInfo> Registry::find(std::string_view registry_key) const {
  const std::shared_lock lock(impl_->mutex);
  const auto found = impl_->models.find(registry_key);
  return found == impl_->models.end() ? std::nullopt : std::optional(found->second);
}

bool Registry::has_model(std::string_view registry_key) const {
  const std::shared_lock lock(impl_->mutex);
  return impl_->models.contains(registry_key);
}

std::vector<std::string> Registry::keys() const {
  const std::shared_lock lock(impl_->mutex);
  std::vector<std::string> keys;
  for (const auto& [key, info] : impl_->models) keys.push_back(key);
  return keys;
}

std::map<std::string, std::size_t> Registry::count_by_provider() const {
  const std::shared_lock lock(impl_->mutex);
  std::map<std::string, std::size_t> counts;
  for (const auto& [key, info] : impl_->models) ++counts[info.provider];
  return counts;
}

void Registry::register_model(ModelInfo info) {
  impl_->add(std::move(info));
}

}  // namespace stella
