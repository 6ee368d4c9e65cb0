#include "server/metrics.hpp"

#include <ctime>
#include <fcntl.h>
#include <string>
#include <unistd.h>

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

TEST(Metrics, ByModelHeadAndPrecision) {
  Metrics metrics;
  metrics.declare({"org/\"model\"", "256", "f32"});
  metrics.declare({"m", "1024", "int16"});
  metrics.count_texts({"m", "1024", "int16"}, 3, 40);
  metrics.declare({"m", "1024", "int16"});
  metrics.count_queue(true);
  const std::string text = metrics.text(0);
  EXPECT_THAT(
      text,
      HasSubstr("stella_embedded_texts_total{model=\"org/\\\"model\\\"\",dimension=\"256\",precision=\"f32\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("stella_embedded_texts_total{model=\"m\",dimension=\"1024\",precision=\"int16\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("stella_embedded_tokens_total{model=\"m\",dimension=\"1024\",precision=\"int16\"} 40\n"));
  EXPECT_THAT(text, HasSubstr("stella_requests_total{queue=\"interactive\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("stella_requests_total{queue=\"bulk\"} 1\n"));
}

TEST(Metrics, PassesOfTheEngine) {
  PassCounters passes;
  passes.add(1, 5);
  passes.add(3, 64);
  passes.add(1'000'000, 65);
  const std::string text = Metrics().text(0, passes);
  EXPECT_THAT(text, HasSubstr("te_batch_next_size_bucket{le=\"1\"} 1\nte_batch_next_size_bucket{le=\"2\"} 1\n"
                              "te_batch_next_size_bucket{le=\"4\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("te_batch_next_size_bucket{le=\"65536\"} 2\nte_batch_next_size_bucket{le=\"+Inf\"} 3\n"
                              "te_batch_next_size_sum 1000004\nte_batch_next_size_count 3\n"));
  EXPECT_THAT(text, HasSubstr("te_batch_next_tokens_bucket{le=\"64\"} 2\nte_batch_next_tokens_bucket{le=\"128\"} 3\n"));
  EXPECT_THAT(Metrics().text(0), HasSubstr("te_batch_next_tokens_count 0\n"));
}

/// The kernel's own figures, read another way.
TEST(Metrics, OfTheProcess) {
  const auto value = [](const std::string& text, const std::string& name) {
    const std::size_t at = text.find("\n" + name + " ");
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size() + 2));
  };
  const std::string before = Metrics().text(0);
  const int opened = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::string after = Metrics().text(0);
  ::close(opened);
  EXPECT_EQ(value(after, "process_open_fds"), value(before, "process_open_fds") + 1);
  EXPECT_GT(value(after, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value(after, "process_virtual_memory_bytes"), value(after, "process_resident_memory_bytes"));
  EXPECT_GE(value(after, "process_cpu_seconds_total"), value(before, "process_cpu_seconds_total"));
  EXPECT_GE(value(after, "process_threads"), 1);
  const double age = static_cast<double>(std::time(nullptr)) - value(after, "process_start_time_seconds");
  EXPECT_GE(age, -2);
  EXPECT_LT(age, 86'400);
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
