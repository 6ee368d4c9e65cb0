// The one thread that computes, with its team: texts of all requests in, vectors out.
#pragma once

#include "base/thread_pool.hpp"
#include "base/unique_function.hpp"
#include "models/encoder.hpp"
#include "stella/options.hpp"
#include "tokenizer/tokenizer.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace stella::engine {

/// Most tokens of one forward pass, but for a single longer text, which goes alone. It bounds the activations and the
/// time for which a pass keeps other requests waiting. A weight panel is read once per pass, so more would gain little:
/// at this many rows the products are bound by arithmetic, not by memory.
inline constexpr std::size_t kTokensPerPass = 2048;

/// A head to apply, or the pooled vector itself where `head` is null.
struct HeadUse {
  std::size_t dimension = 0;
  std::shared_ptr<const models::DenseHead> head;
};

struct TextResults {
  std::vector<tokenizer::Encoding> encodings;  // (texts); of a request without an encoder
  std::vector<Embedding> embeddings;           // (texts); of a request with one
};

/// One caller's request: texts to tokenize and, where there is an encoder, to embed.
struct TextRequest {
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::shared_ptr<const models::Encoder> encoder;  // null: tokenize only
  std::vector<HeadUse> heads;
  std::vector<std::string> texts;
  std::string prompt;
  std::size_t max_length = 0;  // tokens, prompt and special tokens included
  OnLong on_long = OnLong::truncate;
  bool add_special_tokens = true;
  std::optional<tokenizer::TruncationSide> truncation_side{};  // absent: as the tokenizer's file says
  bool normalize = true;
  bool indexed_errors = true;  // "Text at index {i}: …"
};

/// Runs requests. Texts are tokenized on the team; then packed batches of at most kTokensPerPass tokens are filled with
/// texts of all waiting requests of one model in turn, one text of each at a time, so that a small request does not
/// wait for a large one to end. What shares a batch never changes a vector's bits.
///
/// A request whose stop is requested completes at once with Error(cancelled): where it waited it is removed; where a
/// batch with its texts is being computed that batch finishes and its part is dropped. Thread-safe. Completions run on
/// the compute thread, or on the thread that requests the stop.
class Compute {
 public:
  /// `threads` compute: the coordinator and its helpers.
  explicit Compute(std::size_t threads);
  Compute(const Compute&) = delete;
  Compute& operator=(const Compute&) = delete;
  /// shut_down(), then joins. Never on the compute thread.
  ~Compute();

  void submit(TextRequest request, const std::stop_token& stop, Completion<TextResults> done);

  /// Runs `job` on the compute thread between two batches. Jobs must not throw. After shut_down() they are dropped.
  void post(UniqueFunction<void(ParallelTeam&)> job);

  /// Completes everything that waits, and everything submitted from now on, with Error(shut_down). A batch that is
  /// being computed finishes first, in the background.
  void shut_down();

  std::size_t threads() const noexcept { return threads_; }

 private:
  struct Active;
  struct Slot;
  using ActivePtr = std::shared_ptr<Active>;

  void work();
  bool wait_for_work();
  void run_jobs(ParallelTeam& team);
  void tokenize_some(ParallelTeam& team);
  void tokenize_slice(const std::vector<Slot>& slice, ParallelTeam& team);
  std::vector<Slot> take_batch();
  void run_batch(std::vector<Slot>& batch, ParallelTeam& team, models::Activations& scratch);

  const std::size_t threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<ActivePtr> incoming_;                       // guarded by mutex_
  std::deque<UniqueFunction<void(ParallelTeam&)>> jobs_;  // guarded by mutex_
  bool stopping_ = false;                                 // guarded by mutex_
  std::deque<ActivePtr> active_;                          // the compute thread's
  std::thread thread_;
};

}  // namespace stella::engine
