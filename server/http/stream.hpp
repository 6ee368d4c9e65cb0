// A connection's bytes: a socket of TCP or of the Unix domain, with TLS over it where there is to be.
#pragma once

#include <cstddef>
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

  /// TLS begins; does nothing without.
  boost::asio::awaitable<boost::system::error_code> start();
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
  /// Whether the other end has finished, though there may be bytes to read.
  bool is_left();

  void cancel();
  void close();

 private:
  Socket socket_;
  const std::shared_ptr<boost::asio::ssl::context> context_;  ///< New certificates must not take it away.
  std::optional<boost::asio::ssl::stream<Socket&>> tls_{};
  bool finished_ = false;
};

}  // namespace stella::server
