// From a request to its answer.
#pragma once

#include "base/json.hpp"
#include "server/admission.hpp"
#include "server/backend.hpp"
#include "server/http/message.hpp"
#include "server/keys.hpp"
#include "server/metrics.hpp"
#include "server/observe/observer.hpp"
#include "server/options.hpp"
#include "server/routes/embedded.hpp"
#include "server/routes/router.hpp"
#include "server/routes/tei.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>

namespace stella::server {

/// `dimension`: "1024", or "tokens" for the states of tokens.
Metrics::Labels labels_of(const ModelFacts& facts, const std::string& dimension);

/// Thread-safe. Awaitables run on any executor; what takes long runs on a pool of two threads.
class Service {
 public:
  Service(const Options& options, std::shared_ptr<Backend> backend);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  /// What is wrong with a request before its body is read: the route, the method, the key, the body's announced size or
  /// type. The answer stands whatever the body is.
  std::optional<Response> check_header(const Request& request, std::optional<std::uint64_t> body_bytes) const;

  /// Never throws. A requested `stop` gives up what is under way for the request. `late`: it came after drain(), on a
  /// connection that did.
  boost::asio::awaitable<Response> respond(const Request& request, std::stop_token stop, bool late);

  /// From now on the server is not ready.
  void drain() noexcept { draining_ = true; }
  bool is_draining() const noexcept { return draining_; }
  const Observer& observer() const noexcept { return observer_; }

 private:
  struct Call {
    const Request& request;
    std::stop_token stop;
    std::shared_ptr<const ModelFacts> facts;
    std::chrono::steady_clock::time_point start;
  };

  boost::asio::awaitable<Response> answer(const Request& request, const RouteEntry& entry, std::stop_token stop);
  Response health() const;
  Response answer_at_once(const Request& request, Route route);
  boost::asio::awaitable<Response> answer_post(const Call& call, Route route, const json::value& body);
  boost::asio::awaitable<Response> embeddings(const Call& call, const json::value& body);
  boost::asio::awaitable<Response> embed(const Call& call, TeiRequest request, Route route);
  boost::asio::awaitable<Response> ollama(const Call& call, const json::value& body, Route route);
  boost::asio::awaitable<Response> cohere(const Call& call, const json::value& body);
  boost::asio::awaitable<Response> vertex(const Call& call, const json::value& body);
  boost::asio::awaitable<Response> tokenize(const Call& call, const json::value& body);
  boost::asio::awaitable<Response> decode(const Call& call, const json::value& body);

  boost::asio::awaitable<std::string> special_text(const Call& call, std::int32_t id);
  boost::asio::awaitable<Embedded> compute(const Call& call, Inputs& inputs, EmbedOptions options);
  boost::asio::awaitable<void> say_length(const Call& call, const std::vector<std::string>& texts,
                                          EmbedOptions options);
  /// Writes the body on the pool where it is long, and adds the headers of a computed answer.
  template <class Write>
  boost::asio::awaitable<Response> finish(const Call& call, const Inputs& inputs, const EmbedOptions& options,
                                          const Embedded& embedded, Write write);
  Response fail(const std::exception_ptr& error, const RouteEntry& entry);
  void count_failure(const ApiError& error);
  void count_texts(const ModelFacts& facts, const EmbedOptions& options, const Embedded& embedded);
  std::string metrics_text();
  void set_terms(const Call& call, EmbedOptions& options) const;

  const Options options_;
  const std::shared_ptr<Backend> backend_;
  const ApiKeys keys_;
  const std::int64_t started_;  ///< Seconds since 1970.
  Admission admission_;
  Metrics metrics_{};
  const Observer observer_;
  std::atomic<bool> draining_{false};
  boost::asio::thread_pool pool_;
};

}  // namespace stella::server
