#include "server/observe/pool_figures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::HasSubstr;

TEST(HubTransfers, Count) {
  HubTransfers transfers;
  Progress progress;
  progress.repo = "org/model";
  progress.file = "model.safetensors";
  for (const std::uint64_t bytes : {100, 150, 150, 400}) {  // 100 were there from an earlier try
    progress.bytes = bytes;
    transfers.count(progress);
  }
  progress.finished = true;
  transfers.count(progress);
  transfers.count(progress);  // told to another part of the load
  progress.file = "config.json";
  progress.from_cache = true;
  transfers.count(progress);
  std::string text;
  transfers.append(text);
  EXPECT_THAT(text, HasSubstr("stella_hub_downloaded_files_total 1\n"));
  EXPECT_THAT(text, HasSubstr("stella_hub_downloaded_bytes_total 300\n"));
  EXPECT_THAT(text, HasSubstr("stella_hub_cached_files_total 1\n"));
}

TEST(HubTransfers, AreThereFromTheStart) {
  std::string text;
  HubTransfers().append(text);
  EXPECT_THAT(text, HasSubstr("stella_hub_downloaded_bytes_total 0\n"));
}

TEST(PoolFigures, OfEachModel) {
  PoolHealth health;
  health.memory.used = 100;
  health.memory.limit = 1000;
  health.models.resize(2);
  health.models[0].name = "/models/one";
  health.models[0].state = ModelState::ready;
  health.models[0].private_bytes = 60;
  health.models[0].mapped_bytes = 40;
  health.models[0].counters.loads = 2;
  health.models[1].name = "two";
  health.models[1].counters.evictions = 3;
  health.models[1].counters.failed_loads = 1;
  health.models[1].counters.refused_loads = 1;
  std::string text;
  append_pool(text, health, {{"/models/one", "one"}});
  for (const char* line :
       {"stella_model_ready{model=\"one\"} 1\n", "stella_model_ready{model=\"two\"} 0\n",
        "stella_model_memory_bytes{model=\"one\"} 100\n", "stella_model_loads_total{model=\"one\"} 2\n",
        "stella_model_failed_loads_total{model=\"two\"} 2\n", "stella_model_evictions_total{model=\"two\"} 3\n",
        "stella_memory_used_bytes 100\n", "stella_memory_limit_bytes 1000\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace stella::server
