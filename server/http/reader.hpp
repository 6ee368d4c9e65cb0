// Reads requests: the header up to the empty line, then the body.
#pragma once

#include "server/http/channel.hpp"
#include "server/http/guard.hpp"
#include "server/http/message.hpp"
#include "server/options.hpp"

#include <cstddef>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace stella::server {

using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

struct Head {
  std::size_t bytes = 0;  ///< Of the header, at the front of what is unread; 0: the connection is over.
  std::optional<Refusal> refusal{};
};

/// Reads on until a whole header is there. Its first byte has come already.
boost::asio::awaitable<Head> read_head(Channel& channel, const Limits& limits);

/// Gives the header to the parser.
std::optional<Refusal> parse_head(Channel& channel, std::size_t bytes, const Limits& limits, Parser& parser);

/// What the parser knows of the request, but for its body.
Request request_of(const Parser& parser, const std::string& peer);

/// Reads the body to its end, and reserves what it takes. The channel is gone where the client has left. Refusals have
/// status 413 (no such body is ever taken) and 429 (there is no memory now) among others.
boost::asio::awaitable<std::optional<Refusal>> read_body(Channel& channel, const Limits& limits, Parser& parser,
                                                         RequestMemory::Part& memory);

}  // namespace stella::server
