// What the extension keeps for this process beside its models: remarks for Python's logging, references to Python
// objects that a native thread has let go of, and who waits. No native thread ever takes the interpreter's lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <nanobind/nanobind.h>
#include <string>
#include <utility>
#include <vector>

namespace stella::python {

/// Thread-safe. A forked child gets a new one; its parent's, whose lock may be held by a thread that is not there, is
/// never touched again.
class Process {
 public:
  static Process& current();
  /// In a forked child, before anything else.
  static void forked();

  /// A reference that any thread may drop: the object is released by the next call of release().
  std::shared_ptr<void> keep(nanobind::object object);
  /// Releases what was dropped. With the interpreter's lock held.
  void release();

  void log(int level, std::string line);
  /// (Python's level, line) of the remarks since the last call; those beyond a thousand were dropped.
  std::vector<std::pair<int, std::string>> take_log();

  /// Counts the threads of Python that are inside a wait without the interpreter's lock.
  class Waiting {
   public:
    Waiting() noexcept { ++current().waiting_; }
    ~Waiting() { --current().waiting_; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
  };
  std::size_t waiting() const noexcept { return waiting_; }

  /// From now on nobody may wait: the interpreter is about to end.
  void close() noexcept { closed_ = true; }
  bool is_closed() const noexcept { return closed_; }

 private:
  std::mutex mutex_;
  std::vector<PyObject*> dropped_;  // guarded by mutex_, as are the next two
  std::vector<std::pair<int, std::string>> remarks_;
  std::size_t kept_ = 0;
  std::atomic<bool> has_dropped_{false};
  std::atomic<bool> has_remarks_{false};
  std::atomic<std::size_t> waiting_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace stella::python
