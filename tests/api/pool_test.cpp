// Several models in one process: the budget of memory, unloading, the circuit breaker, draining. Real checkpoints, tiny
// ones; the clock is the tests' own, and what must be under way while something else happens is held by gates.
#include "stella/pool.hpp"

#include "api/pool_state.hpp"
#include "engine/test_support.hpp"
#include "stella/sync.hpp"
#include "support.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

namespace fs = std::filesystem;
using engine::test::Gate;
using std::chrono::seconds;
using sync::wait_for;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = PoolEvent::Kind;

constexpr std::uint64_t kPlenty = std::uint64_t{1} << 30U;

/// A callback's result, to be waited for. It may run on any thread.
template <class T>
class Answer {
 public:
  Callback<T> callback() {
    return on_any_thread([promise = promise_](std::exception_ptr error, T value) {
      if (error) {
        promise->set_exception(std::move(error));
      } else {
        promise->set_value(std::move(value));
      }
    });
  }
  bool is_there() const { return future_.wait_for(seconds(0)) == std::future_status::ready; }
  T get() {
    if (future_.wait_for(seconds(60)) != std::future_status::ready) throw std::runtime_error("no answer");
    return future_.get();
  }
  std::exception_ptr error() {
    return caught([this] { get(); });
  }

 private:
  std::shared_ptr<std::promise<T>> promise_ = std::make_shared<std::promise<T>>();
  std::future<T> future_ = promise_->get_future();
};

/// What a pool has told of.
class Events {
 public:
  std::function<void(const PoolEvent&)> observer() {
    return [this](const PoolEvent& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
    };
  }
  std::size_t count(Kind kind, const std::string& model = {}) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(events_.begin(), events_.end(), [&](const PoolEvent& event) {
      return event.kind == kind && (model.empty() || event.model == model);
    }));
  }
  std::vector<PoolEvent> all() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<PoolEvent> events_;
};

/// A clock that only its test moves.
class Clock {
 public:
  explicit Clock(ModelPool& pool) : pool_(pool) { set(); }
  void advance(std::chrono::steady_clock::duration time) {
    *now_ = now_->load() + time;
    set();
  }
  std::chrono::steady_clock::time_point now() const { return now_->load(); }

 private:
  void set() {
    pool_.state().set_machine({.now = [now = now_] { return now->load(); },
                               .available_memory = [] { return std::optional<std::uint64_t>(); }});
  }
  using Now = std::atomic<std::chrono::steady_clock::time_point>;
  std::shared_ptr<Now> now_ = std::make_shared<Now>(std::chrono::steady_clock::time_point(std::chrono::hours(1)));
  ModelPool& pool_;
};

EmbedRequest request(const std::string& text = "What are safetensors?", std::size_t dimension = 256) {
  return request_for(text, "s2p", dimension);
}

std::vector<float> vector_of(const EmbedResult& result) {
  const auto row = result.vectors.front().row(0);
  return {row.begin(), row.end()};
}

std::vector<float> embed(ModelPool& pool, const std::string& name, const std::string& text = "What are safetensors?",
                         std::size_t dimension = 256) {
  return vector_of(
      wait_for<EmbedResult>([&](auto done) { pool.embed(name, request(text, dimension), {}, std::move(done)); }));
}

PoolMemory unload(ModelPool& pool, const std::string& name) {
  return wait_for<PoolMemory>([&](auto done) { pool.unload(name, std::move(done)); });
}

/// The same from a model without a pool.
std::vector<float> plain(const fs::path& checkpoint, const std::string& text = "What are safetensors?",
                         std::size_t dimension = 256) {
  return sync::Model(Model(checkpoint.string())).embed(text, "s2p", dimension);
}

/// One thread computes, so that a gate in a callback on it holds all requests that follow.
std::shared_ptr<Runtime> narrow_runtime() {
  return std::make_shared<Runtime>(RuntimeOptions{.compute_threads = 1});
}

ModelStatus status(const ModelPool& pool, const std::string& name) {
  for (const ModelStatus& one : pool.models()) {
    if (one.name == name) return one;
  }
  throw std::runtime_error("no model " + name);
}

