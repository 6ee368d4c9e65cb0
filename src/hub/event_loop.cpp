#include "hub/event_loop.hpp"

#include "hub/http.hpp"

#include <algorithm>
#include <csignal>
#include <new>

namespace stella::hub {
namespace {

// libcurl's global state is made once and kept: it cannot be told apart from other users' in one process.
CURLM* make_multi() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) throw std::bad_alloc();
  // HTTP/2 would put all ranges on one connection, where they share one congestion window.
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 64L);
  return multi;
}

}  // namespace

EventLoop::EventLoop() : multi_(make_multi(), &curl_multi_cleanup) {}

EventLoop::~EventLoop() = default;

void EventLoop::post(UniqueFunction<void()> task) {
  // The loop is woken under the lock: once it has seen the task it may end, and take the handle with it.
  const std::lock_guard lock(mutex_);
  posted_.push_back(std::move(task));
  if (posted_.size() == 1) curl_multi_wakeup(multi_.get());
}

EventLoop::TimerId EventLoop::after(std::chrono::milliseconds delay, UniqueFunction<void()> task) {
  const TimerId id{Clock::now() + delay, next_timer_++};
  timers_.emplace(id, std::move(task));
  return id;
}

void EventLoop::cancel(const TimerId& timer) {
  timers_.erase(timer);
}

void EventLoop::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  curl_multi_wakeup(multi_.get());
}

void EventLoop::run_posted() {
  std::vector<UniqueFunction<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) {
    task();
    task = {};
  }
}

void EventLoop::run_timers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
}

void EventLoop::finish_exchanges() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    HttpExchange* exchange = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
    exchange->finish(message->data.result);
  }
}

int EventLoop::poll_timeout() const {
  if (timers_.empty()) return 60'000;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, 60'000));
}

void EventLoop::run(FunctionRef<bool()> idle) {
  // OpenSSL writes to sockets that the peer may have closed; libcurl ignores the signal only where it may change the
  // whole process's handlers.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  while (true) {
    run_posted();
    run_timers();
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    finish_exchanges();
    bool waiting = false;
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      waiting = posted_.empty();
      stopping = stopping_;
    }
    if (stopping && waiting && idle()) {
      multi_.reset();  // closes idle connections, here where SIGPIPE is blocked
      return;
    }
    curl_multi_poll(multi_.get(), nullptr, 0, waiting ? poll_timeout() : 0, nullptr);
  }
}

}  // namespace stella::hub
