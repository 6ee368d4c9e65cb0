#include "engine/model_table.hpp"

#include "stella/error.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Id = ModelTable::Id;
using LeaseId = ModelTable::LeaseId;
using Admission = ModelTable::Admission;
using Step = ModelTable::Step;

constexpr TableRules kRules{.memory_limit = 100,
                            .idle_unload = seconds(300),
                            .memory_wait = seconds(30),
                            .max_in_flight = 10,
                            .max_models = 5,
                            .breaker = {.failures = 5, .rest = seconds(60), .successes = 3}};

std::string message_of(const std::exception_ptr& error, Errc expected) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.errc() == expected ? e.what() : std::string("another error: ") + e.what();
  }
  return "no error";
}

template <class Call>
std::string message_of(Call call, Errc expected) {
  try {
    call();
  } catch (...) {
    return message_of(std::current_exception(), expected);
  }
  return "no error";
}

std::exception_ptr failure(Errc code = Errc::malformed_file) {
  return std::make_exception_ptr(Error(code, "model.safetensors is broken"));
}

/// A table with three models, and a clock that only the test moves.
class Table : public testing::Test {
 protected:
  explicit Table(const TableRules& rules = kRules) : table_(rules) {}

  Admission begin(Id id) { return table_.begin(id, true, now_); }
  void end(const Admission& admission, const std::exception_ptr& error = {}) { table_.end(admission, error, now_); }
  Step step() { return table_.step(now_, available_); }
  LeaseId ask(Id id, std::uint64_t peak, std::uint64_t after, std::uint64_t mapped = 0,
              ModelPart part = ModelPart::encoder) {
    return table_.ask(id, part, {peak, after, mapped}, now_);
  }
  /// One request that loads `bytes` and is answered.
  LeaseId load(Id id, std::uint64_t bytes) {
    const Admission request = begin(id);
    const LeaseId lease = ask(id, bytes, bytes);
    EXPECT_THAT(step().granted, ElementsAre(lease));
    table_.settle(lease);
    end(request);
    return lease;
  }
  ModelStatus status(Id id) { return table_.health(now_).models.at(id); }
  ModelState state(Id id) { return status(id).state; }

  ModelTable table_;
  ModelTable::TimePoint now_{};
  std::optional<std::uint64_t> available_{};
  const Id a_ = table_.add("a");
  const Id b_ = table_.add("b");
  const Id c_ = table_.add("c");
};

TEST_F(Table, NamesAreFoundAndTakenOnceAndAreLimited) {
  EXPECT_EQ(table_.find("b"), b_);
  EXPECT_EQ(table_.find("d"), std::nullopt);
  EXPECT_EQ(table_.names(), "a, b, c");
  EXPECT_THAT(message_of([&] { table_.add("b"); }, Errc::already_registered), HasSubstr("'b'"));
  table_.add("d");
  table_.add("e");
  EXPECT_THAT(message_of([&] { table_.add("f"); }, Errc::limit_exceeded), HasSubstr("5 models"));
}

TEST_F(Table, AModelGoesFromAbsentToReadyAndBack) {
  EXPECT_EQ(state(a_), ModelState::absent);
  const Admission request = begin(a_);
  EXPECT_EQ(state(a_), ModelState::loading);
  const LeaseId lease = ask(a_, 70, 50, 5);
  EXPECT_TRUE(table_.is_waiting(lease));
  EXPECT_EQ(table_.memory().used, 0U);
  EXPECT_THAT(step().granted, ElementsAre(lease));
  EXPECT_EQ(state(a_), ModelState::loading);
  EXPECT_EQ(table_.memory().used, 75U);  // the peak
  table_.settle(lease);
  EXPECT_EQ(state(a_), ModelState::ready);
  EXPECT_EQ(table_.memory().used, 55U);
  EXPECT_EQ(table_.memory().private_bytes, 50U);
  EXPECT_EQ(table_.memory().mapped_bytes, 5U);
  EXPECT_EQ(status(a_).private_bytes, 50U);
  end(request);
  table_.unload(a_);
  EXPECT_THAT(step().unload, ElementsAre(a_));
  EXPECT_EQ(state(a_), ModelState::unloading);
  EXPECT_EQ(table_.memory().used, 55U);  // until it has really gone
  EXPECT_FALSE(table_.is_unloaded(a_, lease));
  table_.release(lease);
  EXPECT_EQ(state(a_), ModelState::absent);
  EXPECT_EQ(table_.memory().used, 0U);
  EXPECT_TRUE(table_.is_unloaded(a_, lease));
  EXPECT_EQ(table_.memory().peak, 75U);
}