/// Bytes that one of these takes at the most, and when it has been loaded with its head of 256.
struct Size {
  std::uint64_t peak = 0;
  std::uint64_t after = 0;
};
/// A budget in which it can be loaded, but not beside another: of that, loading takes more than 60 %.
std::uint64_t one_at_a_time(const Size& size) {
  return size.peak + size.after / 2;
}

Size size_of(const fs::path& checkpoint) {
  ModelPool pool({.memory_limit = kPlenty});
  pool.add("a", checkpoint.string());
  embed(pool, "a");
  return {pool.memory().peak, pool.memory().used};
}

/// Waits for what another thread does, without a bound of time for the result.
template <class Condition>
void eventually(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

/// A request in flight on a model that is loaded: the thread that computes is held inside of another one's callback.
class Held {
 public:
  Held(ModelPool& pool, const std::string& name) {
    pool.embed(name, request(), {},
               on_any_thread([gate = gate_](const std::exception_ptr&, const EmbedResult&) { gate->pass(); }));
    EXPECT_TRUE(gate_->wait_for_arrivals(1));
    const auto uses = [&] {
      const auto id = pool.state().find(name);
      return pool.state().core(id.value())->model->parts().peek_encoder()->encoder.use_count();
    };
    const long before = uses();
    pool.embed(name, request(), {}, answer_.callback());
    eventually([&] { return uses() > before; });  // it has the model's parts
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { let_go(); }
  void let_go() { gate_->open(); }
  Answer<EmbedResult>& answer() { return answer_; }

 private:
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  Answer<EmbedResult> answer_;
};

TEST(ModelPool, AnswersAsTheModelsDoWithoutIt) {
  ModelPool pool({.memory_limit = kPlenty});
  pool.add("small", kSmall.string());
  pool.add("large", kLarge.string());
  EXPECT_EQ(embed(pool, "small"), plain(kSmall));
  EXPECT_EQ(embed(pool, "large"), plain(kLarge));
  const auto tokens = wait_for<std::vector<Tokens>>(
      [&](auto done) { pool.tokenize("small", {.texts = {"a text"}}, {}, std::move(done)); });
  const auto expected = sync::Model(Model(kSmall.string())).tokenize({.texts = {"a text"}});
  EXPECT_EQ(tokens.at(0).ids, expected.at(0).ids);
  const auto description = wait_for<ModelDescription>([&](auto done) { pool.describe("large", {}, std::move(done)); });
  EXPECT_EQ(description.model_type, "qwen2");
  EXPECT_EQ(pool.counters().requests, 4U);
  EXPECT_EQ(pool.counters().successes, 4U);
  EXPECT_EQ(pool.counters().loads, 2U);
}

/// What was granted is what is there, or a little more, never less.
void expect_about(std::uint64_t granted, std::uint64_t there) {
  EXPECT_GE(granted, there);
  EXPECT_LE(granted, there + there / 10 + 8192);
}

TEST(ModelPool, CountsTheMemoryThatTheModelsTake) {
  ModelPool pool({.memory_limit = kPlenty});
  pool.add("a", kSmall.string());
  const Model model(kSmall.string());
  embed(pool, "a");
  sync::Model(model).embed("text", "s2p", 256);
  const std::uint64_t with_one_head = pool.memory().private_bytes;
  expect_about(with_one_head, model.memory().private_bytes);
  EXPECT_EQ(pool.memory().mapped_bytes, model.memory().mapped_bytes);
  embed(pool, "a", "text", 1024);  // another head
  sync::Model(model).embed("text", "s2p", 1024);
  EXPECT_GT(pool.memory().private_bytes, with_one_head);
  expect_about(pool.memory().private_bytes, model.memory().private_bytes);
  EXPECT_EQ(status(pool, "a").private_bytes, pool.memory().private_bytes);
  EXPECT_GT(model.memory().private_bytes, 0U);
}

TEST(ModelPool, TwoModelsOf60PercentOfTheBudgetAskedInTurnNeverExceedIt) {
  constexpr std::size_t kTurns = 50;
  const Size size = size_of(kSmall);
  const std::uint64_t limit = one_at_a_time(size);
  ASSERT_GT(size.peak, limit / 10 * 6);
  const std::vector<float> expected = plain(kSmall);
  Events events;
  ModelPool pool({.memory_limit = limit, .on_event = events.observer()});
  pool.add("a", kSmall.string());
  pool.add("b", kSmall.string());
  for (std::size_t turn = 0; turn < kTurns; ++turn) {
    ASSERT_EQ(embed(pool, turn % 2 == 0 ? "a" : "b"), expected) << turn;
    ASSERT_LE(pool.memory().used, limit);
  }
  unload(pool, "a");
  EXPECT_EQ(unload(pool, "b").used, 0U);
  std::uint64_t most = 0;
  for (const PoolEvent& event : events.all()) most = std::max(most, event.memory.used);
  EXPECT_LE(most, limit);
  EXPECT_GE(most, size.peak);
  EXPECT_EQ(pool.memory().peak, most);
  EXPECT_EQ(pool.counters().loads, kTurns);
  EXPECT_EQ(pool.counters().evictions, kTurns - 1);
  EXPECT_EQ(pool.counters().errors, 0U);
}

TEST(ModelPool, OneLoadHoweverManyAsk) {
  constexpr std::size_t kThreads = 8;
  ModelPool pool({.memory_limit = kPlenty});
  const auto gate = std::make_shared<Gate>();
  ModelOptions options;
  options.on_load = [gate](double) { gate->pass(); };
  pool.add("a", kSmall.string(), options);
  const std::vector<float> expected = plain(kSmall);
  std::vector<std::future<std::vector<float>>> answers;
  for (std::size_t i = 0; i < kThreads; ++i) {
    answers.push_back(std::async(std::launch::async, [&pool] { return embed(pool, "a"); }));
  }
  eventually([&] { return status(pool, "a").in_flight == kThreads; });
  ASSERT_TRUE(gate->wait_for_arrivals(1));
  EXPECT_EQ(status(pool, "a").state, ModelState::loading);
  gate->open();
  for (auto& answer : answers) EXPECT_EQ(answer.get(), expected);
  EXPECT_EQ(pool.counters().loads, 1U);
  EXPECT_EQ(pool.counters().successes, kThreads);
  EXPECT_EQ(status(pool, "a").in_flight, 0U);
  EXPECT_EQ(status(pool, "a").state, ModelState::ready);
}

TEST(ModelPool, UnloadingAModelInUseLetsItsRequestsFinishAndThenGivesItsMemoryBack) {
  ModelPool pool({.runtime = narrow_runtime(), .memory_limit = kPlenty});
  pool.add("a", kSmall.string());
  embed(pool, "a");
  const std::weak_ptr<const models::Encoder> encoder = pool.state().core(0)->model->parts().peek_encoder()->encoder;
  ASSERT_FALSE(encoder.expired());
  Answer<PoolMemory> unloaded;
  {
    Held held(pool, "a");
    pool.unload("a", unloaded.callback());
    eventually([&] { return status(pool, "a").state == ModelState::unloading; });
    EXPECT_FALSE(encoder.expired());  // the request in flight uses it
    EXPECT_FALSE(unloaded.is_there());
    EXPECT_GT(pool.memory().used, 0U);
    held.let_go();
    EXPECT_EQ(vector_of(held.answer().get()), plain(kSmall));
  }
  EXPECT_EQ(unloaded.get().used, 0U);
  EXPECT_TRUE(encoder.expired());
  EXPECT_EQ(status(pool, "a").state, ModelState::absent);
  EXPECT_EQ(embed(pool, "a"), plain(kSmall));
  EXPECT_EQ(pool.counters().loads, 2U);
}

/// Of this process, in bytes.
std::uint64_t resident_memory() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

TEST(ModelPool, UnloadingGivesMemoryBackToTheSystem) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer keeps what is freed";
#endif
  constexpr std::size_t kModels = 8;
  ModelPool pool({.memory_limit = kPlenty});
  const auto load_all = [&] {
    for (std::size_t i = 0; i < kModels; ++i) embed(pool, std::to_string(i), "text", 8192);
  };
  const auto unload_all = [&] {
    for (std::size_t i = 0; i < kModels; ++i) unload(pool, std::to_string(i));
  };
  for (std::size_t i = 0; i < kModels; ++i) pool.add(std::to_string(i), kDemo.string());
  load_all();  // what threads and the library keep for good is there after the first time
  unload_all();
  const std::uint64_t before = resident_memory();
  load_all();
  const std::uint64_t loaded = resident_memory();
  const std::uint64_t held = pool.memory().private_bytes;
  unload_all();
  const std::uint64_t after = resident_memory();
  ASSERT_GT(held, std::uint64_t{40} << 20U);
  EXPECT_GT(loaded, before + held * 9 / 10);
  EXPECT_LT(after, before + held / 10);
}

TEST(ModelPool, AModelInUseIsNotEvictedAndWhoWaitsForItsMemoryIsToldInTime) {
  const Size size = size_of(kSmall);
  ModelPool pool({.runtime = narrow_runtime(), .memory_limit = one_at_a_time(size), .memory_wait = seconds(30)});
  Clock clock(pool);
  pool.add("a", kSmall.string());
  pool.add("b", kSmall.string());
  const std::vector<float> expected = embed(pool, "a");
  Held held(pool, "a");
  Answer<EmbedResult> other;
  pool.embed("b", request(), {}, other.callback());
  eventually([&] { return pool.state().waiting_loads() == 1; });
  EXPECT_EQ(pool.counters().evictions, 0U);
  clock.advance(seconds(29));
  EXPECT_FALSE(other.is_there());
  clock.advance(seconds(1));
  const std::exception_ptr error = other.error();
  EXPECT_EQ(errc_of(error), Errc::overloaded);
  EXPECT_THAT(describe(error), HasSubstr("model 'b' needs "));
  EXPECT_THAT(describe(error), HasSubstr("in use for 30 s"));
  EXPECT_EQ(status(pool, "a").state, ModelState::ready);
  held.let_go();
  EXPECT_EQ(vector_of(held.answer().get()), expected);
  EXPECT_EQ(embed(pool, "b"), expected);  // now it is idle
  EXPECT_EQ(status(pool, "a").counters.evictions, 1U);
  EXPECT_EQ(status(pool, "b").counters.refused_loads, 1U);
  EXPECT_EQ(status(pool, "b").breaker, BreakerState::closed);
}

TEST(ModelPool, WhoWaitsForMemoryGetsItWhenTheModelInUseIsIdle) {
  const Size size = size_of(kSmall);
  ModelPool pool({.runtime = narrow_runtime(), .memory_limit = one_at_a_time(size)});
  pool.add("a", kSmall.string());
  pool.add("b", kSmall.string());
  const std::vector<float> expected = embed(pool, "a");
  Held held(pool, "a");
  Answer<EmbedResult> other;
  pool.embed("b", request(), {}, other.callback());
  Answer<EmbedResult> cancelled;
  std::stop_source stop;
  pool.embed("b", request(), stop.get_token(), cancelled.callback());
  eventually([&] { return pool.state().waiting_loads() == 1; });
  stop.request_stop();
  EXPECT_EQ(errc_of(cancelled.error()), Errc::cancelled);
  EXPECT_FALSE(other.is_there());
  held.let_go();
  EXPECT_EQ(vector_of(other.get()), expected);
  EXPECT_EQ(vector_of(held.answer().get()), expected);
}

TEST(ModelPool, ALoadThatNobodyWaitsForAnyMoreStopsWaitingForMemory) {
  const Size size = size_of(kSmall);
  ModelPool pool({.runtime = narrow_runtime(), .memory_limit = one_at_a_time(size)});
  pool.add("a", kSmall.string());
  pool.add("b", kSmall.string());
  embed(pool, "a");
  Held held(pool, "a");
  Answer<EmbedResult> other;
  std::stop_source stop;
  pool.embed("b", request(), stop.get_token(), other.callback());
  eventually([&] { return pool.state().waiting_loads() == 1; });
  stop.request_stop();
  EXPECT_EQ(errc_of(other.error()), Errc::cancelled);
  eventually([&] { return pool.state().waiting_loads() == 0; });
  EXPECT_EQ(status(pool, "b").counters.cancelled, 1U);
  held.let_go();
}

TEST(ModelPool, AModelThatCannotFitIsRefusedWithWhatItNeedsAndWhatThereIs) {
  const Size size = size_of(kSmall);
  Events events;
  ModelPool pool({.memory_limit = size.after / 2, .on_event = events.observer()});
  pool.add("a", kSmall.string());
  for (int i = 0; i < 6; ++i) {
    const std::exception_ptr error = caught([&] { embed(pool, "a"); });
    EXPECT_EQ(errc_of(error), Errc::out_of_memory);
    EXPECT_THAT(describe(error), HasSubstr("model 'a' needs "));
    EXPECT_THAT(describe(error), HasSubstr("but the pool may use " + std::to_string((size.after / 2 + 1023) / 1024) +
                                           " KiB (PoolOptions::memory_limit)"));
  }
  EXPECT_EQ(status(pool, "a").breaker, BreakerState::closed);  // not its fault
  EXPECT_EQ(status(pool, "a").counters.refused_loads, 6U);
  EXPECT_EQ(unload(pool, "a").used, 0U);  // of a head, which did fit
}

TEST(ModelPool, ALoadThatTheMachineHasNoMemoryForIsRefused) {
  ModelPool pool({.memory_limit = kPlenty});
  pool.state().set_machine({.now = [] { return std::chrono::steady_clock::now(); },
                            .available_memory = [] { return std::optional<std::uint64_t>(1000); }});
  pool.add("a", kSmall.string());
  const std::exception_ptr error = caught([&] { embed(pool, "a"); });
  EXPECT_EQ(errc_of(error), Errc::out_of_memory);
  EXPECT_THAT(describe(error), HasSubstr("this machine has only 1 KiB left"));
}

TEST(ModelPool, IdleModelsAreUnloaded) {
  Events events;
  ModelPool pool({.memory_limit = kPlenty, .idle_unload = seconds(60), .on_event = events.observer()});
  Clock clock(pool);
  pool.add("a", kSmall.string());
  pool.add("b", kSmall.string());
  embed(pool, "a");
  clock.advance(seconds(59));
  embed(pool, "b");
  clock.advance(seconds(1));
  eventually([&] { return events.count(Kind::released, "a") == 2; });  // encoder and head
  EXPECT_EQ(status(pool, "a").state, ModelState::absent);
  EXPECT_EQ(status(pool, "a").counters.idle_unloads, 1U);
  EXPECT_EQ(status(pool, "b").state, ModelState::ready);
  EXPECT_EQ(embed(pool, "a"), plain(kSmall));
}

void copy_checkpoint(const fs::path& from, const fs::path& to) {
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

TEST(ModelPool, ABreakerKeepsRequestsFromAModelThatFailsUntilItWorksAgain) {
  const TemporaryFolder folder;
  const fs::path checkpoint = folder.path() / "model";
  copy_checkpoint(kSmall, checkpoint);
  std::ofstream(checkpoint / "model.safetensors") << "not a checkpoint";
  Events events;
  ModelPool pool({.memory_limit = kPlenty, .on_event = events.observer()});
  Clock clock(pool);
  pool.add("a", checkpoint.string());
  pool.add("b", kSmall.string());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(status(pool, "a").breaker, BreakerState::closed);
    EXPECT_EQ(errc_of(caught([&] { embed(pool, "a", ""); })), Errc::empty_text);  // the caller's
    EXPECT_EQ(errc_of(caught([&] { embed(pool, "a"); })), Errc::malformed_file);
  }
  copy_checkpoint(kSmall, checkpoint);
  const std::exception_ptr error = caught([&] { embed(pool, "a"); });
  EXPECT_EQ(errc_of(error), Errc::unavailable);
  EXPECT_THAT(describe(error), HasSubstr("tried again in 60 s"));
  EXPECT_THAT(describe(error), HasSubstr("model.safetensors"));
  EXPECT_EQ(embed(pool, "b"), plain(kSmall));
  EXPECT_EQ(status(pool, "a").breaker, BreakerState::open);
  clock.advance(seconds(60));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status(pool, "a").breaker, BreakerState::half_open);
    EXPECT_EQ(embed(pool, "a"), plain(kSmall));
  }
  EXPECT_EQ(status(pool, "a").breaker, BreakerState::closed);
  EXPECT_EQ(status(pool, "a").counters.errors, 10U);
  EXPECT_EQ(status(pool, "a").counters.rejected, 1U);
  unload(pool, "a");
  unload(pool, "b");
  EXPECT_EQ(pool.memory().used, 0U);
  EXPECT_EQ(events.count(Kind::opened, "a"), 1U);
  EXPECT_EQ(events.count(Kind::closed, "a"), 1U);
}

