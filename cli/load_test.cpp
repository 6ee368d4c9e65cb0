#include "cli/load.hpp"

#include <numeric>

#include <gtest/gtest.h>

namespace stella::cli {
namespace {

TEST(Load, PercentilesAreOfTheNearestRank) {
  std::vector<float> values(100);
  std::iota(values.begin(), values.end(), 1.F);
  EXPECT_EQ(percentile(values, 0.50), 50);
  EXPECT_EQ(percentile(values, 0.95), 95);
  EXPECT_EQ(percentile(values, 0.99), 99);
  EXPECT_EQ(percentile({1, 2, 3}, 0.5), 2);
  EXPECT_EQ(percentile({1, 2, 3}, 0.99), 3);
  EXPECT_EQ(percentile({7}, 0.5), 7);
  EXPECT_EQ(percentile({}, 0.5), 0);
}

LoadPlan plan_of(const std::string& url, LoadRoute route) {
  LoadPlan plan;
  plan.url = url;
  plan.route = route;
  plan.texts = {"a", "b\"", "c"};
  return plan;
}

TEST(Load, AddressesOfRoutes) {
  for (const char* url : {"http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"}) {
    EXPECT_EQ(route_url(plan_of(url, LoadRoute::openai)), "http://h:1/v1/embeddings");
  }
  EXPECT_EQ(route_url(plan_of("https://h/below", LoadRoute::tei)), "https://h/below/embed");
}

TEST(Load, BodiesTakeTheTextsInTurn) {
  LoadPlan plan = plan_of("http://h", LoadRoute::tei);
  plan.texts_per_request = 4;
  plan.task = "s2p";
  plan.dimension = 256;
  EXPECT_EQ(request_body(plan, 1), R"({"inputs":["b\"","c","a","b\""],"prompt_name":"s2p","dimensions":256})");
  plan = plan_of("http://h", LoadRoute::openai);
  plan.model.emplace("m");
  EXPECT_EQ(request_body(plan, 0), R"({"input":["a"],"encoding_format":"base64","model":"m"})");
}

TEST(Load, SaysNoPassword) {
  const LoadPlan plan = plan_of("http://user:secret@h:1", LoadRoute::tei);
  LoadCounts counts;
  EXPECT_EQ(route_url(plan), "http://user:secret@h:1/embed");
  EXPECT_EQ(load_text(plan, counts).find("secret"), std::string::npos);
  EXPECT_EQ(load_json(plan, counts).find("secret"), std::string::npos);
}

TEST(Load, SaysWhatWasMeasured) {
  const LoadPlan plan = plan_of("http://h:1", LoadRoute::openai);
  LoadCounts counts;
  counts.milliseconds = {4, 1, 2, 3};
  counts.errors = {{"429", 1}, {"connection lost", 2}};
  counts.texts = 4;
  counts.tokens = 4000;
  counts.unfinished = 2;
  counts.seconds = 2;
  EXPECT_EQ(load_text(plan, counts),
            "http://h:1/v1/embeddings: 8 clients, 1 text a request, 2.0 s\n"
            "  requests  4 (2.0/s)\n"
            "  texts     4 (2.0/s)\n"
            "  tokens    4,000 (2,000/s)\n"
            "  latency   p50 2.0  p90 4.0  p95 4.0  p99 4.0  max 4.0 ms\n"
            "  unfinished  2\n"
            "  failed    3: 429 (1), connection lost (2)\n");
  EXPECT_EQ(
      load_json(plan, counts),
      R"({"url":"http://h:1/v1/embeddings","clients":8,"texts_per_request":1,"seconds":2,"requests":4,"failed":3,"unfinished":2,)"
      R"("texts":4,"tokens":4000,"requests_per_second":2,"texts_per_second":2,"tokens_per_second":2000,)"
      R"("latency_ms":{"mean":2.5,"p50":2,"p90":4,"p95":4,"p99":4,"max":4},)"
      R"("errors":{"429":1,"connection lost":2}})"
      "\n");
}

}  // namespace
}  // namespace stella::cli
