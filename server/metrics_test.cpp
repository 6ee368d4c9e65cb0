#include "server/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::HasSubstr;

TEST(Metrics, AllAreThereFromTheStart) {
  const std::string text = Metrics().text(0);
  for (const char* line :
       {"te_request_count{method=\"single\"} 0\n", "te_request_count{method=\"batch\"} 0\n",
        "te_request_success{method=\"single\"} 0\n", "te_request_failure{err=\"dropped\"} 0\n", "te_embed_count 0\n",
        "te_embed_success 0\n", "te_request_duration_count 0\n", "te_embed_queue_duration_bucket{le=\"+Inf\"} 0\n",
        "te_request_inference_duration_bucket{le=\"1e-05\"} 0\n", "te_request_input_length_sum 0\n",
        "te_queue_size 0\n", "# TYPE te_request_tokenization_duration histogram\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, Count) {
  Metrics metrics;
  metrics.count_request(true, 3);
  metrics.count_request(false, 1);
  Timing timing;
  timing.total = std::chrono::milliseconds(1);
  metrics.count_success(true, 3, timing);
  metrics.count_failure(Metrics::Failure::overloaded);
  const std::string text = metrics.text(5);
  EXPECT_THAT(text, HasSubstr("te_request_count{method=\"batch\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("te_request_failure{err=\"overloaded\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("te_embed_count 4\n"));
  EXPECT_THAT(text, HasSubstr("te_embed_success 3\n"));
  EXPECT_THAT(text, HasSubstr("te_request_duration_sum 0.001\nte_request_duration_count 1\n"));
  EXPECT_THAT(text, HasSubstr("te_queue_size 5\n"));
}

TEST(Histogram, BucketsAddUp) {
  Histogram histogram(1, 2, 3);
  for (const double value : {0.5, 1.0, 1.5, 4.0, 5.0}) histogram.observe(value);
  std::string out;
  histogram.append(out, "h");
  EXPECT_EQ(out,
            "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"4\"} "
            "4\nh_bucket{le=\"+Inf\"} 5\nh_sum 12\nh_count 5\n");
}

}  // namespace
}  // namespace stella::server
