#include "server/http/connection.hpp"

#include "server/http/channel.hpp"
#include "server/http/reader.hpp"

#include <bit>
#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <stop_token>
#include <string_view>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
using boost::system::error_code;

/// Answers of at most this size are written together with their header.
constexpr std::size_t kSmallAnswer = std::size_t{16} << 10U;
/// How often a client that has sent more than its request, or all that it will send, is looked after.
constexpr std::chrono::milliseconds kWatch{250};
/// What every answer begins with.
constexpr std::string_view kBegin = "HTTP/1.1 ";
/// For TLS to say that it ends.
constexpr std::chrono::milliseconds kGoodbye{500};

/// Everything here runs on the socket's strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Socket socket, std::shared_ptr<net::ssl::context> tls, std::string peer, std::shared_ptr<Service> service,
             std::shared_ptr<Connections::Entry> entry)
      : executor_(socket.get_executor()),
        channel_(std::move(socket), std::move(tls)),
        watch_timer_(executor_),
        peer_(std::move(peer)),
        service_(std::move(service)),
        entry_(std::move(entry)),
        limits_(service_->limits()) {}

  net::awaitable<void> run();

 private:
  /// However the connection ends, its coroutine lost for want of memory too: nothing waits for its socket any more.
  struct Ending {
    Connection& connection;
    ~Ending() { connection.end(); }
  };

  net::awaitable<void> serve();
  void answer_without_memory();
  void end();
  void listen_to_entry();
  net::awaitable<bool> wait_for_request();
  net::awaitable<bool> serve_request(std::size_t head_bytes);
  net::awaitable<Response> respond(Request& request);
  net::awaitable<bool> write(const Response& response, const std::string& id, bool with_body, bool keep);
  Request begun_request();
  net::awaitable<bool> refuse(const Refusal& refusal, const Request& request);
  net::awaitable<bool> refuse(const Refusal& refusal);
  net::awaitable<void> ask_for_tls();
  net::awaitable<void> linger();
  void watch(const std::stop_source& stop, std::uint64_t turn);
  bool has_left();

  const net::any_io_executor executor_;
  Channel channel_;
  net::steady_timer watch_timer_;
  const std::string peer_;
  const std::shared_ptr<Service> service_;
  const std::shared_ptr<Connections::Entry> entry_;
  Limits limits_;  ///< Of the request that is under way.
  std::stop_source stop_{};
  std::uint64_t turn_ = 0;  ///< Requests so far; the watches of earlier ones no longer count.
  unsigned looks_ = 0;      ///< At a client that sends no more, during the request that is under way.
  std::size_t begun_ = 0;   ///< Bytes of kBegin that were sent ahead of its answer.
  bool idle_ = false;       ///< Waits for the first byte of a request.
  bool owes_ = false;       ///< A request has begun to come, and no answer to go.
  bool stopped_ = false;    ///< Whatever was under way is given up.
};

void Connection::listen_to_entry() {
  const std::weak_ptr<Connection> weak = weak_from_this();
  const auto post = [weak, executor = executor_](void (*call)(Connection&)) {
    net::post(executor, [weak, call] {
      if (const auto self = weak.lock()) call(*self);
    });
  };
  entry_->set_calls(
      [post] {
        post([](Connection& self) {
          if (self.idle_ && !self.channel_.has_more()) self.channel_.stream().cancel();
        });
      },
      [post] {
        post([](Connection& self) {
          self.stopped_ = true;
          self.stop_.request_stop();
          self.channel_.stream().cancel();
          self.channel_.stream().close();
        });
      });
}

/// False: none comes.
net::awaitable<bool> Connection::wait_for_request() {
  if (!channel_.unread().empty()) co_return true;
  if (service_->is_draining() && !entry_->is_late() && !channel_.has_more()) co_return false;
  idle_ = true;
  channel_.limit_time(limits_.idle);
  const error_code error = co_await channel_.read_first();
  idle_ = false;
  co_return !error;
}

