// stella.h: options, runtimes, models and what is known of them.
#include "api/c_boundary.hpp"
#include "api/c_handles.hpp"
#include "stella/hub.hpp"
#include "stella/sync.hpp"

#include <limits>
#include <memory>
#include <utility>

namespace c = stella::c_api;
using c::cleared;
using c::guarded;
using c::required;

namespace {

void set_text(stella_options& options, int32_t option, const std::string& value) {
  switch (option) {
    case STELLA_OPTION_REVISION:
      options.model.revision = value;
      return;
    case STELLA_OPTION_PRECISION:
      options.model.precision = stella::parse_precision(value);
      return;
    case STELLA_OPTION_TOKEN:
      options.token = value;
      return;
    case STELLA_OPTION_ENDPOINT:
      options.endpoint = value;
      return;
    case STELLA_OPTION_HOME:
      options.home = value;
      return;
    case STELLA_OPTION_PACKED_DIRECTORY:
      options.model.packed_weights.directory = value;
      return;
    case STELLA_OPTION_KERNELS:
      options.runtime.kernels = stella::parse_kernel_set(value);
      options.has_runtime = true;
      return;
    default:
      c::refuse("option is " + std::to_string(option) + ", which is none that takes a text");
  }
}

void set_number(stella_options& options, int32_t option, std::uint64_t value) {
  switch (option) {
    case STELLA_OPTION_OFFLINE:
      options.offline = c::to_bool(value, "STELLA_OPTION_OFFLINE");
      return;
    case STELLA_OPTION_KEEP_PACKED:
      options.model.packed_weights.keep = c::to_bool(value, "STELLA_OPTION_KEEP_PACKED");
      return;
    case STELLA_OPTION_SMALL_MODEL_BYTES:
      options.model.packed_weights.small_model_bytes = value;
      return;
    case STELLA_OPTION_THREADS:
      options.runtime.compute_threads = value;
      break;
    case STELLA_OPTION_TEAMS:
      options.runtime.compute_teams = value;
      break;
    case STELLA_OPTION_MAX_QUEUED_TEXTS:
      options.runtime.max_queued_texts = value;
      break;
    case STELLA_OPTION_MAX_QUEUED_TOKENS:
      options.runtime.max_queued_tokens = value;
      break;
    default:
      c::refuse("option is " + std::to_string(option) + ", which is none that takes a number");
  }
  options.has_runtime = true;
}

stella::ModelOptions model_options(const stella_options& options) {
  stella::ModelOptions made = options.model;
  stella::HubOptions hub = stella::HubOptions::from_environment();
  if (options.token) hub.token = *options.token;
  if (options.endpoint) {
    hub.endpoint = *options.endpoint;
    while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  }
  if (options.home) {
    hub.home = *options.home;
    hub.cache_dir = hub.home / "hub";
  }
  if (options.offline) hub.offline = *options.offline;
  made.hub = std::move(hub);
  return made;
}

}  // namespace

stella_status stella_options_new(stella_options** options, stella_error** error) {
  return guarded(error, [&] {
    stella_options*& result =
        cleared(options, "options");  // first: what is assigned is made before what it is assigned to
    result = new stella_options;
  });
}

stella_status stella_options_set_text(stella_options* options, int32_t option, const char* value,
                                      stella_error** error) {
  return guarded(error, [&] { set_text(required(options, "options"), option, &required(value, "value")); });
}

stella_status stella_options_set_number(stella_options* options, int32_t option, uint64_t value, stella_error** error) {
  return guarded(error, [&] { set_number(required(options, "options"), option, value); });
}

stella_status stella_options_set_progress(stella_options* options, stella_progress_callback callback, void* user,
                                          stella_error** error) {
  return guarded(error, [&] {
    stella::ProgressCallback& progress = required(options, "options").model.on_progress;
    if (callback == nullptr) {
      progress = {};
    } else {
      progress = [=](const stella::Progress& state) { callback(user, state.file.c_str(), state.bytes, state.total); };
    }
  });
}

void stella_options_free(stella_options* options) {
  delete options;
}

stella_status stella_runtime_new(const stella_options* options, stella_runtime** runtime, stella_error** error) {
  return guarded(error, [&] {
    stella_runtime*& result = cleared(runtime, "runtime");
    auto made = std::make_shared<stella::Runtime>(options != nullptr ? options->runtime : stella::RuntimeOptions());
    std::string kernels = made->kernels_name();
    result = new stella_runtime{std::move(made), std::move(kernels)};
  });
}

size_t stella_runtime_threads(const stella_runtime* runtime) {
  return runtime == nullptr ? 0 : runtime->runtime->compute_threads();
}

const char* stella_runtime_kernels(const stella_runtime* runtime) {
  return runtime == nullptr ? "" : runtime->kernels.c_str();
}

void stella_runtime_free(stella_runtime* runtime) {
  delete runtime;
}

