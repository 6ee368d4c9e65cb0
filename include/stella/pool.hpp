// Several models in one process, within one budget of memory.
#pragma once

#include "stella/callback.hpp"
#include "stella/model.hpp"
#include "stella/pool_status.hpp"
#include "stella/request.hpp"
#include "stella/types.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella {

namespace api {
class PoolState;
}

struct PoolOptions {
  std::shared_ptr<Runtime> runtime{};  ///< Of all models; empty: Runtime::shared().
  /// Bytes that weights may take, loads under way included; 0: default_memory_limit(). What requests compute with is
  /// not in it.
  std::uint64_t memory_limit = 0;
  const char* memory_limit_name = "PoolOptions::memory_limit";  ///< What messages call it: a flag of a program's.
  /// Whether mapped files count too. The kernel can drop them, so that they endanger nobody; but then every pass reads
  /// them from the disk.
  bool count_mapped = true;
  std::chrono::milliseconds idle_unload = std::chrono::minutes(5);  ///< Without a request; 0: never.
  /// For how long a load waits for memory that models in use hold.
  std::chrono::milliseconds memory_wait = std::chrono::seconds(30);
  std::size_t max_in_flight = 10'000;  ///< Requests of one model without an answer; more are Error(overloaded).
  std::size_t max_models = 256;        ///< Names that may be known.
  std::uint32_t breaker_failures = 5;  ///< In a row, that open a model's circuit breaker.
  std::chrono::milliseconds breaker_rest = std::chrono::minutes(1);  ///< For which it stays open.
  std::uint32_t breaker_successes = 3;                               ///< That close it again.
  /// Asked for the options of a name that was not added, which becomes known; nothing refuses it. Empty: all are
  /// refused. Called inside the call that names the model.
  std::function<std::optional<ModelOptions>(const std::string& name)> on_unknown{};
  /// Told of every change, in order, on a thread of the pool: it must not block for long.
  std::function<void(const PoolEvent&)> on_event{};
};

/// Models by name. Each is loaded when a request first needs it, once however many ask, and only after its memory has
/// been reserved: the budget is never exceeded. To make room, models without requests are let go of, the one used least
/// recently first; so are those that nobody has asked for in a while.
///
/// A load that could not fit even alone fails with Error(out_of_memory), and so does one that the machine lacks the
/// memory for when all other models have gone. One that has to wait for models in use does so for
/// PoolOptions::memory_wait and fails with Error(overloaded) then. Both messages say what is needed and what there is.
///
/// A model that fails 5 times in a row, other than by wrong input, cancellation or want of memory, rests: its requests
/// fail with Error(unavailable) for a minute; then 3 successes are what it takes to be trusted again.
///
/// Operations are those of Model, with a name before them; an unknown one fails with Error(invalid_argument).
/// Thread-safe. The destructor ends all requests with Error(cancelled).
class ModelPool {
 public:
  /// 80 % of the memory that this process may use, by its machine, its control groups and its own limits (ulimit).
  static std::uint64_t default_memory_limit();

  /// Throws Error(resource_limit | out_of_memory).
  explicit ModelPool(PoolOptions options = {});
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;
  ~ModelPool();

  /// Makes a model known; nothing is fetched or read yet. `model` as for Model's constructor; the runtime is the
  /// pool's. Throws Error(already_registered | limit_exceeded), and what Model's constructor throws.
  void add(const std::string& name, const std::string& model, ModelOptions options = {});
  void add(const std::string& model, ModelOptions options = {}) { add(model, model, std::move(options)); }

  void load(std::string name, std::stop_token stop, Callback<ModelDescription> done);
  void embed(std::string name, EmbedRequest request, std::stop_token stop, Callback<EmbedResult> done);
  void tokenize(std::string name, TokenizeRequest request, std::stop_token stop, Callback<std::vector<Tokens>> done);
  void decode(std::string name, DecodeRequest request, std::stop_token stop, Callback<std::vector<std::string>> done);
  void describe(std::string name, std::stop_token stop, Callback<ModelDescription> done);

  /// Lets go of a model. Requests that run are finished; `done` is called when what they used has been given back, with
  /// the pool's memory then. The next request loads the model again.
  void unload(std::string name, Callback<PoolMemory> done);

  // What can be said at once. None of it loads anything. Throw Error(invalid_argument) in a forked child.
  std::vector<ModelStatus> models() const;
  PoolHealth health() const;
  PoolCounters counters() const;  ///< Of all models together.
  PoolMemory memory() const;

  /// Takes no more requests, which then fail with Error(shut_down), lets those finish that run, cancels at `deadline`
  /// what is left, lets go of all models and calls `done` with the number of requests that were cut off. For good.
  void drain(std::chrono::steady_clock::time_point deadline, Callback<std::size_t> done);

  api::PoolState& state() noexcept { return *state_; }  ///< For this library and its tests.

 private:
  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<api::PoolState> state_;
};

}  // namespace stella
