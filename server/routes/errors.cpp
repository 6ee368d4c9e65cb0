#include "server/routes/errors.hpp"

#include "format/json_text.hpp"
#include "server/json/strict.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <new>

namespace stella::server {
namespace {

struct Shape {
  unsigned tei_status;
  const char* tei_type;
  unsigned openai_status;
  const char* openai_type;
  std::optional<const char*> openai_code;
};

constexpr const char* kInvalid = "invalid_request_error";

Shape shape_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::bad_json:
      return {400, "Validation", 400, kInvalid, {}};
    case ErrorKind::wrong_shape:
    case ErrorKind::validation:
      return {422, "Validation", 400, kInvalid, {}};
    case ErrorKind::empty:
      return {400, "Empty", 400, kInvalid, {}};
    case ErrorKind::tokenizer:
      return {422, "Tokenizer", 400, kInvalid, {}};
    case ErrorKind::overloaded:
      return {429, "Overloaded", 429, "rate_limit_exceeded", "rate_limit_exceeded"};
    case ErrorKind::unhealthy:
      return {503, "Unhealthy", 503, "server_error", {}};
    case ErrorKind::timed_out:
      return {504, "Backend", 504, "server_error", "timeout"};
    case ErrorKind::backend:
      return {424, "Backend", 500, "server_error", {}};
    case ErrorKind::model_not_found:
      return {404, "Validation", 404, kInvalid, "model_not_found"};
    case ErrorKind::unauthorized:
      return {401, "Validation", 401, kInvalid, "invalid_api_key"};
    case ErrorKind::no_route:
      return {404, "Validation", 404, kInvalid, "unknown_url"};
    case ErrorKind::wrong_method:
      return {405, "Validation", 405, kInvalid, "method_not_supported"};
    case ErrorKind::too_large:
      return {413, "Validation", 413, kInvalid, {}};
    case ErrorKind::media_type:
      return {415, "Validation", 415, kInvalid, {}};
    case ErrorKind::expectation:
      return {417, "Validation", 417, kInvalid, {}};
    case ErrorKind::cancelled:
      return {499, "Backend", 499, kInvalid, {}};
  }
  return {500, "Backend", 500, "server_error", {}};
}

/// TEI says first what kind of error it was.
std::string tei_message(const ApiError& error) {
  if (error.param() == "inputs.sentences") return error.what();
  switch (error.kind()) {
    case ErrorKind::validation:
    case ErrorKind::empty:
      return std::string("Input validation error: ") + error.what();
    case ErrorKind::tokenizer:
      return std::string("Tokenization error: ") + error.what();
    case ErrorKind::backend:
      return std::string("Backend error: ") + error.what();
    default:
      return error.what();
  }
}

ApiError from_library(const Error& error) {
  switch (error.errc()) {
    case Errc::empty_text:
    case Errc::empty_batch:
      return {ErrorKind::empty, "`inputs` cannot be empty", "input"};
    case Errc::unsupported_dimension:
      return {ErrorKind::validation, error.what(), "dimensions"};
    case Errc::overloaded:
      return {ErrorKind::overloaded, "Model is overloaded"};
    case Errc::deadline_exceeded:
      return {ErrorKind::timed_out,
              "the request was not finished within its time limit; send fewer texts, or raise --request-timeout"};
    case Errc::cancelled:
      return {ErrorKind::cancelled, "cancelled"};
    case Errc::shut_down:
      return {ErrorKind::unhealthy, "the server is shutting down"};
    case Errc::unavailable:    // the pool lets a model rest that has failed several times
    case Errc::out_of_memory:  // for its weights
    case Errc::resource_limit:
      return {ErrorKind::unhealthy, error.what()};
    case Errc::limit_exceeded:
      return {ErrorKind::tokenizer, error.what(), "input"};
    default:
      break;
  }
  if (is_hub_error(error.errc())) return {ErrorKind::unhealthy, error.what()};  // of a model that is loaded on demand
  return {is_input_error(error.errc()) ? ErrorKind::validation : ErrorKind::backend, error.what(), "input"};
}

}  // namespace

Response error_response(const ApiError& error, Family family) {
  const Shape shape = shape_of(error.kind());
  Response response;
  response.status = family == Family::tei ? shape.tei_status : shape.openai_status;
  if (error.kind() == ErrorKind::unauthorized) response.fields.push_back({"www-authenticate", "Bearer"});
  format::JsonText json;
  json.begin_object();
  switch (family) {
    case Family::openai:
      json.key("error").begin_object().member("message", std::string(error.what()));
      json.member("type", std::string(shape.openai_type));
      json.member("param", error.param().empty() ? std::nullopt : std::optional(error.param()));
      json.member("code", shape.openai_code).end_object();
      break;
    case Family::tei:
      if (error.kind() == ErrorKind::unauthorized) return response;
      json.member("error", tei_message(error)).member("error_type", std::string(shape.tei_type));
      break;
    case Family::ollama:
      json.member("error", std::string(error.what()));
      break;
    case Family::cohere:
      json.member("message", std::string(error.what()));
      break;
  }
  response.body = json.end_object().take();
  return response;
}

ApiError to_api_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ApiError& known) {
    return known;
  } catch (const BadJson& bad) {
    return {ErrorKind::bad_json, std::string("Failed to parse the request body as JSON: ") + bad.what()};
  } catch (const Error& failed) {
    return from_library(failed);
  } catch (const std::bad_alloc&) {
    return {ErrorKind::unhealthy,
            "there is no memory for the request now; send it again later, or fewer texts at once"};
  } catch (const std::exception& other) {
    return {ErrorKind::backend, other.what()};
  }
}

void add_retry_after(Response& response, unsigned seconds) {
  response.fields.push_back({"retry-after", std::to_string(std::clamp(seconds, 1U, 60U))});
}

}  // namespace stella::server