stella_status stella_model_new(const char* name, const stella_options* options, stella_runtime* runtime,
                               stella_model** model, stella_error** error) {
  return guarded(error, [&] {
    stella_model*& result = cleared(model, "model");
    const std::string named = &required(name, "name");
    const stella_options defaults;
    const stella_options& given = options != nullptr ? *options : defaults;
    stella::ModelOptions made = model_options(given);
    if (runtime != nullptr) {
      made.runtime = runtime->runtime;
    } else if (given.has_runtime) {
      made.runtime = std::make_shared<stella::Runtime>(given.runtime);
    }
    result = new stella_model{stella::Model(named, std::move(made))};
  });
}

void stella_model_free(stella_model* model) {
  delete model;
}

stella_status stella_model_load(const stella_model* model, const stella_cancel* cancel, stella_error** error) {
  return guarded(error, [&] {
    const stella::Model& of = required(model, "model").model;
    stella::sync::wait_for<stella::ModelDescription>([&](auto done) { of.load(c::token_of(cancel), std::move(done)); });
  });
}

stella_status stella_model_unload(const stella_model* model, stella_error** error) {
  return guarded(error, [&] { required(model, "model").model.unload(); });
}

stella_status stella_model_memory(const stella_model* model, uint64_t* private_bytes, uint64_t* mapped_bytes,
                                  stella_error** error) {
  return guarded(error, [&] {
    uint64_t& own = cleared(private_bytes, "private_bytes");
    uint64_t& mapped = cleared(mapped_bytes, "mapped_bytes");
    const stella::MemoryUse use = required(model, "model").model.memory();
    own = use.private_bytes;
    mapped = use.mapped_bytes;
  });
}

stella_status stella_model_describe(const stella_model* model, const stella_cancel* cancel,
                                    stella_description** description, stella_error** error) {
  return guarded(error, [&] {
    stella_description*& result = cleared(description, "description");
    auto made = std::make_unique<stella_description>(
        stella_description{stella::sync::Model(required(model, "model").model).describe(c::token_of(cancel))});
    if (made->value.precision) made->precision = to_string(*made->value.precision);
    made->directory = made->value.directory.string();
    made->prompts.assign(made->value.prompts.begin(), made->value.prompts.end());
    result = made.release();
  });
}

stella_status stella_description_text(const stella_description* description, int32_t field, const char** value,
                                      stella_error** error) {
  return guarded(error, [&] {
    const char*& result = cleared(value, "value");
    const stella_description& of = required(description, "description");
    switch (field) {
      case STELLA_DESCRIPTION_TYPE:
        result = of.value.model_type.c_str();
        return;
      case STELLA_DESCRIPTION_DEFAULT_TASK:
        result = of.value.default_task.c_str();
        return;
      case STELLA_DESCRIPTION_DIRECTORY:
        result = of.directory.c_str();
        return;
      case STELLA_DESCRIPTION_COMMIT:
        result = of.value.commit.c_str();
        return;
      case STELLA_DESCRIPTION_PRECISION:
        result = of.precision.c_str();
        return;
      case STELLA_DESCRIPTION_PRECISION_REASON:
        result = of.value.precision_reason.c_str();
        return;
      default:
        c::refuse("field is " + std::to_string(field) + ", which is none that is a text");
    }
  });
}

stella_status stella_description_number(const stella_description* description, int32_t field, uint64_t* value,
                                        stella_error** error) {
  return guarded(error, [&] {
    uint64_t& result = cleared(value, "value");
    const stella_description& of = required(description, "description");
    switch (field) {
      case STELLA_DESCRIPTION_HIDDEN:
        result = of.value.hidden;
        return;
      case STELLA_DESCRIPTION_LAYERS:
        result = of.value.layers;
        return;
      case STELLA_DESCRIPTION_MAX_LENGTH:
        result = of.value.default_max_length;
        return;
      case STELLA_DESCRIPTION_MAX_LENGTH_LIMIT:
        result = of.value.max_length_limit;
        return;
      case STELLA_DESCRIPTION_DEFAULT_DIMENSION:
        result = of.value.default_dimension;
        return;
      case STELLA_DESCRIPTION_PROMPTS:
        result = of.prompts.size();
        return;
      default:
        c::refuse("field is " + std::to_string(field) + ", which is none that is a number");
    }
  });
}

stella_status stella_description_dimensions(const stella_description* description, const size_t** dimensions,
                                            size_t* count, stella_error** error) {
  return guarded(error, [&] {
    const size_t*& first = cleared(dimensions, "dimensions");
    size_t& size = cleared(count, "count");
    const std::vector<size_t>& of = required(description, "description").value.dimensions;
    first = of.data();
    size = of.size();
  });
}

stella_status stella_description_prompt(const stella_description* description, size_t index, const char** task,
                                        const char** prompt, stella_error** error) {
  return guarded(error, [&] {
    const char*& name = cleared(task, "task");
    const char*& text = cleared(prompt, "prompt");
    const auto& of = required(description, "description").prompts;
    c::check_index(index, of.size(), "index");
    name = of[index].first.c_str();
    text = of[index].second.c_str();
  });
}

void stella_description_free(stella_description* description) {
  delete description;
}
