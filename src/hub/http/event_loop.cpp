#include "hub/http/event_loop.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <new>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace stella::hub {
namespace {

/// While it lives nothing new comes to lie on a standard stream that the program has closed.
class StandardStreams {
 public:
  StandardStreams() {
    for (std::size_t i = 0; i < held_.size(); ++i) {
      const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      if (fd < 0) return;
      if (fd > STDERR_FILENO) {
        ::close(fd);
        return;
      }
      held_[i] = fd;
    }
  }
  StandardStreams(const StandardStreams&) = delete;
  StandardStreams& operator=(const StandardStreams&) = delete;
  ~StandardStreams() {
    for (const int fd : held_) {
      if (fd >= 0) ::close(fd);
    }
  }

 private:
  std::array<int, 3> held_{-1, -1, -1};
};

// libcurl's global state is made once and kept: it cannot be told apart from other users' in one process.
CURLM* make_multi() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const StandardStreams streams;
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) throw std::bad_alloc();
  // HTTP/2 would put all ranges on one connection, where they share one congestion window.
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 64L);
  return multi;
}

}  // namespace

EventLoop::EventLoop() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), multi_(nullptr, &curl_multi_cleanup) {
  if (!wake_) {
    throw Error(Errc::resource_limit, "cannot make an eventfd (" + std::generic_category().message(errno) +
                                          "); raise the limit on open files (ulimit -n)");
  }
  multi_.reset(make_multi());
}

EventLoop::~EventLoop() = default;

void EventLoop::wake() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_.get(), &one, sizeof(one)));  // fails only where it is as full as can be
}

void EventLoop::post(UniqueFunction<void()> task) {
  Tasks tasks;
  tasks.push_back(std::move(task));
  post(std::move(tasks));
}

void EventLoop::post(Tasks tasks) noexcept {
  // The loop is woken under the lock: once it has seen the task it may end, and take the handle with it.
  const std::lock_guard lock(mutex_);
  const bool first = posted_.empty();
  posted_.splice(posted_.end(), tasks);
  if (first) wake();
}

EventLoop::TimerId EventLoop::after(std::chrono::milliseconds delay, UniqueFunction<void()> task) {
  const TimerId id{Clock::now() + delay, next_timer_++};
  timers_.emplace(id, std::move(task));
  return id;
}

void EventLoop::cancel(const TimerId& timer) {
  timers_.erase(timer);
}

void EventLoop::stop() noexcept {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  wake();
}

void EventLoop::run_posted(Failed failed) {
  Tasks tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (; !tasks.empty(); tasks.pop_front()) {
    try {
      tasks.front()();
    } catch (...) {
      failed(std::current_exception());
    }
  }
}

void EventLoop::run_timers(Failed failed) {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    try {
      task();
    } catch (...) {
      failed(std::current_exception());
    }
  }
}

void EventLoop::finish_handles(Failed failed) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CurlUser* user = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
    try {
      user->finish(message->data.result);
    } catch (...) {
      failed(std::current_exception());
    }
  }
}

void EventLoop::wait(int timeout) {
  curl_waitfd woken{};
  woken.fd = wake_.get();
  woken.events = CURL_WAIT_POLLIN;
  curl_multi_poll(multi_.get(), &woken, 1, timeout, nullptr);
  std::uint64_t count = 0;
  static_cast<void>(::read(wake_.get(), &count, sizeof(count)));
}

int EventLoop::poll_timeout() const {
  if (timers_.empty()) return 60'000;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, 60'000));
}

void EventLoop::run(FunctionRef<bool()> idle, Failed failed) {
  // OpenSSL writes to sockets that the peer may have closed; libcurl ignores the signal only where it may change the
  // whole process's handlers.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  while (true) {
    run_posted(failed);
    run_timers(failed);
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    finish_handles(failed);
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
    wait(waiting ? poll_timeout() : 0);
  }
}

}  // namespace stella::hub
