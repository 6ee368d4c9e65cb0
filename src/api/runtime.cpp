#include "stella/runtime.hpp"

#include "api/runtime_impl.hpp"

namespace stella {
namespace {

// Packing a model occupies one thread, hashing a large download another; small files go on beside them.
constexpr std::size_t kDefaultFileThreads = 4;

}  // namespace

Runtime::Impl::Impl(const RuntimeOptions& options)
    : kernels(kernels::select(options.kernels)),
      signals(std::make_shared<ThreadPool>(1, "stella-signal")),
      compute(std::make_unique<engine::Compute>(options.compute_threads != 0 ? options.compute_threads
                                                                             : usable_processors())),
      files(std::make_unique<ThreadPool>(options.file_threads != 0 ? options.file_threads : kDefaultFileThreads,
                                         "stella-files")),
      hub(std::make_shared<api::HubGate>(*files)) {}

Runtime::Impl::~Impl() {
  // In the order in which one hands work to the next, so that nothing is handed to what has gone.
  stopping.request_stop();
  compute->shut_down();
  hub->close();
  files.reset();
  compute.reset();
  signals.reset();
}

engine::Machine Runtime::Impl::machine() {
  return {.pool = files.get(), .compute = compute.get(), .kernels = &kernels, .shut_down = stopping.get_token()};
}

Runtime::Runtime(RuntimeOptions options) : impl_(std::make_unique<Impl>(options)) {}

Runtime::~Runtime() = default;

std::shared_ptr<Runtime> Runtime::shared() {
  static const std::shared_ptr<Runtime> runtime = std::make_shared<Runtime>();
  return runtime;
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
