#include "hub/download/stream.hpp"

#include "hub/http/url.hpp"

#include <ctime>
#include <utility>

namespace stella::hub {

Stream::Stream(Services& services, StreamOwner& owner, const HubOptions& options, std::string what, std::string url,
               bool whole_body, std::uint64_t first, std::uint64_t body_end)
    : whole(whole_body),
      position(first),
      end(body_end),
      services_(services),
      owner_(owner),
      options_(options),
      what_(std::move(what)),
      url_(std::move(url)) {
  lane.when_free = std::make_shared<UniqueFunction<void()>>([this] { resume(); });
  open();
}

Stream::~Stream() = default;

void Stream::open() {
  constexpr std::uint64_t kMaxRedirectBody = 64U << 10U;
  redirect_.reset();
  redirect_bytes_ = 0;
  HttpRequest request;
  request.bulk = true;
  request.url = url_;
  request.with_token = same_origin(options_.endpoint, url_);
  request.stall_timeout = options_.download_timeout;
  if (!whole) request.range = {position, end - 1};
  HttpCallbacks callbacks;
  callbacks.on_head = [this](const HttpHead& head) { return take_head(head); };
  callbacks.on_body = [this](std::span<const std::byte> bytes) {
    if (!redirect_) return owner_.stream_body(*this, bytes);
    // The body of a redirect is of no interest; a short one is taken, so that the connection can be used again.
    redirect_bytes_ += bytes.size();
    return redirect_bytes_ > kMaxRedirectBody ? BodyVerdict::stop : BodyVerdict::take;
  };
  callbacks.on_done = [this](const HttpEnd& how) { closed(how); };
  exchange_ = std::make_unique<HttpExchange>(services_.loop, options_, request, std::move(callbacks));
}

bool Stream::take_head(const HttpHead& head) {
  constexpr int kMaxRedirects = 20;
  if (!is_redirect(head.status)) {
    if (head.status < 300) return owner_.stream_head(*this, head);
    failure_ = failure_from(head, what_, std::time(nullptr));
    return false;
  }
  const std::string* location = head.find("location");
  redirect_ = resolve_location(url_, location != nullptr ? *location : "");
  Failure failure;
  failure.context.url = redacted(url_);
  failure.context.http_status = head.status;
  if (!redirect_) {
    failure.message = what_ + ": " + failure.context.url + " redirects to no usable address";
  } else if (is_downgrade(url_, *redirect_)) {
    failure.message = what_ + ": " + failure.context.url + " redirects from https to http; refused";
  } else if (++redirects_ >= kMaxRedirects) {
    failure.message = what_ + ": more than " + std::to_string(kMaxRedirects) + " redirects";
  } else {
    return true;
  }
  failure_ = failure;
  return false;
}

void Stream::closed(const HttpEnd& how) {
  if (failure_) return owner_.stream_ended(*this, std::move(failure_));
  if (refusal) return owner_.stream_ended(*this, std::move(refusal));
  if (how.code != CURLE_OK && !how.refused) return owner_.stream_ended(*this, failure_from(how, url_, what_));
  if (!how.limit.empty()) return owner_.stream_ended(*this, failure_from(how, url_, what_));
  if (redirect_) {
    url_ = *redirect_;
    return open();
  }
  owner_.stream_ended(*this, std::nullopt);
}

}  // namespace stella::hub
