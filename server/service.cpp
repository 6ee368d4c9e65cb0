#include "server/service.hpp"

#include "base/ascii.hpp"
#include "server/await.hpp"
#include "server/cost.hpp"
#include "server/json/strict.hpp"
#include "server/page/page.hpp"
#include "server/routes/openai.hpp"
#include "server/routes/openapi.hpp"
#include "server/terms.hpp"

#include <algorithm>
#include <charconv>
#include <random>
#include <unistd.h>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
constexpr std::size_t kLongBody = std::size_t{64} << 10U;
constexpr std::size_t kPoolThreads = 2;
constexpr std::string_view kDocsPolicy =
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'";

bool is_json(const std::string& type) {
  return trim(to_lower(type.substr(0, type.find(';')))) == "application/json";
}

double random_jitter() {
  thread_local std::mt19937 random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

/// Whether the body is compressed, which nothing here undoes.
bool is_encoded(const Fields& fields) {
  return std::any_of(fields.begin(), fields.end(), [](const Field& field) {
    return field.name == "content-encoding" && !field.value.empty() && to_lower(field.value) != "identity";
  });
}

/// "a%2Fb" → "a/b".
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    const bool escaped =
        text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2;
    out += escaped ? static_cast<char>(value) : text[i];
    if (escaped) i += 2;
  }
  return out;
}

/// Of the header x-model: TEI's requests have no other way to name one.
std::string model_of_header(const Request& request) {
  const std::string* const name = find_field(request.fields, "x-model");
  return name == nullptr ? std::string() : unescape(*name);
}

/// TEI's requests have no such field. What is wrong with it otherwise is found where the body is read.
std::string asked_model(const json::value& body) {
  const json::object* const object = body.if_object();
  const json::value* const model = object == nullptr ? nullptr : object->if_contains("model");
  return model == nullptr || !model->is_string() ? "" : std::string(model->get_string());
}

/// A page of which nothing comes from elsewhere.
Response page_response(std::string_view page, std::string_view policy) {
  Response response;
  response.type = "text/html; charset=utf-8";
  response.body = page;
  response.fields = {{"content-security-policy", std::string(policy)},
                     {"x-content-type-options", "nosniff"},
                     {"referrer-policy", "no-referrer"},
                     {"cache-control", "no-cache"}};
  return response;
}

Response json_response(std::string body) {
  Response response;
  response.body = std::move(body);
  return response;
}

Observer observer_of(const Options& options) {
  return {options.access_log ? std::make_shared<LogWriter>(STDERR_FILENO, options.json_output) : nullptr,
          options.otlp_endpoint
              ? std::make_shared<SpanExporter>(*options.otlp_endpoint, options.otlp_service_name, options.version)
              : nullptr};
}

}  // namespace

Metrics::Labels labels_of(const ModelFacts& facts, const std::string& dimension) {
  return {facts.served_name, dimension, to_string(facts.description.precision.value_or(Precision::f32))};
}

Service::Service(const Options& options, std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)),
      started_(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                   .count()),
      admission_(options.admission),
      memory_(options.request_memory),
      observer_(observer_of(options)),
      settings_(std::make_shared<Settings>(options)),
      pool_(kPoolThreads) {}

Service::~Service() {
  pool_.join();
}

std::shared_ptr<const Service::Settings> Service::settings() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

void Service::set_options(const Options& options) {
  auto settings = std::make_shared<Settings>(options);
  admission_.set_limits(options.admission);
  memory_.set_limit(options.request_memory);
  backend_->set_options(options);
  const std::lock_guard lock(mutex_);
  settings_ = std::move(settings);
}

std::optional<Response> Service::check_header(const Request& request, std::optional<std::uint64_t> body_bytes) const {
  const Match match = find_route(request.method, request.path);
  const auto settings = this->settings();
  std::optional<Response> response = settings->cors.preflight(request, match.allow);
  if (!response) response = refusal(request, match, body_bytes, *settings);
  if (response) settings->cors.complete(request.fields, *response);
  return response;
}

