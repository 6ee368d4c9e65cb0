// What takes time, with limits short enough to wait for: no flag sets them. The rest is in tests/server.
#include "server/server.hpp"

#include "stella/runtime.hpp"

#include <chrono>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

namespace net = boost::asio;
using net::ip::tcp;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

constexpr milliseconds kShort{50};

Options short_options() {
  Options options;
  options.port = 0;
  options.models = {STELLA_TEST_DATA "/checkpoints/stella-small-tiny"};
  return options;
}

ModelOptions model_options() {
  ModelOptions model;
  model.runtime = Runtime::shared();
  return model;
}

/// A server on a thread of its own, drained at the end.
class Running {
 public:
  explicit Running(const Options& options) : server_(io_, options, model_options()) {
    server_.start([](std::exception_ptr) {});
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Running() {
    net::post(io_, [this] { server_.drain([] {}); });
    thread_.join();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  tcp::socket connect() {
    tcp::socket socket(client_);
    socket.connect({net::ip::make_address("127.0.0.1"), server_.port()});
    return socket;
  }

 private:
  net::io_context io_{1};
  Server server_;
  std::thread thread_{};
  net::io_context client_{};
};

/// All that comes until the connection is closed.
std::string read_all(tcp::socket& socket) {
  std::string received;
  boost::system::error_code error;
  net::read(socket, net::dynamic_buffer(received), error);
  return received;
}

void send(tcp::socket& socket, const std::string& text) {
  net::write(socket, net::buffer(text));
}

TEST(ServerLimits, AHeaderThatTakesTooLong) {
  Options options = short_options();
  options.limits.header = kShort;
  Running server(options);
  tcp::socket socket = server.connect();
  send(socket, "GET /ping HTTP/1.1\r\nHost:");
  EXPECT_THAT(read_all(socket), StartsWith("HTTP/1.1 408 "));
}

TEST(ServerLimits, AHeaderThatIsDrippedTakesNoLonger) {
  Options options = short_options();
  options.limits.header = kShort;
  Running server(options);
  tcp::socket socket = server.connect();
  send(socket, "GET /ping HTTP/1.1\r\nHost: ");
  boost::system::error_code error;
  // Far more bytes than the time allows; the server ends it.
  for (int i = 0; i < 10'000 && !error; ++i) {
    net::write(socket, net::buffer("x", 1), error);
    std::this_thread::sleep_for(milliseconds(1));
    if (socket.available() != 0) break;
  }
  EXPECT_THAT(read_all(socket), StartsWith("HTTP/1.1 408 "));
}

TEST(ServerLimits, ABodyThatTakesTooLong) {
  Options options = short_options();
  options.limits.body = kShort;
  Running server(options);
  tcp::socket socket = server.connect();
  send(socket, "POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{");
  EXPECT_THAT(read_all(socket), StartsWith("HTTP/1.1 408 "));
}

TEST(ServerLimits, IdleConnectionsAreClosed) {
  Options options = short_options();
  options.limits.idle = kShort;
  Running server(options);
  tcp::socket socket = server.connect();
  EXPECT_EQ(read_all(socket), "");
  tcp::socket used = server.connect();
  send(used, "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(read_all(used), HasSubstr("connection: keep-alive"));
}

TEST(ServerLimits, AClientThatGoesOnSendingIsLeftAtLast) {
  Options options = short_options();
  options.limits.linger = kShort;
  Running server(options);
  tcp::socket socket = server.connect();
  send(socket, "POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_THAT(read_all(socket), StartsWith("HTTP/1.1 413 "));
  boost::system::error_code error;
  for (int i = 0; i < 10'000 && !error; ++i) {
    net::write(socket, net::buffer("x", 1), error);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE(error);
}

TEST(ServerLimits, AClientThatDoesNotReadHoldsNobodyUp) {
  Options options = short_options();
  options.limits.write = kShort;
  Running server(options);
  tcp::socket socket = server.connect();
  socket.set_option(tcp::socket::receive_buffer_size(4096));
  const std::string head = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  boost::system::error_code error;
  for (int i = 0; i < 1'000'000 && !error; ++i) net::write(socket, net::buffer(head), error);
  EXPECT_TRUE(error);
}

}  // namespace
}  // namespace stella::server