TEST_F(Table, TheLeastRecentlyUsedIdleModelsGoAsManyAsAreNeeded) {
  const LeaseId a = load(a_, 30);
  const LeaseId b = load(b_, 30);
  load(c_, 30);
  end(begin(a_));  // now b is the one that was used least recently
  const Id d = table_.add("d");
  const Admission request = begin(d);
  const LeaseId lease = ask(d, 60, 60);
  const Step first = step();
  EXPECT_THAT(first.granted, IsEmpty());
  EXPECT_THAT(first.unload, ElementsAre(b_, c_));  // 10 + 30 + 30
  EXPECT_THAT(step().unload, IsEmpty());           // they are on their way
  table_.release(b);
  EXPECT_THAT(step().granted, IsEmpty());
  EXPECT_EQ(state(a_), ModelState::ready);
  table_.release(a + 2);
  EXPECT_THAT(step().granted, ElementsAre(lease));
  EXPECT_EQ(table_.memory().used, 90U);
  EXPECT_EQ(status(b_).counters.evictions, 1U);
  EXPECT_EQ(status(a_).counters.evictions, 0U);
  end(request);
}

TEST_F(Table, ABusyModelIsNotEvictedAndNoneIsWhereThatWouldNotBeEnough) {
  const LeaseId a = load(a_, 60);
  load(b_, 30);
  const Admission busy = begin(a_);
  const Admission waiting = begin(c_);
  const LeaseId lease = ask(c_, 60, 60);
  EXPECT_THAT(step().unload, IsEmpty());  // b's 30 and the 10 that are free are not 60
  end(busy);
  EXPECT_THAT(step().unload, ElementsAre(b_, a_));  // b has been idle longer, and is not enough
  table_.release(a);
  EXPECT_THAT(step().granted, ElementsAre(lease));
  end(waiting);
}

TEST_F(Table, AWaitForBusyModelsIsBounded) {
  load(a_, 60);
  const Admission busy = begin(a_);
  const Admission waiting = begin(b_);
  const LeaseId lease = ask(b_, 60, 60);
  Step first = step();
  EXPECT_THAT(first.refused, IsEmpty());
  ASSERT_TRUE(first.wake);
  EXPECT_EQ(*first.wake, now_ + seconds(30));
  now_ += seconds(30);
  const Step second = step();
  ASSERT_EQ(second.refused.size(), 1U);
  EXPECT_EQ(second.refused[0].first, lease);
  const std::string why = message_of(second.refused[0].second, Errc::overloaded);
  EXPECT_THAT(why, HasSubstr("model 'b' needs 1 KiB of memory to be loaded, but there are 1 KiB of the pool's 1 KiB"));
  EXPECT_THAT(why, HasSubstr("in use for 30 s"));
  end(waiting, second.refused[0].second);
  EXPECT_EQ(status(b_).counters.refused_loads, 1U);
  EXPECT_EQ(status(b_).counters.errors, 1U);
  EXPECT_EQ(status(b_).breaker, BreakerState::closed);
  end(busy);
}

