// What a connection reads and writes through: a stream, the bytes of it that were not used yet, and time limits.
#pragma once

#include "server/http/stream.hpp"
#include "server/http/time_limit.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include <boost/beast/core/flat_buffer.hpp>

namespace stella::server {

/// On the socket's executor only.
class Channel {
 public:
  Channel(Socket socket, std::shared_ptr<boost::asio::ssl::context> tls)
      : stream_(std::move(socket), std::move(tls)), time_(stream_.socket()) {}

  /// What owns this, once and before anything else.
  void set_owner(std::weak_ptr<void> owner) { owner_ = std::move(owner); }
  Stream& stream() noexcept { return stream_; }

  /// For all that is done until the next call.
  void limit_time(std::chrono::milliseconds limit) { time_.set(limit, owner_); }
  void end_limit() { time_.end(); }

  /// Adds to unread(); timed_out where the limit is over.
  boost::asio::awaitable<boost::system::error_code> read_some();
  /// The same for the first byte of a request, which may be long in coming: memory is taken when it is there.
  boost::asio::awaitable<boost::system::error_code> read_first();
  /// Says that nothing more will be written, and throws away what comes, until an error or stop(). A client that still
  /// sends would not read the answer if the connection were reset.
  template <class Stop>
  boost::asio::awaitable<void> linger(std::chrono::milliseconds limit, Stop stop) {
    limit_time(limit);
    co_await stream_.finish();
    boost::system::error_code error;
    while (!error && !time_.is_over() && !stop()) co_await stream_.discard_some(error);
  }
  std::string_view unread() const { return {static_cast<const char*>(buffer_.data().data()), buffer_.size()}; }
  void consume(std::size_t bytes) { buffer_.consume(bytes); }
  /// Whether there is more to read than nothing.
  bool has_more() { return buffer_.size() != 0 || stream_.has_bytes(); }
  /// Gives memory back where nothing is unread: many connections idle.
  void shrink();

  /// All of `bytes`, of which each 256 KiB may take `limit`. False where the connection is gone.
  boost::asio::awaitable<bool> write(boost::asio::const_buffer bytes, std::chrono::milliseconds limit);

  /// Nothing can be read or written any more.
  bool is_gone() const noexcept { return gone_; }
  void set_gone() noexcept { gone_ = true; }

 private:
  Stream stream_;
  TimeLimit time_;
  std::weak_ptr<void> owner_{};
  boost::beast::flat_buffer buffer_{};
  bool gone_ = false;
};

}  // namespace stella::server
