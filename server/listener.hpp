// Where the server listens: an address and a port, or a Unix socket.
#pragma once

#include "server/http/stream.hpp"
#include "server/options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>

namespace stella::server {

/// On the io_context's thread.
class Listener {
 public:
  /// Listens from here on. A Unix socket that a server left behind is replaced; one on which somebody listens, and
  /// what is no socket, is left alone. Throws Error(invalid_argument | io_error).
  Listener(boost::asio::io_context& io, const Options& options);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { close(); }

  /// Sockets have `executor`.
  boost::asio::awaitable<Socket> accept(boost::asio::any_io_executor executor, boost::system::error_code& error);
  /// One that is there already.
  std::optional<Socket> accept_now(const boost::asio::any_io_executor& executor);
  /// Also removes the Unix socket, if the file is still this one's.
  void close();

  /// "http://127.0.0.1:3000", "https://…" with TLS; "unix:/run/stella.sock".
  std::string url() const;
  std::uint16_t port() const;  ///< 0 of a Unix socket.

 private:
  void listen_on_port(const Options& options);
  void listen_on_path(const std::string& path, unsigned mode);

  boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol> acceptor_;
  std::string url_{};
  std::uint16_t port_ = 0;
  std::string path_{};
  dev_t device_ = 0;  ///< Of the file at path_.
  ino_t inode_ = 0;
};

}  // namespace stella::server
