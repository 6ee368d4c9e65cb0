// The one thread that computes, with its team: texts of all requests in, vectors out.
#pragma once

#include "base/thread_pool.hpp"
#include "base/unique_function.hpp"
#include "engine/resolved.hpp"
#include "models/encoder.hpp"
#include "stella/request.hpp"
#include "tokenizer/tokenizer.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
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
  std::size_t vocab_size = 0;  // of the encoder; a text with a token beyond it is refused
};

/// Runs requests. Texts are tokenized on the team; then packed batches of at most kTokensPerPass tokens are filled with
/// texts of all waiting requests of one model in turn, one text of each at a time, so that a small request does not
/// wait for a large one to end. What shares a batch never changes a vector's bits.
///
/// A request whose stop is requested completes at once with Error(cancelled): where it waited it is removed; a batch is
/// left between two layers once all its requests are gone. Where a batch fails, for lack of memory say, each of its
/// requests is tried once more without the others. Thread-safe. Completions run on the compute thread, or on the thread
/// that requests the stop.
class Compute {
 public:
  /// `threads` compute: the coordinator and its helpers, of which there are fewer where the system gives no more
  /// threads. Throws Error(resource_limit) without a coordinator.
  explicit Compute(std::size_t threads);
  Compute(const Compute&) = delete;
  Compute& operator=(const Compute&) = delete;
  /// stop(). Never on the compute thread.
  ~Compute();

  void submit(TextRequest request, const std::stop_token& stop, Completion<TextResults> done);

  /// Runs `job` on the compute thread between two batches. After shut_down() jobs are dropped.
  void post(UniqueFunction<void(ParallelTeam&)> job);

  /// Completes everything that waits, and everything submitted from now on, with Error(shut_down), in the background: a
  /// batch that is being computed is left at its next layer.
  void shut_down();
  /// shut_down(), then joins. Further calls do nothing.
  void stop();

  std::size_t threads() const noexcept { return team_->size(); }

 private:
  struct Active;
  struct Slot;
  using ActivePtr = std::shared_ptr<Active>;

  void work();
  bool wait_for_work();
  void take_turn();
  void run_jobs();
  void tokenize_some();
  void tokenize_slice(const std::vector<Slot>& slice);
  std::vector<Slot> take_batch();
  void run_batch(const std::vector<Slot>& batch);
  void run_alone(const std::vector<Slot>& batch);
  bool compute(std::span<const Slot> batch);
  static void finish(std::span<const Slot> batch);

  std::unique_ptr<ParallelTeam> team_;  // the compute thread's, as are the next two
  models::Activations scratch_;         //
  std::list<ActivePtr> active_;         //
  std::atomic<bool> stopping_{false};   // set under mutex_
  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<ActivePtr> incoming_;                        // guarded by mutex_
  std::list<UniqueFunction<void(ParallelTeam&)>> jobs_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace stella::engine
