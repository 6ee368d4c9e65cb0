// stella_cpp._core: the few functions over stella::Model that the package's Python is made of. Nothing here is public.
#include "model.hpp"
#include "operation.hpp"
#include "process.hpp"
#include "stella/error.hpp"
#include "stella/log.hpp"
#include "stella/pass_counters.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace nb::literals;

namespace stella::python {
namespace {

/// How Python holds what native threads own too. As an argument a std::shared_ptr<T> would be nanobind's: its last
/// release takes the interpreter's lock, on whichever thread.
template <class T>
struct Held {
  std::shared_ptr<T> value;
};
using HeldQueue = Held<Queue>;
using HeldRuntime = Held<Runtime>;

std::shared_ptr<Queue> queue_of(const HeldQueue* held) {
  return held != nullptr ? held->value : nullptr;
}

/// The Errc's name.
const char* name_of(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::unsupported_dimension:
      return "unsupported_dimension";
    case Errc::empty_text:
      return "empty_text";
    case Errc::empty_batch:
      return "empty_batch";
    case Errc::batch_too_large:
      return "batch_too_large";
    case Errc::text_too_large:
      return "text_too_large";
    case Errc::text_too_long:
      return "text_too_long";
    case Errc::invalid_utf8:
      return "invalid_utf8";
    case Errc::already_registered:
      return "already_registered";
    case Errc::malformed_file:
      return "malformed_file";
    case Errc::missing_tensor:
      return "missing_tensor";
    case Errc::unsupported_model:
      return "unsupported_model";
    case Errc::io_error:
      return "io_error";
    case Errc::out_of_memory:
      return "out_of_memory";
    case Errc::unsupported_processor:
      return "unsupported_processor";
    case Errc::cancelled:
      return "cancelled";
    case Errc::shut_down:
      return "shut_down";
    case Errc::repository_not_found:
      return "repository_not_found";
    case Errc::gated_repo:
      return "gated_repo";
    case Errc::revision_not_found:
      return "revision_not_found";
    case Errc::entry_not_found:
      return "entry_not_found";
    case Errc::local_entry_not_found:
      return "local_entry_not_found";
    case Errc::http_error:
      return "http_error";
    case Errc::file_metadata:
      return "file_metadata";
    case Errc::hub_unreachable:
      return "hub_unreachable";
    case Errc::offline:
      return "offline";
    case Errc::integrity:
      return "integrity";
    case Errc::resource_limit:
      return "resource_limit";
    case Errc::limit_exceeded:
      return "limit_exceeded";
    case Errc::overloaded:
      return "overloaded";
    case Errc::deadline_exceeded:
      return "deadline_exceeded";
    case Errc::unavailable:
      return "unavailable";
  }
  return "unknown";
}

/// Bytes that are not UTF-8, from a file's name for example, become what Python makes of them there.
nb::object text_of(const std::string& bytes) {
  return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape"));
}

/// (code, message, context) as the arguments of a NativeError.
void raise_native_error(const std::exception_ptr& exception, void* type) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    const ErrorContext& from = error.context();
    nb::dict context;
    const auto put = [&](const char* name, const std::string& value) {
      if (!value.empty()) context[name] = text_of(value);
    };
    put("file", from.file);
    put("tensor", from.tensor);
    put("url", from.url);
    put("request_id", from.request_id);
    put("cause", from.cause);
    if (from.http_status != 0) context["http_status"] = from.http_status;
    const nb::object arguments = nb::make_tuple(name_of(error.errc()), text_of(error.what()), context);
    PyErr_SetObject(static_cast<PyObject*>(type), arguments.ptr());
  }
}

/// Copies, so that nothing of Python is needed while the request runs. Raises UnicodeEncodeError for a str that is not
/// Unicode text.
std::vector<std::string> texts_of(const nb::list& list, std::size_t begin, std::size_t end) {
  std::vector<std::string> texts;
  texts.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    // Not the cached form: it would stay with the caller's strings.
    const nb::object bytes = nb::steal(PyUnicode_AsUTF8String(nb::object(list[i]).ptr()));
    if (!bytes.is_valid()) throw nb::python_error();
    char* data = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(bytes.ptr(), &data, &size) != 0) throw nb::python_error();
    texts.emplace_back(data, static_cast<std::size_t>(size));
  }
  return texts;
}

