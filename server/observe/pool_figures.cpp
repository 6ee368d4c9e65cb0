#include "server/observe/pool_figures.hpp"

#include "server/observe/prometheus.hpp"

#include <algorithm>
#include <utility>

namespace stella::server {

void HubTransfers::count(const Progress& progress) {
  const std::lock_guard lock(mutex_);
  // What the first call says may have been there before.
  File& file = files_.try_emplace(progress.repo + "/" + progress.file, File{progress.bytes}).first->second;
  if (!progress.from_cache) bytes_ += progress.bytes - std::min(progress.bytes, file.bytes);
  file.bytes = std::max(file.bytes, progress.bytes);
  if (!progress.finished || std::exchange(file.finished, true)) return;
  ++(progress.from_cache ? cached_ : downloaded_);
}

void HubTransfers::append(std::string& out) const {
  const std::lock_guard lock(mutex_);
  append_metric(out, "stella_hub_downloaded_files_total", "counter", static_cast<double>(downloaded_));
  append_metric(out, "stella_hub_downloaded_bytes_total", "counter", static_cast<double>(bytes_));
  append_metric(out, "stella_hub_cached_files_total", "counter", static_cast<double>(cached_));
}

void append_pool(std::string& out, const PoolHealth& health, const std::map<std::string, std::string>& names) {
  const auto each = [&](const char* name, const char* type, auto value) {
    append_type(out, name, type);
    for (const ModelStatus& model : health.models) {
      const auto known = names.find(model.name);
      append_sample(out, name, label("model", known == names.end() ? model.name : known->second),
                    static_cast<double>(value(model)));
    }
  };
  each("stella_model_ready", "gauge",
       [](const ModelStatus& model) { return model.state == ModelState::ready ? 1 : 0; });
  each("stella_model_memory_bytes", "gauge",
       [](const ModelStatus& model) { return model.private_bytes + model.mapped_bytes; });
  each("stella_model_loads_total", "counter", [](const ModelStatus& model) { return model.counters.loads; });
  each("stella_model_failed_loads_total", "counter",
       [](const ModelStatus& model) { return model.counters.failed_loads + model.counters.refused_loads; });
  each("stella_model_evictions_total", "counter", [](const ModelStatus& model) { return model.counters.evictions; });
  append_metric(out, "stella_memory_used_bytes", "gauge", static_cast<double>(health.memory.used));
  append_metric(out, "stella_memory_limit_bytes", "gauge", static_cast<double>(health.memory.limit));
}

}  // namespace stella::server
