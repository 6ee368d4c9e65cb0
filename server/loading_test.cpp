#include "server/loading.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

Progress file_at(std::uint64_t bytes, std::uint64_t total) {
  Progress progress;
  progress.file = "model.safetensors";
  progress.bytes = bytes;
  progress.total = total;
  return progress;
}

TEST(Loading, SaysHowFarItHasCome) {
  Loading loading;
  EXPECT_EQ(loading.text(), "the model is being loaded");
  loading.on_file(file_at(0, 0));
  EXPECT_EQ(loading.text(), "the model is being loaded");
  loading.on_file(file_at(99, 200));
  EXPECT_EQ(loading.text(), "the model is being loaded: 49 % of model.safetensors is here");
  Progress cached = file_at(200, 200);
  cached.finished = true;
  loading.on_file(cached);
  EXPECT_EQ(loading.text(), "the model is being loaded: 49 % of model.safetensors is here");
  loading.on_load(0.5);
  EXPECT_EQ(loading.text(), "the model is being loaded: 50 % of its weights is packed");
}

}  // namespace
}  // namespace stella::server
