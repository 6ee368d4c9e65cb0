#include "server/cors.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <utility>

namespace stella::server {
namespace {

constexpr const char* kHeaders =
    "authorization, content-type, x-model, x-priority, x-request-id, x-timeout-ms, traceparent";
constexpr const char* kExposed =
    "x-request-id, retry-after, x-embedding-fingerprint, x-truncated-inputs, x-compute-type, x-compute-time, "
    "x-compute-characters, x-compute-tokens, x-total-time, x-tokenization-time, x-queue-time, x-inference-time";

bool is_origin(std::string_view text) {
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || scheme == 0) return false;
  const std::string_view host = text.substr(scheme + 3);
  return !host.empty() && host.find_first_of("/?#* ,") == std::string_view::npos;
}

}  // namespace

Cors::Cors(std::vector<std::string> origins) : origins_(std::move(origins)) {
  for (const std::string& origin : origins_) {
    all_ = all_ || origin == "*";
    if (origin != "*" && !is_origin(origin))
      throw Error(Errc::invalid_argument, "--cors-allow-origin '" + origin +
                                              "' is no origin; give scheme, host and port as browsers send them, "
                                              "https://app.example.com for example, or * for all");
  }
}

const std::string* Cors::allowed_origin(const Fields& request) const {
  const std::string* const origin = find_field(request, "origin");
  if (origin == nullptr) return nullptr;
  return all_ || std::find(origins_.begin(), origins_.end(), *origin) != origins_.end() ? origin : nullptr;
}

std::optional<Response> Cors::preflight(const Request& request, std::string_view allow) const {
  const bool asks =
      request.method == "OPTIONS" && find_field(request.fields, "access-control-request-method") != nullptr;
  if (!asks || allow.empty() || allowed_origin(request.fields) == nullptr) return std::nullopt;
  Response response;
  response.status = 204;
  response.fields.push_back({"access-control-allow-methods", std::string(allow)});
  response.fields.push_back({"access-control-allow-headers", kHeaders});
  response.fields.push_back({"access-control-max-age", "3600"});
  return response;
}

void Cors::complete(const Fields& request, Response& response) const {
  if (origins_.empty()) return;
  if (!all_) response.fields.push_back({"vary", "origin"});
  const std::string* const origin = allowed_origin(request);
  if (origin == nullptr) return;
  response.fields.push_back({"access-control-allow-origin", all_ ? "*" : *origin});
  response.fields.push_back({"access-control-expose-headers", kExposed});
}

}  // namespace stella::server
