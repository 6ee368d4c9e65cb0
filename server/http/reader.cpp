#include "server/http/reader.hpp"

#include "base/ascii.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include <boost/asio/error.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

/// What may lie unread behind a body's parser: a chunk's line, or a trailer.
constexpr std::size_t kMaxUnread = std::size_t{16} << 10U;
constexpr std::string_view kEndOfHead = "\r\n\r\n";

/// For what is there of a body: an announced length takes no memory until it comes, and whoever only announces one
/// holds nobody up.
std::optional<Refusal> reserve(RequestMemory::Part& memory, const std::string& body) {
  switch (memory.grow_to(std::min(body.capacity(), 2 * body.size()))) {
    case RequestMemory::Grant::too_much:
      return Refusal{413, "the request body is too long"};
    case RequestMemory::Grant::busy:
      return Refusal{429, "Model is overloaded"};
    default:
      return std::nullopt;
  }
}

}  // namespace

net::awaitable<Head> read_head(Channel& channel, const Limits& limits) {
  channel.limit_time(limits.header);
  if (channel.unread().starts_with("\r\n")) channel.consume(2);  // some clients end a body with it
  for (std::size_t seen = 0;;) {
    const std::string_view unread = channel.unread();
    const std::size_t end = unread.find(kEndOfHead, seen < 3 ? 0 : seen - 3);
    if (end != std::string_view::npos && end + kEndOfHead.size() <= limits.header_bytes)
      co_return Head{end + kEndOfHead.size(), {}};
    std::optional<Refusal> refusal = check_partial_head(unread, seen == 0 ? 0 : seen - 1);
    if (unread.size() > limits.header_bytes) refusal = Refusal{431, "the header is too long"};
    if (refusal) co_return Head{0, refusal};
    seen = unread.size();
    const error_code error = co_await channel.read_some();
    if (error == net::error::timed_out) co_return Head{0, Refusal{408, "the header took too long"}};
    if (error) co_return Head{};
  }
}

std::optional<Refusal> parse_head(Channel& channel, std::size_t bytes, const Limits& limits, Parser& parser) {
  const std::string_view head = channel.unread().substr(0, bytes);
  if (const auto refusal = check_head(head)) return refusal;
  parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes) + 1);
  parser.body_limit(boost::none);  // the announced length is looked at later
  error_code error;
  const std::size_t used = parser.put(net::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done() || used != head.size()) return Refusal{400, "the header is malformed"};
  channel.consume(used);
  return std::nullopt;
}

Request request_of(const Parser& parser, const std::string& peer) {
  const auto& message = parser.get();
  Request request;
  request.method = std::string(message.method_string());
  const auto target = message.target();
  request.path = path_of({target.data(), target.size()});
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    request.fields.push_back({to_lower({name.data(), name.size()}), std::string(value.data(), value.size())});
  }
  request.peer = peer;
  return request;
}

net::awaitable<std::optional<Refusal>> read_body(Channel& channel, const Limits& limits, Parser& parser,
                                                 RequestMemory::Part& memory) {
  std::optional<Refusal> refusal;
  auto on_chunk = [&refusal](std::uint64_t, beast::string_view extension, error_code& error) {
    refusal = check_chunk_extension({extension.data(), extension.size()});
    if (refusal) error = http::error::bad_chunk_extension;
  };
  parser.on_chunk_header(on_chunk);
  parser.body_limit(limits.body_bytes);
  parser.eager(true);
  channel.limit_time(limits.body);
  while (!parser.is_done()) {
    error_code error;
    const std::string_view unread = channel.unread();
    channel.consume(parser.put(net::buffer(unread.data(), unread.size()), error));
    if (const auto refused = reserve(memory, parser.get().body())) co_return refused;
    if (parser.is_done()) break;
    if (error == http::error::body_limit) co_return Refusal{413, "the request body is too long"};
    if (error && error != http::error::need_more)
      co_return refusal ? refusal : Refusal{400, "the body's chunks are malformed"};
    if (channel.unread().size() > kMaxUnread) co_return Refusal{400, "a chunk's line or a trailer is too long"};
    const error_code failed = co_await channel.read_some();
    if (failed == net::error::timed_out) co_return Refusal{408, "the body took too long"};
    if (!failed) continue;
    channel.set_gone();
    break;
  }
  co_return std::nullopt;
}

}  // namespace stella::server