TEST(ModelPool, HealthAndStatusLoadNothing) {
  TestHub hub(kDemo);
  ModelPool pool({.memory_limit = 1000});
  pool.add(hub.repo, hub.options());
  const PoolHealth health = pool.health();
  EXPECT_TRUE(health.accepting);
  EXPECT_EQ(health.pressure, MemoryPressure::low);
  EXPECT_EQ(health.memory.limit, 1000U);
  ASSERT_EQ(health.models.size(), 1U);
  EXPECT_EQ(health.models[0].name, hub.repo);
  EXPECT_EQ(health.models[0].state, ModelState::absent);
  EXPECT_EQ(pool.counters().requests, 0U);
  EXPECT_THAT(hub.server.log(), IsEmpty());
}

TEST(ModelPool, DrainsGracefully) {
  ModelPool pool({.runtime = narrow_runtime(), .memory_limit = kPlenty});
  pool.add("a", kSmall.string());
  const std::vector<float> expected = embed(pool, "a");
  Held held(pool, "a");
  Answer<std::size_t> drained;
  pool.drain(std::chrono::steady_clock::now() + std::chrono::hours(1), drained.callback());
  EXPECT_EQ(errc_of(caught([&] { embed(pool, "a"); })), Errc::shut_down);
  EXPECT_FALSE(pool.health().accepting);
  EXPECT_FALSE(drained.is_there());
  held.let_go();
  EXPECT_EQ(vector_of(held.answer().get()), expected);
  EXPECT_EQ(drained.get(), 0U);
  EXPECT_EQ(pool.memory().used, 0U);
  EXPECT_EQ(status(pool, "a").state, ModelState::absent);
}

