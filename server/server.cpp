#include "server/server.hpp"

#include "server/backend.hpp"
#include "server/http/connection.hpp"
#include "server/limits.hpp"
#include "server/listener.hpp"
#include "server/service.hpp"
#include "server/tls.hpp"
#include "stella/detail/patience.hpp"
#include "stella/error.hpp"

#include <new>
#include <stop_token>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
using boost::system::error_code;

std::shared_ptr<net::ssl::context> tls_of(const Options& options) {
  return options.tls_certificate ? make_tls(*options.tls_certificate, *options.tls_key) : nullptr;
}

}  // namespace

class Server::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(net::io_context& io, const Options& options, const ModelOptions& model)
      : io_(io),
        options_(options),
        tls_(tls_of(options)),
        listener_(io, options),
        drain_timer_(io),
        retry_timer_(io),
        backend_(std::make_shared<Backend>(options, model)),
        service_(std::make_shared<Service>(options, backend_)),
        connections_(std::make_shared<Connections>(options.limits)) {}

  const Listener& listener() const noexcept { return listener_; }
  void start(std::function<void(std::exception_ptr)> on_loaded);
  void reload(const Options& options);
  void drain(std::function<void()> on_end);

 private:
  void accept();
  net::awaitable<void> accept_all();
  void serve(Socket socket);
  void end();

  net::io_context& io_;
  Options options_;
  std::shared_ptr<net::ssl::context> tls_;
  Listener listener_;
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

void Server::Core::start(std::function<void(std::exception_ptr)> on_loaded) {
  const auto self = shared_from_this();
  net::co_spawn(io_, backend_->load_default(loading_.get_token()),
                [self, on_loaded = std::move(on_loaded)](std::exception_ptr error) {
                  const bool failed = error != nullptr;
                  on_loaded(std::move(error));
                  if (failed || self->ended_) return;
                  net::co_spawn(self->io_, self->backend_->load_others(self->loading_.get_token()),
                                [self](std::exception_ptr) {});
                });
  accept();
}

/// Begins again where there was not even memory to wait.
void Server::Core::accept() {
  detail::with_patience([this] {
    net::co_spawn(io_, accept_all(), [self = shared_from_this()](const std::exception_ptr& error) {
      if (error && !self->ended_) self->accept();
    });
  });
}

net::awaitable<void> Server::Core::accept_all() {
  while (!ended_) {
    error_code error;
    try {
      Socket socket = co_await listener_.accept(net::make_strand(io_), error);
      if (ended_ || error == net::error::operation_aborted) break;
      if (!error) {
        serve(std::move(socket));
        continue;
      }
    } catch (const std::bad_alloc&) {  // this connection is lost
    }
    // No descriptor is left, for example, or no memory: those who are connected will give some back.
    retry_timer_.expires_after(std::chrono::milliseconds(50));
    co_await retry_timer_.async_wait(net::redirect_error(net::use_awaitable, error));
  }
}

void Server::Core::serve(Socket socket) {
  std::string peer = peer_of(socket);
  if (peer.empty()) return;
  auto entry = connections_->enter(peer, late_);
  if (!entry) {
    constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (!tls_) static_cast<void>(::send(socket.native_handle(), kBusyAnswer.data(), kBusyAnswer.size(), kFlags));
    return;
  }
  const auto executor = socket.get_executor();
  net::co_spawn(executor, serve_connection(std::move(socket), tls_, std::move(peer), service_, std::move(entry)),
                [self = shared_from_this()](std::exception_ptr) {});
}

/// What is under way goes on by what it began with.
void Server::Core::reload(const Options& options) {
  auto tls = tls_of(options);
  service_->set_options(options);
  connections_->set_limits(options.limits);
  tls_ = std::move(tls);
  options_.drain_timeout = options.drain_timeout;
}

void Server::Core::drain(std::function<void()> on_end) {
  on_end_ = std::move(on_end);
  service_->drain();
  loading_.request_stop();
  while (auto socket = listener_.accept_now(net::make_strand(io_))) serve(std::move(*socket));
  drain_timer_.expires_after(options_.drain_timeout);
  drain_timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->end();
  });
  // Behind what has been accepted already and waits its turn.
  net::post(io_, [self = shared_from_this()] {
    self->late_ = true;
    detail::with_patience([&self] {
      self->connections_->set_on_empty([weak = self->weak_from_this()] {
        if (const auto core = weak.lock()) net::post(core->io_, [core] { core->end(); });
      });
    });
    if (self->connections_->early() == 0) self->end();
    self->connections_->drain();
  });
}

void Server::Core::end() {
  if (std::exchange(ended_, true)) return;
  listener_.close();
  drain_timer_.cancel();
  retry_timer_.cancel();
  connections_->stop();
  on_end_();
}

Server::Server(net::io_context& io, const Options& options, const ModelOptions& model) {
  core_ = std::make_shared<Core>(io, completed(options), model);
}

Server::~Server() = default;

std::string Server::url() const {
  return core_->listener().url();
}

std::uint16_t Server::port() const {
  return core_->listener().port();
}

void Server::start(std::function<void(std::exception_ptr)> on_loaded) {
  core_->start(std::move(on_loaded));
}

void Server::reload(const Options& options) {
  core_->reload(completed(options));
}

void Server::drain(std::function<void()> on_end) {
  core_->drain(std::move(on_end));
}

}  // namespace stella::server
