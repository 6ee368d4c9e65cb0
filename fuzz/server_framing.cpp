// Where a request ends: the guard and Boost.Beast together against a naive reader of RFC 9112. What they take must end
// where the naive reader says; anything else is a request that two programs read as two.
#include "fuzz.hpp"
#include "server/http/guard.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

using namespace stella;
using fuzz::check;
namespace http = boost::beast::http;

namespace {

using Parser = http::request_parser<http::string_body>;
constexpr std::string_view kEnd = "\r\n\r\n";

struct Read {
  std::size_t bytes = 0;  // of the whole request
  std::string body{};
};

/// As Connection reads: the guard over the header, then Beast, with the guard over chunk extensions.
std::optional<Read> read_as_server(std::string_view stream) {
  const std::size_t end = stream.find(kEnd);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view head = stream.substr(0, end + kEnd.size());
  if (server::check_head(head)) return std::nullopt;
  Parser parser;
  parser.body_limit(boost::none);
  parser.header_limit(1U << 20U);
  boost::system::error_code error;
  if (parser.put(boost::asio::buffer(head.data(), head.size()), error) != head.size() || error) return std::nullopt;
  if (!parser.is_header_done()) return std::nullopt;
  std::optional<server::Refusal> refusal;
  auto on_chunk = [&refusal](std::uint64_t, boost::beast::string_view extension, boost::system::error_code& failed) {
    refusal = server::check_chunk_extension({extension.data(), extension.size()});
    if (refusal) failed = http::error::bad_chunk_extension;
  };
  parser.on_chunk_header(on_chunk);
  parser.eager(true);
  std::string_view rest = stream.substr(head.size());
  while (!parser.is_done()) {
    const std::size_t used = parser.put(boost::asio::buffer(rest.data(), rest.size()), error);
    rest.remove_prefix(used);
    if (parser.is_done()) break;
    if (error || used == 0) return std::nullopt;
  }
  return Read{stream.size() - rest.size(), parser.get().body()};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Takes a line that ends in CRLF and holds neither of the two.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  if (line.find_first_of("\r\n") != std::string_view::npos) return std::nullopt;
  text.remove_prefix(end + 2);
  return line;
}

std::optional<std::uint64_t> number(std::string_view digits, unsigned base) {
  std::uint64_t value = 0;
  if (digits.empty()) return std::nullopt;
  for (const char c : lower(digits)) {
    const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                           : c >= 'a' && c <= 'f' ? c - 'a' + 10U
                                                  : 99;
    if (digit >= base || value > (UINT64_MAX >> 5U)) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

std::optional<std::string> read_chunks(std::string_view& text) {
  std::string body;
  while (true) {
    const auto line = take_line(text);
    if (!line) return std::nullopt;
    const std::size_t semicolon = line->find(';');
    const auto size = number(semicolon == std::string_view::npos ? *line : trimmed(line->substr(0, semicolon)), 16);
    if (!size) return std::nullopt;
    if (*size == 0) break;
    if (text.size() < *size + 2 || text.substr(*size, 2) != "\r\n") return std::nullopt;
    body += text.substr(0, *size);
    text.remove_prefix(*size + 2);
  }
  for (auto line = take_line(text);; line = take_line(text)) {
    if (!line) return std::nullopt;
    if (line->empty()) return body;
  }
}

/// Lengths and codings as the standard has them; nothing where it wants the request refused.
std::optional<Read> read_naively(std::string_view stream) {
  std::string_view text = stream;
  const auto first = take_line(text);
  if (!first) return std::nullopt;
  std::optional<std::uint64_t> length;
  bool chunked = false;
  for (auto line = take_line(text);; line = take_line(text)) {
    if (!line) return std::nullopt;
    if (line->empty()) break;
    const std::size_t colon = line->find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const std::string name = lower(line->substr(0, colon));
    const std::string_view value = trimmed(line->substr(colon + 1));
    if (name == "content-length") {
      if (length || !(length = number(value, 10))) return std::nullopt;
    } else if (name == "transfer-encoding") {
      if (chunked || lower(value) != "chunked") return std::nullopt;
      chunked = true;
    }
  }
  if (chunked && (length || first->ends_with("HTTP/1.0"))) return std::nullopt;
  Read read;
  if (chunked) {
    auto body = read_chunks(text);
    if (!body) return std::nullopt;
    read.body = std::move(*body);
  } else if (length) {
    if (text.size() < *length) return std::nullopt;
    read.body = text.substr(0, *length);
    text.remove_prefix(*length);
  }
  read.bytes = stream.size() - text.size();
  return read;
}

/// What is refused early is refused late, and the other way round for what only the bytes decide.
void check_partial(std::string_view head) {
  const bool whole = server::check_partial_head(head).has_value();
  bool early = false;
  for (std::size_t size = 0; size <= head.size() && !early; ++size) {
    early = server::check_partial_head(head.substr(0, size), size < 2 ? 0 : size - 2).has_value();
  }
  check(early == whole, "a header is refused in pieces where it is refused as a whole");
  check(!whole || server::check_head(head).has_value(), "what a part is refused for, the whole is");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view stream = fuzz::text_of(data, size);
  for (int requests = 0; requests < 8 && !stream.empty(); ++requests) {
    const std::size_t end = stream.find(kEnd);
    check_partial(stream.substr(0, end == std::string_view::npos ? end : end + kEnd.size()));
    const auto served = read_as_server(stream);
    if (!served) return 0;
    const auto expected = read_naively(stream);
    check(expected.has_value(), "what is served is a request by the standard");
    check(served->bytes == expected->bytes && served->body == expected->body, "and ends where the standard says");
    stream.remove_prefix(served->bytes);
  }
  return 0;
}
