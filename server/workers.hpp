// Threads that outlive what they run.
#pragma once

#include "base/log.hpp"

#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace stella::server {

inline void log_lost(const std::exception& error) noexcept {
  try {
    log(LogLevel::warning, "a request was lost: " + std::string(error.what()));
  } catch (const std::exception&) {  // no memory for that either
  }
}

/// Runs what `io` has to its end. What throws there (for want of memory, for example) loses its own request only.
inline void run_all(boost::asio::io_context& io) {
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {
      log_lost(error);
    }
  }
}

/// Asio's thread_pool would end the program where something throws.
class Workers {
 public:
  /// Throws std::system_error where the system gives none; fewer than were asked for do the work too.
  explicit Workers(std::size_t threads) {
    try {
      for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run_all(io_); });
    } catch (const std::exception&) {
      if (threads_.empty()) throw;
    }
  }
  ~Workers() { join(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  boost::asio::io_context& context() noexcept { return io_; }
  /// When all that was posted has been done.
  void join() noexcept {
    work_.reset();
    threads_.clear();
  }

 private:
  boost::asio::io_context io_{};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::jthread> threads_{};
};

}  // namespace stella::server