TEST(ModelPool, ADrainCutsOffWhatIsLeftAtItsDeadline) {
  ModelPool pool({.runtime = narrow_runtime(), .memory_limit = kPlenty});
  Clock clock(pool);
  pool.add("a", kSmall.string());
  embed(pool, "a");
  Held held(pool, "a");
  eventually([&] { return status(pool, "a").in_flight == 1; });
  Answer<std::size_t> drained;
  pool.drain(clock.now() + seconds(5), drained.callback());
  clock.advance(seconds(4));
  EXPECT_FALSE(held.answer().is_there());
  clock.advance(seconds(1));
  EXPECT_EQ(errc_of(held.answer().error()), Errc::cancelled);
  EXPECT_EQ(drained.get(), 1U);
  held.let_go();
}

TEST(ModelPool, ADrainedPoolIsDrainedAtOnceTheNextTime) {
  ModelPool pool({.memory_limit = kPlenty});
  pool.add("a", kSmall.string());
  embed(pool, "a");
  const auto drain = [&] {
    return wait_for<std::size_t>(
        [&](auto done) { pool.drain(std::chrono::steady_clock::now() + seconds(60), std::move(done)); });
  };
  EXPECT_EQ(drain(), 0U);
  EXPECT_EQ(drain(), 0U);
}