std::optional<Response> Service::refusal(const Request& request, const Match& match,
                                         std::optional<std::uint64_t> body_bytes, const Settings& settings) const {
  const auto refuse = [&match](ErrorKind kind, const std::string& message) {
    return error_response(ApiError(kind, message), match.family);
  };
  if (match.entry == nullptr && match.allow.empty()) {
    return refuse(ErrorKind::no_route, "there is no route " + request.path.substr(0, 200));
  }
  if (match.entry == nullptr) {
    Response response = refuse(ErrorKind::wrong_method,
                               request.path + " takes " + match.allow + ", not " + request.method.substr(0, 20));
    response.fields.push_back({"allow", match.allow});
    return response;
  }
  const std::string* authorization = find_field(request.fields, "authorization");
  const ApiKeys& keys = settings.keys;
  if (!keys.empty() && !match.entry->open && (authorization == nullptr || !keys.accepts(*authorization))) {
    return refuse(ErrorKind::unauthorized, authorization == nullptr ? "no API key: send `Authorization: Bearer KEY`"
                                                                    : "the API key is not one of this server's");
  }
  const std::size_t most = settings.options.limits.body_bytes;
  if (body_bytes.value_or(0) > most) {
    return refuse(ErrorKind::too_large, "the request body has more than " + std::to_string(most) + " bytes");
  }
  const std::string* expected = find_field(request.fields, "expect");
  if (expected != nullptr && to_lower(*expected) != "100-continue") {
    return refuse(ErrorKind::expectation, "Expect may be 100-continue only");
  }
  const std::string* type = find_field(request.fields, "content-type");
  // Ollama's own documentation posts with curl's type for forms.
  const bool any_type = match.family == Family::ollama;
  if (match.entry->method == "POST" && !any_type && (type == nullptr || !is_json(*type))) {
    return refuse(ErrorKind::media_type,
                  "the content type must be application/json (curl: -H 'Content-Type: application/json')");
  }
  if (match.entry->method == "POST" && is_encoded(request.fields)) {
    Response response = refuse(ErrorKind::media_type,
                               "the header Content-Encoding says that the body is compressed, which this server does "
                               "not take; send it uncompressed, without that header");
    response.fields.push_back({"accept-encoding", "identity"});
    return response;
  }
  return std::nullopt;
}

net::awaitable<Response> Service::respond(Request& request, std::stop_token stop, bool late) {
  const Match match = find_route(request.method, request.path);
  const RouteEntry& entry = *match.entry;
  Response response;
  std::exception_ptr error;
  try {
    if (late && !entry.open) throw ApiError(ErrorKind::unhealthy, "the server is shutting down");
    response = co_await answer(request, entry, stop);
  } catch (...) {
    error = std::current_exception();
  }
  if (error) response = fail(error, entry);
  // What is left of the request itself is small.
  std::string().swap(request.body);
  static_cast<void>(request.memory.resize(response.body.capacity()));
  settings()->cors.complete(request.fields, response);
  co_return response;
}

Response Service::overloaded(const Request& request) {
  const Match match = find_route(request.method, request.path);
  Response response =
      match.entry == nullptr
          ? error_response(ApiError(ErrorKind::overloaded, "Model is overloaded"), match.family)
          : fail(std::make_exception_ptr(ApiError(ErrorKind::overloaded, "Model is overloaded")), *match.entry);
  settings()->cors.complete(request.fields, response);
  return response;
}

Response Service::fail(const std::exception_ptr& error, const RouteEntry& entry) {
  const ApiError known = to_api_error(error);
  if (entry.method == "POST") count_failure(known);
  Response response = error_response(known, entry.family);
  if (known.kind() == ErrorKind::overloaded || known.kind() == ErrorKind::unhealthy) {
    add_retry_after(response, admission_.seconds_to_wait(random_jitter()));
  }
  return response;
}

void Service::count_failure(const ApiError& error) {
  using Failure = Metrics::Failure;
  switch (error.kind()) {
    case ErrorKind::overloaded:
      return metrics_.count_failure(Failure::overloaded);
    case ErrorKind::tokenizer:
      return metrics_.count_failure(Failure::tokenization);
    case ErrorKind::backend:
    case ErrorKind::unhealthy:
      return metrics_.count_failure(Failure::inference);
    case ErrorKind::cancelled:
    case ErrorKind::timed_out:
      return metrics_.count_failure(Failure::dropped);
    default:
      break;
  }
  const bool batch = std::string_view(error.what()).starts_with("batch size");
  metrics_.count_failure(batch ? Failure::batch_size : Failure::validation);
}

