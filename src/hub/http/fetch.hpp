// One request with its redirects: the only place that follows them, and that decides who may see the token.
#pragma once

#include "hub/http/exchange.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace stella::hub {

/// Which redirects are followed; the others are answers.
enum class Follow : std::uint8_t {
  on_hub,  ///< Those that stay on the hub: what leaves it is where a body lies, and tells of it.
  all
};

struct FetchCallbacks {
  /// The final answer's; false ends the request. Must not destroy any fetch.
  UniqueFunction<bool(const HttpHead&)> on_head{};
  /// As HttpCallbacks::on_body, of the final answer.
  UniqueFunction<BodyVerdict(std::span<const std::byte>)> on_body{};
  /// Exactly once, unless the fetch is destroyed before; may destroy it. With a failure where no answer came whole;
  /// without one also where on_head or on_body ended it.
  UniqueFunction<void(std::optional<HttpFailure>)> on_done{};
};

/// Loop thread only; destroying it ends it without on_done.
class Fetch {
 public:
  /// `request.with_token` is decided here, anew for every address. `what` names the file and the repository.
  Fetch(EventLoop& loop, const HubOptions& options, HttpRequest request, std::string what, Follow follow,
        FetchCallbacks callbacks);
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  void resume() { exchange_->resume(); }
  /// After the redirects so far.
  const std::string& url() const noexcept { return request_.url; }

 private:
  void open();
  bool take_head(const HttpHead& head);
  BodyVerdict take_body(std::span<const std::byte> bytes);
  void closed(const HttpEnd& end);
  bool leaves_hub(const HttpHead& head) const;

  EventLoop& loop_;
  const HubOptions& options_;
  HttpRequest request_;
  std::string what_;
  Follow follow_;
  FetchCallbacks callbacks_;
  int redirects_ = 0;
  std::optional<std::string> next_;  // where the answer that is coming leads
  std::uint64_t next_bytes_ = 0;     // of its body
  std::optional<HttpFailure> failure_;
  std::unique_ptr<HttpExchange> exchange_;
};

}  // namespace stella::hub
