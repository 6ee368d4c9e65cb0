// Which routes there are.
#pragma once

#include "server/routes/errors.hpp"

#include <cstdint>
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
  rerank,
  predict,
  embed_sparse
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

/// HEAD counts as GET.
Match find_route(std::string_view method, std::string_view path);

}  // namespace stella::server
