#include "server/workers.hpp"

#include <future>
#include <new>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

namespace net = boost::asio;

TEST(RunAll, GoesOnBehindWhatThrows) {
  net::io_context io;
  bool ran = false;
  net::post(io, [] { throw std::bad_alloc(); });
  net::post(io, [&ran] { ran = true; });
  run_all(io);
  EXPECT_TRUE(ran);
}

TEST(Workers, OutliveWhatThrows) {
  Workers workers(1);
  std::promise<void> ran;
  net::post(workers.context(), [] { throw std::bad_alloc(); });
  net::post(workers.context(), [&ran] { ran.set_value(); });
  ran.get_future().wait();
}

TEST(Workers, JoinWaitsForWhatWasPosted) {
  Workers workers(1);
  int done = 0;
  for (int i = 0; i < 100; ++i) net::post(workers.context(), [&done] { ++done; });
  workers.join();
  EXPECT_EQ(done, 100);
}

}  // namespace
}  // namespace stella::server
