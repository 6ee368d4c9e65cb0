#include "operation.hpp"

#include "stella/error.hpp"

#include <cerrno>
#include <sys/eventfd.h>
#include <unistd.h>

namespace stella::python {
namespace {

int make_eventfd() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd >= 0) return fd;
  throw Error(Errc::resource_limit, "cannot make an eventfd (" + std::generic_category().message(errno) +
                                        "); raise the limit on open files (ulimit -n)");
}

}  // namespace

Queue::Queue() : fd_(make_eventfd()) {}

Queue::~Queue() {
  ::close(fd_);
}

void Queue::expect() {
  const std::lock_guard lock(mutex_);
  finished_.reserve(expected_ + 1);
  ++expected_;
}

void Queue::push(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  finished_.push_back(id);
  const std::uint64_t one = 1;
  if (finished_.size() == 1) static_cast<void>(::write(fd_, &one, sizeof(one)));
}

std::vector<std::uint64_t> Queue::take() {
  std::vector<std::uint64_t> taken;
  const std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  static_cast<void>(::read(fd_, &count, sizeof(count)));
  taken = finished_;  // a copy: the room is for those that are still to come
  expected_ -= finished_.size();
  finished_.clear();
  return taken;
}

void Operation::complete(std::exception_ptr error, Value value) noexcept {
  std::shared_ptr<Queue> queue;
  {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
    value_ = std::move(value);
    done_ = true;
    queue = std::move(queue_);
    changed_.notify_all();
  }
  if (queue) queue->push(id_);
}

bool Operation::wait(std::chrono::duration<double> patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return done_; });
}

Value Operation::take() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return std::exchange(value_, {});
}

}  // namespace stella::python
