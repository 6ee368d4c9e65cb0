// OpenAI's shapes: POST /v1/embeddings, GET /v1/models.
#pragma once

#include "base/json.hpp"
#include "server/routes/embedded.hpp"
#include "server/routes/encodings.hpp"
#include "server/routes/facts.hpp"
#include "server/routes/inputs.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace stella::server {

struct OpenAiRequest {
  Inputs inputs{};
  EmbedOptions options{};
  Encoding encoding = Encoding::floats;
};

/// Throws ApiError.
OpenAiRequest parse_openai(const json::value& body, const ModelFacts& facts);
std::string openai_answer(const Embedded& embedded, Encoding encoding, const ModelFacts& facts);

/// `created`: seconds since 1970.
std::string openai_model(const ServedModel& model, std::int64_t created);
std::string openai_models(const std::vector<ServedModel>& models, std::int64_t created);

}  // namespace stella::server
