// From a request to its answer.
#pragma once

#include "base/json.hpp"
#include "server/admission.hpp"
#include "server/backend.hpp"
#include "server/cors.hpp"
#include "server/http/message.hpp"
#include "server/keys.hpp"
#include "server/metrics.hpp"
#include "server/observe/observer.hpp"
#include "server/options.hpp"
#include "server/request_memory.hpp"
#include "server/routes/cohere.hpp"
#include "server/routes/embedded.hpp"
#include "server/routes/ollama.hpp"
#include "server/routes/openai.hpp"
#include "server/routes/router.hpp"
#include "server/routes/tei.hpp"
#include "server/workers.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace stella::server {

/// `dimension`: "1024", or "tokens" for the states of tokens.
Metrics::Labels labels_of(const ModelFacts& facts, const std::string& dimension);

/// Thread-safe. Awaitables run on any executor; what takes long runs on a pool of two threads: requests with long
/// bodies from beginning to end, and the writing of long answers.
class Service {
 public:
  Service(const Options& options, std::shared_ptr<Backend> backend);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  /// What is wrong with a request before its body is read: the route, the method, the key, the body's announced size or
  /// type. The answer stands whatever the body is.
  std::optional<Response> check_header(const Request& request, std::optional<std::uint64_t> body_bytes) const;

  /// Throws std::bad_alloc where there is no memory even for a refusal. A requested `stop` gives up what is under way
  /// for the request. `late`: it came after drain(), on a connection that did.
  boost::asio::awaitable<Response> respond(Request& request, std::stop_token stop, bool late);
  /// The answer to a request for whose body there is no memory now.
  Response overloaded(const Request& request);

  RequestMemory::Part new_memory() { return RequestMemory::Part(memory_); }
  Limits limits() const { return settings()->options.limits; }
  /// Keys, limits and defaults, for requests that come from now on. Throws Error(invalid_argument), and changes nothing
  /// then.
  void set_options(const Options& options);

  /// From now on the server is not ready.
  void drain() noexcept { draining_ = true; }
  bool is_draining() const noexcept { return draining_; }
  const Observer& observer() const noexcept { return observer_; }

 private:
  /// What may change while the server runs, of one moment.
  struct Settings {
    explicit Settings(const Options& all) : options(all), keys(all.api_keys), cors(all.cors_origins) {}
    Options options;
    ApiKeys keys;
    Cors cors;
  };
  struct Call {
    Request& request;
    std::stop_token stop;
    std::shared_ptr<const Settings> settings;
    std::chrono::steady_clock::time_point start;
    Backend::Deadline deadline{};
    std::shared_ptr<const ModelFacts> facts{};  ///< Of the model that the request names.
    std::size_t kept = 0;                       ///< Bytes of it that reserve() adds to what it is asked for.
  };

  std::shared_ptr<const Settings> settings() const;
  std::optional<Response> refusal(const Request& request, const Match& match, std::optional<std::uint64_t> body_bytes,
                                  const Settings& settings) const;
  boost::asio::awaitable<Response> answer(Request& request, const RouteEntry& entry, std::stop_token stop);
  Response health() const;
  Response answer_at_once(const Request& request, Route route);
  boost::asio::awaitable<Response> info(const Request& request, std::stop_token stop);
  boost::asio::awaitable<Response> answer_body(Request& request, const RouteEntry& entry, std::stop_token stop);
  boost::asio::awaitable<Response> answer_post(const Call& call, Route route, json::value body);
  boost::asio::awaitable<Response> embeddings(const Call& call, OpenAiRequest request);
  boost::asio::awaitable<Response> embed(const Call& call, TeiRequest request, Route route);
  boost::asio::awaitable<Response> ollama(const Call& call, OllamaRequest request, Route route);
  boost::asio::awaitable<Response> cohere(const Call& call, CohereRequest request);
  boost::asio::awaitable<Response> vertex(const Call& call, std::vector<TeiRequest> requests);
  boost::asio::awaitable<Response> tokenize(const Call& call, TokenizeBody body);
  boost::asio::awaitable<Response> decode(const Call& call, DecodeRequest request);

  boost::asio::awaitable<std::string> special_text(const Call& call, std::int32_t id);
  boost::asio::awaitable<Embedded> compute(const Call& call, Inputs& inputs, EmbedOptions options);
  boost::asio::awaitable<void> say_length(const Call& call, const Inputs& inputs, EmbedOptions options);
  /// Writes the body on the pool where it is long, and adds the headers of a computed answer.
  template <class Write>
  boost::asio::awaitable<Response> finish(const Call& call, const Inputs& inputs, const EmbedOptions& options,
                                          const Embedded& embedded, Write write);
  Response fail(const std::exception_ptr& error, const RouteEntry& entry);
  void count_failure(const ApiError& error);
  void count_texts(const ModelFacts& facts, const EmbedOptions& options, const Embedded& embedded);
  std::string metrics_text();
  boost::asio::awaitable<void> check_tokens(const Call& call, const Inputs& inputs);
  static std::string client_of(const Call& call);
  /// Throws ApiError where there is no memory for it.
  static void reserve(const Call& call, std::size_t bytes);

  const std::shared_ptr<Backend> backend_;
  const std::int64_t started_;  ///< Seconds since 1970.
  Admission admission_;
  RequestMemory memory_;
  Metrics metrics_{};
  const Observer observer_;
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_{};
  std::shared_ptr<const Settings> settings_;  // guarded by mutex_
  Workers pool_;
};

}  // namespace stella::server
