#include "server/metrics.hpp"

#include "server/observe/process_figures.hpp"
#include "server/observe/prometheus.hpp"

#include <algorithm>

namespace stella::server {
namespace {

constexpr std::array<const char*, 2> kMethods{"single", "batch"};
constexpr std::array<const char*, 7> kFailures{"validation", "batch_size", "overloaded", "tokenization",
                                               "inference",  "model_type", "dropped"};

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

constexpr std::array<const char*, 2> kQueues{"interactive", "bulk"};

std::string text_of(const Metrics::Labels& labels) {
  return label("model", labels.model) + "," + label("dimension", labels.dimension) + "," +
         label("precision", labels.precision);
}

void append_distribution(std::string& out, const std::string& name, const PassCounters::Distribution& counts,
                         std::uint64_t sum) {
  append_type(out, name, "histogram");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    below += counts.at(i);
    const bool last = i + 1 == counts.size();
    const std::string end = last ? "+Inf" : std::to_string(std::uint64_t{1} << i);
    append_sample(out, name + "_bucket", label("le", end), static_cast<double>(below));
  }
  append_sample(out, name + "_sum", {}, static_cast<double>(sum));
  append_sample(out, name + "_count", {}, static_cast<double>(below));
}

template <class Counters, class Names>
void append_counters(std::string& out, const std::string& name, const std::string& label, const Counters& counters,
                     const Names& names) {
  append_type(out, name, "counter");
  for (std::size_t i = 0; i < counters.size(); ++i) {
    out += name + "{" + label + "=\"" + names[i] + "\"} " + std::to_string(counters[i].load()) + "\n";
  }
}

}  // namespace

Histogram::Histogram(double first, double factor, std::size_t buckets) : buckets_(std::min(buckets, kMaxBuckets)) {
  for (std::size_t i = 0; i < buckets_; ++i, first *= factor) ends_.at(i) = first;
}

void Histogram::observe(double value) noexcept {
  const auto* const end = std::lower_bound(ends_.data(), ends_.data() + buckets_, value);
  ++counts_[static_cast<std::size_t>(end - ends_.data())];
  sum_.fetch_add(value);
}

void Histogram::append(std::string& out, std::string_view name) const {
  append_type(out, name, "histogram");
  const std::string prefix(name);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i <= buckets_; ++i) {
    below += counts_.at(i).load();
    out += prefix + "_bucket{le=\"" + (i == buckets_ ? "+Inf" : prometheus_number(ends_.at(i))) + "\"} " +
           std::to_string(below) + "\n";
  }
  out += prefix + "_sum " + prometheus_number(sum_.load()) + "\n" + prefix + "_count " + std::to_string(below) + "\n";
}

void Metrics::Durations::observe(const Timing& timing) noexcept {
  all.observe(seconds(timing.total));
  tokenization.observe(seconds(timing.tokenizing));
  queue.observe(seconds(timing.queued));
  inference.observe(seconds(timing.computing));
}

void Metrics::Durations::append(std::string& out, const std::string& prefix) const {
  all.append(out, prefix + "duration");
  tokenization.append(out, prefix + "tokenization_duration");
  queue.append(out, prefix + "queue_duration");
  inference.append(out, prefix + "inference_duration");
}

void Metrics::count_success(bool batch, std::size_t texts, const Timing& timing) noexcept {
  ++successes_.at(batch ? 1 : 0);
  embedded_ += texts;
  request_.observe(timing);
  embed_.observe(timing);
}

void Metrics::declare(const Labels& labels) {
  const std::lock_guard lock(mutex_);
  by_labels_.try_emplace(text_of(labels));
}

void Metrics::count_texts(const Labels& labels, std::size_t texts, std::size_t tokens) {
  const std::lock_guard lock(mutex_);
  Work& work = by_labels_[text_of(labels)];
  work.texts += texts;
  work.tokens += tokens;
}

void Metrics::append_own(std::string& out) const {
  const std::lock_guard lock(mutex_);
  const auto all = [&](const char* name, std::uint64_t Work::*member) {
    append_type(out, name, "counter");
    for (const auto& [labels, work] : by_labels_) append_sample(out, name, labels, static_cast<double>(work.*member));
  };
  all("stella_embedded_texts_total", &Work::texts);
  all("stella_embedded_tokens_total", &Work::tokens);
}

std::string Metrics::text(std::size_t queue, const PassCounters& passes) const {
  std::string out;
  append_counters(out, "te_request_count", "method", requests_, kMethods);
  append_counters(out, "te_request_success", "method", successes_, kMethods);
  append_counters(out, "te_request_failure", "err", failures_, kFailures);
  append_metric(out, "te_embed_count", "counter", static_cast<double>(embeds_.load()));
  append_metric(out, "te_embed_success", "counter", static_cast<double>(embedded_.load()));
  request_.append(out, "te_request_");
  embed_.append(out, "te_embed_");
  lengths_.append(out, "te_request_input_length");
  append_distribution(out, "te_batch_next_size", passes.by_texts, passes.texts);
  append_distribution(out, "te_batch_next_tokens", passes.by_tokens, passes.tokens);
  append_metric(out, "te_queue_size", "gauge", static_cast<double>(queue));
  append_counters(out, "stella_requests_total", "queue", by_queue_, kQueues);
  append_own(out);
  append_process_figures(out);
  return out;
}

}  // namespace stella::server
