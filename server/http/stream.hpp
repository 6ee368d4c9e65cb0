// A connection's bytes: a socket of TCP or of the Unix domain, with TLS over it where there is to be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace stella::server {

using Socket = boost::asio::generic::stream_protocol::socket;

/// Whom the socket's other end is: its address without the port, or "uid:1000" of a Unix socket. Empty where that
/// cannot be said any more.
std::string peer_of(Socket& socket);

/// On the socket's executor only.
class Stream {
 public:
  /// `tls` may be null.
  Stream(Socket socket, std::shared_ptr<boost::asio::ssl::context> tls);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Socket& socket() noexcept { return socket_; }

  /// TLS begins; does nothing without. Where the other end speaks HTTP without TLS all goes on without, and
  /// lacks_tls() says so.
  boost::asio::awaitable<boost::system::error_code> start();
  bool lacks_tls() const noexcept { return context_ != nullptr && !tls_; }
  boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer space, boost::system::error_code& error);
  boost::asio::awaitable<void> write(boost::asio::const_buffer bytes, boost::system::error_code& error);
  /// Until there may be something to read. With TLS at once: what has been received may lie in there.
  boost::asio::awaitable<void> wait(boost::system::error_code& error);
  /// Says that nothing more will be written.
  boost::asio::awaitable<void> finish();
  /// After finish(): throws away what comes.
  boost::asio::awaitable<void> discard_some(boost::system::error_code& error);

  /// Whether bytes are here that were not read.
  bool has_bytes();
  /// What is known of the other end, though there may be bytes to read.
  enum class Peer : std::uint8_t { sends, finished, gone };
  Peer peer();
  /// Sends the byte where there is room for it, without TLS only. A peer that has closed its socket answers by a reset,
  /// which peer() then sees.
  bool try_send(char byte);
  bool has_tls() const noexcept { return tls_.has_value(); }

  void cancel();
  void close();

 private:
  Socket socket_;
  const std::shared_ptr<boost::asio::ssl::context> context_;  ///< New certificates must not take it away.
  std::optional<boost::asio::ssl::stream<Socket&>> tls_{};
  bool finished_ = false;
};

}  // namespace stella::server
