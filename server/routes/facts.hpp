// What the routes know of the model that is served: plain values, so that parsing a request needs no model.
#pragma once

#include "stella/model.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace stella::server {

/// A model as clients may name it, loaded or not.
struct ServedModel {
  std::string id{};        ///< As --model or --allow-model has it.
  std::string name{};      ///< --served-model-name, else `id`.
  std::string provider{};  ///< Organisation.
};

struct ModelFacts {
  std::string id{};           ///< As --model has it.
  std::string served_name{};  ///< --served-model-name, else `id`.
  std::string provider{};
  std::string weights{};  ///< format::weights_of()
  ModelDescription description{};
  /// Token ids that the model's template puts before and behind a text.
  TokenIds before{};
  TokenIds behind{};
  std::size_t max_client_batch_size = 0;  ///< What a larger request is split into.
  std::size_t max_texts = 0;              ///< Of one request.
  std::size_t max_concurrent_requests = 0;
  bool auto_truncate = true;
  bool any_token_ids = false;  ///< --token-ids any
  std::optional<std::string> default_prompt_name{};
  std::optional<std::string> default_prompt{};

  std::size_t max_input_length() const noexcept { return description.default_max_length; }
};

/// Whether a request's `model` means this one; an empty name does.
bool names_model(const ModelFacts& facts, const std::string& name);

/// Throws ApiError(batch size N > maximum allowed batch size M).
void check_batch_size(const ModelFacts& facts, std::size_t size);

/// Puts the prompt of that name into `options`; without one, the server's default, and none where there is none. Throws
/// ApiError that lists the names for one that the model does not know.
void choose_prompt(const ModelFacts& facts, const std::optional<std::string>& name, EmbedOptions& options);

/// Throws ApiError that lists the heads for a size that none has; `name`: the field that asks for it.
void check_dimension(const ModelFacts& facts, std::size_t dimension, const std::string& name);

}  // namespace stella::server
