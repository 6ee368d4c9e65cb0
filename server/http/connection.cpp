#include "server/http/connection.hpp"

#include "base/ascii.hpp"
#include "server/http/guard.hpp"
#include "server/http/time_limit.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string_view>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr std::size_t kReadBytes = std::size_t{16} << 10U;
constexpr std::size_t kWriteBytes = std::size_t{256} << 10U;
/// What may lie unread behind a body's parser: a chunk's line, or a trailer.
constexpr std::size_t kMaxUnread = std::size_t{16} << 10U;
constexpr std::string_view kEndOfHead = "\r\n\r\n";

Request request_of(const Parser& parser, std::string peer) {
  const auto& message = parser.get();
  Request request;
  request.method = std::string(message.method_string());
  const auto target = message.target();
  request.path = path_of({target.data(), target.size()});
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    request.fields.push_back({to_lower({name.data(), name.size()}), std::string(value.data(), value.size())});
  }
  request.peer = std::move(peer);
  return request;
}

/// Everything here runs on the socket's strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(net::ip::tcp::socket socket, std::shared_ptr<Service> service, std::shared_ptr<Connections::Entry> entry,
             const Limits& limits)
      : socket_(std::move(socket)),
        time_(socket_),
        service_(std::move(service)),
        entry_(std::move(entry)),
        limits_(limits) {}

  net::awaitable<void> run();

 private:
  void listen_to_entry();
  void limit_time(std::chrono::milliseconds limit) { time_.set(limit, weak_from_this()); }
  void cancel();
  net::awaitable<bool> read_head();
  net::awaitable<bool> serve_request();
  net::awaitable<std::optional<Refusal>> read_body(Parser& parser);
  net::awaitable<Response> respond(const Request& request);
  net::awaitable<bool> write(const Response& response, const std::string& id, bool with_body, bool keep);
  net::awaitable<bool> write_all(net::const_buffer bytes);
  net::awaitable<bool> refuse(const Refusal& refusal);
  net::awaitable<bool> refuse(const Refusal& refusal, const Request& request);
  net::awaitable<void> linger();
  net::awaitable<error_code> read_some();
  void watch(std::stop_source stop);
  bool has_more() const;
  std::string peer() const;
  std::string_view unread() const { return {static_cast<const char*>(buffer_.data().data()), buffer_.size()}; }

  net::ip::tcp::socket socket_;
  TimeLimit time_;
  std::shared_ptr<Service> service_;
  std::shared_ptr<Connections::Entry> entry_;
  const Limits limits_;
  beast::flat_buffer buffer_{};
  std::size_t head_bytes_ = 0;
  std::stop_source stop_{};
  bool idle_ = false;     ///< Waits for the first byte of a request.
  bool stopped_ = false;  ///< Whatever was under way is given up.
  bool gone_ = false;     ///< Nothing can be read or written any more.
};

bool Connection::has_more() const {
  error_code error;
  return buffer_.size() != 0 || socket_.available(error) != 0;
}

std::string Connection::peer() const {
  error_code ignored;
  return socket_.remote_endpoint(ignored).address().to_string();
}

void Connection::listen_to_entry() {
  const std::weak_ptr<Connection> weak = weak_from_this();
  const auto post = [weak, executor = socket_.get_executor()](void (*call)(Connection&)) {
    net::post(executor, [weak, call] {
      if (const auto self = weak.lock()) call(*self);
    });
  };
  entry_->set_calls(
      [post] {
        post([](Connection& self) {
          if (self.idle_ && !self.has_more()) self.cancel();
        });
      },
      [post] {
        post([](Connection& self) {
          self.stopped_ = true;
          self.stop_.request_stop();
          self.cancel();
          error_code ignored;
          self.socket_.close(ignored);
        });
      });
}

void Connection::cancel() {
  error_code ignored;
  socket_.cancel(ignored);
}

net::awaitable<error_code> Connection::read_some() {
  error_code error;
  if (time_.is_over()) co_return net::error::timed_out;
  auto space = buffer_.prepare(kReadBytes);
  const std::size_t bytes = co_await socket_.async_read_some(space, net::redirect_error(net::use_awaitable, error));
  buffer_.commit(bytes);
  if (error && time_.is_over()) co_return net::error::timed_out;
  co_return error;
}

