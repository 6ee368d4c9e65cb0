#include "hub/http/answer.hpp"

#include "base/ascii.hpp"
#include "base/repo_names.hpp"
#include "base/text.hpp"
#include "hub/http/url.hpp"

#include <algorithm>

#include <curl/curl.h>

namespace stella::hub {
namespace {

// A server's own words, short enough for a message.
std::string quoted_message(const HttpHead& head) {
  const std::string text = printable_line(head.value("x-error-message"), 300);
  return text.empty() ? text : " (the hub says: " + text + ")";
}

std::optional<std::chrono::seconds> rate_limit_reset(const std::string& header) {
  // "resource";r=<remaining>;t=<seconds>
  std::optional<std::uint64_t> remaining;
  std::optional<std::uint64_t> seconds;
  for (std::size_t begin = 0; begin < header.size();) {
    const std::size_t end = std::min(header.find(';', begin), header.size());
    const std::string_view field = trim(std::string_view(header).substr(begin, end - begin));
    if (const std::size_t equals = field.find('='); equals != std::string_view::npos) {
      const std::string_view name = trim(field.substr(0, equals));
      const auto value = parse_number(trim(field.substr(equals + 1)));
      if (name == "r") remaining = value;
      if (name == "t") seconds = value;
    }
    begin = end + 1;
  }
  if (!remaining || !seconds || *remaining != 0) return std::nullopt;
  return std::chrono::seconds(std::min<std::uint64_t>(*seconds, 1U << 30));
}

std::optional<std::chrono::seconds> retry_after(const std::string& header, std::time_t now) {
  if (const auto seconds = parse_number(header)) {
    return std::chrono::seconds(std::min<std::uint64_t>(*seconds, 1U << 30));
  }
  const std::time_t date = header.empty() ? -1 : curl_getdate(header.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::chrono::seconds(std::max<std::time_t>(0, date - now));
}

}  // namespace

const std::string* HttpHead::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string HttpHead::value(std::string_view name) const {
  const std::string* found = find(name);
  return found != nullptr ? std::string(trim(*found)) : std::string();
}

bool is_redirect(int status) noexcept {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

ErrorContext context_of(const HttpHead& head) {
  ErrorContext context;
  context.url = redacted(head.url);
  context.http_status = head.status;
  for (const char* name : {"x-request-id", "x-amzn-trace-id", "x-amz-cf-id"}) {
    context.request_id = head.value(name);
    if (!context.request_id.empty()) break;
  }
  return context;
}

std::variant<std::string, HttpFailure> redirect_target(const HttpHead& head) {
  const auto target = resolve_location(head.url, head.value("location"));
  if (target && !is_downgrade(head.url, *target)) return *target;
  HttpFailure failure;
  failure.context = context_of(head);
  failure.message =
      failure.context.url + (target ? " redirects from https to http; refused" : " redirects to no usable address");
  return failure;
}

bool is_transient(int status) noexcept {
  return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

std::optional<std::chrono::milliseconds> requested_wait(const HttpHead& head, std::time_t now) {
  std::optional<std::chrono::seconds> wait;
  if (head.status == 429) wait = rate_limit_reset(head.value("ratelimit"));
  if (!wait) wait = retry_after(head.value("retry-after"), now);
  if (!wait) return std::nullopt;
  return *wait + std::chrono::seconds(1);
}

HttpFailure failure_from(const HttpHead& head, const std::string& what, std::time_t now, bool mirror) {
  HttpFailure failure;
  failure.context = context_of(head);
  const std::string code = head.value("x-error-code");
  const std::string message = head.value("x-error-message");
  const bool bare_401 = head.status == 401 && message != "Invalid credentials in Authorization header";
  if (code == "RevisionNotFound") {
    failure.code = Errc::revision_not_found;
    failure.message = what + ": the repository has no such revision";
  } else if (code == "EntryNotFound") {
    failure.code = Errc::entry_not_found;
    failure.message = what + ": the repository has no such file at that revision";
    if (const std::string commit = head.value("x-repo-commit"); is_commit(commit)) failure.commit = commit;
  } else if (code == "GatedRepo") {
    failure.code = Errc::gated_repo;
    failure.message = what + ": access is gated; accept the model's terms on its page and set HF_TOKEN";
  } else if (code == "RepoNotFound" || bare_401) {
    failure.code = Errc::repository_not_found;
    failure.message = what + ": no such repository, or it is private and HF_TOKEN is missing or lacks access";
  } else if (mirror && head.status == 404) {
    failure.code = Errc::entry_not_found;
    failure.ambiguous = true;
    failure.message = what + ": " + failure.context.url +
                      " answered status 404: the repository has no such file or revision, or the mirror that " +
                      "HF_ENDPOINT names does not have the repository";
  } else {
    failure.code = Errc::http_error;
    failure.retry = is_transient(head.status);
    failure.wait = failure.retry ? requested_wait(head, now) : std::nullopt;
    failure.message = what + ": " + failure.context.url + " answered status " + std::to_string(head.status);
  }
  failure.message += quoted_message(head);
  return failure;
}

std::optional<ContentRange> content_range(const HttpHead& head) {
  const std::string text = to_lower(head.value("content-range"));
  constexpr std::string_view kUnit = "bytes ";
  if (!std::string_view(text).starts_with(kUnit)) return std::nullopt;
  const std::string_view range = std::string_view(text).substr(kUnit.size());
  const std::size_t dash = range.find('-');
  const std::size_t slash = range.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = parse_number(trim(range.substr(0, dash)));
  const auto last = parse_number(trim(range.substr(dash + 1, slash - dash - 1)));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  const auto total = parse_number(trim(range.substr(slash + 1)));
  if (total && *total <= *last) return std::nullopt;  // RFC 9110, section 14.4: invalid
  return ContentRange{*first, *last, total};
}

std::string next_link(const HttpHead& head) {
  const std::string header = head.value("link");
  for (std::size_t open = header.find('<'); open != std::string::npos; open = header.find('<', open + 1)) {
    const std::size_t close = header.find('>', open);
    if (close == std::string::npos) break;
    const std::size_t end = std::min(header.find(',', close), header.size());
    const std::string parameters = to_lower(header.substr(close + 1, end - close - 1));
    if (parameters.find("rel=\"next\"") != std::string::npos || parameters.find("rel=next") != std::string::npos) {
      return header.substr(open + 1, close - open - 1);
    }
  }
  return {};
}

}  // namespace stella::hub