Response Service::health() const {
  if (is_draining()) throw ApiError(ErrorKind::unhealthy, "the server is shutting down");
  if (!backend_->facts()) throw ApiError(ErrorKind::unhealthy, backend_->progress());
  return {};
}

/// The counters of every head are there before it is asked for.
std::string Service::metrics_text() {
  if (const auto facts = backend_->facts()) {
    const auto& description = facts->description;
    for (const std::size_t dimension : description.dimensions)
      metrics_.declare(labels_of(*facts, std::to_string(dimension)));
    metrics_.declare(labels_of(*facts, std::to_string(description.default_dimension)));
  }
  std::string text = metrics_.text(admission_.under_way().texts, backend_->passes());
  backend_->append_figures(text);
  return text;
}

Response Service::answer_at_once(const Request& request, Route route) {
  if (route == Route::metrics) {
    Response response = json_response(metrics_text());
    response.type = "text/plain; version=0.0.4";
    return response;
  }
  if (route == Route::page) return page_response(kPage, kPagePolicy);
  if (route == Route::openapi) return json_response(std::string(kOpenApi));
  if (route == Route::docs) return page_response(kDocsPage, kDocsPolicy);
  if (route == Route::health) return health();
  if (route == Route::ping) return {};
  if (route == Route::model) {
    const std::string name = unescape(std::string_view(request.path).substr(std::string_view("/v1/models/").size()));
    return json_response(openai_model(backend_->at(name), started_));
  }
  return json_response(openai_models(backend_->models(), started_));
}

net::awaitable<Response> Service::info(const Request& request, std::stop_token stop) {
  const auto settings = this->settings();
  Backend::Deadline deadline;
  if (const auto most = settings->options.request_timeout) deadline = std::chrono::steady_clock::now() + *most;
  const auto facts = co_await backend_->facts_for(model_of_header(request), stop, deadline);
  co_return json_response(info_answer(*facts, settings->options.version, backend_->compute_threads()));
}

net::awaitable<Response> Service::answer(Request& request, const RouteEntry& entry, std::stop_token stop) {
  switch (entry.route) {
    case Route::rerank:
      throw ApiError(ErrorKind::backend, "Model is not a re-ranker model");
    case Route::predict:
      throw ApiError(ErrorKind::backend, "Model is not a classifier model");
    case Route::embed_sparse:
      throw ApiError(ErrorKind::backend, "Model is not an embedding model with SPLADE pooling");
    default:
      break;
  }
  if (entry.route == Route::info) co_return co_await info(request, stop);
  if (entry.method == "GET") co_return answer_at_once(request, entry.route);
  if (request.body.size() <= kLongBody) co_return co_await answer_body(request, entry, stop);
  auto long_answer = answer_body(request, entry, stop);
  co_return co_await net::co_spawn(pool_.context(), std::move(long_answer), net::use_awaitable);
}

net::awaitable<Response> Service::answer_body(Request& request, const RouteEntry& entry, std::stop_token stop) {
  Call call{request, stop, settings(), std::chrono::steady_clock::now()};
  call.deadline = deadline_of(request, call.settings->options.request_timeout, call.start);
  reserve(call, request.body.capacity() + parse_bytes(request.body));
  json::value body = parse_json(request.body);
  std::string().swap(request.body);
  std::string model = entry.family == Family::tei ? "" : asked_model(body);
  if (model.empty()) model = model_of_header(request);
  call.facts = co_await backend_->facts_for(model, stop, call.deadline);
  co_return co_await answer_post(call, entry.route, std::move(body));
}

void Service::reserve(const Call& call, std::size_t bytes) {
  const RequestMemory::Grant grant = call.request.memory.resize(call.kept + bytes);
  if (grant == RequestMemory::Grant::busy) throw ApiError(ErrorKind::overloaded, "Model is overloaded");
  if (grant != RequestMemory::Grant::too_much) return;
  throw ApiError(ErrorKind::too_large, "the request would take more memory than --max-request-memory allows (" +
                                           std::to_string(bytes >> 20U) + " MiB); send fewer texts in one request");
}

}  // namespace stella::server
