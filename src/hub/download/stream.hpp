// One connection's part of a transfer: a GET of some range, with its redirects.
#pragma once

#include "hub/download/body_sink.hpp"
#include "hub/http/exchange.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace stella::hub {

class Stream;

class StreamOwner {
 public:
  /// The final answer (2xx); false refuses it. Must not destroy any stream.
  virtual bool stream_head(Stream& stream, const HttpHead& head) = 0;
  /// Bytes at stream.position, which the owner advances. Must not destroy any stream.
  virtual BodyVerdict stream_body(Stream& stream, std::span<const std::byte> bytes) = 0;
  /// Over, with a failure or with the answer's end; may destroy the stream.
  virtual void stream_ended(Stream& stream, std::optional<Failure> failure) = 0;

 protected:
  ~StreamOwner() = default;
};

/// Loop thread only; destroying it closes the connection.
class Stream {
 public:
  static constexpr std::uint64_t kToTheEnd = UINT64_MAX;

  /// Asks for [first, end) of `url`, or for all of it where `whole`.
  Stream(Services& services, StreamOwner& owner, const HubOptions& options, std::string what, std::string url,
         bool whole, std::uint64_t first, std::uint64_t end);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  void resume() { exchange_->resume(); }
  const std::string& url() const noexcept { return url_; }  ///< After redirects.

  // The owner's notes about this stream.
  bool whole = false;  ///< The answer is the whole body from 0.
  std::uint64_t position = 0;
  std::uint64_t end = 0;
  bool has_length = false;  ///< The answer says how long it is, and says that it is everything.
  bool longer = false;      ///< The answer goes on beyond `end`.
  bool superseded = false;  ///< Another stream took over; its end means nothing.
  std::uint64_t received = 0;
  EventLoop::Clock::time_point started = EventLoop::Clock::now();
  EventLoop::Clock::time_point first_byte{};  ///< Where received > 0.
  std::optional<Failure> refusal;             ///< Why the owner refused the answer.
  BodySink::Lane lane;

 private:
  void open();
  bool take_head(const HttpHead& head);
  void closed(const HttpEnd& end);

  Services& services_;
  StreamOwner& owner_;
  const HubOptions& options_;
  std::string what_;
  std::string url_;
  int redirects_ = 0;
  std::optional<std::string> redirect_;
  std::uint64_t redirect_bytes_ = 0;  // of its body
  std::optional<Failure> failure_;
  std::unique_ptr<HttpExchange> exchange_;
};

}  // namespace stella::hub
