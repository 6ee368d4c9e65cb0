// The threads behind the library.
#pragma once

#include "stella/options.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace stella {

struct RuntimeOptions {
  /// Threads that compute, at most 4,096; 0: the processors this process may use (affinity and cgroup quotas). Where
  /// the system gives fewer threads, fewer compute.
  std::size_t compute_threads = 0;
  /// Teams that these threads form. Each computes one batch at a time, on the same weights; threads of several teams
  /// keep to the processors that share a cache. 0: one team up to eight threads, else one for each last level of cache
  /// and NUMA node, of at least four threads. More teams than threads are as many as threads.
  std::size_t compute_teams = 0;
  /// Threads for files, hashing and loading, which may block, at most 4,096; 0: a small default. As above.
  std::size_t file_threads = 0;
  /// Texts, and tokens of them, that may wait to be computed; a request that comes on top ends with
  /// Error(overloaded), but for one that waits alone. Of texts that are not tokenized yet the tokens are estimated. 0:
  /// any number.
  std::size_t max_queued_texts = 0;
  std::size_t max_queued_tokens = 0;
  /// Instruction set of every model loaded on this runtime.
  KernelSet kernels = KernelSet::automatic;
};

/// One hub I/O thread, a pool for files and hashing, and the compute threads. Everything the library does runs here,
/// and nothing on a caller's executor but completions. Thread-safe. Models hold their runtime; the last owner's
/// destructor completes what is pending with Error(shut_down) and joins the threads. It may run anywhere, in handlers
/// and progress callbacks too: on one of the runtime's own threads the joining is left to another one.
///
/// After fork() the threads are the parent's alone: in the child every operation on its models fails at once with
/// Error(invalid_argument), and destroying them does nothing.
class Runtime {
 public:
  /// Throws Error(invalid_argument | unsupported_processor), and Error(resource_limit | out_of_memory) where the
  /// threads cannot be made.
  explicit Runtime(RuntimeOptions options = {});
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  /// The process-wide runtime with default options, made at first use, or once more where that has failed: the only
  /// global object of this library. Joined at exit, whatever still holds it. A forked child gets one of its own.
  static std::shared_ptr<Runtime> shared();

  std::size_t compute_threads() const noexcept;
  KernelSet kernels() const noexcept;  ///< Never automatic.
  /// The kernels with what this processor adds to the set, "avx512-vnni-bf16" for example.
  std::string kernels_name() const;
  /// What models can be asked for here besides automatic.
  std::vector<Precision> precisions() const;

  struct Impl;
  Impl& impl() noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace stella
