#include "engine/model.hpp"

#include "base/thread_pool.hpp"
#include "base/timer.hpp"
#include "engine/test_support.hpp"
#include "support/temporary_folder.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;
using test::Gate;
using test::Result;
using testing::ElementsAre;
using testing::HasSubstr;
using CheckpointPtr = std::shared_ptr<const Checkpoint>;

const fs::path kSmall = STELLA_TEST_DATA "/checkpoints/stella-small-tiny";

/// A directory's files, counted, with a file that fails or is held back when the test says so.
class WatchedFiles final : public ModelFiles {
 public:
  WatchedFiles(const fs::path& directory, ThreadPool& pool) : files_(directory_files(directory, pool)), pool_(pool) {}

  void get(std::string file, std::stop_token stop, Completion<fs::path> done) override {
    bool fails = false;
    Gate* gate = nullptr;
    {
      const std::lock_guard lock(mutex_);
      ++asked_[file];
      fails = file == failing_;
      if (file == held_) gate = gate_;
    }
    if (fails) return done(std::make_exception_ptr(Error(Errc::http_error, "the hub answered 500")), {});
    if (gate == nullptr) return files_->get(std::move(file), std::move(stop), std::move(done));
    pool_.post(
        [files = files_, gate, file = std::move(file), stop = std::move(stop), done = std::move(done)]() mutable {
          gate->pass();
          files->get(std::move(file), std::move(stop), std::move(done));
        });
  }
  void list(std::stop_token stop, Completion<std::vector<std::string>> done) override {
    files_->list(std::move(stop), std::move(done));
  }
  const std::string& source() const noexcept override { return files_->source(); }
  bool is_local() const noexcept override { return false; }

  void fail(const std::string& file) {
    const std::lock_guard lock(mutex_);
    failing_ = file;
  }
  void hold(const std::string& file, Gate* gate) {
    const std::lock_guard lock(mutex_);
    held_ = file;
    gate_ = gate;
  }
  int asked(const std::string& file) {
    const std::lock_guard lock(mutex_);
    return asked_[file];
  }

 private:
  std::shared_ptr<ModelFiles> files_;
  ThreadPool& pool_;
  std::mutex mutex_;
  std::map<std::string, int> asked_;
  std::string failing_;
  std::string held_;
  Gate* gate_ = nullptr;
};

std::vector<float> first_row(const EmbedResult& result) {
  const auto row = result.vectors.at(0).row(0);
  return {row.begin(), row.end()};
}

class ModelTest : public testing::Test {
 protected:
  std::shared_ptr<Model> open(const fs::path& directory, std::vector<std::size_t> known = {},
                              std::shared_ptr<MemoryGate> memory = nullptr) {
    files_ = std::make_shared<WatchedFiles>(directory, pool_);
    const Machine machine{.pool = &pool_,
                          .loading = &loading_,
                          .compute = &compute_,
                          .kernels = &kernels::select(KernelSet::automatic),
                          .timer = timer_,
                          .shut_down = stopping_.get_token()};
    return Model::create(
        machine,
        {.files = files_, .known = {.name = "tiny", .dimensions = std::move(known)}, .memory = std::move(memory)});
  }
  static EmbedRequest job(std::vector<std::size_t> dimensions) {
    EmbedRequest job;
    job.texts = {"What are safetensors?"};
    job.options.dimensions = std::move(dimensions);
    return job;
  }

  std::stop_source stopping_;
  const std::shared_ptr<Timer> timer_ = std::make_shared<Timer>();
  Compute compute_{2};
  ThreadPool pool_{3, "files"};
  ThreadPool loading_{1, "loading", 8};
  std::shared_ptr<WatchedFiles> files_;
};

TEST_F(ModelTest, DescribesFromTheSmallFilesAlone) {
  const auto model = open(kSmall);
  Result<Description> result;
  model->parts().describe({}, result.completion());
  const Description description = result.get();
  const CheckpointPtr checkpoint = description.checkpoint;
  EXPECT_THAT(checkpoint->dimensions, ElementsAre(256, 768, 1024, 2048, 4096, 6144, 8192));
  EXPECT_EQ(checkpoint->default_dimension, 1024U);
  EXPECT_EQ(checkpoint->default_max_length, 512U);
  EXPECT_EQ(checkpoint->max_length_limit, 8192U);
  EXPECT_EQ(checkpoint->prompts.default_task(), "s2p");
  EXPECT_EQ(files_->asked("model.safetensors"), 0);
  EXPECT_EQ(files_->asked("tokenizer.json"), 0);
}

