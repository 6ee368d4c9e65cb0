#include "server/routes/router.hpp"

#include <array>

namespace stella::server {
namespace {

constexpr std::array<RouteEntry, 25> kRoutes{
    {{"POST", "/v1/embeddings", Route::embeddings, Family::openai, false},
     {"POST", "/embeddings", Route::embeddings, Family::openai, false},
     {"GET", "/v1/models", Route::models, Family::openai, false},
     {"GET", "/v1/models/", Route::model, Family::openai, false},
     {"POST", "/embed", Route::embed, Family::tei, false},
     {"POST", "/embed_all", Route::embed_all, Family::tei, false},
     {"POST", "/similarity", Route::similarity, Family::tei, false},
     {"POST", "/tokenize", Route::tokenize, Family::tei, false},
     {"POST", "/decode", Route::decode, Family::tei, false},
     {"GET", "/", Route::page, Family::tei, true},
     {"POST", "/", Route::root, Family::tei, false},
     {"POST", "/invocations", Route::root, Family::tei, false},
     {"POST", "/vertex", Route::vertex, Family::tei, false},
     {"POST", "/rerank", Route::rerank, Family::tei, false},
     {"POST", "/predict", Route::predict, Family::tei, false},
     {"POST", "/embed_sparse", Route::embed_sparse, Family::tei, false},
     {"POST", "/api/embed", Route::ollama_embed, Family::ollama, false},
     {"POST", "/api/embeddings", Route::ollama_embeddings, Family::ollama, false},
     {"POST", "/v2/embed", Route::cohere_embed, Family::cohere, false},
     {"GET", "/info", Route::info, Family::tei, false},
     {"GET", "/health", Route::health, Family::tei, true},
     {"GET", "/ping", Route::ping, Family::tei, true},
     {"GET", "/metrics", Route::metrics, Family::tei, true},
     {"GET", "/api-doc/openapi.json", Route::openapi, Family::tei, true},
     {"GET", "/docs", Route::docs, Family::tei, true}}};

bool matches(const RouteEntry& entry, std::string_view path) {
  const bool folder = entry.path.size() > 1 && entry.path.ends_with('/');
  return folder ? path.starts_with(entry.path) && path.size() > entry.path.size() : path == entry.path;
}

/// Of a path that no route has.
Family family_of(std::string_view path) {
  if (path.starts_with("/v1/")) return Family::openai;
  if (path.starts_with("/api/")) return Family::ollama;
  return path.starts_with("/v2/") ? Family::cohere : Family::tei;
}

}  // namespace

std::span<const RouteEntry> all_routes() noexcept {
  return kRoutes;
}

Match find_route(std::string_view method, std::string_view path) {
  Match match;
  match.family = family_of(path);
  for (const RouteEntry& entry : kRoutes) {
    if (!matches(entry, path)) continue;
    match.family = entry.family;
    if (entry.method == method || (entry.method == "GET" && method == "HEAD")) {
      match.entry = &entry;
      return match;
    }
    match.allow += match.allow.empty() ? "" : ", ";
    match.allow += entry.method == "GET" ? "GET, HEAD" : entry.method;
  }
  return match;
}

}  // namespace stella::server
