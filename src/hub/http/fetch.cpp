#include "hub/http/fetch.hpp"

#include "hub/http/url.hpp"

#include <utility>
#include <variant>

namespace stella::hub {

Fetch::Fetch(EventLoop& loop, const HubOptions& options, HttpRequest request, std::string what, Follow follow,
             FetchCallbacks callbacks)
    : loop_(loop),
      options_(options),
      request_(std::move(request)),
      what_(std::move(what)),
      follow_(follow),
      callbacks_(std::move(callbacks)) {
  open();
}

void Fetch::open() {
  next_.reset();
  next_bytes_ = 0;
  request_.with_token = same_origin(options_.endpoint, request_.url);
  HttpCallbacks callbacks;
  callbacks.on_head = [this](const HttpHead& head) { return take_head(head); };
  callbacks.on_body = [this](std::span<const std::byte> bytes) { return take_body(bytes); };
  callbacks.on_done = [this](const HttpEnd& end) { closed(end); };
  exchange_ = std::make_unique<HttpExchange>(loop_, options_, request_, std::move(callbacks));
}

bool Fetch::leaves_hub(const HttpHead& head) const {
  const auto target = resolve_location(head.url, head.value("location"));
  return !target || !is_hub_redirect(options_.endpoint, head.url, *target);
}

bool Fetch::take_head(const HttpHead& head) {
  constexpr int kMaxRedirects = 20;
  if (!is_redirect(head.status) || (follow_ == Follow::on_hub && leaves_hub(head))) return callbacks_.on_head(head);
  auto target = redirect_target(head);
  if (auto* failure = std::get_if<HttpFailure>(&target)) {
    failure_ = std::move(*failure);
  } else if (++redirects_ >= kMaxRedirects) {
    failure_.emplace();
    failure_->context = context_of(head);
    failure_->message = "more than " + std::to_string(kMaxRedirects) + " redirects";
  } else {
    next_ = std::get<std::string>(std::move(target));
    return true;
  }
  failure_->message = what_ + ": " + failure_->message;
  return false;
}

BodyVerdict Fetch::take_body(std::span<const std::byte> bytes) {
  constexpr std::uint64_t kMaxRedirectBody = 64U << 10U;
  if (!next_) return callbacks_.on_body(bytes);
  // The body of a redirect is of no interest; a short one is taken, so that the connection can be used again.
  next_bytes_ += bytes.size();
  return next_bytes_ > kMaxRedirectBody ? BodyVerdict::stop : BodyVerdict::take;
}

void Fetch::closed(const HttpEnd& end) {
  const bool broken = (end.code != CURLE_OK && !end.refused) || !end.limit.empty();
  if (!failure_ && broken) failure_ = failure_from(end, request_.url, what_);
  if (!failure_ && next_) {
    request_.url = *std::move(next_);
    return open();
  }
  auto done = std::move(callbacks_.on_done);
  done(std::move(failure_));
}

}  // namespace stella::hub
