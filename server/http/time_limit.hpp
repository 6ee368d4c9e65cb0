// How long a socket's operations may take.
#pragma once

#include "server/http/stream.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include <boost/asio/steady_timer.hpp>

namespace stella::server {

/// Cancels what the socket does once the time is over, and leaves it open. (Beast's streams close it, and then no
/// answer can say why.) On the socket's strand only.
class TimeLimit {
 public:
  explicit TimeLimit(Socket& socket) : socket_(socket), timer_(socket.get_executor()) {}

  /// For all that is done until the next call. `owner` owns the socket and this.
  void set(std::chrono::milliseconds limit, std::weak_ptr<void> owner) {
    end();
    timer_.expires_after(limit);
    timer_.async_wait([this, owner = std::move(owner), turn = turn_](const boost::system::error_code& error) {
      const auto alive = owner.lock();
      if (error || !alive || turn_ != turn) return;
      over_ = true;
      boost::system::error_code ignored;
      socket_.cancel(ignored);
    });
  }

  void end() {
    ++turn_;
    over_ = false;
    timer_.cancel();
  }

  bool is_over() const noexcept { return over_; }

 private:
  Socket& socket_;
  boost::asio::steady_timer timer_;
  std::uint64_t turn_ = 0;  ///< Waits of earlier turns no longer count.
  bool over_ = false;
};

}  // namespace stella::server