/// The end of what a client sends may be the half-close of one that waits for its answer, or the close of one that has
/// left: TCP says the same of both. So the answer's first bytes, which are those of every answer, are sent ahead, one
/// at the looks 1, 2, 4 and so on: a closed socket resets the connection, and one that is half closed takes them. With
/// TLS, whose own half-close leaves TCP's connection open, it is a close.
bool Connection::has_left() {
  Stream& stream = channel_.stream();
  const Stream::Peer peer = stream.peer();
  if (peer != Stream::Peer::finished) return peer == Stream::Peer::gone;
  if (stream.has_tls()) return true;
  const bool probe = std::has_single_bit(++looks_) && begun_ < kBegin.size();
  if (probe && stream.try_send(kBegin[begun_])) ++begun_;
  return stream.peer() == Stream::Peer::gone;
}

/// Of whatever was under way for the request there is nothing left.
void Connection::answer_without_memory() {
  ++turn_;
  if (!owes_ || channel_.stream().has_tls() || channel_.is_gone()) return;
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const std::string_view rest = kBusyAnswer.substr(begun_);
  static_cast<void>(::send(channel_.stream().socket().native_handle(), rest.data(), rest.size(), kFlags));
}

/// Requests the stop where the client leaves while its request is computed.
void Connection::watch(const std::stop_source& stop, std::uint64_t turn) {
  auto on_readable = [self = shared_from_this(), stop, turn](const error_code& error) mutable {
    if (error || self->turn_ != turn) return;
    if (self->has_left()) {
      stop.request_stop();
      return;
    }
    // What it has sent stays to be read, be it the end; so another wait would end at once.
    self->watch_timer_.expires_after(kWatch);
    self->watch_timer_.async_wait([self, stop, turn](const error_code& cancelled) {
      if (!cancelled && self->turn_ == turn) self->watch(stop, turn);
    });
  };
  channel_.stream().socket().async_wait(Socket::wait_read, net::bind_executor(executor_, std::move(on_readable)));
}

net::awaitable<Response> Connection::respond(Request& request) {
  channel_.end_limit();
  looks_ = 0;
  stop_ = std::stop_source();
  if (stopped_) stop_.request_stop();
  watch(stop_, turn_);
  Response response = co_await service_->respond(request, stop_.get_token(), entry_->is_late());
  ++turn_;
  watch_timer_.cancel();
  channel_.stream().cancel();
  co_return response;
}

net::awaitable<bool> Connection::write(const Response& response, const std::string& id, bool with_body, bool keep) {
  const std::string date = http_date();
  HeadOptions options;
  options.keep_alive = keep;
  options.request_id = id;
  options.date = date;
  std::string head = head_of(response, options).substr(begun_);
  const bool together = with_body && response.body.size() <= kSmallAnswer;
  if (together) head += response.body;
  owes_ = false;
  begun_ = 0;
  const bool written = co_await channel_.write(net::buffer(head), limits_.write);
  if (!written || together || !with_body) co_return written;
  co_return co_await channel_.write(net::buffer(response.body), limits_.write);
}

/// Of a request whose header is not whole or not sound: its first line may say all the same which client to answer.
Request Connection::begun_request() {
  Request request;
  const std::string_view unread = channel_.unread();
  const std::string_view line = unread.substr(0, unread.find("\r\n"));
  const std::size_t space = line.find(' ');
  request.method = std::string(line.substr(0, space));
  if (space != std::string_view::npos)
    request.path = path_of(line.substr(space + 1, line.find(' ', space + 1) - space - 1));
  request.peer = peer_;
  Observer::begin(request);
  return request;
}

net::awaitable<bool> Connection::refuse(const Refusal& refusal) {
  const Request request = begun_request();
  co_return co_await refuse(refusal, request);
}