TEST_F(Table, WhatCanNeverFitIsRefusedAtOnceAndNobodyIsEvictedForIt) {
  load(a_, 60);
  const Admission request = begin(b_);
  const std::string why = message_of([&] { ask(b_, 101, 20); }, Errc::out_of_memory);
  EXPECT_THAT(why, HasSubstr("model 'b' needs 1 KiB of memory"));
  EXPECT_THAT(why, HasSubstr("the pool may use 1 KiB"));
  EXPECT_NE(message_of([&] { ask(b_, 100, 20, 1); }, Errc::out_of_memory), "no error");  // mapped files count
  EXPECT_THAT(step().unload, IsEmpty());
  EXPECT_EQ(state(a_), ModelState::ready);
  end(request, failure(Errc::out_of_memory));
}

TEST_F(Table, AHeadStandsBesideItsEncoder) {
  load(a_, 60);
  const Admission request = begin(a_);
  EXPECT_THAT(message_of([&] { ask(a_, 41, 41, 0, ModelPart::head); }, Errc::out_of_memory),
              HasSubstr("a head of model 'a'"));
  const LeaseId head = ask(a_, 40, 40, 0, ModelPart::head);
  EXPECT_THAT(step().granted, ElementsAre(head));
  table_.settle(head);
  EXPECT_EQ(table_.memory().used, 100U);
  EXPECT_EQ(status(a_).counters.loads, 1U);
  end(request);
}

TEST_F(Table, WhatFitsIsGrantedBeforeWhatHasToWait) {
  load(a_, 60);
  const Admission busy = begin(a_);
  const Admission big = begin(b_);
  const LeaseId waiting = ask(b_, 60, 60);
  const LeaseId head = ask(a_, 10, 10, 0, ModelPart::head);  // without which a would stay busy
  EXPECT_EQ(table_.left_waiting(), 0U);
  EXPECT_THAT(step().granted, ElementsAre(head));
  EXPECT_TRUE(table_.is_waiting(waiting));
  EXPECT_EQ(table_.left_waiting(), 1U);
  end(busy);
  end(big);
}

TEST_F(Table, MappedFilesCountOnlyWhereTheRulesSaySo) {
  TableRules rules = kRules;
  rules.count_mapped = false;
  ModelTable table(rules);
  const Id id = table.add("a");
  const LeaseId lease = table.ask(id, ModelPart::encoder, {50, 20, 1000}, now_);
  EXPECT_THAT(table.step(now_, {}).granted, ElementsAre(lease));
  table.settle(lease);
  EXPECT_EQ(table.memory().used, 20U);
  EXPECT_EQ(table.memory().mapped_bytes, 1000U);
}

TEST_F(Table, TheMachineMayHaveLessThanTheBudget) {
  const LeaseId a = load(a_, 50);
  const Admission request = begin(b_);
  available_ = 20;
  const LeaseId lease = ask(b_, 40, 40);
  EXPECT_THAT(step().unload, ElementsAre(a_));  // though the budget had room
  table_.release(a);
  available_ = 70;
  EXPECT_THAT(step().granted, ElementsAre(lease));
  // What a load under way has not taken yet is not there for another.
  const Admission other = begin(c_);
  const LeaseId next = ask(c_, 40, 40);
  EXPECT_THAT(step().granted, IsEmpty());
  available_ = 30;
  table_.settle(lease);
  end(request);
  EXPECT_THAT(step().unload, ElementsAre(b_));
  table_.release(lease);
  const Step last = step();  // still 30, and nobody holds anything that could be given back
  ASSERT_EQ(last.refused.size(), 1U);
  EXPECT_EQ(last.refused[0].first, next);
  EXPECT_THAT(message_of(last.refused[0].second, Errc::out_of_memory), HasSubstr("this machine has only 1 KiB left"));
  end(other);
}

TEST_F(Table, IdleModelsAreUnloadedAfterATime) {
  const LeaseId a = load(a_, 10);
  now_ += seconds(200);
  load(b_, 10);
  EXPECT_EQ(step().wake, now_ + seconds(100));
  now_ += seconds(99);
  EXPECT_THAT(step().unload, IsEmpty());
  now_ += seconds(1);
  const Step due = step();
  EXPECT_THAT(due.unload, ElementsAre(a_));
  EXPECT_EQ(due.wake, now_ + seconds(200));
  table_.release(a);
  const Admission busy = begin(b_);
  now_ += seconds(1000);
  EXPECT_THAT(step().unload, IsEmpty());  // in use all the time
  EXPECT_EQ(step().wake, std::nullopt);
  end(busy);
  EXPECT_EQ(step().wake, now_ + seconds(300));
  EXPECT_EQ(status(a_).counters.idle_unloads, 1U);
}

