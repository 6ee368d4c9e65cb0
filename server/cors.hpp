// Cross-origin resource sharing: which pages of other origins may ask
// (https://fetch.spec.whatwg.org/#http-cors-protocol).
#pragma once

#include "server/http/message.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stella::server {

/// Thread-safe once made.
class Cors {
 public:
  /// Origins as browsers send them, "https://app.example.com"; "*" for all. Throws Error(invalid_argument) for what is
  /// none.
  explicit Cors(std::vector<std::string> origins);

  /// The answer to a preflight request of a page that may ask, for a path that takes the methods `allow`; nothing for
  /// any other request.
  std::optional<Response> preflight(const Request& request, std::string_view allow) const;
  /// Adds the fields that let the page read the answer.
  void complete(const Fields& request, Response& response) const;

 private:
  /// Null for a request of no page, or of one that may not ask.
  const std::string* allowed_origin(const Fields& request) const;

  std::vector<std::string> origins_;
  bool all_ = false;
};

}  // namespace stella::server
