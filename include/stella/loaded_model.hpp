// A model whose weights are in memory.
#pragma once

#include "stella/capable.hpp"
#include "stella/embedding_model.hpp"
#include "stella/error.hpp"

#include <exception>
#include <memory>
#include <stop_token>
#include <utility>

namespace stella {

/// A model whose tokenizer and weights are in memory. Cheap to copy; copies share the weights. Heads are fetched and
/// kept as dimensions are first asked for.
class LoadedStellaModel final : public TextEmbeddingCapable {
 public:
  /// Fetches what is missing, loads, and completes with the model.
  template <class Token = boost::asio::use_awaitable_t<>>
  static auto load(const StellaEmbeddingModel& base, Token&& token = {}) {
    return boost::asio::async_initiate<Token, void(std::exception_ptr, LoadedStellaModel)>(
        [](auto handler, const Model& model) {
          detail::start_pending<LoadedStellaModel>(detail::posted(std::move(handler)), model, start_load);
        },
        token, base.core());
  }

  /// An empty handle (completion signatures need one); every operation on it fails with Error(invalid_argument).
  LoadedStellaModel() = default;

  /// Throws Error(invalid_argument) for an empty handle, as do the next two.
  const ModelDescription& description() const {
    if (!description_) static_cast<void>(model_.options());  // throws
    return *description_;
  }
  Precision precision() const { return description().precision.value(); }  ///< Never automatic.
  /// Memory that encoder and loaded heads take, in bytes.
  std::size_t weight_bytes() const {
    const MemoryUse use = model_.memory();
    return use.private_bytes + use.mapped_bytes;
  }

 private:
  static void start_load(const Model& model, std::stop_token stop, Callback<LoadedStellaModel> done) {
    // Waiting inside the runtime it does not own it: until there is something to hand out only the caller keeps it.
    model.load(std::move(stop),
               std::move(done).from<ModelDescription>([weak = Model::Weak(model)](ModelDescription description) {
                 LoadedStellaModel loaded;
                 loaded.model_ = weak.lock();
                 if (!loaded.model_) throw Error(Errc::shut_down, "the runtime is shutting down");
                 loaded.description_ = std::make_shared<const ModelDescription>(std::move(description));
                 return loaded;
               }));
  }

  std::shared_ptr<const ModelDescription> description_{};
};

}  // namespace stella