/// Reads until the buffer begins with a whole header, of head_bytes_. False: the connection is over.
net::awaitable<bool> Connection::read_head() {
  if (buffer_.size() == 0) {
    if (service_->is_draining() && !entry_->is_late() && !has_more()) co_return false;
    idle_ = true;
    limit_time(limits_.idle);
    const error_code error = co_await read_some();
    idle_ = false;
    if (error) co_return false;
  }
  limit_time(limits_.header);
  if (unread().starts_with("\r\n")) buffer_.consume(2);  // some clients end a body with it
  for (std::size_t seen = 0;;) {
    const std::size_t end = unread().find(kEndOfHead, seen < 3 ? 0 : seen - 3);
    if (end != std::string_view::npos && end + kEndOfHead.size() <= limits_.header_bytes) {
      head_bytes_ = end + kEndOfHead.size();
      co_return true;
    }
    std::optional<Refusal> refusal = check_partial_head(unread(), seen == 0 ? 0 : seen - 1);
    if (unread().size() > limits_.header_bytes) refusal = Refusal{431, "the header is too long"};
    if (refusal) co_return co_await refuse(*refusal);
    seen = unread().size();
    const error_code error = co_await read_some();
    if (error == net::error::timed_out) co_return co_await refuse({408, "the header took too long"});
    if (error) co_return false;
  }
}

/// Reads the body to its end. Sets gone_ where the client has left.
net::awaitable<std::optional<Refusal>> Connection::read_body(Parser& parser) {
  std::optional<Refusal> refusal;
  auto on_chunk = [&refusal](std::uint64_t, beast::string_view extension, error_code& error) {
    refusal = check_chunk_extension({extension.data(), extension.size()});
    if (refusal) error = http::error::bad_chunk_extension;
  };
  parser.on_chunk_header(on_chunk);
  parser.body_limit(limits_.body_bytes);
  parser.eager(true);
  limit_time(limits_.body);
  while (!parser.is_done()) {
    error_code error;
    buffer_.consume(parser.put(buffer_.data(), error));
    if (parser.is_done()) break;
    if (error == http::error::body_limit) co_return Refusal{413, "the request body is too long"};
    if (error && error != http::error::need_more)
      co_return refusal ? refusal : Refusal{400, "the body's chunks are malformed"};
    if (buffer_.size() > kMaxUnread) co_return Refusal{400, "a chunk's line or a trailer is too long"};
    const error_code failed = co_await read_some();
    if (failed == net::error::timed_out) co_return Refusal{408, "the body took too long"};
    gone_ = failed.failed();
    if (gone_) break;
  }
  co_return std::nullopt;
}

/// Requests the stop where the client leaves while its request is computed.
void Connection::watch(std::stop_source stop) {
  auto on_readable = [self = shared_from_this(), stop](const error_code& error) mutable {
    if (error) return;
    char byte = 0;
    const auto got = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0) stop.request_stop();
  };
  socket_.async_wait(net::ip::tcp::socket::wait_read,
                     net::bind_executor(socket_.get_executor(), std::move(on_readable)));
}

net::awaitable<Response> Connection::respond(const Request& request) {
  time_.end();
  stop_ = std::stop_source();
  if (stopped_) stop_.request_stop();
  watch(stop_);
  Response response = co_await service_->respond(request, stop_.get_token(), entry_->is_late());
  cancel();  // the watch
  co_return response;
}

net::awaitable<bool> Connection::write_all(net::const_buffer bytes) {
  while (bytes.size() != 0 && !gone_) {
    const net::const_buffer part(bytes.data(), std::min(bytes.size(), kWriteBytes));
    limit_time(limits_.write);
    error_code error;
    bytes += co_await net::async_write(socket_, part, net::redirect_error(net::use_awaitable, error));
    gone_ = error.failed();
  }
  co_return !gone_;
}

net::awaitable<bool> Connection::write(const Response& response, const std::string& id, bool with_body, bool keep) {
  const std::string date = http_date();
  HeadOptions options;
  options.keep_alive = keep;
  options.request_id = id;
  options.date = date;
  std::string head = head_of(response, options);
  const bool together = with_body && response.body.size() <= kReadBytes;
  if (together) head += response.body;
  const bool written = co_await write_all(net::buffer(head));
  if (!written || together || !with_body) co_return written;
  co_return co_await write_all(net::buffer(response.body));
}