/// False, for the connection's end.
net::awaitable<bool> Connection::refuse(const Refusal& refusal, const Request& request) {
  const Family family = find_route(request.method, request.path).family;
  Response response = error_response(ApiError(ErrorKind::wrong_shape, std::string(refusal.reason)), family);
  response.status = refusal.status;
  if (refusal.status == 429) response = service_->overloaded(request);
  service_->observer().end(request, response);
  if (co_await write(response, request.id, true, false)) co_await linger();
  co_return false;
}

/// Of a client that sends HTTP to a port that has TLS.
net::awaitable<void> Connection::ask_for_tls() {
  const Head head = co_await read_head(channel_, limits_);
  if (head.bytes == 0 && !head.refusal) co_return;
  Response response;
  response.status = 400;
  response.type = "text/plain; charset=utf-8";
  response.body = "This port speaks TLS: use https:// in place of http://\n";
  const Request request = begun_request();
  service_->observer().end(request, response);
  if (co_await write(response, request.id, true, false)) co_await linger();
}

net::awaitable<void> Connection::linger() {
  co_await channel_.linger(limits_.linger, [this] { return service_->is_draining(); });
}

/// Whether another request may follow.
net::awaitable<bool> Connection::serve_request(std::size_t head_bytes) {
  Parser parser;
  if (const auto refusal = parse_head(channel_, head_bytes, limits_, parser)) co_return co_await refuse(*refusal);
  Request request = request_of(parser, peer_);
  request.memory = service_->new_memory();
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
  if (expects && !parser.is_done() && channel_.unread().empty()) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!co_await channel_.write(net::buffer(kContinue), limits_.write)) co_return false;
  }
  if (const auto refusal = co_await read_body(channel_, limits_, parser, request.memory))
    co_return co_await refuse(*refusal, request);
  if (channel_.is_gone()) co_return false;

  request.body = std::move(parser.get().body());
  Response response;
  if (early) {
    response = std::move(*early);
  } else {
    response = co_await respond(request);
  }
  service_->observer().end(request, response);
  const bool leaving = service_->is_draining() && (entry_->is_late() || !channel_.has_more());
  const bool keep = parser.keep_alive() && !response.close && !leaving && !stopped_;
  co_return co_await write(response, request.id, request.method != "HEAD", keep) && keep;
}

void Connection::end() {
  ++turn_;
  watch_timer_.cancel();
  channel_.end_limit();
  channel_.stream().close();
}

net::awaitable<void> Connection::run() {
  const Ending ending{*this};
  try {
    co_await serve();
  } catch (const std::bad_alloc&) {
    answer_without_memory();
  }
  if (channel_.is_gone() || stopped_) co_return;
  channel_.limit_time(kGoodbye);
  co_await channel_.stream().finish();
}

net::awaitable<void> Connection::serve() {
  channel_.set_owner(weak_from_this());
  listen_to_entry();
  channel_.limit_time(limits_.header);
  idle_ = true;  // no request is sent before the handshake is done
  error_code error = co_await channel_.stream().start();
  idle_ = false;
  const bool lacks_tls = !error && channel_.stream().lacks_tls();
  if (lacks_tls) co_await ask_for_tls();
  while (!error && !lacks_tls && !stopped_ && co_await wait_for_request()) {
    owes_ = true;
    limits_ = service_->limits();
    const Head head = co_await read_head(channel_, limits_);
    if (head.refusal) co_await refuse(*head.refusal);
    if (head.bytes == 0 || !co_await serve_request(head.bytes)) break;
    channel_.shrink();
  }
}

}  // namespace

net::awaitable<void> serve_connection(Socket socket, std::shared_ptr<net::ssl::context> tls, std::string peer,
                                      std::shared_ptr<Service> service, std::shared_ptr<Connections::Entry> entry) {
  error_code ignored;  // a Unix socket has no such option
  socket.set_option(net::ip::tcp::no_delay(true), ignored);
  const auto connection = std::make_shared<Connection>(std::move(socket), std::move(tls), std::move(peer),
                                                       std::move(service), std::move(entry));
  co_await connection->run();
}

}  // namespace stella::server
