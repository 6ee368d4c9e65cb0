// HTTP/1.1 as far as the hub needs it: a connection with or without TLS, request heads, response heads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using SSL = struct ssl_st;
using SSL_CTX = struct ssl_ctx_st;

namespace stella::test {

std::string percent_decode(std::string_view text);
std::string percent_encode(std::string_view text);  ///< Everything but unreserved characters, '/' included.
std::string lower(std::string_view text);

struct RequestHead {
  std::string method{};
  std::string target{};                          ///< As sent.
  std::map<std::string, std::string> headers{};  ///< Names in lower case.

  std::string_view header(const std::string& name) const;
  std::string path() const;   ///< Encoded, without scheme, host and query.
  std::string query() const;  ///< Without the '?'.
};
/// The value of a query parameter, decoded; empty where there is none.
std::string query_value(std::string_view query, std::string_view name);

/// [first, last] of a body of `size` bytes.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};
enum class RangeKind : std::uint8_t { none, satisfiable, unsatisfiable };
RangeKind parse_range(std::string_view header, std::uint64_t size, ByteRange& range);

/// Headers of an answer, in order; names compare without case.
class Headers {
 public:
  void set(const std::string& name, std::string value);
  void remove(const std::string& name);
  std::string text() const;  ///< With CRLF after each.

 private:
  std::vector<std::pair<std::string, std::string>> list_;
};
std::string_view reason(int status);

/// One accepted connection, blocking. Owns the descriptor. shutdown() may be called from another thread.
class Stream {
 public:
  explicit Stream(int fd);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  bool start_tls(SSL_CTX* context);
  /// Reads a request head; nothing at the connection's end or where it is malformed or beyond 64 KiB.
  std::optional<RequestHead> read_request();
  bool write(std::string_view bytes);
  /// Sends `size` bytes of an open file; with TLS through a buffer, else with sendfile(2).
  bool send_file(int file, std::uint64_t offset, std::size_t size);
  bool tls() const noexcept { return tls_ != nullptr; }
  bool peer_gone() const;
  /// Ends the connection as a well-behaved server would: close_notify, FIN.
  void finish();
  /// Ends it by RST once the peer has everything sent so far; with TLS by FIN without close_notify.
  void reset();
  void shutdown() noexcept;

 private:
  long read_some(char* out, std::size_t size);

  int fd_;
  std::unique_ptr<SSL, void (*)(SSL*)> tls_;
  std::string buffered_;
};

}  // namespace stella::test