template <class T>
nb::bytes raw(const std::vector<T>& values) {
  return nb::bytes(static_cast<const void*>(values.data()), values.size() * sizeof(T));
}

nb::dict to_python(const ModelDescription& description) {
  nb::dict made;
  made["dimensions"] = nb::tuple(nb::cast(description.dimensions));
  made["default_dimension"] = description.default_dimension;
  made["hidden"] = description.hidden;
  made["default_max_length"] = description.default_max_length;
  made["max_length_limit"] = description.max_length_limit;
  made["prompts"] = nb::cast(description.prompts);
  made["default_task"] = description.default_task;
  made["model_type"] = description.model_type;
  made["commit"] = description.commit;
  made["directory"] = text_of(description.directory.string());
  return made;
}

/// (tokens, full tokens, truncated) of the texts as uint32 and bool bytes, and where the time went.
nb::tuple to_python(const EmbedResult& result) {
  std::vector<std::uint32_t> tokens;
  std::vector<std::uint32_t> full;
  std::vector<char> truncated;
  for (const TokenCount& text : result.texts) {
    tokens.push_back(static_cast<std::uint32_t>(text.tokens));
    full.push_back(static_cast<std::uint32_t>(text.full_tokens));
    truncated.push_back(text.truncated ? 1 : 0);
  }
  nb::dict stats;
  stats["passes"] = result.stats.passes;
  stats["tokens"] = result.stats.tokens;
  stats["computing_ns"] = result.stats.computing.count();
  return nb::make_tuple(raw(tokens), raw(full), raw(truncated), stats);
}

nb::list to_python(const std::vector<Tokens>& texts) {
  nb::list made;
  for (const Tokens& text : texts) made.append(raw(text.ids));
  return made;
}

nb::object result_of(Operation& operation) {
  Value value = operation.take();
  Process::current().release();
  return std::visit(
      [](const auto& got) -> nb::object {
        if constexpr (std::is_same_v<std::decay_t<decltype(got)>, std::monostate>) {
          return nb::none();
        } else {
          return to_python(got);
        }
      },
      value);
}

bool wait_for(Operation& operation, double seconds) {
  Process& process = Process::current();
  if (process.is_closed()) throw Error(Errc::shut_down, "the interpreter is about to end; nothing can be waited for");
  const Process::Waiting counted;
  const nb::gil_scoped_release without_lock;
  return operation.wait(std::chrono::duration<double>(seconds));
}

void cancel(Operation& operation) {
  const nb::gil_scoped_release without_lock;
  operation.cancel();
}

EmbedSettings embed_settings(std::optional<std::string> task, std::optional<std::string> prompt,
                             std::optional<std::size_t> max_length) {
  EmbedSettings settings;
  settings.task = std::move(task);
  settings.prompt = std::move(prompt);
  settings.max_length = max_length;
  return settings;
}

