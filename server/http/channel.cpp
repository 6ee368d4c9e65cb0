#include "server/http/channel.hpp"

#include <algorithm>

#include <boost/asio/error.hpp>

namespace stella::server {
namespace {

namespace net = boost::asio;
using boost::system::error_code;

constexpr std::size_t kReadBytes = std::size_t{16} << 10U;
constexpr std::size_t kWriteBytes = std::size_t{256} << 10U;

}  // namespace

net::awaitable<error_code> Channel::read_some() {
  error_code error;
  if (time_.is_over()) co_return net::error::timed_out;
  auto space = buffer_.prepare(kReadBytes);
  const std::size_t bytes = co_await stream_.read_some(space, error);
  buffer_.commit(bytes);
  if (error && time_.is_over()) co_return net::error::timed_out;
  co_return error;
}

net::awaitable<error_code> Channel::read_first() {
  error_code error;
  co_await stream_.wait(error);
  if (error) co_return time_.is_over() ? net::error::timed_out : error;
  co_return co_await read_some();
}

void Channel::shrink() {
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
}

net::awaitable<bool> Channel::write(net::const_buffer bytes, std::chrono::milliseconds limit) {
  while (bytes.size() != 0 && !gone_) {
    const net::const_buffer part(bytes.data(), std::min(bytes.size(), kWriteBytes));
    limit_time(limit);
    error_code error;
    co_await stream_.write(part, error);
    bytes += part.size();
    gone_ = error.failed();
  }
  co_return !gone_;
}

}  // namespace stella::server
