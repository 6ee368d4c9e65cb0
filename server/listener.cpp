#include "server/listener.hpp"

#include "stella/error.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
using boost::system::error_code;
using Protocol = net::generic::stream_protocol;
using net::ip::tcp;

tcp::endpoint endpoint_of(const Options& options) {
  error_code error;
  const auto address = net::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, error);
  if (error)
    throw Error(Errc::invalid_argument,
                "--host '" + options.host +
                    "' is not an address; use 127.0.0.1 for this machine only, or 0.0.0.0 for all networks");
  return {address, options.port};
}

std::string url_of(const tcp::endpoint& endpoint, bool tls) {
  const std::string address = endpoint.address().to_string();
  return (tls ? "https://" : "http://") + (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port());
}

[[noreturn]] void refuse_path(const std::string& path, const std::string& why) {
  throw Error(Errc::io_error, "cannot listen on --unix-socket '" + path + "': " + why);
}

/// Removes a socket that nobody listens on.
void remove_stale(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode)) refuse_path(path, "there is a file that is no socket; choose another path");
  net::io_context io;
  net::local::stream_protocol::socket probe(io);
  error_code error;
  probe.connect(net::local::stream_protocol::endpoint(path), error);
  if (!error) refuse_path(path, "another program listens on it; end that one or choose another path");
  if (error != net::error::connection_refused)
    refuse_path(path, "there is a socket that cannot be looked at: " + error.message());
  ::unlink(path.c_str());
}

}  // namespace

Listener::Listener(net::io_context& io, const Options& options) : acceptor_(io) {
  if (options.unix_socket) {
    listen_on_path(*options.unix_socket, options.unix_socket_mode);
  } else {
    listen_on_port(options);
  }
}

void Listener::listen_on_port(const Options& options) {
  const tcp::endpoint endpoint = endpoint_of(options);
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(SOMAXCONN, error);
  if (!error) acceptor_.non_blocking(true, error);
  const char* const remedy = error == net::error::no_descriptors ? "raise the limit on open files (ulimit -n)"
                                                                 : "choose another --port or --host";
  if (error)
    throw Error(Errc::io_error, "cannot listen on " + options.host + " port " + std::to_string(options.port) + ": " +
                                    error.message() + "; " + remedy);
  const auto bound = acceptor_.local_endpoint();
  tcp::endpoint own;
  std::memcpy(own.data(), bound.data(), std::min(bound.size(), own.capacity()));
  port_ = own.port();
  url_ = url_of(own, options.tls_certificate.has_value());
}

void Listener::listen_on_path(const std::string& path, unsigned mode) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
    throw Error(Errc::invalid_argument, "--unix-socket '" + path + "' must be a path of 1 to " +
                                            std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
  remove_stale(path);
  error_code error;
  acceptor_.open(net::local::stream_protocol(), error);
  // The file's mode is the socket's from its first moment on; what the umask takes away is added behind.
  if (!error && ::fchmod(acceptor_.native_handle(), mode) != 0) error.assign(errno, boost::system::system_category());
  if (!error) acceptor_.bind(net::local::stream_protocol::endpoint(path), error);
  if (!error && ::chmod(path.c_str(), mode) != 0) error.assign(errno, boost::system::system_category());
  if (!error) acceptor_.listen(SOMAXCONN, error);
  if (!error) acceptor_.non_blocking(true, error);
  struct stat made {};
  if (!error && ::lstat(path.c_str(), &made) != 0) error.assign(errno, boost::system::system_category());
  if (error) refuse_path(path, error.message() + "; choose a path in a folder that this user may write to");
  path_ = path;
  device_ = made.st_dev;
  inode_ = made.st_ino;
  url_ = "unix:" + path;
}

net::awaitable<Socket> Listener::accept(net::any_io_executor executor, error_code& error) {
  co_return co_await acceptor_.async_accept(std::move(executor), net::redirect_error(net::use_awaitable, error));
}

std::optional<Socket> Listener::accept_now(const net::any_io_executor& executor) {
  error_code error;
  Socket socket(executor);
  acceptor_.accept(socket, error);
  if (error) return std::nullopt;
  return socket;
}

void Listener::close() {
  if (!acceptor_.is_open()) return;
  error_code ignored;
  acceptor_.close(ignored);
  struct stat found {};
  const bool ours =
      !path_.empty() && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
  if (ours) ::unlink(path_.c_str());
}

std::string Listener::url() const {
  return url_;
}

std::uint16_t Listener::port() const {
  return port_;
}

}  // namespace stella::server
