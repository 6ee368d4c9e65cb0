#include "base/log.hpp"

#include "base/immortal.hpp"

#include <memory>
#include <mutex>
#include <utility>

namespace stella {
namespace {

struct Sink {
  std::mutex mutex;
  std::shared_ptr<const LogSink> sink;  // guarded by mutex; shared so that a call outlives a replacement
};

Sink& current() {
  static Immortal<Sink> sink;
  return *sink;
}

}  // namespace

void set_log_sink(LogSink sink) {
  auto next = sink ? std::make_shared<const LogSink>(std::move(sink)) : nullptr;
  const std::lock_guard lock(current().mutex);
  current().sink = std::move(next);
}

void log(LogLevel level, std::string_view line) {
  std::shared_ptr<const LogSink> sink;
  {
    const std::lock_guard lock(current().mutex);
    sink = current().sink;
  }
  if (!sink) return;
  try {
    (*sink)(level, line);
  } catch (...) {  // NOLINT(bugprone-empty-catch): a remark that cannot be made ends nothing
  }
}

}  // namespace stella
