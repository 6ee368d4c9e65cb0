// Ollama's shapes: POST /api/embed, and /api/embeddings of older clients.
#pragma once

#include "base/json.hpp"
#include "server/routes/embedded.hpp"
#include "server/routes/facts.hpp"
#include "server/routes/inputs.hpp"

#include <chrono>
#include <string>

namespace stella::server {

struct OllamaRequest {
  std::string model{};  ///< As the client has it; the answer says the same.
  Inputs inputs{};      ///< None where the input is empty: clients load a model so.
  EmbedOptions options{};
};

// Both throw ApiError. `keep_alive` and `options` are of no use here and ignored.
OllamaRequest parse_ollama_embed(const json::value& body, const ModelFacts& facts);
OllamaRequest parse_ollama_embeddings(const json::value& body, const ModelFacts& facts);

/// `total`: since the request was there.
std::string ollama_embed_answer(const OllamaRequest& request, const Embedded& embedded, std::chrono::nanoseconds total);
std::string ollama_embeddings_answer(const Embedded& embedded);

}  // namespace stella::server