TEST(ModelPool, NamesHaveToBeKnownOrAllowed) {
  ModelPool strict({.memory_limit = kPlenty});
  strict.add("small", kSmall.string());
  const std::exception_ptr error = caught([&] { embed(strict, "large"); });
  EXPECT_EQ(errc_of(error), Errc::invalid_argument);
  EXPECT_THAT(describe(error), HasSubstr("no model 'large' here; there are: small"));
  EXPECT_EQ(errc_of(caught([&] { strict.add("small", kLarge.string()); })), Errc::already_registered);
  EXPECT_EQ(errc_of(caught([&] { strict.add("./nowhere"); })), Errc::invalid_argument);
  std::vector<std::string> asked;
  ModelPool open({.memory_limit = kPlenty, .on_unknown = [&](const std::string& name) -> std::optional<ModelOptions> {
                    asked.push_back(name);
                    if (name != kSmall.string()) return std::nullopt;
                    return ModelOptions{};
                  }});
  EXPECT_EQ(embed(open, kSmall.string()), plain(kSmall));
  embed(open, kSmall.string());
  EXPECT_EQ(errc_of(caught([&] { embed(open, kLarge.string()); })), Errc::invalid_argument);
  EXPECT_THAT(asked, ElementsAre(kSmall.string(), kLarge.string()));
}

