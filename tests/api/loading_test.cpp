// Models from the hub: first calls share one load, failures pass, cancelling one caller leaves the others.
#include "support.hpp"

#include <exception>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using boost::asio::use_future;
using testing::ElementsAreArray;
using testing::HasSubstr;
using Files = std::map<std::string, std::string>;  // path, content

/// A caller whose operation can be cancelled. Keep it until wait() has returned.
template <class T>
class Cancellable {
 public:
  /// Starts `initiate(token)` on an io_context of its own; other threads are not involved until wait().
  template <class Initiate>
  explicit Cancellable(Initiate initiate) {
    initiate(boost::asio::bind_cancellation_slot(
        signal_.slot(), boost::asio::bind_executor(io_, [this](std::exception_ptr error, T value) {
          error_ = std::move(error);
          value_ = std::move(value);
        })));
  }
  void cancel() { signal_.emit(boost::asio::cancellation_type::terminal); }
  T wait() {
    io_.run();
    if (error_) std::rethrow_exception(error_);
    return std::move(value_);
  }

 private:
  boost::asio::io_context io_;
  boost::asio::cancellation_signal signal_;
  std::exception_ptr error_;
  T value_;
};

// What a power cut leaves of a file: its size, and zeros.
void blank(const std::filesystem::path& path) {
  const auto size = std::filesystem::file_size(path);
  std::filesystem::resize_file(path, 0);
  std::filesystem::resize_file(path, size);
}

TEST(HubModel, FilesThatAreDamagedInTheCacheAreFetchedAgain) {
  TestHub hub(kDemo);
  const std::vector<std::string> texts{"What is the capital of China?"};
  const EmbedOptions options{.dimensions = {256}};
  const auto embed = [&](const ModelOptions& how) {
    StellaEmbeddingModel model(hub.repo, how);
    return run(model.batch_embed(texts, options)).at(0).vectors;
  };
  const auto expected = embed(hub.options());
  for (const std::string file : {"config.json", "modules.json", "tokenizer.json", "model.safetensors",
                                 "2_Dense_256/config.json", "2_Dense_256/model.safetensors"}) {
    const auto path = sync::huggingface_file(hub.repo, file, "main", hub.options().hub);
    blank(path);
    hub.server.clear_log();
    EXPECT_EQ(embed(hub.options()), expected) << file;
    EXPECT_GT(hub.server.body_bytes(hub.repo + "/" + file), 0U) << file;
    // Offline it is an error that names the file and the way out.
    blank(path);
    ModelOptions offline = hub.options();
    offline.hub->offline = true;
    const std::exception_ptr error = caught([&] { embed(offline); });
    EXPECT_EQ(errc_of(error), Errc::integrity) << file << ": " << describe(error);
    EXPECT_THAT(describe(error), HasSubstr(file));
    EXPECT_THAT(describe(error), HasSubstr("stella cache verify --repair"));
    EXPECT_EQ(embed(hub.options()), expected) << file;
  }
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Changes what `from` says in a file that stays well-formed.
void change(const std::filesystem::path& path, const std::string& from, const std::string& to) {
  std::string text = text_of(path);
  const std::size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << path;
  text.replace(at, from.size(), to);
  std::ofstream(path, std::ios::binary) << text;
}

TEST(HubModel, FilesThatAreDamagedAndStillParseAreFetchedAgain) {
  struct Damage {
    std::string file, from, to;
  };
  TestHub hub(kDemo);
  const std::vector<std::string> texts{"What is the capital of China?"};
  const EmbedOptions options{.dimensions = {256}};
  const auto embed = [&] {
    StellaEmbeddingModel model(hub.repo, hub.options());
    return run(model.batch_embed(texts, options)).at(0).vectors;
  };
  const auto expected = embed();
  for (const Damage& damage :
       {Damage{"config.json", "1e-12", "1e-02"}, Damage{"tokenizer.json", "\"capital\"", "\"capitol\""},
        Damage{"config_sentence_transformers.json", "retrieve", "retrievf"}}) {
    const auto path = sync::huggingface_file(hub.repo, damage.file, "main", hub.options().hub);
    change(path, damage.from, damage.to);
    EXPECT_EQ(embed(), expected) << damage.file;
    EXPECT_EQ(text_of(path), text_of(kDemo / damage.file)) << damage.file;
  }
}

TEST(HubModel, LoadsAndEmbedsAsTheDirectoryDoes) {
  TestHub hub(kDemo);
  StellaEmbeddingModel remote(hub.repo, hub.options());
  StellaEmbeddingModel local(kDemo.string());
  const EmbedOptions options{.dimensions = {256, 1024}};
  const std::vector<std::string> texts{"What is the capital of China?", "The cat sits outside"};
  const std::vector<Embedding> ours = run(remote.batch_embed(texts, options));
  const std::vector<Embedding> theirs = run(local.batch_embed(texts, options));
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(ours[i].vectors, theirs[i].vectors);
  // Heads that nobody asked for stay where they are.
  EXPECT_EQ(hub.server.count(Port::any, "GET", "2_Dense_256/model.safetensors"), 1U);
  EXPECT_EQ(hub.server.count(Port::any, "GET", "2_Dense_8192"), 0U);
  EXPECT_THAT(remote.supported_dimensions(), ElementsAreArray(kAllHeads));
}

TEST(HubModel, HeadsOfAnUnregisteredRepositoryAreFoundByListingIt) {
  TestHub hub(kDemo, "acme/embedder");
  StellaEmbeddingModel model(hub.repo, hub.options());
  EXPECT_TRUE(model.supported_dimensions().empty());
  EXPECT_THAT(run(model.describe()).dimensions, ElementsAreArray(kAllHeads));
  EXPECT_THAT(model.supported_dimensions(), ElementsAreArray(kAllHeads));
  EXPECT_EQ(hub.server.body_bytes("model.safetensors"), 0U);
}

TEST(HubModel, ConcurrentFirstCallsShareOneDownloadAndOneLoad) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  StellaEmbeddingModel copy = model;
  hub.server.inject({.port = Port::cdn, .path = hub.repo + "/model.safetensors", .gate = "weights", .gate_at = 1000});
  std::vector<std::future<std::vector<float>>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back((i % 2 == 0 ? model : copy).embed("text", "none", 256, use_future));
  }
  ASSERT_TRUE(hub.server.wait_at_gate("weights"));
  hub.server.release("weights");
  const std::vector<float> first = calls[0].get();
  for (std::size_t i = 1; i < calls.size(); ++i) EXPECT_EQ(calls[i].get(), first);
  EXPECT_EQ(hub.server.count(Port::cdn, "GET", hub.repo + "/model.safetensors"), 1U);
}

