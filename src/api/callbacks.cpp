#include "api/callbacks.hpp"

#include "base/thread_pool.hpp"
#include "stella/error.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <unistd.h>
#include <utility>

namespace stella::api {
namespace {

/// Calls `submit` until it has the memory that it needs: whoever waits for a callback has nothing else to wait for.
/// When all patience is gone the callback is dropped.
template <class Submit>
void with_patience(Submit submit) {
  constexpr int kTries = 1000;
  for (int i = 1;; ++i) {
    try {
      return submit();
    } catch (const std::bad_alloc&) {
      if (i == kTries) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

}  // namespace

Callbacks::Callbacks() : process_(::getpid()), threads_(std::make_unique<CallbackThreads>()) {}

Callbacks::~Callbacks() {
  if (is_forked()) static_cast<void>(threads_.release());  // its threads and its lock are the parent's
}

bool Callbacks::is_forked() const noexcept {
  return ::getpid() != process_;
}

void Callbacks::check_process() const {
  if (!is_forked()) return;
  throw Error(
      Errc::invalid_argument,
      "this Runtime was made before fork(), and its threads are in the parent; make a Runtime and load the model "
      "in the child");
}

void Callbacks::post(const std::shared_ptr<Task>& task) {
  if (is_forked()) return std::thread([task] { task->run(); }).detach();
  with_patience([&] { threads_->post([task] { task->run(); }); });
}

}  // namespace stella::api

namespace stella {

void Stopper::request_stop(std::stop_source source) const {
  if (const auto pool = pool_.lock()) pool->post([source = std::move(source)]() mutable { source.request_stop(); });
}

}  // namespace stella