TEST_F(ModelTest, FetchesAHeadOnlyWhenItsDimensionIsAskedFor) {
  const auto model = open(kSmall);
  Result<EmbedResult> first;
  model->embed(job({256}), {}, first.completion());
  EXPECT_EQ(first.get().vectors.at(0).row(0).size(), 256U);
  EXPECT_EQ(files_->asked("2_Dense_256/model.safetensors"), 1);
  EXPECT_EQ(files_->asked("2_Dense_768/model.safetensors"), 0);
  Result<EmbedResult> second;
  model->embed(job({768, 256}), {}, second.completion());
  const auto result = second.get();
  EXPECT_EQ(result.vectors.at(0).columns, 768U);
  EXPECT_EQ(result.vectors.at(1).row(0).size(), 256U);
  EXPECT_EQ(files_->asked("2_Dense_256/model.safetensors"), 1);
  EXPECT_EQ(files_->asked("model.safetensors"), 1);
}

TEST_F(ModelTest, ConcurrentFirstCallsShareOneLoad) {
  const auto model = open(kSmall);
  Gate gate;
  files_->hold("model.safetensors", &gate);
  std::vector<Result<EmbedResult>> results(10);
  for (auto& result : results) model->embed(job({256}), {}, result.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  gate.open();
  const std::vector<float> vector = first_row(results[0].get());
  for (std::size_t i = 1; i < results.size(); ++i) EXPECT_EQ(first_row(results[i].get()), vector);
  EXPECT_EQ(files_->asked("model.safetensors"), 1);
  EXPECT_EQ(files_->asked("tokenizer.json"), 1);
  EXPECT_EQ(files_->asked("2_Dense_256/model.safetensors"), 1);
}

TEST_F(ModelTest, AFailedLoadFailsItsCallsAndTheNextCallTriesAgain) {
  for (const std::string file : {"model.safetensors", "config.json", "tokenizer.json", "2_Dense_256/config.json"}) {
    const auto model = open(kSmall);
    files_->fail(file);
    Result<EmbedResult> failed;
    model->embed(job({256}), {}, failed.completion());
    EXPECT_EQ(failed.message(Errc::http_error), "the hub answered 500") << file;
    files_->fail("");
    Result<EmbedResult> succeeds;
    model->embed(job({256}), {}, succeeds.completion());
    EXPECT_EQ(succeeds.get().texts.size(), 1U) << file;
  }
}

TEST_F(ModelTest, CancellingOneOfTwoLoadsLeavesTheOther) {
  const auto model = open(kSmall);
  Gate gate;
  files_->hold("model.safetensors", &gate);
  Result<LoadedParts> leaves;
  Result<LoadedParts> stays;
  std::stop_source stop;
  model->parts().load(stop.get_token(), leaves.completion());
  model->parts().load({}, stays.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  stop.request_stop();
  EXPECT_THAT(leaves.message(Errc::cancelled), HasSubstr("cancelled"));
  gate.open();
  EXPECT_NE(stays.get().encoder, nullptr);
}

TEST_F(ModelTest, ADeadlineEndsARequestWhileItsModelLoads) {
  const auto model = open(kSmall);
  Gate gate;
  files_->hold("model.safetensors", &gate);
  EmbedRequest request = job({256});
  request.options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  Result<EmbedResult> result;
  model->embed(std::move(request), {}, result.completion());
  EXPECT_THAT(result.message(Errc::deadline_exceeded), HasSubstr("deadline"));
  gate.open();
  EmbedRequest patient = job({256});
  patient.options.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  Result<EmbedResult> served;
  model->embed(std::move(patient), {}, served.completion());
  EXPECT_EQ(served.get().texts.size(), 1U);
  pool_.stop();  // the thread that was held has left the gate
}

TEST_F(ModelTest, SeveralModelsLoadWithOneThreadForFilesAndOneForLoading) {
  ThreadPool files(1, "files");
  ThreadPool loading(1, "loading");
  Gate gate;
  loading.post([&] { gate.pass(); });  // so that all parts are queued before the first is begun
  const Machine machine{.pool = &files,
                        .loading = &loading,
                        .compute = &compute_,
                        .kernels = &kernels::select(KernelSet::automatic),
                        .timer = timer_};
  std::vector<std::shared_ptr<Model>> models;
  for (int i = 0; i < 3; ++i) {
    models.push_back(Model::create(machine, {.files = directory_files(kSmall, files), .known = {.name = "tiny"}}));
  }
  std::vector<Result<EmbedResult>> results(models.size());
  std::vector<Result<LoadedParts>> loads(models.size());
  for (std::size_t i = 0; i < models.size(); ++i) {
    models[i]->embed(job({256, 768, 1024}), {}, results[i].completion());
    models[i]->parts().load({}, loads[i].completion());
  }
  gate.open();
  for (std::size_t i = 0; i < models.size(); ++i) {
    EXPECT_EQ(first_row(results[i].get()).size(), 256U);
    EXPECT_NE(loads[i].get().tokenizer, nullptr);
  }
}

TEST_F(ModelTest, TheEndOfTheRuntimeEndsALoadThatWaitsForItsFiles) {
  const auto model = open(kSmall);
  Gate gate;
  files_->hold("model.safetensors", &gate);
  Result<LoadedParts> load;
  model->parts().load({}, load.completion());
  ASSERT_TRUE(gate.wait_for_arrivals(1));
  stopping_.request_stop();
  EXPECT_THAT(load.message(Errc::shut_down), HasSubstr("shutting down"));
  gate.open();
}

/// Grants everything, and remembers what.
class Grants final : public MemoryGate {
 public:
  struct Lease final : MemoryLease {
    void settle() noexcept override { settled = true; }
    bool settled = false;
  };
  void reserve(ModelPart part, const LoadNeeds& needs, const std::stop_token& /*stop*/,
               Completion<std::shared_ptr<MemoryLease>> done) override {
    if (refuses) return done(std::make_exception_ptr(Error(Errc::out_of_memory, "no room")), nullptr);
    auto lease = std::make_shared<Lease>();
    {
      const std::lock_guard lock(mutex);
      asked.push_back({part, needs, lease});
    }
    done(nullptr, lease);
  }
  struct Asked {
    ModelPart part;
    LoadNeeds needs;
    std::weak_ptr<Lease> lease;
  };
  std::mutex mutex;
  std::vector<Asked> asked;  // guarded by mutex while anything loads
  bool refuses = false;
};

TEST_F(ModelTest, AsksForMemoryBeforeAPartIsLoadedAndKeepsItWhileThePartIsUsed) {
  const auto gate = std::make_shared<Grants>();
  const auto model = open(kSmall, {}, gate);
  gate->refuses = true;
  EmbedRequest without_head = job({});  // which would ask too, whenever its turn comes
  without_head.options.pooled = false;
  without_head.options.token_states = true;
  Result<EmbedResult> refused;
  model->embed(std::move(without_head), {}, refused.completion());
  EXPECT_EQ(refused.message(Errc::out_of_memory), "no room");
  EXPECT_EQ(model->parts().peek_encoder(), nullptr);
  gate->refuses = false;
  Result<LoadNeeds> needs;
  model->parts().needs({}, needs.completion());
  Result<LoadedParts> loaded;
  model->parts().load({}, loaded.completion());
  auto parts = loaded.get();
  ASSERT_EQ(gate->asked.size(), 1U);
  const Grants::Asked& asked = gate->asked[0];
  EXPECT_EQ(asked.part, ModelPart::encoder);
  EXPECT_EQ(asked.needs.private_bytes_after, needs.get().private_bytes_after);
  EXPECT_TRUE(asked.lease.lock()->settled);
  // It was packed into memory: neither less than what is there now nor much more.
  const std::size_t bytes = model->parts().memory().private_bytes;
  EXPECT_GE(asked.needs.private_bytes_after, bytes);
  EXPECT_LE(asked.needs.private_bytes_after, bytes + bytes / 10 + 4096);
  EXPECT_GE(asked.needs.private_bytes_peak, asked.needs.private_bytes_after);
  EXPECT_EQ(asked.needs.mapped_bytes, 0U);
  const std::shared_ptr<const models::Encoder> used = std::exchange(parts, {}).encoder->encoder;
  model->parts().let_go();
  EXPECT_FALSE(asked.lease.expired());
}

TEST_F(ModelTest, TheMemoryOfAPartIsGivenBackWithIt) {
  const auto gate = std::make_shared<Grants>();
  const auto model = open(kSmall, {}, gate);
  Result<EmbedResult> result;
  model->embed(job({256}), {}, result.completion());
  result.get();
  ASSERT_EQ(gate->asked.size(), 2U);
  for (const Grants::Asked& asked : gate->asked) {
    EXPECT_FALSE(asked.lease.expired());
    if (asked.part == ModelPart::head) {
      EXPECT_GE(asked.needs.private_bytes_after, (256 * 64 + 256) * sizeof(float));
    }
  }
  model->parts().let_go();
  compute_.stop();  // a request is dropped by the compute thread a moment after it has completed
  for (const Grants::Asked& asked : gate->asked) EXPECT_TRUE(asked.lease.expired());
}

TEST_F(ModelTest, LetsGoOfItsParts) {
  const auto model = open(kSmall);
  Result<EmbedResult> result;
  model->embed(job({256}), {}, result.completion());
  result.get();
  ModelParts& parts = model->parts();
  auto held = parts.peek_encoder();
  const std::weak_ptr<const models::Encoder> encoder = held->encoder;
  const std::weak_ptr<const Head> head = parts.peek_head(256);
  parts.let_go();
  EXPECT_EQ(parts.peek_encoder(), nullptr);
  EXPECT_EQ(parts.peek_tokenizer(), nullptr);
  EXPECT_NE(parts.peek_checkpoint(), nullptr);
  EXPECT_EQ(parts.memory().private_bytes + parts.memory().mapped_bytes, 0U);
  EXPECT_GT(held->encoder->weight_bytes(), 0U);
  held = nullptr;
  compute_.stop();  // a request is dropped by the compute thread a moment after it has completed
  EXPECT_TRUE(encoder.expired());
  EXPECT_TRUE(head.expired());
}

TEST_F(ModelTest, GivesTheSameVectorsOnceItHasLoadedAgain) {
  const auto model = open(kSmall);
  std::vector<std::vector<float>> rows;
  for (int i = 0; i < 2; ++i) {
    Result<EmbedResult> result;
    model->embed(job({256}), {}, result.completion());
    rows.push_back(first_row(result.get()));
    model->parts().let_go();
  }
  EXPECT_EQ(rows[0], rows[1]);
  EXPECT_EQ(files_->asked("model.safetensors"), 2);
}

TEST_F(ModelTest, RefusesBeforeAnythingIsFetched) {
  const auto model = open(kSmall, {256, 768});
  Result<EmbedResult> dimension;
  model->embed(job({512}), {}, dimension.completion());
  EXPECT_EQ(dimension.message(Errc::unsupported_dimension),
            "Model 'tiny' does not support 512D embeddings. Supported dimensions: [256, 768]");
  EmbedRequest broken = job({256});
  broken.texts = {"fine", "bad \xc3("};
  Result<EmbedResult> utf8;
  model->embed(std::move(broken), {}, utf8.completion());
  EXPECT_THAT(utf8.message(Errc::invalid_utf8), testing::StartsWith("Text at index 1"));
  EXPECT_EQ(files_->asked("config.json"), 0);
  EXPECT_EQ(files_->asked("model.safetensors"), 0);
}

TEST_F(ModelTest, RefusesALengthThatTheModelDoesNotHave) {
  const auto model = open(kSmall);
  for (const std::size_t length : {std::size_t{0}, std::size_t{8193}}) {
    EmbedRequest request = job({256});
    request.options.max_length = length;
    Result<EmbedResult> result;
    model->embed(std::move(request), {}, result.completion());
    EXPECT_THAT(result.message(Errc::invalid_argument), HasSubstr("1 to 8192"));
  }
}

TEST_F(ModelTest, DownloadGivesEveryFileThatADimensionNeeds) {
  const auto model = open(kSmall);
  Result<std::vector<DownloadedFile>> result;
  model->parts().download({{256, 256}, false}, {}, result.completion());
  std::vector<std::string> names;
  for (const DownloadedFile& file : result.get()) {
    names.push_back(file.file);
    EXPECT_EQ(file.size, fs::file_size(kSmall / file.file));
  }
  EXPECT_THAT(names,
              ElementsAre("1_Pooling/config.json", "2_Dense_256/config.json", "2_Dense_256/model.safetensors",
                          "config.json", "config_sentence_transformers.json", "model.safetensors", "modules.json",
                          "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json"));
}

/// A copy of the small checkpoint, to be changed.
class ChangedModelTest : public ModelTest {
 protected:
  ChangedModelTest() { fs::copy(kSmall, directory_, fs::copy_options::recursive); }
  void write(const std::string& file, const std::string& text) const { std::ofstream(directory_ / file) << text; }

  const stella::test::TemporaryFolder temporary_;
  const fs::path directory_ = temporary_.path();
};

TEST_F(ChangedModelTest, WithoutDenseHeadsGivesThePooledVector) {
  for (const std::size_t size : {256U, 768U, 1024U, 2048U, 4096U, 6144U, 8192U}) {
    fs::remove_all(directory_ / ("2_Dense_" + std::to_string(size)));
  }
  write("modules.json", R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
    {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}])");
  const auto model = open(directory_);
  Result<EmbedResult> result;
  model->embed(job({}), {}, result.completion());
  const auto embedded = result.get();
  EXPECT_EQ(embedded.vectors.at(0).columns, 64U);
  EXPECT_EQ(embedded.vectors.at(0).row(0).size(), 64U);
  Result<EmbedResult> other;
  model->embed(job({1024}), {}, other.completion());
  EXPECT_THAT(other.message(Errc::unsupported_dimension), HasSubstr("Supported dimensions: [64]"));
}

TEST_F(ChangedModelTest, AHeadInAFolderWithoutASizeIsMeasured) {
  fs::rename(directory_ / "2_Dense_768", directory_ / "2_Dense");
  for (const std::size_t size : {256U, 1024U, 2048U, 4096U, 6144U, 8192U}) {
    fs::remove_all(directory_ / ("2_Dense_" + std::to_string(size)));
  }
  write("modules.json", R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
    {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
    {"idx":2,"name":"2","path":"2_Dense","type":"sentence_transformers.models.Dense"}])");
  Result<EmbedResult> result;
  open(directory_)->embed(job({}), {}, result.completion());
  EXPECT_EQ(result.get().vectors.at(0).columns, 768U);
}

TEST_F(ChangedModelTest, SaysWhatIsMissingOrBroken) {
  const auto error_with = [&](Errc expected) {
    const Machine machine{
        .pool = &pool_, .loading = &loading_, .compute = &compute_, .kernels = &kernels::select(KernelSet::automatic)};
    const auto model = Model::create(machine, {.files = directory_files(directory_, pool_), .known = {.name = "tiny"}});
    Result<EmbedResult> result;
    model->embed(job({256}), {}, result.completion());
    return result.message(expected);
  };
  write("2_Dense_256/config.json",
        R"({"in_features": 32, "out_features": 256, "activation_function": "torch.nn.modules.linear.Identity"})");
  EXPECT_THAT(error_with(Errc::malformed_file), HasSubstr("2_Dense_256/config.json: the head is 32 to 256"));
  fs::copy_file(kSmall / "2_Dense_256/config.json", directory_ / "2_Dense_256/config.json",
                fs::copy_options::overwrite_existing);
  fs::remove(directory_ / "model.safetensors");
  EXPECT_THAT(error_with(Errc::malformed_file), HasSubstr("has neither model.safetensors nor"));
  fs::remove(directory_ / "tokenizer.json");
  fs::remove(directory_ / "config.json");
  EXPECT_THAT(error_with(Errc::malformed_file),
              testing::AnyOf(HasSubstr("'config.json'"), HasSubstr("'tokenizer.json'"), HasSubstr("has neither")));
}

}  // namespace
}  // namespace stella::engine