TEST_F(Table, ATokenizerAloneIsUnloadedToo) {
  table_.end(table_.begin(a_, false, now_), {}, now_);
  EXPECT_EQ(state(a_), ModelState::absent);
  now_ += seconds(300);
  EXPECT_THAT(step().unload, ElementsAre(a_));
  EXPECT_THAT(step().unload, IsEmpty());
}

TEST_F(Table, UnloadingAModelInUseLetsGoAtOnceAndWaitsForItsMemory) {
  const LeaseId old = load(a_, 60);
  const Admission running = begin(a_);
  table_.unload(a_);
  EXPECT_THAT(step().unload, ElementsAre(a_));
  const Admission next = begin(a_);  // loads again, when the memory is there
  const LeaseId again = ask(a_, 60, 60);
  EXPECT_THAT(step().granted, IsEmpty());
  EXPECT_FALSE(table_.is_unloaded(a_, old));
  end(running);
  table_.release(old);
  EXPECT_TRUE(table_.is_unloaded(a_, old));
  EXPECT_THAT(step().granted, ElementsAre(again));
  table_.settle(again);
  end(next);
  EXPECT_THAT(step().unload, IsEmpty());
  EXPECT_EQ(state(a_), ModelState::ready);
  EXPECT_EQ(status(a_).counters.unloads, 1U);
}

TEST_F(Table, UnloadingAModelThatIsBeingLoadedWaitsForTheLoad) {
  const Admission request = begin(a_);
  table_.unload(a_);
  EXPECT_THAT(step().unload, IsEmpty());  // its files are being fetched
  const LeaseId lease = ask(a_, 60, 60);
  EXPECT_THAT(step().unload, IsEmpty());
  EXPECT_FALSE(table_.is_unloaded(a_, lease));
  table_.settle(lease);
  EXPECT_THAT(step().unload, ElementsAre(a_));
  EXPECT_FALSE(table_.is_unloaded(a_, lease));
  end(request);
  table_.release(lease);
  EXPECT_TRUE(table_.is_unloaded(a_, lease));
}

TEST_F(Table, ALoadMayFollowOneThatWasGivenUpAndIsNotOverYet) {
  const Admission request = begin(a_);
  const LeaseId given_up = ask(a_, 60, 60);
  EXPECT_THAT(step().granted, ElementsAre(given_up));
  const LeaseId next = ask(a_, 60, 60);
  available_ = 60;
  const Step waits = step();
  EXPECT_THAT(waits.granted, IsEmpty());
  EXPECT_THAT(waits.refused, IsEmpty());
  table_.release(given_up);
  EXPECT_THAT(step().granted, ElementsAre(next));
  end(request);
}

TEST_F(Table, UnloadingWhatIsNotThereIsOverAtOnce) {
  table_.unload(a_);
  EXPECT_THAT(step().unload, ElementsAre(a_));
  EXPECT_TRUE(table_.is_unloaded(a_, table_.last_lease()));
}

TEST_F(Table, ALoadThatIsGivenUpGivesItsMemoryBack) {
  const Admission request = begin(a_);
  const LeaseId lease = ask(a_, 60, 60);
  step();
  end(request, failure(Errc::cancelled));
  EXPECT_EQ(table_.memory().used, 60U);
  table_.release(lease);
  EXPECT_EQ(table_.memory().used, 0U);
  EXPECT_EQ(status(a_).counters.failed_loads, 1U);
  EXPECT_EQ(status(a_).counters.cancelled, 1U);
}

