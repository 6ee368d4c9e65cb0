// What an HTTP answer means whatever was asked: pure functions from status and headers to typed failures and values.
#pragma once

#include "stella/error.hpp"

#include <chrono>
#include <cstdint>
#include <ctime>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace stella::hub {

/// An HTTP answer without its body.
struct HttpHead {
  int status = 0;
  std::string url;                                           ///< The address that answered.
  std::vector<std::pair<std::string, std::string>> headers;  ///< Names in lower case, in order.

  /// The first header of that (lower-case) name, or null.
  const std::string* find(std::string_view name) const noexcept;
  /// The same without the spaces around it; empty where there is none.
  std::string value(std::string_view name) const;
};

/// Why a request failed, and what may be done about it.
struct HttpFailure {
  Errc code = Errc::http_error;
  std::string message;
  ErrorContext context{};
  bool retry = false;                               ///< Asking again may help.
  bool never_connected = false;                     ///< No connection could be made at all.
  std::optional<std::chrono::milliseconds> wait{};  ///< How long the server wants to be left alone.
  std::string commit{};                             ///< Beside entry_not_found: the commit that lacks the file.
  bool ambiguous = false;  ///< Beside entry_not_found: perhaps all of the repository is missing.

  Error error() const { return {code, message, context}; }
  std::exception_ptr exception() const { return std::make_exception_ptr(error()); }
};

bool is_redirect(int status) noexcept;

/// The absolute address to which the answer, a redirect, leads, or why it is not gone to: there is none, or it is http
/// where the answer came by https.
std::variant<std::string, HttpFailure> redirect_target(const HttpHead& head);

/// Where an answer came from, for errors.
ErrorContext context_of(const HttpHead& head);

/// The typed failure of an answer of status 400 or more. `what` names the file and the repository. A 404 of a mirror
/// that says nothing else is entry_not_found, and ambiguous.
HttpFailure failure_from(const HttpHead& head, const std::string& what, std::time_t now, bool mirror = false);

/// Statuses that another try may cure: 408, 429, 5xx (501 and 505 aside).
bool is_transient(int status) noexcept;

/// How long the answer asks to wait: for a 429 `RateLimit: "x";r=0;t=T`, else `Retry-After` in seconds or as a date;
/// one second more than said, as the hub's own client does, against rounding.
std::optional<std::chrono::milliseconds> requested_wait(const HttpHead& head, std::time_t now);

/// `Content-Range: bytes first-last/total`.
struct ContentRange {
  std::uint64_t first = 0, last = 0;
  std::optional<std::uint64_t> total;
};
std::optional<ContentRange> content_range(const HttpHead& head);

/// The address of `Link: <address>; rel="next"`, as written; empty where there is none.
std::string next_link(const HttpHead& head);

}  // namespace stella::hub
