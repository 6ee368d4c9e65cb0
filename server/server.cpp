#include "server/server.hpp"

#include "server/backend.hpp"
#include "server/http/connection.hpp"
#include "server/service.hpp"
#include "stella/error.hpp"

#include <stop_token>
#include <string_view>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
using boost::system::error_code;
using net::ip::tcp;

void check_options(const Options& options) {
  const auto refuse = [](const std::string& what) { throw Error(Errc::invalid_argument, what); };
  if (options.max_client_batch_size > options.max_concurrent_requests) {
    refuse("--max-client-batch-size " + std::to_string(options.max_client_batch_size) +
           " is more than --max-concurrent-requests " + std::to_string(options.max_concurrent_requests) +
           ", which counts texts; such a batch would never be let in");
  }
  if (options.default_prompt && options.default_prompt_name)
    refuse("both --default-prompt and --default-prompt-name; give one of them");
  for (const std::string& key : options.api_keys) {
    if (key.empty()) refuse("an empty API key; give one that is not, or none");
  }
}

tcp::endpoint endpoint_of(const Options& options) {
  error_code error;
  const auto address = net::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, error);
  if (error)
    throw Error(Errc::invalid_argument,
                "--host '" + options.host +
                    "' is not an address; use 127.0.0.1 for this machine only, or 0.0.0.0 for all networks");
  return {address, options.port};
}

}  // namespace

class Server::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(net::io_context& io, const Options& options, Model model)
      : io_(io),
        options_(options),
        acceptor_(io),
        drain_timer_(io),
        retry_timer_(io),
        backend_(std::make_shared<Backend>(options, std::move(model))),
        service_(std::make_shared<Service>(options, backend_)),
        connections_(std::make_shared<Connections>(options.limits)) {}

  void listen();
  tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }
  void start(std::function<void(std::exception_ptr)> on_loaded);
  void drain(std::function<void()> on_end);

 private:
  net::awaitable<void> accept_all();
  void serve(tcp::socket socket);
  void end();

  net::io_context& io_;
  const Options options_;
  tcp::acceptor acceptor_;
  net::steady_timer drain_timer_;
  net::steady_timer retry_timer_;
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Service> service_;
  std::shared_ptr<Connections> connections_;
  std::stop_source loading_{};
  std::function<void()> on_end_{};
  bool late_ = false;
  bool ended_ = false;
};

void Server::Core::listen() {
  const tcp::endpoint endpoint = endpoint_of(options_);
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(SOMAXCONN, error);
  if (!error) acceptor_.non_blocking(true, error);
  if (!error) return;
  throw Error(Errc::io_error, "cannot listen on " + options_.host + " port " + std::to_string(options_.port) + ": " +
                                  error.message() + "; choose another --port or --host");
}

void Server::Core::start(std::function<void(std::exception_ptr)> on_loaded) {
  const auto self = shared_from_this();
  net::co_spawn(io_, backend_->load(loading_.get_token()),
                [self, on_loaded = std::move(on_loaded)](std::exception_ptr error) { on_loaded(std::move(error)); });
  net::co_spawn(io_, accept_all(), [self](std::exception_ptr) {});
}

net::awaitable<void> Server::Core::accept_all() {
  while (!ended_) {
    error_code error;
    tcp::socket socket = co_await acceptor_.async_accept(net::any_io_executor(net::make_strand(io_)),
                                                         net::redirect_error(net::use_awaitable, error));
    if (ended_ || error == net::error::operation_aborted) break;
    if (!error) {
      serve(std::move(socket));
      continue;
    }
    // No descriptor is left, for example: those who are connected will give some back.
    retry_timer_.expires_after(std::chrono::milliseconds(50));
    co_await retry_timer_.async_wait(net::redirect_error(net::use_awaitable, error));
  }
}

void Server::Core::serve(tcp::socket socket) {
  error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return;
  auto entry = connections_->enter(peer.address().to_string(), late_);
  if (!entry) {
    constexpr std::string_view kFull =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 1\r\n\r\n";
    static_cast<void>(::send(socket.native_handle(), kFull.data(), kFull.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    return;
  }
  const auto executor = socket.get_executor();
  net::co_spawn(executor, serve_connection(std::move(socket), service_, std::move(entry), options_.limits),
                [self = shared_from_this()](std::exception_ptr) {});
}

void Server::Core::drain(std::function<void()> on_end) {
  on_end_ = std::move(on_end);
  service_->drain();
  loading_.request_stop();
  for (error_code error; !error;) {
    tcp::socket socket(net::make_strand(io_));
    acceptor_.accept(socket, error);
    if (!error) serve(std::move(socket));
  }
  drain_timer_.expires_after(options_.drain_timeout);
  drain_timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->end();
  });
  // Behind what has been accepted already and waits its turn.
  net::post(io_, [self = shared_from_this()] {
    self->late_ = true;
    self->connections_->set_on_empty([weak = self->weak_from_this()] {
      if (const auto core = weak.lock()) net::post(core->io_, [core] { core->end(); });
    });
    if (self->connections_->early() == 0) self->end();
    self->connections_->drain();
  });
}

void Server::Core::end() {
  if (std::exchange(ended_, true)) return;
  error_code ignored;
  acceptor_.close(ignored);
  drain_timer_.cancel();
  retry_timer_.cancel();
  connections_->stop();
  on_end_();
}

Server::Server(net::io_context& io, const Options& options, Model model) {
  check_options(options);
  core_ = std::make_shared<Core>(io, options, std::move(model));
  core_->listen();
}

Server::~Server() = default;

std::string Server::url() const {
  const auto endpoint = core_->endpoint();
  const std::string address = endpoint.address().to_string();
  return "http://" + (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port());
}

std::uint16_t Server::port() const {
  return core_->endpoint().port();
}

void Server::start(std::function<void(std::exception_ptr)> on_loaded) {
  core_->start(std::move(on_loaded));
}

void Server::drain(std::function<void()> on_end) {
  core_->drain(std::move(on_end));
}

}  // namespace stella::server
