// Runs the server, with the signals that end it or make it read its files again.
#pragma once

#include "cli/options.hpp"
#include "server/server.hpp"
#include "stella/log.hpp"

#include <exception>
#include <functional>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace stella::cli {

/// The library's remarks as JSON lines, in place of the screen's.
void log_as_json(LogLevel least);

/// Until a signal has ended it, or its model cannot be loaded.
class ServeRun {
 public:
  /// `read` makes the server's options, at the start and again on SIGHUP; it throws Failure or Error. `model`: how
  /// models are fetched and loaded.
  ServeRun(std::function<server::Options()> read, const ModelOptions& model)
      : read_(std::move(read)), options_(read_()), server_(io_, options_, model) {}

  void run(Screen& screen);

 private:
  void watch_signals();
  void on_signal();
  void reload();
  void end();
  std::string how_to_try() const;
  void say(const std::string& line) const;

  boost::asio::io_context io_{1};
  boost::asio::posix::stream_descriptor signals_{io_};
  const std::function<server::Options()> read_;
  const server::Options options_;
  server::Server server_;
  bool draining_ = false;
  std::exception_ptr failure_{};
};

}  // namespace stella::cli
