// Kept packed weights through the public API: what a load leaves, and that the next one maps it.
#include "support.hpp"

#include <chrono>
#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

/// The demo model is small: only with small_model_bytes 0 is anything kept of it.
ModelOptions keeping(ModelOptions options) {
  options.packed_weights.small_model_bytes = 0;
  return options;
}

TEST(PackedWeights, TheSecondLoadMapsWhatTheFirstHasKept) {
  TestHub hub(kDemo);
  const auto folder = packed_weights::default_directory(*hub.options().hub);
  EXPECT_EQ(folder, hub.cache.path() / "stella");
  std::vector<float> vector;
  for (const char* expected : {"packed, then mapped", "mapped"}) {
    StellaEmbeddingModel model(hub.repo, keeping(hub.options()));
    const auto found = run(model.embed("text"));
    EXPECT_EQ(model.config_info().at("packed_weights"), expected);
    if (vector.empty()) vector = found;
    EXPECT_EQ(found, vector);
  }
  const auto contents = packed_weights::list(folder);
  ASSERT_EQ(contents.files.size(), 1U);
  EXPECT_EQ(contents.files[0].source, hub.repo);
  StellaEmbeddingModel model(hub.repo, keeping(hub.options()));
  const ModelDescription description = run(model.describe());
  EXPECT_EQ(description.precision, contents.files[0].precision) << "known without loading";
  EXPECT_FALSE(description.precision_reason.empty());
  EXPECT_TRUE(packed_weights::verify(folder).problems.empty());
  EXPECT_EQ(packed_weights::remove(folder, hub.repo).files, 1U);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(PackedWeights, AreKeptWhereTheOptionsSayOrNowhere) {
  TestHub hub(kDemo);
  ModelOptions options = keeping(hub.options());
  options.precision = Precision::f32;
  options.packed_weights.directory = hub.cache.path() / "elsewhere/deep";
  run(StellaEmbeddingModel(hub.repo, options).embed("text"));
  EXPECT_EQ(packed_weights::list(options.packed_weights.directory).files.size(), 1U);
  options.packed_weights = {.keep = false, .directory = hub.cache.path() / "nowhere", .small_model_bytes = 0};
  run(StellaEmbeddingModel(hub.repo, options).embed("text"));
  EXPECT_FALSE(std::filesystem::exists(hub.cache.path() / "nowhere"));
  EXPECT_FALSE(std::filesystem::exists(hub.cache.path() / "stella"));
}

/// Of one operation's callback.
template <class T>
auto note_error(std::promise<std::optional<Errc>>& noted) {
  return [&noted](const std::exception_ptr& error, const T&) { noted.set_value(errc_of(error)); };
}

TEST(PackedWeights, WhoWaitsForAnothersPackingCanBeStoppedAndHasADeadline) {
  TestHub hub(kDemo);
  std::promise<void> packing;
  std::promise<void> go_on;
  ModelOptions options = keeping(hub.options(std::make_shared<Runtime>()));
  options.precision = Precision::f32;
  options.on_load = [&, gate = go_on.get_future().share(), told = false](double) mutable {
    if (!std::exchange(told, true)) packing.set_value();
    gate.wait();
  };
  const Model packer(hub.repo, options);
  std::promise<std::optional<Errc>> packed;
  packer.load({}, note_error<ModelDescription>(packed));
  packing.get_future().wait();

  options.on_load = {};
  options.runtime = std::make_shared<Runtime>();
  std::promise<std::optional<Errc>> late;
  std::promise<std::optional<Errc>> stopped;
  {
    const Model waiter(hub.repo, options);
    std::stop_source stop;
    waiter.load(stop.get_token(), note_error<ModelDescription>(stopped));
    EmbedRequest request = request_for("text", "", std::nullopt);
    request.options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    waiter.embed(std::move(request), {}, note_error<EmbedResult>(late));
    EXPECT_EQ(late.get_future().get(), Errc::deadline_exceeded);
    stop.request_stop();
    EXPECT_EQ(stopped.get_future().get(), Errc::cancelled);
  }
  options.runtime = {};  // and with it whatever still waited
  const auto folder = packed_weights::list(packed_weights::default_directory(*options.hub));
  ASSERT_EQ(folder.files.size(), 1U) << "nobody but the packer packs";
  EXPECT_TRUE(folder.files[0].unfinished);
  go_on.set_value();
  EXPECT_EQ(packed.get_future().get(), std::nullopt);
}

}  // namespace
}  // namespace stella::test
