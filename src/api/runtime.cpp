#include "stella/runtime.hpp"

#include "api/runtime_impl.hpp"
#include "base/immortal.hpp"
#include "base/sha.hpp"
#include "base/thread.hpp"
#include "base/topology.hpp"
#include "base/typed_error.hpp"
#include "stella/error.hpp"
#include "stella/pass_counters.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <list>
#include <mutex>
#include <string>
#include <unistd.h>
#include <utility>

namespace stella {
namespace {

// Packing a model occupies one thread, hashing a large download another; small files go on beside them.
constexpr std::size_t kDefaultFileThreads = 4;
/// Each waits for the files of one part of a model.
constexpr std::size_t kMaxLoadingThreads = 64;
constexpr std::size_t kMaxThreads = 4096;

std::size_t checked_threads(std::size_t wanted, std::size_t otherwise, const char* name) {
  if (wanted <= kMaxThreads) return wanted != 0 ? wanted : otherwise;
  throw Error(Errc::invalid_argument, std::string("RuntimeOptions::") + name + " is " + std::to_string(wanted) +
                                          "; at most " + std::to_string(kMaxThreads) + " are possible");
}

engine::ComputeOptions compute_options(const RuntimeOptions& options) {
  const std::size_t threads = checked_threads(options.compute_threads, usable_processors(), "compute_threads");
  const std::size_t teams = checked_threads(options.compute_teams, 0, "compute_teams");
  return {.teams = plan_teams(threads, teams, processor_groups(allowed_processors())),
          .queue_limits = {.texts = options.max_queued_texts, .tokens = options.max_queued_tokens}};
}

/// Runtimes whose last owner went on one of their own threads, which cannot join itself.
struct Reaper {
  std::mutex mutex;
  std::condition_variable idle;
  std::size_t busy = 0;                              // guarded by mutex, as is the next
  std::list<std::unique_ptr<Runtime::Impl>> kept{};  // that nobody can join: stopped, and reachable for leak checkers
  const pid_t process = ::getpid();

