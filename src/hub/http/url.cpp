#include "hub/http/url.hpp"

#include "base/ascii.hpp"

#include <array>
#include <memory>

#include <curl/curl.h>

namespace stella::hub {
namespace {

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Url parse(const std::string& text) {
  Url url(curl_url(), &curl_url_cleanup);
  if (url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) url.reset();
  return url;
}

std::string part(const Url& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, decltype(&curl_free)> owned(text, &curl_free);
  return text;
}

bool is_web_scheme(const std::string& scheme) {
  return scheme == "http" || scheme == "https";
}

}  // namespace

std::optional<Origin> origin_of(const std::string& text) {
  const Url url = parse(text);
  if (!url) return std::nullopt;
  Origin origin{to_lower(part(url, CURLUPART_SCHEME)), to_lower(part(url, CURLUPART_HOST)),
                part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if (!is_web_scheme(origin.scheme) || origin.host.empty()) return std::nullopt;
  return origin;
}

bool same_origin(const std::string& a, const std::string& b) {
  const auto origin = origin_of(a);
  return origin && origin == origin_of(b);
}

bool is_hub_redirect(const std::string& endpoint, const std::string& from, const std::string& to) {
  constexpr std::array<const char*, 3> kHubs = {"https://huggingface.co", "https://hub-ci.huggingface.co",
                                                "https://hf.co"};
  return same_origin(from, to) || same_origin(endpoint, to) ||
         std::any_of(kHubs.begin(), kHubs.end(), [&](const char* hub) { return same_origin(hub, to); });
}

bool is_own_endpoint(const std::string& endpoint) {
  return !same_origin(endpoint, "https://huggingface.co") && !same_origin(endpoint, "https://hf.co");
}

bool is_downgrade(const std::string& from, const std::string& to) {
  const auto before = origin_of(from);
  const auto after = origin_of(to);
  return before && before->scheme == "https" && (!after || after->scheme != "https");
}

std::optional<std::string> resolve_location(const std::string& base, const std::string& location) {
  const Url url = parse(base);
  if (!url || location.empty()) return std::nullopt;
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE) != CURLUE_OK) return std::nullopt;
  curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  std::string resolved = part(url, CURLUPART_URL);
  if (!origin_of(resolved)) return std::nullopt;
  return resolved;
}

std::string redacted(const std::string& text) {
  const Url url = parse(text);
  if (!url) return "(malformed address)";
  for (const CURLUPart secret : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
    curl_url_set(url.get(), secret, nullptr, 0);
  }
  return part(url, CURLUPART_URL);
}

std::string quote(std::string_view text, bool keep_slash) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string quoted;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '_' || c == '.' || c == '~';
    if (unreserved || (keep_slash && c == '/')) {
      quoted += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      quoted += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return quoted;
}

std::string file_url(const std::string& endpoint, const std::string& repo, const std::string& revision,
                     const std::string& file) {
  return endpoint + "/" + repo + "/resolve/" + quote(revision, false) + "/" + quote(file, true);
}

std::string tree_url(const std::string& endpoint, const std::string& repo, const std::string& revision) {
  return endpoint + "/api/models/" + repo + "/tree/" + quote(revision, false) + "?recursive=true";
}

std::string revision_url(const std::string& endpoint, const std::string& repo, const std::string& revision) {
  return endpoint + "/api/models/" + repo + "/revision/" + quote(revision, false);
}

}  // namespace stella::hub