TEST_F(Table, FailuresOfTheModelOpenItsBreakerAndNobodyElses) {
  for (int i = 0; i < 5; ++i) end(begin(a_), failure());
  const std::string why = message_of([&] { begin(a_); }, Errc::unavailable);
  EXPECT_THAT(why, HasSubstr("model 'a' has failed several times in a row; it is tried again in 60 s"));
  EXPECT_THAT(why, HasSubstr("model.safetensors is broken"));
  EXPECT_EQ(status(a_).breaker, BreakerState::open);
  EXPECT_EQ(status(a_).rest, seconds(60));
  EXPECT_EQ(status(a_).counters.rejected, 1U);
  EXPECT_EQ(status(a_).counters.errors, 5U);
  EXPECT_EQ(status(a_).counters.requests, 6U);
  end(begin(b_));
  now_ += seconds(60);
  EXPECT_EQ(status(a_).breaker, BreakerState::half_open);
  for (int i = 0; i < 3; ++i) end(begin(a_));
  EXPECT_EQ(status(a_).breaker, BreakerState::closed);
  std::vector<PoolEvent::Kind> kinds;
  for (const PoolEvent& event : table_.take_events()) kinds.push_back(event.kind);
  EXPECT_THAT(kinds, ElementsAre(PoolEvent::Kind::opened, PoolEvent::Kind::closed));
}

TEST_F(Table, WhatTheCallerOrTheMachineDidWrongDoesNotCountAgainstTheModel) {
  for (const Errc code :
       {Errc::invalid_argument, Errc::unsupported_dimension, Errc::empty_text, Errc::text_too_long, Errc::invalid_utf8,
        Errc::cancelled, Errc::deadline_exceeded, Errc::overloaded, Errc::out_of_memory, Errc::resource_limit}) {
    for (int i = 0; i < 6; ++i) end(begin(a_), failure(code));
  }
  EXPECT_EQ(status(a_).breaker, BreakerState::closed);
  EXPECT_EQ(status(a_).counters.timeouts, 6U);
  EXPECT_EQ(status(a_).counters.cancelled, 6U);
  EXPECT_EQ(status(a_).counters.errors, 48U);
  // A limit is a text's when the model has been loaded, and a file's before.
  load(b_, 10);
  for (int i = 0; i < 6; ++i) end(begin(b_), failure(Errc::limit_exceeded));
  EXPECT_EQ(status(b_).breaker, BreakerState::closed);
  for (int i = 0; i < 5; ++i) end(begin(c_), failure(Errc::limit_exceeded));
  EXPECT_EQ(status(c_).breaker, BreakerState::open);
}

TEST_F(Table, ErrorsThatAreNotOfThisLibraryCount) {
  for (int i = 0; i < 5; ++i) end(begin(a_), std::make_exception_ptr(std::runtime_error("odd")));
  EXPECT_EQ(status(a_).breaker, BreakerState::open);
  EXPECT_EQ(status(a_).last_failure, "odd");
}

TEST_F(Table, DescribingAModelDoesNotSayThatItWorks) {
  for (int i = 0; i < 5; ++i) {
    end(begin(a_), failure());
    if (i < 4) table_.end(table_.begin(a_, false, now_), {}, now_);
  }
  EXPECT_EQ(status(a_).breaker, BreakerState::open);
}

TEST_F(Table, RequestsAtATimeAreLimited) {
  std::vector<Admission> requests;
  for (int i = 0; i < 10; ++i) requests.push_back(begin(a_));
  EXPECT_THAT(message_of([&] { begin(a_); }, Errc::overloaded), HasSubstr("10 requests wait for model 'a'"));
  end(requests.back());
  EXPECT_EQ(table_.in_flight(), 9U);
  begin(a_);
}

TEST_F(Table, AClosedTableLetsNobodyIn) {
  const Admission request = begin(a_);
  table_.close();
  EXPECT_NE(message_of([&] { begin(a_); }, Errc::shut_down), "no error");
  EXPECT_FALSE(table_.health(now_).accepting);
  EXPECT_EQ(table_.in_flight(), 1U);
  end(request);
  EXPECT_EQ(table_.in_flight(), 0U);
}