TEST(ModelPool, MayGoWithRequestsInFlight) {
  const auto runtime = narrow_runtime();  // it waits for its threads when it goes, and one of them is held
  auto pool = std::make_unique<ModelPool>(PoolOptions{.runtime = runtime, .memory_limit = kPlenty});
  pool->add("a", kSmall.string());
  pool->add("b", kSmall.string());
  embed(*pool, "a");
  Held held(*pool, "a");
  std::vector<Answer<EmbedResult>> answers(20);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    pool->embed(i % 2 == 0 ? "a" : "b", request(), {}, answers[i].callback());
  }
  Answer<PoolMemory> unloaded;
  pool->unload("a", unloaded.callback());
  pool = nullptr;
  for (auto& answer : answers) EXPECT_EQ(errc_of(answer.error()), Errc::cancelled);
  EXPECT_EQ(errc_of(held.answer().error()), Errc::cancelled);
  EXPECT_EQ(errc_of(unloaded.error()), Errc::shut_down);
  held.let_go();
}

TEST(ModelPool, MayGoInACallbackOfItsOwn) {
  const auto destroy_in_callback = [](bool on_its_thread) {
    auto pool = std::make_shared<ModelPool>(PoolOptions{.memory_limit = kPlenty});
    ModelPool& there = *pool;
    there.add("a", kSmall.string());
    embed(there, "a");
    std::promise<void> gone;
    auto callback = [&gone, pool = std::move(pool)](const std::exception_ptr&, PoolMemory) mutable {
      pool = nullptr;
      gone.set_value();
    };
    if (on_its_thread) {
      there.unload("a", on_any_thread(std::move(callback)));
    } else {
      there.unload("a", std::move(callback));
    }
    gone.get_future().get();
  };
  destroy_in_callback(true);
  destroy_in_callback(false);
}

