#include "server/http/guard.hpp"

#include "base/ascii.hpp"

#include <algorithm>
#include <string>

namespace stella::server {
namespace {

constexpr std::size_t kMaxLengthDigits = 18;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_token_char(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || is_digit(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

/// Takes the text before `separator` off the front; all of it where there is none.
std::string_view take(std::string_view& text, std::string_view separator) {
  const std::size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + separator.size());
  return part;
}

/// What the fields that frame the body say.
struct Framing {
  bool version_1_0 = false;
  std::size_t lengths = 0;
  std::size_t encodings = 0;
  std::size_t hosts = 0;
};

std::optional<Refusal> check_request_line(std::string_view line, Framing& framing) {
  const std::string_view method = take(line, " ");
  const std::string_view target = take(line, " ");
  if (!is_token(method)) return Refusal{400, "the request line has no method"};
  const bool whole =
      target.starts_with('/') || target == "*" || target.starts_with("http://") || target.starts_with("https://");
  const auto hidden = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
  if (!whole || std::any_of(target.begin(), target.end(), hidden))
    return Refusal{400, "the request line has no target that this server knows"};
  if (line != "HTTP/1.1" && line != "HTTP/1.0")
    return Refusal{400, "the request line does not end in HTTP/1.0 or HTTP/1.1"};
  framing.version_1_0 = line == "HTTP/1.0";
  return std::nullopt;
}

std::optional<Refusal> check_encoding(std::string_view value) {
  if (to_lower(value) == "chunked") return std::nullopt;
  bool last = false;
  for (std::size_t at = 0; !last;) {
    const std::size_t comma = value.find(',', at);
    last = comma == std::string_view::npos;
    const std::string_view coding = trim(value.substr(at, last ? comma : comma - at));
    if (!is_token(coding)) return Refusal{400, "Transfer-Encoding is malformed"};
    if (!last && to_lower(coding) == "chunked") return Refusal{400, "Transfer-Encoding has something behind chunked"};
    at = comma + 1;
  }
  return Refusal{501, "Transfer-Encoding names a coding that this server does not know; it knows chunked"};
}

std::optional<Refusal> check_host(std::string_view value) {
  const auto wrong = [](char c) { return std::string_view(" \t,/?#@\\").find(c) != std::string_view::npos; };
  if (std::any_of(value.begin(), value.end(), wrong)) return Refusal{400, "Host is malformed"};
  return std::nullopt;
}

std::optional<Refusal> check_field(std::string_view line, Framing& framing) {
  if (line.starts_with(' ') || line.starts_with('\t')) return Refusal{400, "a header field is folded over two lines"};
  const std::size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (colon == std::string_view::npos || !is_token(name)) return Refusal{400, "a header field has no proper name"};
  const std::string_view value = trim(line.substr(colon + 1));
  const std::string known = to_lower(name);
  if (known == "content-length") {
    ++framing.lengths;
    const bool number =
        !value.empty() && value.size() <= kMaxLengthDigits && std::all_of(value.begin(), value.end(), is_digit);
    if (!number) return Refusal{400, "Content-Length is not one whole number"};
  } else if (known == "transfer-encoding") {
    ++framing.encodings;
    return check_encoding(value);
  } else if (known == "host") {
    ++framing.hosts;
    return check_host(value);
  }
  return std::nullopt;
}

std::optional<Refusal> check_framing(const Framing& framing) {
  if (framing.lengths > 1) return Refusal{400, "more than one Content-Length"};
  if (framing.encodings > 1) return Refusal{400, "more than one Transfer-Encoding"};
  if (framing.encodings != 0 && framing.lengths != 0) return Refusal{400, "both Content-Length and Transfer-Encoding"};
  if (framing.encodings != 0 && framing.version_1_0) return Refusal{400, "Transfer-Encoding in HTTP/1.0"};
  if (framing.hosts > 1 || (framing.hosts == 0 && !framing.version_1_0)) return Refusal{400, "not exactly one Host"};
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> check_partial_head(std::string_view bytes, std::size_t from) {
  for (std::size_t i = from; i < bytes.size(); ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    if (c == '\n' && (i == 0 || bytes[i - 1] != '\r')) return Refusal{400, "a line of the header ends without CR"};
    if (c == '\r' && i + 1 < bytes.size() && bytes[i + 1] != '\n')
      return Refusal{400, "a CR in the header that ends no line"};
    if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f)
      return Refusal{400, "a control character in the header"};
  }
  return std::nullopt;
}

std::optional<Refusal> check_head(std::string_view head) {
  if (auto refusal = check_partial_head(head)) return refusal;
  Framing framing;
  if (auto refusal = check_request_line(take(head, "\r\n"), framing)) return refusal;
  for (std::size_t fields = 0; !head.empty() && !head.starts_with("\r\n"); ++fields) {
    if (fields == kMaxFields) return Refusal{431, "more than 256 header fields"};
    if (auto refusal = check_field(take(head, "\r\n"), framing)) return refusal;
  }
  return check_framing(framing);
}

std::optional<Refusal> check_chunk_extension(std::string_view extension) {
  const auto control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  const bool proper = extension.empty() || trim(extension).starts_with(';');
  if (!proper || std::any_of(extension.begin(), extension.end(), control)) {
    return Refusal{400, "a chunk's extension is malformed"};
  }
  return std::nullopt;
}

}  // namespace stella::server