TEST(MemoryPressure, HasTheOriginalsLevels) {
  const auto pressure = [](std::uint64_t used) { return PoolMemory{.limit = 100, .used = used}.pressure(); };
  EXPECT_EQ(pressure(0), MemoryPressure::low);
  EXPECT_EQ(pressure(49), MemoryPressure::low);
  EXPECT_EQ(pressure(50), MemoryPressure::moderate);
  EXPECT_EQ(pressure(69), MemoryPressure::moderate);
  EXPECT_EQ(pressure(70), MemoryPressure::high);
  EXPECT_EQ(pressure(84), MemoryPressure::high);
  EXPECT_EQ(pressure(85), MemoryPressure::critical);
  EXPECT_EQ(pressure(100), MemoryPressure::critical);
}

/// Whatever happens in whatever order: never over the budget at any event, no model in use evicted, every lease that
/// asked is granted or refused in bounded time, and in the end all is given back.
TEST_F(Table, HoldsItsPromisesThroughRandomHistories) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    ModelTable table(kRules);
    for (const char* name : {"a", "b", "c", "d"}) table.add(name);
    std::mt19937 random(seed);
    std::vector<Admission> running;
    std::map<LeaseId, Id> loading;
    std::map<LeaseId, Id> loaded;
    std::map<LeaseId, Id> leaving;
    std::map<LeaseId, Id> asked;
    const auto take_step = [&] {
      Step step = table.step(now_, {});
      for (const LeaseId lease : step.granted) loading.insert(asked.extract(lease));
      for (const auto& [lease, error] : step.refused) asked.erase(lease);
      for (const Id id : step.unload) {
        for (auto at = loaded.begin(); at != loaded.end();) {
          const auto here = at++;
          if (here->second == id) leaving.insert(loaded.extract(here));
        }
      }
      for (const PoolEvent& event : table.take_events()) {
        ASSERT_LE(event.memory.used, 100U);
        if (event.kind != PoolEvent::Kind::evicted) continue;
        const Id id = table.find(event.model).value();
        ASSERT_TRUE(std::none_of(running.begin(), running.end(), [id](const auto& one) { return one.model == id; }));
      }
    };
    const auto any = [&random](auto& map) {
      return std::next(map.begin(), static_cast<std::ptrdiff_t>(random() % map.size()));
    };
    for (int i = 0; i < 400; ++i) {
      const Id id = random() % 4;
      switch (random() % 7) {
        case 0:
          if (running.size() < 8) running.push_back(table.begin(id, true, now_));
          break;
        case 1:
          if (!running.empty()) {
            table.end(running.front(), {}, now_);
            running.erase(running.begin());
          }
          break;
        case 2: {
          const std::uint64_t after = random() % 60;
          const LoadNeeds needs{after + random() % 5, after, 0};
          if (asked.size() < 3) asked.emplace(table.ask(id, ModelPart::encoder, needs, now_), id);
          break;
        }
        case 3:
          if (loading.empty()) break;
          if (const auto one = any(loading); random() % 4 == 0) {
            table.release(one->first);
            loading.erase(one);
          } else {
            table.settle(one->first);
            loaded.insert(loading.extract(one));
          }
          break;
        case 4:
          if (leaving.empty()) break;
          table.release(leaving.begin()->first);
          leaving.erase(leaving.begin());
          break;
        case 5:
          if (random() % 10 == 0) table.unload(id);
          break;
        default:
          now_ += seconds(1);
      }
      take_step();
    }
    for (const Admission& one : running) table.end(one, {}, now_);
    running.clear();
    now_ += seconds(30);
    take_step();
    EXPECT_THAT(asked, IsEmpty());
    for (const auto* leases : {&loading, &loaded, &leaving}) {
      for (const auto& [lease, id] : *leases) table.release(lease);
    }
    EXPECT_EQ(table.memory().used, 0U);
    EXPECT_LE(table.memory().peak, 100U);
  }
}

}  // namespace
}  // namespace stella::engine
