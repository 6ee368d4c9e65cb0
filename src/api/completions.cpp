#include "api/completions.hpp"

#include "stella/error.hpp"
#include "stella/handler.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <unistd.h>
#include <utility>

namespace stella::api {
namespace {

/// Calls `submit` until it has the memory that it needs: whoever waits for a completion has nothing else to wait for.
/// When all patience is gone the handler is dropped.
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

Completions::Completions() : process_(::getpid()), handlers_(std::make_unique<HandlerThreads>()) {}

Completions::~Completions() {
  if (is_forked()) static_cast<void>(handlers_.release());  // its threads and its lock are the parent's
}

bool Completions::is_forked() const noexcept {
  return ::getpid() != process_;
}

void Completions::check_process() const {
  if (!is_forked()) return;
  throw Error(
      Errc::invalid_argument,
      "this Runtime was made before fork(), and its threads are in the parent; make a Runtime and load the model "
      "in the child");
}

void Completions::post(const boost::asio::any_completion_executor& executor, const std::shared_ptr<Task>& task) {
  if (executor.target<detail::MarkedExecutor>() == nullptr) {
    return with_patience([&] { executor.execute([task] { task->run(); }); });
  }
  const auto run = [executor, task] { executor.target<detail::MarkedExecutor>()->execute([task] { task->run(); }); };
  if (is_forked()) return std::thread(run).detach();
  with_patience([&] { handlers_->post(run); });
}

}  // namespace stella::api
