#include "server/loading.hpp"

#include <cmath>
#include <cstdint>

namespace stella::server {
namespace {

std::string percent(double fraction) {
  return std::to_string(static_cast<int>(std::floor(100 * fraction))) + " %";
}

}  // namespace

void Loading::on_file(const Progress& progress) {
  if (progress.finished || progress.total == 0) return;
  const std::string part = percent(static_cast<double>(progress.bytes) / static_cast<double>(progress.total));
  const std::lock_guard lock(mutex_);
  step_ = part + " of " + progress.file + " is here";
}

void Loading::on_load(double fraction) {
  const std::lock_guard lock(mutex_);
  step_ = percent(fraction) + " of its weights is packed";
}

std::string Loading::text() const {
  const std::lock_guard lock(mutex_);
  return "the model is being loaded" + (step_.empty() ? "" : ": " + step_);
}

}  // namespace stella::server
