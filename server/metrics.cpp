#include "server/metrics.hpp"

#include <algorithm>
#include <charconv>

namespace stella::server {
namespace {

constexpr std::array<const char*, 2> kMethods{"single", "batch"};
constexpr std::array<const char*, 7> kFailures{"validation", "batch_size", "overloaded", "tokenization",
                                               "inference",  "model_type", "dropped"};

std::string number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

void append_type(std::string& out, std::string_view name, std::string_view type) {
  out += "# TYPE ";
  out += name;
  out += " ";
  out += type;
  out += "\n";
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
    out += prefix + "_bucket{le=\"" + (i == buckets_ ? "+Inf" : number(ends_.at(i))) + "\"} " + std::to_string(below) +
           "\n";
  }
  out += prefix + "_sum " + number(sum_.load()) + "\n" + prefix + "_count " + std::to_string(below) + "\n";
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

std::string Metrics::text(std::size_t queue) const {
  std::string out;
  append_counters(out, "te_request_count", "method", requests_, kMethods);
  append_counters(out, "te_request_success", "method", successes_, kMethods);
  append_counters(out, "te_request_failure", "err", failures_, kFailures);
  append_type(out, "te_embed_count", "counter");
  out += "te_embed_count " + std::to_string(embeds_.load()) + "\n";
  append_type(out, "te_embed_success", "counter");
  out += "te_embed_success " + std::to_string(embedded_.load()) + "\n";
  request_.append(out, "te_request_");
  embed_.append(out, "te_embed_");
  lengths_.append(out, "te_request_input_length");
  append_type(out, "te_queue_size", "gauge");
  return out + "te_queue_size " + std::to_string(queue) + "\n";
}

}  // namespace stella::server
