#include "stella/pool.hpp"

#include "api/callbacks.hpp"
#include "api/model_core.hpp"
#include "api/pool_state.hpp"
#include "api/runtime_impl.hpp"
#include "base/cgroup.hpp"
#include "base/immortal.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <list>
#include <mutex>
#include <optional>
#include <sys/resource.h>
#include <utility>

namespace stella {
namespace {

using api::PoolState;

/// One operation on one model, from its admission to its answer.
template <class T>
class PooledRequest {
 public:
  PooledRequest(std::shared_ptr<PoolState> state, Completion<T> done)
      : state_(std::move(state)), done_(std::move(done)) {}

  void begin(PoolState::Id id, bool loads, const std::stop_token& stop) {
    admission_ = state_->begin(id, loads);
    by_caller_.emplace(stop, Stop{source_});
    by_pool_.emplace(state_->cut_off(), Stop{source_});
  }

  std::stop_token token() const { return source_.get_token(); }

  void finish(std::exception_ptr error, T value) {
    if (finished_.exchange(true)) return;
    if (admission_) state_->end(*admission_, error);
    done_(std::move(error), std::move(value));
  }

 private:
  /// May run while its request is being destroyed on the same thread, so it owns what it touches.
  struct Stop {
    std::stop_source source;
    void operator()() const {
      std::stop_source own = source;
      own.request_stop();
    }
  };

  const std::shared_ptr<PoolState> state_;
  std::atomic<bool> finished_{false};
  Completion<T> done_;
  std::optional<PoolState::Admission> admission_{};
  std::stop_source source_;
  std::optional<std::stop_callback<Stop>> by_caller_{};
  std::optional<std::stop_callback<Stop>> by_pool_{};
};

/// Starts an operation on the model that `name` names; whatever goes wrong on the way goes to the callback. `loads`:
/// whether it needs the whole model.
template <class T, class Start>
void start(PoolState& state, Runtime& runtime, const std::string& name, bool loads, const std::stop_token& stop,
           Callback<T> callback, Start start_on) {
  auto done = api::completion_of(std::move(callback), state.callbacks());
  std::shared_ptr<PooledRequest<T>> request;
  try {
    state.callbacks()->check_process();
    const PoolState::Id id = state.find(name, runtime);
    const auto core = state.core(id);
    request = std::make_shared<PooledRequest<T>>(state.shared_from_this(), std::move(done));
    request->begin(id, loads, stop);
    start_on(*core->model, request->token(), Completion<T>([request](std::exception_ptr error, T value) {
      request->finish(std::move(error), std::move(value));
    }));
  } catch (...) {
    if (request) {
      request->finish(std::current_exception(), {});
    } else {
      done(std::current_exception(), {});
    }
  }
}

/// Pools of a forked child: their threads and locks are the parent's. Reachable, for leak checkers.
struct KeptPools {
  std::mutex mutex;
  std::list<std::shared_ptr<PoolState>> pools{};
};

void keep(std::shared_ptr<PoolState> state) {
  static Immortal<KeptPools> kept;
  const std::lock_guard lock(kept->mutex);
  kept->pools.push_back(std::move(state));
}

}  // namespace

std::uint64_t ModelPool::default_memory_limit() {
  std::uint64_t most = usable_memory();
  if (most == 0) most = std::numeric_limits<std::uint64_t>::max();
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
      most = std::min<std::uint64_t>(most, limit.rlim_cur);
    }
  }
  return most / 5 * 4;
}

ModelPool::ModelPool(PoolOptions options) : runtime_(options.runtime ? std::move(options.runtime) : Runtime::shared()) {
  options.runtime = nullptr;
  if (options.memory_limit == 0) options.memory_limit = default_memory_limit();
  runtime_->impl().callbacks->check_process();
  state_ = std::make_shared<PoolState>(options, runtime_->impl().callbacks);
  state_->start_thread();
}

ModelPool::~ModelPool() {
  if (state_->callbacks()->is_forked()) {
    keep(std::move(state_));
  } else {
    state_->shut_down();
  }
}

void ModelPool::add(const std::string& name, const std::string& model, ModelOptions options) {
  state_->callbacks()->check_process();
  state_->add(name, model, std::move(options), *runtime_);
}

void ModelPool::load(std::string name, std::stop_token stop, Callback<ModelDescription> done) {
  start(*state_, *runtime_, name, true, stop, std::move(done),
        [](engine::Model& model, const std::stop_token& token, Completion<ModelDescription> loaded) {
          model.parts().load(
              token, [done = std::move(loaded)](std::exception_ptr error, const engine::LoadedParts& parts) mutable {
                if (error) return done(std::move(error), {});
                done(nullptr, api::to_description(*parts.checkpoint, parts.encoder->choice));
              });
        });
}

void ModelPool::embed(std::string name, EmbedRequest request, std::stop_token stop, Callback<EmbedResult> done) {
  start(*state_, *runtime_, name, true, stop, std::move(done),
        [&request](engine::Model& model, const std::stop_token& token, Completion<EmbedResult> embedded) {
          model.embed(std::move(request), token, std::move(embedded));
        });
}

void ModelPool::tokenize(std::string name, TokenizeRequest request, std::stop_token stop,
                         Callback<std::vector<Tokens>> done) {
  start(*state_, *runtime_, name, false, stop, std::move(done),
        [&request](engine::Model& model, const std::stop_token& token, Completion<std::vector<Tokens>> tokenized) {
          model.tokenize(std::move(request), token, std::move(tokenized));
        });
}

void ModelPool::decode(std::string name, DecodeRequest request, std::stop_token stop,
                       Callback<std::vector<std::string>> done) {
  start(*state_, *runtime_, name, false, stop, std::move(done),
        [&request](engine::Model& model, const std::stop_token& token, Completion<std::vector<std::string>> decoded) {
          model.decode(std::move(request), token, std::move(decoded));
        });
}

void ModelPool::describe(std::string name, std::stop_token stop, Callback<ModelDescription> done) {
  start(*state_, *runtime_, name, false, stop, std::move(done),
        [](engine::Model& model, const std::stop_token& token, Completion<ModelDescription> described) {
          model.parts().describe(
              token, [done = std::move(described)](std::exception_ptr error, engine::Description found) mutable {
                if (error) return done(std::move(error), {});
                done(nullptr, api::to_description(*found.checkpoint, std::move(found.choice)));
              });
        });
}

void ModelPool::unload(std::string name, Callback<PoolMemory> callback) {
  auto done = api::completion_of(std::move(callback), state_->callbacks());
  try {
    const auto state = state_;  // the callback may destroy the pool before this returns
    state->callbacks()->check_process();
    const PoolState::Id id = state->find(name, *runtime_);
    state->unload(id, std::move(done));
  } catch (...) {
    done(std::current_exception(), {});
  }
}

void ModelPool::drain(std::chrono::steady_clock::time_point deadline, Callback<std::size_t> callback) {
  auto done = api::completion_of(std::move(callback), state_->callbacks());
  try {
    const auto state = state_;  // the callback may destroy the pool before this returns
    state->callbacks()->check_process();
    state->drain(deadline, std::move(done));
  } catch (...) {
    done(std::current_exception(), {});
  }
}

std::vector<ModelStatus> ModelPool::models() const {
  return health().models;
}

PoolHealth ModelPool::health() const {
  state_->callbacks()->check_process();
  return state_->health();
}

PoolCounters ModelPool::counters() const {
  state_->callbacks()->check_process();
  return state_->counters();
}

PoolMemory ModelPool::memory() const {
  state_->callbacks()->check_process();
  return state_->memory();
}

}  // namespace stella
