// Who may go when, and on which thread: no order of destruction, no handler and no exception in a callback may end the
// program, and handlers keep out of the library's threads.
#include "api/runtime_impl.hpp"
#include "base/thread.hpp"
#include "stella/sync.hpp"
#include "support.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

namespace asio = boost::asio;
using asio::use_future;

constexpr int kRounds = 60;

/// Runs what it is given on the spot, whatever thread that is, and knows no property that says so.
struct InlineExecutor {
  template <class Function>
  void execute(Function&& function) const {
    std::decay_t<Function> own(std::forward<Function>(function));
    own();
  }
  friend bool operator==(InlineExecutor, InlineExecutor) noexcept { return true; }
  friend bool operator!=(InlineExecutor, InlineExecutor) noexcept { return false; }
};

/// The kind of the thread on which the handler of an embedding runs where it is bound to `executor`.
template <class Executor>
ThreadKind kind_with(StellaEmbeddingModel& model, Executor executor) {
  std::promise<ThreadKind> kind;
  model.embed("text", "none", 256, asio::bind_executor(executor, [&](const std::exception_ptr& error, const auto&) {
                EXPECT_EQ(describe(error), "no error");
                kind.set_value(this_thread_kind());
              }));
  return kind.get_future().get();
}

TEST(Handlers, NeverRunOnAThreadThatWorks) {
  StellaEmbeddingModel model(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
  asio::thread_pool pool(1);
  const asio::any_io_executor any = pool.get_executor();
  for (int i = 0; i < 10; ++i) {
    EXPECT_NE(kind_with(model, asio::system_executor()), ThreadKind::working);
    EXPECT_NE(kind_with(model, asio::make_strand(asio::system_executor())), ThreadKind::working);
    EXPECT_NE(kind_with(model, InlineExecutor()), ThreadKind::working);
    EXPECT_NE(kind_with(model, asio::any_completion_executor(asio::system_executor())), ThreadKind::working);
    EXPECT_NE(kind_with(model, asio::any_completion_executor(InlineExecutor())), ThreadKind::working);
    EXPECT_NE(kind_with(model, any), ThreadKind::working);
  }
  std::promise<ThreadKind> kind;
  model.embed("text", "none", 256, [&](const std::exception_ptr&, const auto&) { kind.set_value(this_thread_kind()); });
  EXPECT_EQ(kind.get_future().get(), ThreadKind::handling);
}

/// A handler that never ends keeps nobody else waiting, whatever it is bound to.
TEST(Handlers, OneThatBlocksDelaysNoOtherRequest) {
  StellaEmbeddingModel model(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
  std::promise<void> let_go;
  const std::shared_future<void> gate = let_go.get_future().share();
  std::vector<std::future<void>> over;
  const auto block = [&](auto bind) {
    auto done = std::make_shared<std::promise<void>>();
    over.push_back(done->get_future());
    model.embed("text", "none", 256, bind([gate, done](const std::exception_ptr&, const auto&) {
                  gate.wait();
                  done->set_value();
                }));
  };
  block([](auto handler) { return asio::bind_executor(asio::system_executor(), std::move(handler)); });
  block(
      [](auto handler) { return asio::bind_executor(asio::make_strand(asio::system_executor()), std::move(handler)); });
  block([](auto handler) { return asio::bind_executor(InlineExecutor(), std::move(handler)); });
  block([](auto handler) { return handler; });
  for (int i = 0; i < 4; ++i) EXPECT_EQ(model.embed("text", "none", 256, use_future).get().size(), 256U);
  let_go.set_value();
  for (auto& one : over) one.get();
}

TEST(Handlers, AnInlineExecutorDoesNotRunInsideTheInitiatingCallNorInsideEmit) {
  StellaEmbeddingModel model(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
  const std::thread::id here = std::this_thread::get_id();
  std::promise<std::thread::id> at_once;
  model.embed("", "none", 256, asio::bind_executor(InlineExecutor(), [&](const std::exception_ptr& error, const auto&) {
                EXPECT_EQ(errc_of(error), Errc::empty_text);
                at_once.set_value(std::this_thread::get_id());
              }));
  EXPECT_NE(at_once.get_future().get(), here);
  asio::cancellation_signal signal;
  std::promise<std::thread::id> cancelled;
  model.batch_embed(
      std::vector<std::string>(2000, "a text"), EmbedOptions{.dimensions = {8192}},
      asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(InlineExecutor(), [&](const auto&, const auto&) {
                                     cancelled.set_value(std::this_thread::get_id());
                                   })));
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_NE(cancelled.get_future().get(), here);
}

TEST(Handlers, OneWithoutAnExecutorMayThrow) {
  StellaEmbeddingModel model(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
  std::promise<std::string> reported;
  set_log_sink([&](LogLevel level, std::string_view line) {
    if (level == LogLevel::error) reported.set_value(std::string(line));
  });
  model.embed("text", "none", 256,
              [](const std::exception_ptr&, const auto&) { throw std::runtime_error("from a handler"); });
  EXPECT_THAT(reported.get_future().get(), testing::HasSubstr("from a handler"));
  set_log_sink({});
  EXPECT_EQ(model.embed("text", "none", 256, use_future).get().size(), 256U);
}

TEST(Handlers, WhatOneThrowsComesOutOfItsExecutor) {
  StellaEmbeddingModel model(kSmall.string());
  asio::io_context io;
  model.embed("text", "none", 256, asio::bind_executor(io, [](const std::exception_ptr&, const auto&) {
                throw std::runtime_error("from a handler");
              }));
  EXPECT_THROW(io.run(), std::runtime_error);
  io.run();  // the thread that posted the handler leaves the context
}

TEST(Lifetimes, ALoadedModelMayBeTheLastThingOfItsRuntime) {
  for (int round = 0; round < kRounds; ++round) {
    std::future<LoadedStellaModel> loading;
    {
      StellaEmbeddingModel model(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
      loading = LoadedStellaModel::load(model, use_future);
    }
    const std::exception_ptr error = caught([&] { loading.get(); });
    if (error) {
      EXPECT_EQ(errc_of(error), Errc::shut_down);
    }
  }
}

TEST(Lifetimes, LoadDropLoadDrop) {
  for (int round = 0; round < kRounds; ++round) {
    const auto runtime = std::make_shared<Runtime>();
    auto model = std::make_optional<StellaEmbeddingModel>(kSmall.string(), ModelOptions{.runtime = runtime});
    std::promise<void> dropped;
    LoadedStellaModel::load(*model, [&](const std::exception_ptr& error, LoadedStellaModel loaded) {
      EXPECT_EQ(describe(error), "no error");
      loaded = {};
      dropped.set_value();
    });
    model.reset();
    dropped.get_future().get();
  }
}

/// The handler owns the last handle: on every kind of executor, for a result, a failure and a cancellation.
TEST(Lifetimes, AHandlerMayOwnTheLastHandle) {
  asio::thread_pool pool(1);
  const auto round = [](auto executor, const std::string& text) {
    auto model =
        std::make_unique<StellaEmbeddingModel>(kSmall.string(), ModelOptions{.runtime = std::make_shared<Runtime>()});
    StellaEmbeddingModel& used = *model;
    auto over = std::make_shared<std::promise<void>>();
    std::future<void> end = over->get_future();
    used.embed(text, "none", 256,
               asio::bind_executor(executor, [model = std::move(model), over](const auto&, const auto&) mutable {
                 model.reset();
                 over->set_value();
               }));
    end.get();
  };
  for (int i = 0; i < kRounds / 4; ++i) {
    for (const std::string text : {"text", ""}) {
      round(pool.get_executor(), text);
      round(asio::system_executor(), text);
      round(InlineExecutor(), text);
      round(asio::make_strand(asio::system_executor()), text);
    }
  }
}

TEST(Lifetimes, AHandlerThatIsCancelledMayOwnTheLastHandle) {
  for (int i = 0; i < kRounds / 2; ++i) {
    auto model =
        std::make_unique<StellaEmbeddingModel>(kSmall.string(), ModelOptions{.runtime = std::make_shared<Runtime>()});
    StellaEmbeddingModel& used = *model;
    asio::cancellation_signal signal;
    std::promise<void> over;
    used.batch_embed(std::vector<std::string>(500, "one of many texts"), EmbedOptions{.dimensions = {8192}},
                     asio::bind_cancellation_slot(signal.slot(),
                                                  [model = std::move(model), &over](const auto&, const auto&) mutable {
                                                    model.reset();
                                                    over.set_value();
                                                  }));
    if (i % 2 == 0) std::this_thread::yield();
    signal.emit(asio::cancellation_type::terminal);
    over.get_future().get();
  }
}

/// A callback on one of the Runtime's own threads drops its last owner.
TEST(Lifetimes, AProgressCallbackMayDropTheLastOwner) {
  for (int i = 0; i < kRounds / 4; ++i) {
    TestHub hub(kDemo);
    ModelOptions options = hub.options(std::make_shared<Runtime>());
    auto owner = std::make_shared<std::optional<StellaEmbeddingModel>>();
    std::atomic<bool> dropped = false;
    options.on_progress = [owner, &dropped](const Progress&) {
      if (!dropped.exchange(true)) owner->reset();
    };
    owner->emplace(hub.repo, std::move(options));
    std::future<std::vector<float>> result = (*owner)->embed("text", "none", 256, use_future);
    EXPECT_EQ(errc_of(caught([&] { result.get(); })), Errc::shut_down);
  }
}

TEST(Lifetimes, TheLastOwnerMayGoOnAWorkingThread) {
  for (int i = 0; i < kRounds; ++i) {
    auto runtime = std::make_shared<Runtime>();
    Runtime::Impl& impl = runtime->impl();
    std::promise<void> go;
    std::promise<ThreadKind> gone;
    auto job = [owner = runtime, &gone, alone = go.get_future()]() mutable {
      alone.get();
      owner.reset();
      gone.set_value(this_thread_kind());
    };
    if (i % 3 == 0) impl.files->post(std::move(job));
    if (i % 3 == 1) impl.signals->post(std::move(job));
    if (i % 3 == 2) run_on_compute_thread(impl, std::move(job));
    runtime.reset();
    go.set_value();
    EXPECT_EQ(gone.get_future().get(), ThreadKind::working);
  }
}

TEST(Callbacks, WhatAProgressCallbackThrowsIsItsRequestsError) {
  TestHub hub(kDemo);
  ModelOptions options = hub.options(std::make_shared<Runtime>());
  options.on_progress = [](const Progress&) { throw std::runtime_error("from on_progress"); };
  StellaEmbeddingModel model(hub.repo, options);
  EXPECT_THAT(describe(caught([&] { model.embed("text", "none", 256, use_future).get(); })),
              testing::HasSubstr("from on_progress"));
  EXPECT_THAT(describe(caught([&] { model.describe(use_future).get(); })), testing::HasSubstr("from on_progress"));
}

TEST(Callbacks, WhatALoadingCallbackThrowsIsItsRequestsError) {
  ModelOptions options{.runtime = std::make_shared<Runtime>()};
  options.on_load = [](double) { throw std::runtime_error("from on_load"); };
  StellaEmbeddingModel model(kSmall.string(), options);
  EXPECT_THAT(describe(caught([&] { model.embed("text", "none", 256, use_future).get(); })),
              testing::HasSubstr("from on_load"));
}

/// Returns from main, as it were, in the middle of whatever `start` began.
template <class Start>
[[noreturn]] void exit_while(Start start) {
  start();
  std::exit(0);
}

const std::vector<std::string> kMany(2000, "a text that takes a while to be tokenized, as there are many of them");

void cancel_tokenizing() {
  static StellaEmbeddingModel model(kSmall.string());
  asio::io_context io;
  asio::cancellation_signal signal;
  run(model.embed("text", "none", 256));
  model.batch_embed(
      kMany, EmbedOptions{.dimensions = {8192}},
      asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, [](const auto&, const auto&) {})));
  signal.emit(asio::cancellation_type::total);
  io.run();
}

void leave_loading() {
  static StellaEmbeddingModel model(kSmall.string());
  static std::future<std::vector<Embedding>> result =
      model.batch_embed(kMany, EmbedOptions{.dimensions = {8192}}, use_future);
}

void drop_on_own_thread() {
  auto runtime = std::make_shared<Runtime>();
  Runtime::Impl& impl = runtime->impl();
  std::promise<void> gone;
  impl.files->post([&, runtime]() mutable { runtime.reset(); });
  impl.files->post([&] { gone.set_value(); });
  gone.get_future().get();
}

class ExitDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ExitDeathTest, WhileCancelledTextsAreTokenized) {
  for (int i = 0; i < 5; ++i) EXPECT_EXIT(exit_while(cancel_tokenizing), testing::ExitedWithCode(0), "^$");
}

TEST_F(ExitDeathTest, WhileAModelIsLoadedAndUsed) {
  for (int i = 0; i < 5; ++i) EXPECT_EXIT(exit_while(leave_loading), testing::ExitedWithCode(0), "^$");
}

TEST_F(ExitDeathTest, WhileARuntimeThatWentOnItsOwnThreadIsBeingJoined) {
  for (int i = 0; i < 5; ++i) EXPECT_EXIT(exit_while(drop_on_own_thread), testing::ExitedWithCode(0), "^$");
}

#if !defined(__SANITIZE_THREAD__)  // it supports no threads in a child that was forked off several

// "DeathTest" lets them run first: a child cannot destroy the pool behind Asio's system_executor, which others use.

/// Runs `child` in a forked child, which then ends in the ordinary way; its exit status, or -1 where it hangs.
int forked(const std::function<int()>& child) {
  const pid_t pid = ::fork();
  if (pid == 0) std::exit(child());
  for (int i = 0; i < 600; ++i) {
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid)
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return -1;
}

template <class Call>
bool is_refused(Call call) {
  return errc_of(caught(call)) == Errc::invalid_argument;
}

TEST(ForkDeathTest, AChildHearsThatTheParentsModelIsNotItsOwn) {
  auto model =
      std::make_optional<StellaEmbeddingModel>(kSmall.string(), ModelOptions{.runtime = std::make_shared<Runtime>()});
  auto loaded = std::make_optional(run(LoadedStellaModel::load(*model)));
  const auto child = [&] {
    if (!is_refused([&] { run(model->embed("text", "none", 256)); })) return 1;
    if (!is_refused([&] { model->embed("text", "none", 256, use_future).get(); })) return 2;
    if (!is_refused([&] { run(loaded->embed("text", "none", 256)); })) return 3;
    if (!is_refused([&] { run(LoadedStellaModel::load(*model)); })) return 4;
    if (!is_refused([&] { StellaEmbeddingModel other(kSmall.string(), model->options()); })) return 5;
    model.reset();
    loaded.reset();
    return 0;
  };
  EXPECT_EQ(forked(child), 0);
  EXPECT_EQ(run(loaded->embed("text", "none", 256)).size(), 256U);
}

TEST(ForkDeathTest, AChildMayMakeItsOwn) {
  StellaEmbeddingModel shared(kSmall.string());
  const std::vector<float> expected = run(shared.embed("text", "none", 256));
  const auto child = [&] {
    if (!is_refused([&] { run(shared.embed("text", "none", 256)); })) return 1;
    StellaEmbeddingModel own(kSmall.string());
    if (run(own.embed("text", "none", 256)) != expected) return 2;
    StellaEmbeddingModel alone(kSmall.string(), {.runtime = std::make_shared<Runtime>()});
    return run(alone.embed("text", "none", 256)) == expected ? 0 : 3;
  };
  EXPECT_EQ(forked(child), 0);
}

TEST(ForkDeathTest, ABlockingModelOfTheParentIsRefused) {
  const sync::Model model = sync::Model::load(kSmall.string());
  EXPECT_EQ(forked([&] { return is_refused([&] { model.embed("text", "none", 256); }) ? 0 : 1; }), 0);
  EXPECT_EQ(forked([] { return sync::Model::load(kSmall.string()).embed("text", "none", 256).size() == 256 ? 0 : 1; }),
            0);
}

#endif

TEST(Threads, AbsurdNumbersAreRefused) {
  for (const std::size_t threads : {std::size_t{4097}, std::size_t{1'000'000'000'000}, SIZE_MAX}) {
    EXPECT_EQ(errc_of(caught([&] { Runtime runtime({.compute_threads = threads}); })), Errc::invalid_argument);
    EXPECT_EQ(errc_of(caught([&] { Runtime runtime({.file_threads = threads}); })), Errc::invalid_argument);
  }
}

TEST(Threads, ABlockingCallOnAThreadThatWorksIsRefused) {
  TestHub hub(kDemo);
  ModelOptions options = hub.options(std::make_shared<Runtime>());
  const sync::Model other = sync::Model::load(kSmall.string());
  options.on_progress = [&](const Progress&) { other.embed("text"); };
  StellaEmbeddingModel model(hub.repo, options);
  EXPECT_EQ(errc_of(caught([&] { model.describe(use_future).get(); })), Errc::invalid_argument);
}

}  // namespace
}  // namespace stella::test