TEST(HubModel, AFailedFirstCallIsFollowedByOneThatWorks) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  hub.server.inject(
      {.path = "tokenizer.json", .times = kAlways, .status = 404, .headers = {{"X-Error-Code", "EntryNotFound"}}});
  EXPECT_EQ(errc_of(caught([&] { run(model.embed("text")); })), Errc::entry_not_found);
  EXPECT_EQ(errc_of(caught([&] { run(model.embed("text")); })), Errc::entry_not_found);
  hub.server.clear_faults();
  EXPECT_EQ(run(model.embed("text")).size(), 1024U);
}

TEST(HubModel, CancellingOneOfTwoCallersLeavesTheOthersDownload) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  hub.server.inject({.port = Port::cdn, .path = hub.repo + "/model.safetensors", .gate = "weights", .gate_at = 1000});
  Cancellable<std::vector<float>> leaves([&](auto token) { model.embed("text", "none", 256, std::move(token)); });
  std::future<std::vector<float>> stays = model.embed("text", "none", 256, use_future);
  ASSERT_TRUE(hub.server.wait_at_gate("weights"));
  leaves.cancel();
  EXPECT_EQ(errc_of(caught([&] { leaves.wait(); })), Errc::cancelled);
  hub.server.release("weights");
  EXPECT_EQ(stays.get().size(), 256U);
}

TEST(HubModel, CancellingTheOnlyCallerEndsTheDownloadAndTheNextCallWorks) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  hub.server.inject({.port = Port::cdn, .path = hub.repo + "/model.safetensors", .gate = "weights", .gate_at = 1000});
  Cancellable<std::vector<DownloadedFile>> download(
      [&](auto token) { model.download({256}, false, std::move(token)); });
  ASSERT_TRUE(hub.server.wait_at_gate("weights"));
  download.cancel();
  EXPECT_EQ(errc_of(caught([&] { download.wait(); })), Errc::cancelled);
  hub.server.release("weights");
  hub.server.clear_faults();
  EXPECT_EQ(run(model.embed("text", "none", 256)).size(), 256U);
}

TEST(HubModel, ABranchThatMovesAfterTheFirstFilesChangesNothing) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  run(model.describe());
  hub.server.add_revision(hub.repo, "main", Files{{"config.json", "{}"}});
  EXPECT_EQ(run(model.embed("text", "none", 256)).size(), 256U);
  // Who comes later finds what the branch names now.
  StellaEmbeddingModel later(hub.repo, hub.options());
  EXPECT_TRUE(caught([&] { run(later.embed("text", "none", 256)); }));
}

