// A request and an answer as values: what the routes see of HTTP.
#pragma once

#include "server/observe/trace_context.hpp"
#include "server/request_memory.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stella::server {

/// For clients of whom nothing is known or for whose answer there is no memory.
inline constexpr std::string_view kBusyAnswer =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 1\r\n\r\n";

struct Field {
  std::string name;  ///< Lower case.
  std::string value;
};

using Fields = std::vector<Field>;

/// The value of the first field of that name, or null.
inline const std::string* find_field(const Fields& fields, std::string_view name) noexcept {
  for (const Field& field : fields) {
    if (field.name == name) return &field.value;
  }
  return nullptr;
}

struct Request {
  std::string method{};
  std::string path{};  ///< Of the target: without scheme, authority and query, not decoded.
  Fields fields{};     ///< Of the header; those of a chunked body's trailer are dropped.
  std::string body{};
  std::string peer{};  ///< Address, without the port.
  std::string id{};    ///< request_id_of() the fields.

  RequestMemory::Part memory{};  ///< Reserved for all of this, and for what is made of it.

  // Of Observer::begin().
  std::chrono::system_clock::time_point start{};
  std::chrono::steady_clock::time_point since{};
  std::optional<TraceContext> parent{};  ///< Of whoever asks.
  TraceContext trace{};                  ///< Ours.
};

/// What an answer took of the model.
struct Work {
  std::size_t texts = 0;
  std::size_t tokens = 0;
  std::chrono::nanoseconds queued{};
  std::chrono::nanoseconds tokenizing{};
  std::chrono::nanoseconds computing{};
};

struct Response {
  unsigned status = 200;
  std::string type = "application/json";
  std::string body{};
  Fields fields{};     ///< All but content-type, content-length, connection, date and x-request-id.
  bool close = false;  ///< Nothing more is read from this connection.
  Work work{};         ///< For logs and traces.
};

/// "http://host/path?query" and "/path?query" → "/path".
std::string path_of(std::string_view target);

/// "Not Found"; "Error" for a status that has no name here.
std::string_view reason_of(unsigned status) noexcept;

/// What goes over the connection, but for the body.
struct HeadOptions {
  bool keep_alive = true;
  std::string_view request_id;
  std::string_view date;
};
std::string head_of(const Response& response, const HeadOptions& options);

/// A given x-request-id where it is fit to be passed on (1 to 128 printable ASCII characters), else a new random one.
std::string request_id_of(const Fields& fields);

/// "Thu, 26 Nov 2026 20:00:00 GMT", now.
std::string http_date();

}  // namespace stella::server
