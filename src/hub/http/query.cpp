#include "hub/http/query.hpp"

#include "hub/http/url.hpp"

#include <ctime>
#include <utility>

namespace stella::hub {
namespace {

constexpr int kMaxRedirects = 20;
constexpr std::size_t kMaxErrorBody = 64U << 10U;  // of a failure or a redirect, which nobody reads

}  // namespace

Query::Query(EventLoop& loop, Question question, Done done)
    : loop_(loop),
      question_(std::move(question)),
      done_(std::move(done)),
      backoff_(question_.retries),
      url_(question_.url) {
  ask();
}

Query::~Query() {
  if (timer_) loop_.cancel(*timer_);
}

void Query::ask() {
  timer_.reset();
  answer_ = {};
  too_long_ = false;
  HttpRequest request;
  request.head = question_.head;
  request.url = url_;
  request.with_token = same_origin(question_.options->endpoint, url_);
  request.total_timeout = question_.options->etag_timeout;
  HttpCallbacks callbacks;
  callbacks.on_head = [this](const HttpHead& head) {
    answer_.head = head;
    return true;
  };
  callbacks.on_body = [this](std::span<const std::byte> bytes) {
    const bool wanted = answer_.head.status >= 200 && answer_.head.status < 300;
    if (answer_.body.size() + bytes.size() > (wanted ? question_.most_bytes : kMaxErrorBody)) {
      too_long_ = true;
      return BodyVerdict::stop;
    }
    answer_.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return BodyVerdict::take;
  };
  callbacks.on_done = [this](const HttpEnd& end) { answered(end); };
  exchange_ = std::make_unique<HttpExchange>(loop_, *question_.options, request, std::move(callbacks));
}

void Query::answered(const HttpEnd& end) {
  exchange_.reset();
  const int status = answer_.head.status;
  const bool wanted = status >= 200 && status < 300;
  if (too_long_ && wanted) {
    const std::string limit = "sends more than " + std::to_string(question_.most_bytes) + " bytes of an answer";
    fail(beyond_limit(limit, url_, question_.what));
  } else if (end.code != CURLE_OK && !too_long_) {
    fail(failure_from(end, url_, question_.what));
  } else if (status >= 400 || status < 200) {
    const std::string& endpoint = question_.options->endpoint;
    const bool mirror = is_own_endpoint(endpoint) && same_origin(endpoint, url_);
    fail(failure_from(answer_.head, question_.what, std::time(nullptr), mirror));
  } else if (!is_redirect(status) || !follow_redirect()) {
    complete(std::move(answer_), std::nullopt);
  }
}

// Whether the redirect was dealt with; false where it leaves the hub.
bool Query::follow_redirect() {
  const std::string* location = answer_.head.find("location");
  const auto target = resolve_location(url_, location != nullptr ? *location : "");
  if (!target || !is_hub_redirect(question_.options->endpoint, url_, *target)) return false;
  Failure failure;
  failure.context.url = redacted(url_);
  failure.context.http_status = answer_.head.status;
  if (is_downgrade(url_, *target)) {
    failure.message = question_.what + ": " + failure.context.url + " redirects from https to http; refused";
  } else if (++redirects_ >= kMaxRedirects) {
    failure.message = question_.what + ": more than " + std::to_string(kMaxRedirects) + " redirects";
  } else {
    url_ = *target;
    ask();
    return true;
  }
  fail(failure);
  return true;
}

void Query::fail(const Failure& failure) {
  const auto wait = backoff_.next(failure);
  if (!wait) return complete(std::nullopt, failure);
  url_ = question_.url;
  redirects_ = 0;
  timer_ = loop_.after(*wait, [this] { ask(); });
}

void Query::complete(std::optional<Answer> answer, std::optional<Failure> failure) {
  auto done = std::move(done_);
  done(std::move(answer), std::move(failure));
}

}  // namespace stella::hub
