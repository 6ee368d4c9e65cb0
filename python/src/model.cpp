#include "model.hpp"

#include "process.hpp"
#include "stella/error.hpp"

#include <atomic>
#include <malloc.h>
#include <nanobind/ndarray.h>
#include <stdexcept>
#include <utility>

namespace stella::python {
namespace nb = nanobind;
namespace {

HubOptions hub_options(const ModelSettings& settings) {
  HubOptions hub = HubOptions::from_environment();
  if (settings.token) hub.token = *settings.token;
  if (settings.cache_folder) hub.cache_dir = *settings.cache_folder;
  if (settings.local_files_only) hub.offline = true;
  if (hub.ca_file.empty() && hub.ca_dir.empty()) {
    hub.ca_file = settings.ca_file;
    const bool needs_authorities = hub.endpoint.starts_with("https:");
    if (needs_authorities && hub.problem.empty()) hub.problem = settings.ca_problem;
  }
  return hub;
}

std::shared_ptr<Operation> new_operation(std::shared_ptr<Queue> queue) {
  static std::atomic<std::uint64_t> last{0};
  return std::make_shared<Operation>(++last, std::move(queue));
}

/// Completes `operation` with what the library gives back, on whichever thread that is.
template <class T>
auto completing(const std::shared_ptr<Operation>& operation) {
  return on_any_thread([operation](std::exception_ptr error, T value) {
    if constexpr (std::is_same_v<T, EmbedResult>) value.vectors.clear();  // they are in the caller's memory
    operation->complete(std::move(error), std::move(value));
  });
}

OutputRows output_rows(const nb::object& out, std::size_t texts, std::size_t dimension) {
  if (texts == 0) return {};
  const auto array = nb::cast<nb::ndarray<float, nb::ndim<2>, nb::device::cpu>>(out);
  const auto stride = array.stride(0);
  if (array.shape(0) < texts || array.shape(1) != dimension || (array.stride(1) != 1 && dimension > 1) ||
      (stride < static_cast<std::int64_t>(dimension) && texts > 1)) {
    throw std::invalid_argument("out does not have the request's shape");
  }
  OutputRows rows;
  rows.data = array.data();
  rows.rows = texts;
  rows.stride = texts > 1 ? static_cast<std::size_t>(stride) : dimension;
  rows.owner = Process::current().keep(out);
  return rows;
}

}  // namespace

NativeModel::NativeModel(const ModelSettings& settings, std::shared_ptr<Runtime> runtime) {
  ModelOptions options;
  options.revision = settings.revision;
  options.precision = parse_precision(settings.precision);
  options.hub = hub_options(settings);
  options.runtime = std::move(runtime);
  model_ = Model(settings.name, std::move(options));
}

Model NativeModel::handle() const {
  const std::lock_guard lock(mutex_);
  if (!model_) throw Error(Errc::shut_down, "the model has been closed while it was in use");
  return model_;
}

std::shared_ptr<Operation> NativeModel::load(std::shared_ptr<Queue> queue) const {
  auto operation = new_operation(std::move(queue));
  handle().load(operation->stop_token(), completing<ModelDescription>(operation));
  return operation;
}

std::shared_ptr<Operation> NativeModel::describe(std::shared_ptr<Queue> queue) const {
  auto operation = new_operation(std::move(queue));
  handle().describe(operation->stop_token(), completing<ModelDescription>(operation));
  return operation;
}

std::shared_ptr<Operation> NativeModel::embed(std::vector<std::string> texts, const EmbedSettings& settings,
                                              nb::object out, std::shared_ptr<Queue> queue) const {
  EmbedRequest request;
  request.out.push_back(output_rows(out, texts.size(), settings.dimension));
  request.texts = std::move(texts);
  request.any_count = true;
  request.options.task = settings.task.value_or("");
  request.options.prompt = settings.prompt;
  request.options.dimensions = {settings.dimension};
  request.options.normalize = settings.normalize;
  request.options.max_length = settings.max_length;
  request.options.on_long = settings.refuse_long ? OnLong::error : OnLong::truncate;
  if (settings.bulk) request.options.priority = Priority::bulk;
  auto operation = new_operation(std::move(queue));
  handle().embed(std::move(request), operation->stop_token(), completing<EmbedResult>(operation));
  return operation;
}

std::shared_ptr<Operation> NativeModel::tokenize(std::vector<std::string> texts, const EmbedSettings& settings) const {
  TokenizeRequest request;
  request.texts = std::move(texts);
  request.options.task = settings.task.value_or("");
  request.options.prompt = settings.prompt;
  request.options.max_length = settings.max_length;
  auto operation = new_operation(nullptr);
  handle().tokenize(std::move(request), operation->stop_token(), completing<std::vector<Tokens>>(operation));
  return operation;
}

std::string NativeModel::precision() const {
  return to_string(handle().precision().value_or(Precision::automatic));
}

void NativeModel::close() {
  Model closed;
  {
    const std::lock_guard lock(mutex_);
    std::swap(closed, model_);
  }
  if (!closed) return;
  const nb::gil_scoped_release without_lock;
  closed.unload();
  closed = {};
#if defined(__GLIBC__)
  ::malloc_trim(0);  // the allocator would keep what the threads used
#endif
}

void NativeModel::abandon() {
  // What the parent's threads were doing with it stands still here: not even a lock of it may be taken.
  static_cast<void>(new Model(std::move(model_)));
}

}  // namespace stella::python
