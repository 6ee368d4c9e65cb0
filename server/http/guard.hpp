// The framing guard: what stands between a request's header and its body. Boost.Beast takes a good part of what request
// smuggling is made of; here everything about which two programs could differ is refused. Pure functions over bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace stella::server {

/// Why a request is refused; the connection is then closed.
struct Refusal {
  unsigned status = 400;
  std::string_view reason{};
};

/// Most fields of a header.
inline constexpr std::size_t kMaxFields = 256;

/// Of a header that is not whole yet: a control byte, or a line that ends without CR, will not become right by waiting.
/// What stands before `from` has been looked at already.
std::optional<Refusal> check_partial_head(std::string_view bytes, std::size_t from = 0);

/// Of a whole header, from the request line to the empty line. Refused are: what check_partial_head() finds; a request
/// line that is not `token SP target SP HTTP/1.0|1.1`; a field line that is folded, has no name, or white space before
/// the colon; more than one Content-Length or one that is no number of at most 18 digits; any Transfer-Encoding but one
/// `chunked`, and any at all in HTTP/1.0 or beside Content-Length; Host fields other than one in 1.1, or one at most in
/// 1.0; more than kMaxFields fields (431).
std::optional<Refusal> check_head(std::string_view head);

/// What stands behind a chunk's size, up to the end of the line.
std::optional<Refusal> check_chunk_extension(std::string_view extension);

}  // namespace stella::server
