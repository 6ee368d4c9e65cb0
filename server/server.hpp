// The HTTP server.
#pragma once

#include "server/options.hpp"
#include "stella/model.hpp"

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

namespace stella::server {

/// Listens from its making on; start() begins to load the model and to answer. Ends with the io_context's run(), which
/// returns once drain() is over. All calls from the thread that runs the io_context, or before it runs.
class Server {
 public:
  /// `model`: how models are fetched and loaded; its revision is the default model's alone. Throws
  /// Error(invalid_argument | io_error): options that contradict each other, an address that cannot be had.
  Server(boost::asio::io_context& io, const Options& options, const ModelOptions& model);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// "http://127.0.0.1:3000"; "unix:/run/stella.sock" of a Unix socket, which has port 0.
  std::string url() const;
  std::uint16_t port() const;
  /// `on_loaded` is told how loading the default model ended, once, on the io_context's thread.
  void start(std::function<void(std::exception_ptr)> on_loaded);
  /// Keys, certificates, limits and defaults for what comes from now on; what is under way goes on as it began. Throws
  /// Error(invalid_argument), and changes nothing then.
  void reload(const Options& options);
  /// Not ready from now on; what was sent before is answered, then connections are closed, at the latest after
  /// --drain-timeout. `on_end` is called once nothing is waited for any more. Once.
  void drain(std::function<void()> on_end);

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace stella::server
