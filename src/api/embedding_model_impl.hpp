// Inside StellaEmbeddingModel, which LoadedStellaModel looks into.
#pragma once

#include "api/model_core.hpp"
#include "stella/embedding_model.hpp"

#include <memory>
#include <string>

namespace stella {

struct StellaEmbeddingModel::Impl {
  Impl(const std::string& model, ModelOptions options);

  std::shared_ptr<Runtime> runtime;  // the handles own it; the core, which work under way holds, does not
  ModelOptions options;
  std::shared_ptr<const api::ModelCore> core;
};

}  // namespace stella
