#include "api/callbacks.hpp"

#include "base/thread_pool.hpp"
#include "stella/detail/patience.hpp"
#include "stella/error.hpp"

#include <memory>
#include <thread>
#include <unistd.h>
#include <utility>

namespace stella::api {
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
  // When all patience is gone the callback is dropped.
  detail::with_patience([&] { threads_->post([task] { task->run(); }); });
}

}  // namespace stella::api

namespace stella {

void Stopper::request_stop(std::stop_source source) const {
  if (const auto pool = pool_.lock()) pool->post([source = std::move(source)]() mutable { source.request_stop(); });
}

}  // namespace stella
