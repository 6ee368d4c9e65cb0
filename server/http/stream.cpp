#include "server/http/stream.hpp"

#include <array>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace stella::server {

namespace net = boost::asio;
using boost::system::error_code;

namespace {

auto token_for(error_code& error) {
  return net::redirect_error(net::use_awaitable, error);
}

std::string uid_of(int descriptor) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  return "uid:" + std::to_string(peer.uid);
}

}  // namespace

std::string peer_of(Socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return {};
  if (endpoint.protocol().family() == AF_UNIX) return uid_of(socket.native_handle());
  net::ip::tcp::endpoint peer;
  if (endpoint.size() > peer.capacity()) return {};
  std::memcpy(peer.data(), endpoint.data(), endpoint.size());
  return peer.address().to_string(error);
}

Stream::Stream(Socket socket, std::shared_ptr<net::ssl::context> tls)
    : socket_(std::move(socket)), context_(std::move(tls)) {
  if (context_) tls_.emplace(socket_, *context_);
}

net::awaitable<error_code> Stream::start() {
  error_code error;
  if (!tls_) co_return error;
  co_await socket_.async_wait(Socket::wait_read, token_for(error));
  if (error) co_return error;
  char first = 0;
  const bool peeked = ::recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  if (peeked && first >= 'A' && first <= 'Z') {  // a method; TLS begins with 0x16
    tls_.reset();
    co_return error;
  }
  co_await tls_->async_handshake(net::ssl::stream_base::server, token_for(error));
  co_return error;
}

net::awaitable<std::size_t> Stream::read_some(net::mutable_buffer space, error_code& error) {
  if (tls_) co_return co_await tls_->async_read_some(space, token_for(error));
  co_return co_await socket_.async_read_some(space, token_for(error));
}

net::awaitable<void> Stream::write(net::const_buffer bytes, error_code& error) {
  if (tls_) {
    co_await net::async_write(*tls_, bytes, token_for(error));
  } else {
    co_await net::async_write(socket_, bytes, token_for(error));
  }
}

net::awaitable<void> Stream::wait(error_code& error) {
  if (!tls_) co_await socket_.async_wait(Socket::wait_read, token_for(error));
}

net::awaitable<void> Stream::finish() {
  if (std::exchange(finished_, true)) co_return;
  error_code error;
  if (tls_) co_await tls_->async_shutdown(token_for(error));
  socket_.shutdown(Socket::shutdown_send, error);
}

net::awaitable<void> Stream::discard_some(error_code& error) {
  std::array<char, 4096> space{};
  co_await socket_.async_read_some(net::buffer(space), token_for(error));
}

bool Stream::has_bytes() {
  error_code error;
  return (tls_ && ::SSL_pending(tls_->native_handle()) != 0) || socket_.available(error) != 0;
}

Stream::Peer Stream::peer() {
  pollfd state{socket_.native_handle(), POLLRDHUP, 0};
  if (::poll(&state, 1, 0) != 1) return Peer::sends;
  return (state.revents & (POLLHUP | POLLERR)) != 0 ? Peer::gone : Peer::finished;
}

bool Stream::try_send(char byte) {
  return !tls_ && ::send(socket_.native_handle(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

void Stream::cancel() {
  error_code ignored;
  socket_.cancel(ignored);
}

void Stream::close() {
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace stella::server