void bind_model(nb::module_& module) {
  nb::class_<NativeModel>(module, "Model")
      .def(
          "__init__",
          [](NativeModel* self, const HeldRuntime& runtime, std::string name, std::string revision,
             std::string precision, std::optional<std::string> token, std::optional<std::string> cache_folder,
             bool local_files_only, std::string ca_file, std::string ca_problem) {
            new (self) NativeModel({.name = std::move(name),
                                    .revision = std::move(revision),
                                    .precision = std::move(precision),
                                    .token = std::move(token),
                                    .cache_folder = std::move(cache_folder),
                                    .local_files_only = local_files_only,
                                    .ca_file = std::move(ca_file),
                                    .ca_problem = std::move(ca_problem)},
                                   runtime.value);
          },
          "runtime"_a, nb::kw_only(), "name"_a, "revision"_a, "precision"_a, "token"_a.none(), "cache_folder"_a.none(),
          "local_files_only"_a, "ca_file"_a, "ca_problem"_a)
      .def(
          "load", [](const NativeModel& self, const HeldQueue* queue) { return self.load(queue_of(queue)); },
          "queue"_a.none())
      .def(
          "describe", [](const NativeModel& self, const HeldQueue* queue) { return self.describe(queue_of(queue)); },
          "queue"_a.none())
      .def(
          "embed",
          [](const NativeModel& self, const nb::list& texts, std::size_t begin, std::size_t end, nb::object out,
             std::size_t dimension, std::optional<std::string> task, std::optional<std::string> prompt, bool normalize,
             std::optional<std::size_t> max_length, bool refuse_long, bool bulk, const HeldQueue* queue) {
            EmbedSettings settings = embed_settings(std::move(task), std::move(prompt), max_length);
            settings.dimension = dimension;
            settings.normalize = normalize;
            settings.refuse_long = refuse_long;
            settings.bulk = bulk;
            Process::current().release();
            return self.embed(texts_of(texts, begin, end), settings, std::move(out), queue_of(queue));
          },
          "texts"_a, "begin"_a, "end"_a, "out"_a, "dimension"_a, "task"_a.none(), "prompt"_a.none(), "normalize"_a,
          "max_length"_a.none(), "refuse_long"_a, "bulk"_a, "queue"_a.none())
      .def(
          "tokenize",
          [](const NativeModel& self, const nb::list& texts, std::optional<std::string> task,
             std::optional<std::string> prompt, std::optional<std::size_t> max_length) {
            return self.tokenize(texts_of(texts, 0, texts.size()),
                                 embed_settings(std::move(task), std::move(prompt), max_length));
          },
          "texts"_a, "task"_a.none(), "prompt"_a.none(), "max_length"_a.none())
      .def("embedding_dimension", &NativeModel::embedding_dimension, "wanted"_a.none())
      .def("supports_task", &NativeModel::supports_task, "task"_a)
      .def("close", &NativeModel::close)
      .def("abandon", &NativeModel::abandon)
      .def_prop_ro("precision", &NativeModel::precision)
      .def_prop_ro("is_loaded", &NativeModel::is_loaded);
}

void bind_operations(nb::module_& module) {
  nb::class_<Operation>(module, "Operation")
      .def_prop_ro("id", &Operation::id)
      .def("wait", &wait_for, "seconds"_a)
      .def("cancel", &cancel)
      .def("result", &result_of);
  nb::class_<HeldQueue>(module, "Queue")
      .def("__init__", [](HeldQueue* self) { new (self) HeldQueue{std::make_shared<Queue>()}; })
      .def_prop_ro("fd", [](const HeldQueue& self) { return self.value->fd(); })
      .def("take", [](const HeldQueue& self) { return self.value->take(); });
}

void bind_process(nb::module_& module) {
  nb::class_<HeldRuntime>(module, "Runtime", nb::is_weak_referenceable())
      .def(
          "__init__",
          [](HeldRuntime* self, std::size_t threads) {
            RuntimeOptions options;
            options.compute_threads = threads;
            const nb::gil_scoped_release without_lock;
            new (self) HeldRuntime{std::make_shared<Runtime>(options)};
          },
          "threads"_a)
      .def_prop_ro("threads", [](const HeldRuntime& self) { return self.value->compute_threads(); })
      .def_prop_ro("passes", [](const HeldRuntime& self) { return pass_counters(*self.value).passes; })
      .def_prop_ro("kernels", [](const HeldRuntime& self) { return self.value->kernels_name(); });
  module.def("forked", &Process::forked);
  // What a forked child has of its parent's may be half written: it is never looked at again, not even to destroy it.
  module.def("leak", [](nb::object object) { static_cast<void>(object.release()); });
  module.def("release", [] { Process::current().release(); });
  module.def("take_log", [] { return Process::current().take_log(); });
  module.def("waiting", [] { return Process::current().waiting(); });
  module.def("close", [] { Process::current().close(); });
}

void send_remarks_to_python() {
  set_log_sink([](LogLevel level, std::string_view line) {
    constexpr int kStep = 10;  // logging.DEBUG, INFO, WARNING, ERROR
    Process::current().log(kStep * (static_cast<int>(level) + 1), std::string(line));
  });
}

}  // namespace
}  // namespace stella::python

NB_MODULE(_core, module) {
  using namespace stella::python;
  nb::set_leak_warnings(false);  // nothing of ours goes to stderr
  nb::object error = nb::steal(PyErr_NewException("stella_cpp._core.NativeError", PyExc_Exception, nullptr));
  module.attr("NativeError") = error;
  nb::register_exception_translator(raise_native_error, error.release().ptr());  // for as long as the process lives
  bind_process(module);
  bind_operations(module);
  bind_model(module);
  send_remarks_to_python();
}