  /// Before the process ends: what a runtime uses of other libraries may be gone after that.
  void wait() {
    constexpr std::chrono::seconds kPatience{5};
    std::unique_lock lock(mutex);
    idle.wait_for(lock, kPatience, [this] { return busy == 0; });
  }
};

Reaper& reaper() {
  static Immortal<Reaper> instance;
  return *instance;
}

void wait_for_reaper() {
  if (reaper().process == ::getpid() && this_thread_kind() != ThreadKind::working) reaper().wait();
}

void keep(std::unique_ptr<Runtime::Impl> impl) {
  std::list<std::unique_ptr<Runtime::Impl>> node;
  node.push_back(std::move(impl));
  const std::lock_guard lock(reaper().mutex);
  reaper().kept.splice(reaper().kept.end(), node);
}

/// Joins on a thread of its own.
void reap(std::unique_ptr<Runtime::Impl> impl) {
  static const int registered = std::atexit(wait_for_reaper);
  static_cast<void>(registered);
  impl->stopping.request_stop();
  impl->compute->shut_down();
  const auto shared = std::make_shared<std::unique_ptr<Runtime::Impl>>(std::move(impl));
  {
    const std::lock_guard lock(reaper().mutex);
    ++reaper().busy;
  }
  const auto done = [] {
    const std::lock_guard lock(reaper().mutex);
    if (--reaper().busy == 0) reaper().idle.notify_all();
  };
  try {
    start_thread("stella-reaper", [shared, done] {
      shared->reset();
      done();
    }).detach();
  } catch (const std::exception&) {
    keep(std::move(*shared));
    done();
  }
}

/// The one of this process. A forked child makes its own, and keeps its parent's where it is.
struct SharedRuntime {
  std::shared_ptr<Runtime> runtime;
  const SharedRuntime* parents;
  pid_t process;
};

struct SharedRuntimes {
  std::atomic<const SharedRuntime*> current{nullptr};
  std::mutex making;
};

SharedRuntimes& shared_runtimes() {
  static Immortal<SharedRuntimes> instance;
  return *instance;
}

const SharedRuntime* current_shared() {
  const SharedRuntime* known = shared_runtimes().current.load(std::memory_order_acquire);
  return known != nullptr && known->process == ::getpid() ? known : nullptr;
}

/// Joined at exit, never destroyed: statics of the program may hold models until after this.
void stop_shared() {
  const SharedRuntime* known = current_shared();
  if (known != nullptr && this_thread_kind() != ThreadKind::working) known->runtime->impl().stop();
}

}  // namespace

Runtime::Impl::Impl(const RuntimeOptions& options)
    : kernels(kernels::select(options.kernels)),
      // Those that must be first, so that with few threads to be had those that may be fewer are.
      callbacks(std::make_shared<api::Callbacks>()),
      signals(std::make_shared<ThreadPool>(1, "stella-signal")),
      loading(std::make_unique<ThreadPool>(1, "stella-loading", kMaxLoadingThreads)),
      compute(std::make_unique<engine::Compute>(compute_options(options))),
      files(std::make_unique<ThreadPool>(checked_threads(options.file_threads, kDefaultFileThreads, "file_threads"),
                                         "stella-files")),
      hub(std::make_shared<api::HubGate>(*files)) {
  callbacks->signals = signals;
}

Runtime::Impl::~Impl() {
  stop();
}

void Runtime::Impl::stop() {
  // In the order in which one hands work to the next, so that nothing is handed to what has gone.
  stopping.request_stop();
  compute->shut_down();
  hub->close();
  loading->stop();
  files->stop();
  compute->stop();
  timer->stop();
  signals->stop();
}

engine::Machine Runtime::Impl::machine() {
  return {.pool = files.get(),
          .loading = loading.get(),
          .compute = compute.get(),
          .kernels = &kernels,
          .timer = timer,
          .shut_down = stopping.get_token()};
}

Runtime::Runtime(RuntimeOptions options) {
  try {
    impl_ = std::make_unique<Impl>(options);
  } catch (...) {
    std::rethrow_exception(typed_error(std::current_exception()));
  }
}

Runtime::~Runtime() {
  if (!impl_) return;
  if (impl_->callbacks->is_forked()) {
    keep(std::move(impl_));  // its threads are the parent's
  } else if (this_thread_kind() == ThreadKind::working) {
    reap(std::move(impl_));
  }
}

std::shared_ptr<Runtime> Runtime::shared() {
  if (const SharedRuntime* known = current_shared()) return known->runtime;
  SharedRuntimes& all = shared_runtimes();
  const std::lock_guard lock(all.making);
  if (const SharedRuntime* known = current_shared()) return known->runtime;
  // Before the next line, so that at exit they are taken down after the runtime has stopped.
  prepare_hashing();
  engine::prepare_loading();
  static const int registered = std::atexit(stop_shared);
  static_cast<void>(registered);
  auto made = std::make_unique<SharedRuntime>(
      SharedRuntime{std::make_shared<Runtime>(), all.current.load(std::memory_order_relaxed), ::getpid()});
  std::shared_ptr<Runtime> runtime = made->runtime;
  all.current.store(made.release(), std::memory_order_release);
  return runtime;
}

PassCounters pass_counters(Runtime& runtime) {
  return runtime.impl().compute->counters();
}

std::size_t Runtime::compute_threads() const noexcept {
  return impl_->compute->threads();
}

KernelSet Runtime::kernels() const noexcept {
  return kernels::kernel_set_of(impl_->kernels);
}

std::string Runtime::kernels_name() const {
  return kernels::name_of(impl_->kernels);
}

std::vector<Precision> Runtime::precisions() const {
  std::vector<Precision> supported;
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
    if (kernels::supports(impl_->kernels, precision)) supported.push_back(precision);
  }
  return supported;
}

}  // namespace stella