TEST(HubModel, AFileOfAnotherCommitIsAskedForAgain) {
  TestHub hub(kDemo);
  const std::string commit = hub.server.add_revision(hub.repo, "main", kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  // The hub answers for modules.json only once the branch has moved, when other files are there.
  hub.server.inject({.port = Port::hub, .method = "HEAD", .path = "modules.json", .times = kAlways, .status = 503});
  std::future<std::vector<float>> call = model.embed("text", "none", 256, use_future);
  while (hub.server.count(Port::hub, "HEAD", "modules.json") == 0 || hub.server.body_bytes("config.json") == 0) {
    std::this_thread::yield();
  }
  hub.server.add_revision(hub.repo, "main", Files{{"modules.json", "no JSON"}});
  hub.server.clear_faults();
  EXPECT_EQ(call.get().size(), 256U);
  bool again = false;
  for (const Request& request : hub.server.log()) {
    again = again || request.target.ends_with("/resolve/" + commit + "/modules.json");
  }
  EXPECT_TRUE(again);
}

TEST(HubModel, DownloadFetchesEveryHeadOnRequest) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  const std::vector<DownloadedFile> files = run(model.download({}, true));
  std::size_t heads = 0;
  for (const DownloadedFile& file : files) {
    if (file.file.starts_with("2_Dense_") && file.file.ends_with("model.safetensors")) ++heads;
    EXPECT_EQ(file.size, std::filesystem::file_size(kDemo / file.file)) << file.file;
  }
  EXPECT_EQ(heads, kAllHeads.size());
  // Everything is there: the hub is not needed any more.
  ModelOptions offline = hub.options();
  offline.hub->offline = true;
  StellaEmbeddingModel cached(hub.repo, offline);
  EXPECT_EQ(run(cached.embed("text", "none", 8192)).size(), 8192U);
}

TEST(HubModel, GivesSingleFilesOfAnyRepository) {
  TestHub hub(kDemo);
  hub.server.add_revision("acme/other", "main", std::map<std::string, std::string>{{"notes.txt", "hello"}});
  StellaEmbeddingModel model(hub.repo, hub.options());
  const auto path = run(model.huggingface_file(model.info().registry_key, "2_Dense_256/model.safetensors"));
  EXPECT_EQ(std::filesystem::file_size(path), std::filesystem::file_size(kDemo / "2_Dense_256/model.safetensors"));
  EXPECT_EQ(std::filesystem::file_size(run(model.huggingface_file("acme/other", "notes.txt"))), 5U);
  EXPECT_EQ(errc_of(caught([&] { run(model.huggingface_file(hub.repo, "nothing.txt")); })), Errc::entry_not_found);
  StellaEmbeddingModel local(kDemo.string());
  EXPECT_EQ(run(local.huggingface_file(local.info().registry_key, "config.json")), kDemo / "config.json");
  EXPECT_EQ(errc_of(caught([&] { run(local.huggingface_file(local.info().registry_key, "nothing.txt")); })),
            Errc::entry_not_found);
}

TEST(HubModel, AnUnsupportedDimensionIsRefusedWithoutARequest) {
  TestHub hub(kDemo);
  StellaEmbeddingModel model(hub.repo, hub.options());
  const std::exception_ptr error = caught([&] { run(model.embed("text", "s2p", 512)); });
  EXPECT_EQ(errc_of(error), Errc::unsupported_dimension);
  EXPECT_THAT(describe(error), HasSubstr("Model 'stella_en_400M_v5' does not support 512D embeddings. Supported "
                                         "dimensions: [256, 768, 1024, 2048, 4096, 6144, 8192]"));
  EXPECT_TRUE(hub.server.log().empty());
}

TEST(HubModel, ReportsProgressOfFilesAndOfLoading) {
  TestHub hub(kDemo);
  ModelOptions options = hub.options(std::make_shared<Runtime>());
  std::mutex mutex;
  std::uint64_t weights_bytes = 0;
  double loaded = 0;
  options.on_progress = [&](const Progress& progress) {
    const std::lock_guard lock(mutex);
    if (progress.file == "model.safetensors" && progress.finished) weights_bytes = progress.bytes;
  };
  options.on_load = [&](double fraction) {
    const std::lock_guard lock(mutex);
    EXPECT_GE(fraction, loaded);
    loaded = fraction;
  };
  StellaEmbeddingModel model(hub.repo, options);
  run(model.embed("text", "none", 256));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(weights_bytes, std::filesystem::file_size(kDemo / "model.safetensors"));
  EXPECT_DOUBLE_EQ(loaded, 1);
}

}  // namespace
}  // namespace stella::test
