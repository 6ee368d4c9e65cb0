// The threads that compute: requests of all callers in, tokens and vectors out.
#pragma once

#include "base/thread_pool.hpp"
#include "base/topology.hpp"
#include "base/unique_function.hpp"
#include "engine/forward_pass.hpp"
#include "engine/job.hpp"
#include "engine/resolved.hpp"
#include "engine/schedule.hpp"
#include "stella/pass_counters.hpp"
#include "stella/request.hpp"

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
#include <unordered_map>
#include <vector>

namespace stella::engine {

struct ComputeOptions {
  std::vector<TeamPlan> teams;      // at least one
  Schedule::Limits queue_limits{};  // of what waits
};

/// Runs requests on one team of threads or several. Texts are tokenized, then computed in packed batches of texts of
/// all waiting requests of one model, as Schedule says; what shares a batch, and what runs between its layers, never
/// changes a vector's bits. Between two products of a bulk pass its team looks for interactive requests and runs them.
///
/// A request whose stop is requested completes at once with Error(cancelled), one whose deadline passes with
/// Error(deadline_exceeded) no later than at the next product: where it waited it is removed; a pass is left between
/// two layers once all its requests are gone. Where a pass fails, for lack of memory say, each of its requests is tried
/// once more without the others. Thread-safe. Completions run on a compute thread, on the thread that requests the
/// stop, or inside the call where there is nothing to wait for.
class Compute {
 public:
  /// Teams are smaller, and fewer, where the system gives no more threads. Throws Error(resource_limit) without one.
  explicit Compute(ComputeOptions options);
  /// One team of `threads`.
  explicit Compute(std::size_t threads);
  Compute(const Compute&) = delete;
  Compute& operator=(const Compute&) = delete;
  /// stop(). Never on a compute thread.
  ~Compute();

  /// `request` has texts or token ids, and memory for the model's heads where it has any. Further errors: overloaded;
  /// invalid_argument, empty_text and text_too_long about token ids; empty_text, text_too_large, invalid_utf8,
  /// text_too_long and malformed_file about texts.
  void embed(EmbedRequest request, Resolved model, const std::stop_token& stop, Completion<EmbedResult> done);
  void tokenize(TokenizeRequest request, Resolved model, const std::stop_token& stop,
                Completion<std::vector<Tokens>> done);

  /// Completes everything that waits, and everything asked for from now on, with Error(shut_down), in the background: a
  /// pass is left at its next layer.
  void shut_down();
  /// shut_down(), then joins. Further calls do nothing.
  void stop();

  std::size_t threads() const noexcept;
  PassCounters counters() const;

 private:
  struct Cancel {
    Compute* compute;
    Job* job;
    void operator()() const;
  };
  struct Entry {
    std::shared_ptr<Job> job;
    std::optional<std::stop_callback<Cancel>> on_stop;  // last, so that it goes first and waits for a running callback
  };
  struct JobText {
    std::shared_ptr<Job> job;
    std::size_t text = 0;
  };
  struct Worker;

  void submit(const std::shared_ptr<Job>& job, Schedule::Request request, const std::stop_token& stop);
  std::exception_ptr publish(std::list<Entry>& node, const Schedule::Request& request);
  void end(Job& job, std::exception_ptr error) noexcept;
  void fail_all(const std::exception_ptr& error) noexcept;
  void drop_finished() noexcept;
  void end_expired();

  void work(Worker& worker);
  bool wait_for_work();
  void wake_another() noexcept;
  void take_turn(Worker& worker);
  void overtake(Worker& worker) noexcept;
  bool tokenize_some(Worker& worker, Urgency urgency);
  void end_tokenizing(const JobText& text, const std::exception_ptr& error);
  std::vector<PassText> pass_of(const std::vector<TextOfRequest>& texts);
  void run_pass(Worker& worker, models::Activations& scratch, std::vector<PassText> batch, bool yields);
  void finish(std::span<const PassText> batch);

  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stopping_{false};  // set under mutex_
  std::atomic<RequestId> last_id_{0};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  Schedule schedule_;
  std::list<Entry> entries_;  // of requests that are not over, and some that are
  std::unordered_map<RequestId, std::list<Entry>::iterator> by_id_;
  PassCounters counters_;
  bool has_finished_ = false;  // a request has ended whose entry may still be there
};

}  // namespace stella::engine
