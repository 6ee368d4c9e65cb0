// What can be wrong with a request, and how each family of clients is told.
#pragma once

#include "server/http/message.hpp"

#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

namespace stella::server {

/// Whose error shape an answer has.
enum class Family : std::uint8_t { openai, tei, ollama, cohere };

enum class ErrorKind : std::uint8_t {
  bad_json,
  wrong_shape,
  validation,
  empty,
  tokenizer,
  overloaded,
  unhealthy,  ///< Loading, or going down.
  timed_out,
  backend,
  model_not_found,
  unauthorized,
  no_route,
  wrong_method,
  too_large,
  media_type,
  expectation,
  cancelled,  ///< The client has left; nobody reads the answer.
};

/// Of a name that a client sent, where an error repeats it.
inline constexpr std::size_t kMaxNameBytes = 200;

/// what() is the message without TEI's prefixes.
class ApiError : public std::runtime_error {
 public:
  ApiError(ErrorKind kind, const std::string& message, std::string param = {})
      : std::runtime_error(message), kind_(kind), param_(std::move(param)) {}

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& param() const noexcept { return param_; }

 private:
  ErrorKind kind_;
  std::string param_;
};

/// OpenAI: {"error":{"message","type","param","code"}}; TEI: {"error","error_type"}, and nothing for a wrong key;
/// Ollama: {"error"}; Cohere: {"message"}. All but TEI have OpenAI's statuses.
Response error_response(const ApiError& error, Family family);

/// Of whatever an operation of the library failed with, or parsing a body.
ApiError to_api_error(const std::exception_ptr& error);

/// Adds the field; between 1 and 60.
void add_retry_after(Response& response, unsigned seconds);

}  // namespace stella::server