TEST(ModelPool, AnObserverMayThrow) {
  ModelPool pool({.memory_limit = kPlenty, .on_event = [](const PoolEvent&) { throw std::runtime_error("odd"); }});
  pool.add("a", kSmall.string());
  EXPECT_EQ(embed(pool, "a"), plain(kSmall));
  EXPECT_EQ(unload(pool, "a").used, 0U);
}

TEST(ModelPool, ManyThreadsOnModelsThatDoNotAllFit) {
  constexpr int kThreads = 6;
  constexpr int kRounds = 15;
  const Size size = size_of(kSmall);
  const std::uint64_t limit = size.peak + size.after;  // two of four at a time
  Events events;
  ModelPool pool({.memory_limit = limit, .memory_wait = seconds(300), .on_event = events.observer()});
  for (const char* name : {"a", "b", "c", "d"}) pool.add(name, kSmall.string());
  const std::vector<float> expected = plain(kSmall);
  std::vector<std::future<void>> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(std::async(std::launch::async, [&, i] {
      for (int round = 0; round < kRounds; ++round) {
        const std::string name(1, static_cast<char>('a' + (i * 7 + round * 3) % 4));
        EXPECT_EQ(embed(pool, name), expected);
        if (round % 5 == 4) unload(pool, name);
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  for (const char* name : {"a", "b", "c", "d"}) unload(pool, name);
  EXPECT_EQ(pool.memory().used, 0U);
  EXPECT_LE(pool.memory().peak, limit);
  for (const PoolEvent& event : events.all()) ASSERT_LE(event.memory.used, limit);
  EXPECT_EQ(pool.counters().successes, static_cast<std::uint64_t>(kThreads * kRounds));
}

}  // namespace
}  // namespace stella::test
