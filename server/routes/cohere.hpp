// Cohere's shapes: POST /v2/embed.
#pragma once

#include "base/json.hpp"
#include "server/routes/embedded.hpp"
#include "server/routes/encodings.hpp"
#include "server/routes/facts.hpp"
#include "server/routes/inputs.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace stella::server {

struct CohereRequest {
  Inputs inputs{};
  EmbedOptions options{};
  std::vector<Encoding> encodings{};  ///< Each once, at least one.
};

/// Throws ApiError. `input_type` chooses the prompt: search_query s2p, classification and clustering s2s,
/// search_document that of documents, which Stella has none for; what the model has no prompt for gets none. A `task`
/// goes before it.
CohereRequest parse_cohere(const json::value& body, const ModelFacts& facts);

/// `id` of the request, `texts` as they were embedded.
std::string cohere_answer(const CohereRequest& request, const Embedded& embedded, std::string_view id);

}  // namespace stella::server
