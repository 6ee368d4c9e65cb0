#include "hub/http/query.hpp"

#include "hub/http/url.hpp"

#include <ctime>
#include <utility>

namespace stella::hub {
namespace {

constexpr std::size_t kMaxErrorBody = 64U << 10U;  // of a failure or a redirect, which nobody reads

bool is_wanted(const HttpHead& head) {
  return head.status >= 200 && head.status < 300;
}

}  // namespace

Query::Query(EventLoop& loop, Question question, Done done)
    : loop_(loop), question_(std::move(question)), done_(std::move(done)), backoff_(question_.retries) {
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
  request.url = question_.url;
  request.total_timeout = question_.options->etag_timeout;
  FetchCallbacks callbacks;
  callbacks.on_head = [this](const HttpHead& head) {
    answer_.head = head;
    return true;
  };
  callbacks.on_body = [this](std::span<const std::byte> bytes) {
    if (answer_.body.size() + bytes.size() > (is_wanted(answer_.head) ? question_.most_bytes : kMaxErrorBody)) {
      too_long_ = true;
      return BodyVerdict::stop;
    }
    answer_.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return BodyVerdict::take;
  };
  callbacks.on_done = [this](std::optional<HttpFailure> failure) { answered(std::move(failure)); };
  fetch_ = std::make_unique<Fetch>(loop_, *question_.options, std::move(request), question_.what, Follow::on_hub,
                                   std::move(callbacks));
}

void Query::answered(std::optional<HttpFailure> failure) {
  fetch_.reset();
  const HttpHead& head = answer_.head;
  if (failure) {
    fail(*failure);
  } else if (too_long_ && is_wanted(head)) {
    const std::string limit = "sends more than " + std::to_string(question_.most_bytes) + " bytes of an answer";
    fail(beyond_limit(limit, head.url, question_.what));
  } else if (head.status >= 400 || head.status < 200) {
    const std::string& endpoint = question_.options->endpoint;
    const bool mirror = is_own_endpoint(endpoint) && same_origin(endpoint, head.url);
    fail(failure_from(head, question_.what, std::time(nullptr), mirror));
  } else {
    complete(std::move(answer_), std::nullopt);
  }
}

void Query::fail(const HttpFailure& failure) {
  const auto wait = backoff_.next(failure);
  if (!wait) return complete(std::nullopt, failure);
  timer_ = loop_.after(*wait, [this] { ask(); });
}

void Query::complete(std::optional<Answer> answer, std::optional<HttpFailure> failure) {
  auto done = std::move(done_);
  done(std::move(answer), std::move(failure));
}

}  // namespace stella::hub
