// Load on a running server: so many clients, each of which asks again as soon as it has its answer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace stella::cli {

enum class LoadRoute : std::uint8_t { openai, tei };

struct LoadPlan {
  std::string url{};  ///< The server's address, as it was given.
  LoadRoute route = LoadRoute::openai;
  std::size_t clients = 8;
  std::size_t texts_per_request = 1;
  std::chrono::milliseconds duration{10'000};
  std::chrono::milliseconds finish{10'000};  ///< After that, for requests that are under way.
  std::vector<std::string> texts{};          ///< Taken in turn, from the first again after the last. At least one.
  std::optional<std::string> api_key{};
  std::optional<std::string> model{};
  std::optional<std::string> task{};
  std::optional<std::size_t> dimension{};
  bool bulk = false;  ///< Says so with x-priority.
};

struct LoadCounts {
  std::vector<float> milliseconds{};            ///< Of each request that was answered with 200; sorted by summarize().
  std::map<std::string, std::size_t> errors{};  ///< By status, "429", or cause, "no connection".
  std::size_t texts = 0;
  std::size_t tokens = 0;      ///< As the server counts them; 0 where it does not say.
  std::size_t unfinished = 0;  ///< Requests that were given up at the end.
  double seconds = 0;          ///< Up to the last answer; the plan's duration at least.
};

struct LoadSummary {
  std::size_t requests = 0;  ///< That were answered with 200.
  std::size_t failed = 0;
  double requests_per_second = 0;
  double texts_per_second = 0;
  double tokens_per_second = 0;
  double mean = 0;  ///< Milliseconds, as those below.
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double max = 0;
};

/// The smallest of the sorted values that `share` of them do not exceed (nearest rank). 0 where there are none.
double percentile(const std::vector<float>& sorted, double share);
LoadSummary summarize(LoadCounts& counts);

/// "http://host:1/v1/embeddings" of an address with or without "/v1" and final slashes.
std::string route_url(const LoadPlan& plan);
/// The body of a request for the texts from `first` on.
std::string request_body(const LoadPlan& plan, std::size_t first);

/// One object, with the texts a request has and how it went.
std::string load_json(const LoadPlan& plan, LoadCounts& counts);
/// Lines for people.
std::string load_text(const LoadPlan& plan, LoadCounts& counts);

/// Sends one request first, and throws Failure with the reason where that is not answered with 200. After the plan's
/// duration no further request is sent, and those under way are waited for as long as the plan says. `poll` is called
/// at least every 50 ms; what it throws ends the run, with `counts` up to there.
void run_load(const LoadPlan& plan, LoadCounts& counts, const std::function<void()>& poll);

}  // namespace stella::cli
