// What requests of all families ask for in the same way.
#pragma once

#include "base/json.hpp"
#include "server/routes/facts.hpp"

#include <cstddef>
#include <string>

namespace stella::server {

/// Throws ApiError(model_not_found) for a name that is not this model's; none, and an empty one, are.
void check_model(const ModelFacts& facts, const std::string& name);

/// `prompt_name`, else `task`, else the server's default. Throws ApiError that lists the names.
void take_prompt(const json::object& object, const ModelFacts& facts, EmbedOptions& options);

/// The size of a trained head, of the field `name`. Throws ApiError that lists the heads.
std::size_t dimension_of(const json::value& value, const ModelFacts& facts, const std::string& name = "dimensions");

}  // namespace stella::server
