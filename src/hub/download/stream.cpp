#include "hub/download/stream.hpp"

#include <ctime>
#include <utility>

namespace stella::hub {

Stream::Stream(Resources& resources, StreamOwner& owner, const HubOptions& options, std::string what, std::string url,
               PiecePlan::Piece& asked_for)
    : piece(asked_for), owner_(owner), what_(std::move(what)) {
  lane.when_free = std::make_shared<UniqueFunction<void()>>([this] { resume(); });
  HttpRequest request;
  request.bulk = true;
  request.url = std::move(url);
  request.stall_timeout = options.download_timeout;
  if (!piece.whole) request.range = {piece.position, piece.end - 1};
  FetchCallbacks callbacks;
  callbacks.on_head = [this](const HttpHead& head) { return take_head(head); };
  callbacks.on_body = [this](std::span<const std::byte> bytes) { return owner_.stream_body(*this, bytes); };
  callbacks.on_done = [this](std::optional<HttpFailure> failure) { ended(std::move(failure)); };
  fetch_ =
      std::make_unique<Fetch>(resources.loop, options, std::move(request), what_, Follow::all, std::move(callbacks));
}

bool Stream::take_head(const HttpHead& head) {
  if (head.status < 300) return owner_.stream_head(*this, head);
  refusal = failure_from(head, what_, std::time(nullptr));
  return false;
}

void Stream::ended(std::optional<HttpFailure> failure) {
  if (refusal) failure = std::move(refusal);
  owner_.stream_ended(*this, std::move(failure));
}

}  // namespace stella::hub
