// Inside StellaEmbeddingModel, which LoadedStellaModel looks into.
#pragma once

#include "api/bridge.hpp"
#include "api/model_core.hpp"
#include "stella/embedding_model.hpp"

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

namespace stella {

struct StellaEmbeddingModel::Impl {
  Impl(const std::string& model, ModelOptions options);

  /// `start_on(core, stop, done)` starts an operation that completes the handler.
  template <class T, class Start>
  void start(Handler<T> handler, Start start_on) const {
    api::start_bridged<T>(std::move(handler), core->completions, [&](const std::stop_token& stop, Completion<T> done) {
      start_on(*core, stop, std::move(done));
    });
  }

  std::shared_ptr<Runtime> runtime;  // the handles own it; the core, which work under way holds, does not
  ModelOptions options;
  std::shared_ptr<const api::ModelCore> core;
};

}  // namespace stella
