// How long a query takes beside bulk work, what bulk work loses to queries, and what a thousand requests of one text
// cost beside one request of a thousand.
//
//     bench_latency CHECKPOINT QUERIES.jsonl PASSAGES.jsonl [--precision P] [--threads N] [--teams N] [--rounds N]
//     [--every MS] [--clients N] [--requests N] [--texts N] [--only bulk]
//
// Each round: single queries with nothing else; CLIENTS bulk clients that send REQUESTS requests of TEXTS passages
// each; the same with a query every MS milliseconds; 1,000 queries as so many requests and as one. With `--only bulk`
// the bulk clients alone. Prints JSON.
#include "base/json.hpp"
#include "stella/runtime.hpp"
#include "stella/sync.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Texts = std::vector<std::string>;
using Options = std::map<std::string, std::string>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Texts read_lines(const std::string& path) {
  Texts texts;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) texts.emplace_back(stella::json::parse(line).as_string());
  if (texts.empty()) throw std::runtime_error("no texts in " + path);
  return texts;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(q * static_cast<double>(values.size())))];
}

stella::EmbedRequest request_for(Texts texts, const std::string& client) {
  stella::EmbedRequest request;
  request.texts = std::move(texts);
  request.options.task = "none";
  request.options.client = client;
  return request;
}

class Bench {
 public:
  Bench(stella::Model model, Texts queries, Texts passages, Options options)
      : model_(std::move(model)),
        queries_(std::move(queries)),
        passages_(std::move(passages)),
        options_(std::move(options)) {}

  void run_round() {
    if (options_.at("--only") == "bulk") return alone_.push_back(run_bulk(false));
    for (int i = 0; i < 30; ++i) idle_.push_back(time_query());
    std::cerr << "idle " << quantile(idle_, 0.5) << " s" << std::endl;
    alone_.push_back(run_bulk(false));
    std::cerr << "bulk alone " << alone_.back() << " s" << std::endl;
    beside_.push_back(run_bulk(true));
    std::cerr << "bulk beside queries " << beside_.back() << " s" << std::endl;
    single_.push_back(run_thousand(1));
    std::cerr << "a thousand requests " << single_.back() << " s" << std::endl;
    together_.push_back(run_thousand(1000));
    std::cerr << "one request " << together_.back() << " s" << std::endl;
  }

  stella::json::object report() const {
    const double alone = quantile(alone_, 0.5);
    if (options_.at("--only") == "bulk") return {{"bulk_alone_tokens_per_s", tokens_ / alone}};
    const double idle = quantile(idle_, 0.95);
    const double busy = quantile(busy_, 0.95);
    const double beside = quantile(beside_, 0.5);
    const double own = quantile(idle_, 0.5) * static_cast<double>(busy_.size()) / static_cast<double>(beside_.size());
    return {{"queries_idle", idle_.size()},
            {"queries_busy", busy_.size()},
            {"idle_p50_ms", 1e3 * quantile(idle_, 0.5)},
            {"idle_p95_ms", 1e3 * idle},
            {"busy_p50_ms", 1e3 * quantile(busy_, 0.5)},
            {"busy_p95_ms", 1e3 * busy},
            {"p95_ratio", busy / idle},
            {"bulk_alone_tokens_per_s", tokens_ / alone},
            {"bulk_beside_tokens_per_s", tokens_ / beside},
            {"bulk_loss", 1 - alone / beside},
            {"bulk_loss_beyond_the_queries_own_time", 1 - (alone + own) / beside},
            {"thousand_requests_s", quantile(single_, 0.5)},
            {"one_request_s", quantile(together_, 0.5)},
            {"thousand_to_one", quantile(single_, 0.5) / quantile(together_, 0.5)}};
  }

 private:
  std::size_t number(const std::string& name) const { return std::stoul(options_.at(name)); }

  double time_query() {
    const auto start = Clock::now();
    model_sync().embed(request_for({queries_[next_query_++ % queries_.size()]}, "query"));
    return seconds_since(start);
  }

  double run_bulk(bool with_queries) {
    std::atomic<std::size_t> tokens{0};
    std::atomic<bool> over{false};
    const auto start = Clock::now();
    std::vector<std::thread> clients;
    for (std::size_t c = 0; c < number("--clients"); ++c) {
      clients.emplace_back([&, c] {
        for (std::size_t r = 0; r < number("--requests"); ++r) {
          Texts texts;
          for (std::size_t t = 0; t < number("--texts"); ++t) {
            texts.push_back(passages_[(c * 61 + r * number("--texts") + t) % passages_.size()]);
          }
          stella::EmbedRequest request = request_for(std::move(texts), std::to_string(c));
          request.options.priority = stella::Priority::bulk;
          tokens += model_sync().embed(std::move(request)).stats.tokens;
        }
      });
    }
    std::thread queries([&] {
      auto next = start;
      while (with_queries) {
        next = std::max(next + std::chrono::milliseconds(number("--every")), Clock::now());
        std::this_thread::sleep_until(next);
        if (over) return;
        busy_.push_back(time_query());
      }
    });
    for (std::thread& client : clients) client.join();
    const double seconds = seconds_since(start);
    over = true;
    queries.join();
    tokens_ = static_cast<double>(tokens);
    return seconds;
  }

  double run_thousand(std::size_t texts_each) {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t left = 1000 / texts_each;
    const auto start = Clock::now();
    for (std::size_t first = 0; first < 1000; first += texts_each) {
      Texts texts;
      for (std::size_t i = first; i < first + texts_each; ++i) texts.push_back(queries_[i % queries_.size()]);
      model_.embed(request_for(std::move(texts), ""), {},
                   stella::on_any_thread([&](const std::exception_ptr& error, const stella::EmbedResult&) {
                     if (error) std::terminate();
                     const std::lock_guard lock(mutex);
                     if (--left == 0) changed.notify_one();
                   }));
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return left == 0; });
    return seconds_since(start);
  }

  stella::sync::Model model_sync() const { return stella::sync::Model(model_); }

  stella::Model model_;
  Texts queries_;
  Texts passages_;
  Options options_;
  std::atomic<std::size_t> next_query_{0};
  std::vector<double> idle_, busy_, alone_, beside_, single_, together_;  // seconds
  double tokens_ = 0;                                                     // of one run of the bulk clients
};

int run(int argc, char** argv) {
  Options options{{"--precision", "auto"}, {"--threads", "0"},  {"--teams", "0"},
                  {"--rounds", "3"},       {"--every", "1000"}, {"--clients", "4"},
                  {"--requests", "4"},     {"--texts", "16"},   {"--only", ""}};
  for (int i = 4; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  stella::ModelOptions model_options;
  model_options.precision = stella::parse_precision(options["--precision"]);
  model_options.runtime = std::make_shared<stella::Runtime>(stella::RuntimeOptions{
      .compute_threads = std::stoul(options["--threads"]), .compute_teams = std::stoul(options["--teams"])});
  const stella::Model model(argv[1], model_options);
  stella::sync::Model(model).embed("loaded now");
  Bench bench(model, read_lines(argv[2]), read_lines(argv[3]), options);
  for (std::size_t i = 0; i < std::stoul(options["--rounds"]); ++i) bench.run_round();
  stella::json::object report = bench.report();
  report["precision"] = stella::to_string(*model.precision());
  std::cout << report << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: bench_latency CHECKPOINT QUERIES.jsonl PASSAGES.jsonl [options]\n";
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "bench_latency: " << error.what() << "\n";
    return 1;
  }
}
