#include "process.hpp"

namespace stella::python {
namespace {

constexpr std::size_t kMaxRemarks = 1000;

std::atomic<Process*>& instance() {
  // Never destroyed: threads of the library may still use it while the process ends.
  static std::atomic<Process*> current{new Process};
  return current;
}

}  // namespace

Process& Process::current() {
  return *instance().load(std::memory_order_acquire);
}

void Process::forked() {
  instance().store(new Process, std::memory_order_release);
}

std::shared_ptr<void> Process::keep(nanobind::object object) {
  {
    const std::lock_guard lock(mutex_);
    dropped_.reserve(++kept_);  // so that dropping cannot fail
  }
  const auto drop = [this](void* dropped) {
    const std::lock_guard lock(mutex_);
    dropped_.push_back(static_cast<PyObject*>(dropped));
    has_dropped_ = true;
  };
  return {static_cast<void*>(object.release().ptr()), drop};
}

void Process::release() {
  if (!has_dropped_.exchange(false)) return;
  std::vector<PyObject*> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped = dropped_;
    kept_ -= dropped_.size();
    dropped_.clear();
  }
  for (PyObject* object : dropped) Py_DECREF(object);
}

void Process::log(int level, std::string line) {
  const std::lock_guard lock(mutex_);
  if (remarks_.size() < kMaxRemarks) remarks_.emplace_back(level, std::move(line));
  has_remarks_ = true;
}

std::vector<std::pair<int, std::string>> Process::take_log() {
  std::vector<std::pair<int, std::string>> taken;
  if (!has_remarks_.exchange(false)) return taken;
  const std::lock_guard lock(mutex_);
  taken.swap(remarks_);
  return taken;
}

}  // namespace stella::python
