#include "base/timer.hpp"

#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace stella {
namespace {

using std::chrono::hours;

TEST(Timer, CallsInTheOrderOfTimeNotBeforeIt) {
  Timer timer;
  const auto now = Timer::Clock::now();
  std::vector<int> called;
  std::promise<Timer::Clock::time_point> last;
  timer.set(now + std::chrono::milliseconds(30), [&] {
    called.push_back(2);
    last.set_value(Timer::Clock::now());
  });
  timer.set(now - hours(1), [&] { called.push_back(0); });
  timer.set(now + std::chrono::milliseconds(1), [&] { called.push_back(1); });
  EXPECT_GE(last.get_future().get(), now + std::chrono::milliseconds(30));
  EXPECT_EQ(called, (std::vector{0, 1, 2}));
}

TEST(Timer, ForgetsWhatIsCancelled) {
  Timer timer;
  bool called = false;
  const auto alarm = timer.set(Timer::Clock::now() + hours(1), [&] { called = true; });
  EXPECT_NE(alarm, 0U);
  timer.cancel(alarm);
  timer.cancel(alarm);
  timer.cancel(0);
  // One that comes after it goes off: the first one's turn would have been before.
  std::promise<void> second;
  timer.set(Timer::Clock::now(), [&] { second.set_value(); });
  second.get_future().get();
  EXPECT_FALSE(called);
}

TEST(Timer, AnAlarmMaySetAndCancelOthers) {
  Timer timer;
  std::promise<void> done;
  const auto never = timer.set(Timer::Clock::now() + hours(1), [] { ADD_FAILURE(); });
  timer.set(Timer::Clock::now(), [&] {
    timer.cancel(never);
    timer.set(Timer::Clock::now(), [&] { done.set_value(); });
  });
  done.get_future().get();
}

TEST(Timer, StopsWithAlarmsThatAreFarOff) {
  Timer timer;
  timer.set(Timer::Clock::now() + hours(1), [] { ADD_FAILURE(); });
  timer.stop();
  timer.set(Timer::Clock::now(), [] { ADD_FAILURE(); });
  timer.stop();
}

}  // namespace
}  // namespace stella
