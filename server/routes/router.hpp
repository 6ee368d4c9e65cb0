// Which routes there are.
#pragma once

#include "server/routes/errors.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stella::server {

enum class Route : std::uint8_t {
  embeddings,
  models,
  model,  ///< /v1/models/{id}
  embed,
  embed_all,
  similarity,
  tokenize,
  decode,
  page,  ///< GET /: the playground.
  root,  ///< POST /: /embed or /similarity, by the shape of the body.
  vertex,
  info,
  health,
  ping,
  metrics,
  openapi,
  docs,
  rerank,
  predict,
  embed_sparse,
  ollama_embed,
  ollama_embeddings,  ///< Its predecessor, of one text.
  cohere_embed
};

struct RouteEntry {
  std::string_view method;
  std::string_view path;  ///< One that ends in '/' stands for all paths below.
  Route route;
  Family family;
  bool open;  ///< Needs no key.
};

struct Match {
  const RouteEntry* entry = nullptr;  ///< Null where nothing has that method and path.
  Family family = Family::tei;        ///< In whose shape to say so.
  std::string allow{};                ///< Methods that the path has; empty for an unknown one.
};

std::span<const RouteEntry> all_routes() noexcept;

/// HEAD counts as GET.
Match find_route(std::string_view method, std::string_view path);

}  // namespace stella::server
