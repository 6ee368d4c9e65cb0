#include "server/observe/spans.hpp"

#include "base/log.hpp"
#include "base/shown_url.hpp"
#include "format/json_text.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>

#include <curl/curl.h>

namespace stella::server {
namespace {

constexpr std::size_t kMaxQueued = 2048;
constexpr std::size_t kMaxOfPost = 512;
constexpr long kPatienceMs = 5000;
constexpr std::chrono::seconds kLastPatience{2};  ///< For the whole end.

// Numbers of OTLP's enumerations.
constexpr int kServer = 2;
constexpr int kError = 2;

void add_attribute(format::JsonText& json, std::string_view key, std::string_view kind, const std::string& value) {
  json.begin_object().member("key", std::string(key)).key("value").begin_object();
  json.member(kind, value).end_object().end_object();
}

/// Integers of 64 bits are strings in OTLP's JSON.
void add_span(format::JsonText& json, const Span& span) {
  json.begin_object().member("traceId", trace_id_of(span.context)).member("spanId", span_id_of(span.context));
  if (span.parent) json.member("parentSpanId", span_id_of(*span.parent));
  json.member("name", span.name).member("kind", kServer);
  json.member("startTimeUnixNano", std::to_string(span.start)).member("endTimeUnixNano", std::to_string(span.end));
  json.key("attributes").begin_array();
  for (const auto& [key, value] : span.texts) add_attribute(json, key, "stringValue", value);
  for (const auto& [key, value] : span.numbers) add_attribute(json, key, "intValue", std::to_string(value));
  json.end_array().key("status").begin_object();
  if (span.failed) json.member("code", kError);
  json.end_object().end_object();
}

std::size_t ignore(char* /*data*/, std::size_t size, std::size_t count, void* /*unused*/) {
  return size * count;
}

}  // namespace

std::string otlp_json(std::string_view service, std::string_view version, std::span<const Span> spans) {
  format::JsonText json;
  json.begin_object().key("resourceSpans").begin_array().begin_object();
  json.key("resource").begin_object().key("attributes").begin_array();
  add_attribute(json, "service.name", "stringValue", std::string(service));
  add_attribute(json, "service.version", "stringValue", std::string(version));
  json.end_array().end_object();
  json.key("scopeSpans").begin_array().begin_object();
  json.key("scope").begin_object().member("name", "stella.serve").end_object();
  json.list("spans", spans, add_span);
  return json.end_object().end_array().end_object().end_array().end_object().take();
}

std::string traces_url(const std::string& endpoint) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!endpoint.starts_with(scheme) || endpoint.size() == scheme.size()) continue;
    const std::size_t slash = endpoint.find('/', scheme.size());
    if (slash == std::string::npos) return endpoint + "/v1/traces";
    return slash + 1 == endpoint.size() ? endpoint + "v1/traces" : endpoint;
  }
  throw Error(Errc::invalid_argument, "--otlp-endpoint '" + without_password(endpoint) +
                                          "' is not the URL of a collector; give one such as http://127.0.0.1:4318");
}

SpanExporter::SpanExporter(const std::string& endpoint, std::string service, std::string version)
    : url_(traces_url(endpoint)),
      service_(std::move(service)),
      version_(std::move(version)),
      queue_(kMaxQueued),
      thread_([this] { run(); }) {}

SpanExporter::~SpanExporter() {
  give_up_ = (std::chrono::steady_clock::now() + kLastPatience).time_since_epoch().count();
  queue_.end();
  thread_.join();
}

bool SpanExporter::is_over() const noexcept {
  const std::int64_t end = give_up_;
  return end != 0 && std::chrono::steady_clock::now().time_since_epoch().count() > end;
}

void SpanExporter::run() {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  while (const auto spans = queue_.take()) {
    for (std::size_t at = 0; at < spans->size(); at += kMaxOfPost) {
      const auto part = std::span(*spans).subspan(at, std::min(kMaxOfPost, spans->size() - at));
      (send(curl.get(), part) ? sent_ : refused_) += part.size();
    }
  }
}

/// Whether the collector took them; where not, that is said once.
bool SpanExporter::send(void* curl, std::span<const Span> spans) {
  try {
    if (curl != nullptr && !is_over() && post(curl, otlp_json(service_, version_, spans))) return true;
    if (!std::exchange(told_, true))
      log(LogLevel::warning, "the collector at " + without_password(url_) + " takes no spans");
  } catch (const std::bad_alloc&) {  // these are lost
  }
  return false;
}

bool SpanExporter::post(void* curl, const std::string& body) const {
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> fields(
      curl_slist_append(nullptr, "Content-Type: application/json"), curl_slist_free_all);
  const auto stop = [](void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<const SpanExporter*>(self)->is_over() ? 1 : 0;
  };
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields.get());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, static_cast<curl_xferinfo_callback>(stop));
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, const_cast<SpanExporter*>(this));
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kPatienceMs);
  if (curl_easy_perform(curl) != CURLE_OK) return false;
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status >= 200 && status < 300;
}

}  // namespace stella::server
