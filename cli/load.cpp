#include "cli/load.hpp"

#include "base/shown_url.hpp"
#include "cli/text.hpp"
#include "format/json_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace stella::cli {
namespace {

std::string decimal(double number, int digits) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, number);
  return text.data();
}

/// "1,234 (56.7/s)"
std::string with_rate(std::size_t number, double rate) {
  return with_separators(number) + " (" +
         (rate < 1000 ? decimal(rate, 1) : with_separators(static_cast<std::uint64_t>(std::llround(rate)))) + "/s)";
}

std::string plural(std::size_t number, const char* word) {
  return with_separators(number) + " " + word + (number == 1 ? "" : "s");
}

}  // namespace

double percentile(const std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return static_cast<double>(sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1]);
}

LoadSummary summarize(LoadCounts& counts) {
  std::vector<float>& times = counts.milliseconds;
  std::sort(times.begin(), times.end());
  LoadSummary summary;
  summary.requests = times.size();
  for (const auto& [cause, number] : counts.errors) summary.failed += number;
  if (counts.seconds > 0) {
    summary.requests_per_second = static_cast<double>(summary.requests) / counts.seconds;
    summary.texts_per_second = static_cast<double>(counts.texts) / counts.seconds;
    summary.tokens_per_second = static_cast<double>(counts.tokens) / counts.seconds;
  }
  if (times.empty()) return summary;
  double sum = 0;
  for (const float time : times) sum += static_cast<double>(time);
  summary.mean = sum / static_cast<double>(times.size());
  summary.p50 = percentile(times, 0.50);
  summary.p90 = percentile(times, 0.90);
  summary.p95 = percentile(times, 0.95);
  summary.p99 = percentile(times, 0.99);
  summary.max = static_cast<double>(times.back());
  return summary;
}

std::string route_url(const LoadPlan& plan) {
  std::string_view base = plan.url;
  const auto without = [&base](std::string_view end) {
    if (base.ends_with(end)) base.remove_suffix(end.size());
  };
  while (base.ends_with('/')) base.remove_suffix(1);
  without("/v1");
  return std::string(base) + (plan.route == LoadRoute::openai ? "/v1/embeddings" : "/embed");
}

std::string request_body(const LoadPlan& plan, std::size_t first) {
  const bool openai = plan.route == LoadRoute::openai;
  format::JsonText json;
  json.begin_object().key(openai ? "input" : "inputs").begin_array();
  for (std::size_t i = 0; i < plan.texts_per_request; ++i) json.value(plan.texts[(first + i) % plan.texts.size()]);
  json.end_array();
  if (openai) json.member("encoding_format", "base64");  // as OpenAI's own client asks
  if (plan.model) json.member("model", *plan.model);
  if (plan.task) json.member("prompt_name", *plan.task);
  if (plan.dimension) json.member("dimensions", *plan.dimension);
  return json.end_object().take();
}

std::string load_json(const LoadPlan& plan, LoadCounts& counts) {
  const LoadSummary summary = summarize(counts);
  format::JsonText json;
  const auto number = [&json](const char* name, double value) { json.member(name, static_cast<float>(value)); };
  json.begin_object().member("url", without_password(route_url(plan))).member("clients", plan.clients);
  json.member("texts_per_request", plan.texts_per_request);
  number("seconds", counts.seconds);
  json.member("requests", summary.requests).member("failed", summary.failed).member("unfinished", counts.unfinished);
  json.member("texts", counts.texts).member("tokens", counts.tokens);
  number("requests_per_second", summary.requests_per_second);
  number("texts_per_second", summary.texts_per_second);
  number("tokens_per_second", summary.tokens_per_second);
  json.key("latency_ms").begin_object();
  number("mean", summary.mean);
  number("p50", summary.p50);
  number("p90", summary.p90);
  number("p95", summary.p95);
  number("p99", summary.p99);
  number("max", summary.max);
  json.end_object().key("errors").begin_object();
  for (const auto& [cause, times] : counts.errors) json.member(cause, times);
  return json.end_object().end_object().take() + "\n";
}

std::string load_text(const LoadPlan& plan, LoadCounts& counts) {
  const LoadSummary summary = summarize(counts);
  std::string out = without_password(route_url(plan)) + ": " + plural(plan.clients, "client") + ", " +
                    plural(plan.texts_per_request, "text") + " a request, " + decimal(counts.seconds, 1) + " s\n";
  out += "  requests  " + with_rate(summary.requests, summary.requests_per_second) + "\n";
  out += "  texts     " + with_rate(counts.texts, summary.texts_per_second) + "\n";
  if (counts.tokens != 0) out += "  tokens    " + with_rate(counts.tokens, summary.tokens_per_second) + "\n";
  if (summary.requests != 0) {
    out += "  latency   p50 " + decimal(summary.p50, 1) + "  p90 " + decimal(summary.p90, 1) + "  p95 " +
           decimal(summary.p95, 1) + "  p99 " + decimal(summary.p99, 1) + "  max " + decimal(summary.max, 1) + " ms\n";
  }
  if (counts.unfinished != 0) out += "  unfinished  " + with_separators(counts.unfinished) + "\n";
  if (summary.failed == 0) return out;
  out += "  failed    " + with_separators(summary.failed);
  std::string separator = ": ";
  for (const auto& [cause, times] : counts.errors) {
    out += separator + cause + " (" + with_separators(times) + ")";
    separator = ", ";
  }
  return out + "\n";
}

}  // namespace stella::cli
