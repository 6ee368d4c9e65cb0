// One HTTP request on the event loop. Redirects are never followed here: whoever asks decides where a token may go.
#pragma once

#include "base/unique_function.hpp"
#include "hub/http/answer.hpp"
#include "hub/http/event_loop.hpp"
#include "stella/hub.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <curl/curl.h>

namespace stella::hub {

struct HttpRequest {
  bool head = false;
  std::string url{};
  bool bulk = false;        ///< A body worth a large receive buffer.
  bool with_token = false;  ///< Send options.token; set it only where `url` has the endpoint's origin.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> range{};  ///< First and last byte.
  std::chrono::milliseconds total_timeout{0};                      ///< Whole request; 0: none.
  std::chrono::milliseconds stall_timeout{
      0};  ///< Gives up on a peer that sends less than 1 KiB/s for so long; 0: never.
};

/// How a request ended.
struct HttpEnd {
  CURLcode code = CURLE_OK;
  bool refused = false;  ///< on_head or on_body said stop.
  std::string limit{};   ///< The fixed limit that the answer went beyond, if it did.
  std::string text{};    ///< libcurl's words, where code is not CURLE_OK.
};

enum class BodyVerdict { take, pause, stop };

struct HttpCallbacks {
  /// Status and headers are there. False ends the request. Must not destroy any exchange.
  UniqueFunction<bool(const HttpHead&)> on_head{};
  /// Some of the body. `pause` leaves the bytes with libcurl until resume(). Must not destroy any exchange.
  UniqueFunction<BodyVerdict(std::span<const std::byte>)> on_body{};
  /// Exactly once, unless the exchange is destroyed before; may destroy it.
  UniqueFunction<void(const HttpEnd&)> on_done{};
};

/// A running request; destroying it ends it without on_done. Loop thread only.
class HttpExchange final : private CurlUser {
 public:
  HttpExchange(EventLoop& loop, const HubOptions& options, const HttpRequest& request, HttpCallbacks callbacks);
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;
  ~HttpExchange();

  /// Delivers a paused body again, possibly from inside this call.
  void resume();

 private:
  void set_options(const HubOptions& options, const HttpRequest& request);
  void finish(CURLcode code) override;
  void watch_for_stall();
  void log_end(const std::string& failure) const;
  static std::size_t header_arrived(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t body_arrived(char* data, std::size_t size, std::size_t count, void* self);
  std::size_t take_header(std::string_view line);
  std::size_t take_body(std::span<const std::byte> bytes);

  EventLoop& loop_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_;
  HttpCallbacks callbacks_;
  HttpHead head_;
  std::size_t header_bytes_ = 0;
  bool head_complete_ = false;
  bool refused_ = false;
  std::string limit_;
  bool paused_ = false;
  bool was_paused_ = false;  // at any time since the last look for a stall
  std::uint64_t received_ = 0;
  std::uint64_t received_at_last_look_ = 0;
  std::chrono::milliseconds stall_timeout_;
  std::optional<EventLoop::TimerId> stall_timer_;
  char error_text_[CURL_ERROR_SIZE] = {};
};

/// "{what}: {url} {goes beyond the limit}": HttpFailure(limit_exceeded), not to be retried.
HttpFailure beyond_limit(const std::string& limit, const std::string& url, const std::string& what);

/// The failure of a request that ended without an answer to act on; `what` names the file and the repository.
HttpFailure failure_from(const HttpEnd& end, const std::string& url, const std::string& what);

}  // namespace stella::hub
