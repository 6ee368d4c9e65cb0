// One connection's part of a transfer: a GET of one piece.
#pragma once

#include "hub/download/body_sink.hpp"
#include "hub/download/piece_plan.hpp"
#include "hub/http/fetch.hpp"

#include <memory>
#include <optional>
#include <string>

namespace stella::hub {

class Stream;

class StreamOwner {
 public:
  /// The final answer (2xx); false refuses it. Must not destroy any stream.
  virtual bool stream_head(Stream& stream, const HttpHead& head) = 0;
  /// Bytes at the piece's position, which the owner advances. Must not destroy any stream.
  virtual BodyVerdict stream_body(Stream& stream, std::span<const std::byte> bytes) = 0;
  /// Over, with a failure or with the answer's end; may destroy the stream.
  virtual void stream_ended(Stream& stream, std::optional<HttpFailure> failure) = 0;

 protected:
  ~StreamOwner() = default;
};

/// Loop thread only; destroying it closes the connection.
class Stream {
 public:
  /// Asks for `piece` of the body at `url`; the piece outlives it.
  Stream(Resources& resources, StreamOwner& owner, const HubOptions& options, std::string what, std::string url,
         PiecePlan::Piece& piece);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void resume() { fetch_->resume(); }
  const std::string& url() const noexcept { return fetch_->url(); }  ///< After redirects.

  // The owner's notes about this stream.
  PiecePlan::Piece& piece;
  bool has_length = false;             ///< The answer says how long it is, and says that it is everything.
  bool superseded = false;             ///< Another stream took over; its end means nothing.
  std::optional<HttpFailure> refusal;  ///< Why the owner refused the answer.
  BodySink::Lane lane;

 private:
  bool take_head(const HttpHead& head);
  void ended(std::optional<HttpFailure> failure);

  StreamOwner& owner_;
  std::string what_;
  std::unique_ptr<Fetch> fetch_;
};

}  // namespace stella::hub