/// Of a request whose header is not whole or not sound: its first line may say all the same which client to answer.
net::awaitable<bool> Connection::refuse(const Refusal& refusal) {
  Request request;
  const std::string_view line = unread().substr(0, unread().find("\r\n"));
  const std::size_t space = line.find(' ');
  request.method = std::string(line.substr(0, space));
  if (space != std::string_view::npos)
    request.path = path_of(line.substr(space + 1, line.find(' ', space + 1) - space - 1));
  request.peer = peer();
  Observer::begin(request);
  co_return co_await refuse(refusal, request);
}

/// False, for the connection's end.
net::awaitable<bool> Connection::refuse(const Refusal& refusal, const Request& request) {
  const Family family = find_route(request.method, request.path).family;
  Response response = error_response(ApiError(ErrorKind::wrong_shape, std::string(refusal.reason)), family);
  response.status = refusal.status;
  service_->observer().end(request, response);
  if (co_await write(response, request.id, true, false)) co_await linger();
  co_return false;
}

/// A client that still sends would not read the answer if the connection were reset: what it sends is thrown away.
net::awaitable<void> Connection::linger() {
  error_code error;
  socket_.shutdown(net::ip::tcp::socket::shutdown_send, error);
  limit_time(limits_.linger);
  while (!error && !service_->is_draining()) {
    buffer_.consume(buffer_.size());
    error = co_await read_some();
  }
}

/// Whether another request may follow.
net::awaitable<bool> Connection::serve_request() {
  const std::string_view head = unread().substr(0, head_bytes_);
  if (const auto refusal = check_head(head)) co_return co_await refuse(*refusal);
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes) + 1);
  parser.body_limit(boost::none);  // the announced length is check_header()'s matter
  error_code error;
  const std::size_t used = parser.put(net::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done() || used != head.size()) {
    co_return co_await refuse({400, "the header is malformed"});
  }
  buffer_.consume(used);

  Request request = request_of(parser, peer());
  Observer::begin(request);
  const bool expects = find_field(request.fields, "expect") != nullptr;
  std::optional<std::uint64_t> length;
  if (const auto announced = parser.content_length()) length = *announced;
  std::optional<Response> early = service_->check_header(request, length);
  if (early && !parser.is_done() && (expects || length.value_or(0) > limits_.body_bytes)) {
    service_->observer().end(request, *early);
    if (co_await write(*early, request.id, true, false)) co_await linger();
    co_return false;
  }
  if (expects && !parser.is_done() && buffer_.size() == 0) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!co_await write_all(net::buffer(kContinue))) co_return false;
  }
  if (const auto refusal = co_await read_body(parser)) co_return co_await refuse(*refusal, request);
  if (gone_) co_return false;

  request.body = std::move(parser.get().body());
  Response response;
  if (early) {
    response = std::move(*early);
  } else {
    response = co_await respond(request);
  }
  service_->observer().end(request, response);
  const bool leaving = service_->is_draining() && (entry_->is_late() || !has_more());
  const bool keep = parser.keep_alive() && !response.close && !leaving && !stopped_;
  co_return co_await write(response, request.id, request.method != "HEAD", keep) && keep;
}

net::awaitable<void> Connection::run() {
  listen_to_entry();
  error_code error;
  socket_.set_option(net::ip::tcp::no_delay(true), error);
  while (!stopped_) {
    if (!co_await read_head()) break;
    if (!co_await serve_request()) break;
    if (buffer_.size() == 0) buffer_.shrink_to_fit();  // many connections idle
  }
  socket_.shutdown(net::ip::tcp::socket::shutdown_send, error);
  socket_.close(error);
}

}  // namespace

net::awaitable<void> serve_connection(net::ip::tcp::socket socket, std::shared_ptr<Service> service,
                                      std::shared_ptr<Connections::Entry> entry, Limits limits) {
  const auto connection = std::make_shared<Connection>(std::move(socket), std::move(service), std::move(entry), limits);
  co_await connection->run();
}

}  // namespace stella::server
