// The routes that ask the model.
#include "server/await.hpp"
#include "server/cost.hpp"
#include "server/routes/fields.hpp"
#include "server/routes/fingerprint.hpp"
#include "server/service.hpp"
#include "server/terms.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <utility>

namespace stella::server {
namespace {

namespace net = boost::asio;
constexpr std::size_t kLongAnswer = std::size_t{64} << 10U;
constexpr std::size_t kBytesOfFloat = 12;  ///< As text.

std::string milliseconds(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

std::size_t floats_of(const EmbedOptions& options, const ModelFacts& facts, std::size_t texts) {
  std::size_t sum = options.dimensions.empty() ? facts.description.default_dimension : 0;
  for (const std::size_t dimension : options.dimensions) sum += dimension;
  if (options.token_states) sum += facts.description.hidden * facts.max_input_length();
  return sum * texts;
}

}  // namespace

net::awaitable<Embedded> Service::compute(const Call& call, Inputs& inputs, EmbedOptions options) {
  const bool batch = !inputs.single;
  metrics_.count_request(batch, inputs.size());
  reserve(call, answer_bytes(inputs, *call.facts, options));
  const Cost cost = cost_of(inputs, *call.facts, options);
  options.client = client_of(call);
  options.priority = priority_of(call.request, cost);
  options.deadline = call.deadline;
  auto permit = admission_.enter(options.client, cost);
  if (!permit) throw ApiError(ErrorKind::overloaded, "Model is overloaded");
  metrics_.count_queue(options.priority == Priority::bulk);
  std::exception_ptr too_long;
  EmbedResult results[2];
  for (const bool of_ids : {false, true}) {
    if (of_ids ? inputs.ids.empty() : inputs.texts.empty()) continue;
    EmbedRequest request;
    if (of_ids) {
      request.ids = std::move(inputs.ids);
    } else {
      request.texts = inputs.texts;  // for say_length(), and for answers that repeat them
    }
    request.options = options;
    request.any_count = true;
    request.indexed_errors = batch;
    auto start = [this, &request, &call](auto done) {
      backend_->pool().embed(call.facts->id, std::move(request), call.stop, std::move(done));
    };
    try {
      results[of_ids ? 1 : 0] = co_await await_callback<EmbedResult>(start);
    } catch (const Error& error) {
      if (error.errc() != Errc::text_too_long || of_ids) throw;
      too_long = std::current_exception();
    }
    if (too_long) co_await say_length(call, inputs, options);
    if (too_long) std::rethrow_exception(too_long);
  }
  permit->set_done();
  co_return Embedded(inputs.is_ids, std::move(results[0]), std::move(results[1]));
}

std::string Service::client_of(const Call& call) {
  const std::string* const key = find_field(call.request.fields, "authorization");
  std::string client = key == nullptr ? std::string() : call.settings->keys.client_of(*key);
  return client.empty() ? call.request.peer : client;
}

/// Throws ApiError with the tokens that the first text has that is too long, as TEI's clients know it.
net::awaitable<void> Service::say_length(const Call& call, const Inputs& inputs, EmbedOptions options) {
  TokenizeRequest request;
  request.texts = inputs.texts;
  request.options.prompt = options.prompt;
  auto start = [this, &request, &call](auto done) {
    backend_->pool().tokenize(call.facts->id, std::move(request), call.stop, std::move(done));
  };
  const std::vector<Tokens> tokens = co_await await_callback<std::vector<Tokens>>(start);
  for (const Tokens& text : tokens) {
    if (!text.truncated) continue;
    throw ApiError(ErrorKind::validation,
                   "`" + inputs.field + "` must have less than " + std::to_string(call.facts->max_input_length()) +
                       " tokens. Given: " + std::to_string(text.full_tokens),
                   inputs.field);
  }
}

void Service::count_texts(const ModelFacts& facts, const EmbedOptions& options, const Embedded& embedded) {
  std::vector<std::size_t> dimensions = options.dimensions;
  if (dimensions.empty() && options.pooled) dimensions.push_back(facts.description.default_dimension);
  for (const std::size_t dimension : dimensions) {
    metrics_.count_texts(labels_of(facts, std::to_string(dimension)), embedded.size(), embedded.tokens());
  }
  if (options.token_states) metrics_.count_texts(labels_of(facts, "tokens"), embedded.size(), embedded.tokens());
}

/// OpenAI takes 300,000 tokens in one request. That many bytes may be as many tokens, and only the tokenizer knows.
net::awaitable<void> Service::check_tokens(const Call& call, const Inputs& inputs) {
  constexpr std::size_t kMaxTokens = 300'000;
  std::size_t bytes = 0;
  for (const std::string& text : inputs.texts) bytes += text.size();
  if (bytes <= kMaxTokens) co_return;
  TokenizeRequest request;
  request.texts = inputs.texts;
  request.options.prompt = "";
  auto start = [this, &request, &call](auto done) {
    backend_->pool().tokenize(call.facts->id, std::move(request), call.stop, std::move(done));
  };
  const std::vector<Tokens> texts = co_await await_callback<std::vector<Tokens>>(start);
  std::size_t tokens = 0;
  for (const Tokens& text : texts) tokens += text.full_tokens;
  if (tokens > kMaxTokens) refuse_field("input", "of at most 300,000 tokens in all, and has " + std::to_string(tokens));
}

template <class Write>
net::awaitable<Response> Service::finish(const Call& call, const Inputs& inputs, const EmbedOptions& options,
                                         const Embedded& embedded, Write write) {
  const std::size_t bytes = kBytesOfFloat * floats_of(options, *call.facts, embedded.size());
  Response response;
  response.body = co_await offload(pool_.context(), bytes > kLongAnswer, std::move(write));
  Timing timing;
  timing.total = std::chrono::steady_clock::now() - call.start;
  timing.tokenizing = embedded.tokenizing();
  timing.queued = embedded.queued();
  timing.computing = embedded.computing();
  metrics_.count_success(!inputs.single, embedded.size(), timing);
  for (std::size_t i = 0; i < embedded.size(); ++i) metrics_.count_length(embedded.count(i).tokens);
  count_texts(*call.facts, options, embedded);
  response.work = {embedded.size(), embedded.tokens(), timing.queued, timing.tokenizing, timing.computing};
  const auto add = [&response](const char* name, std::string value) {
    response.fields.push_back({name, std::move(value)});
  };
  add("x-compute-type", "cpu");
  add("x-compute-time", milliseconds(timing.total));
  add("x-compute-characters", std::to_string(inputs.characters));
  add("x-compute-tokens", std::to_string(embedded.tokens()));
  add("x-total-time", milliseconds(timing.total));
  add("x-tokenization-time", milliseconds(timing.tokenizing));
  add("x-queue-time", milliseconds(timing.queued));
  add("x-inference-time", milliseconds(timing.computing));
  add("x-truncated-inputs", std::to_string(embedded.truncated()));
  add("x-embedding-fingerprint", fingerprint_of(*call.facts, options));
  co_return response;
}

net::awaitable<Response> Service::answer_post(const Call& call, Route route, json::value body) {
  const ModelFacts& facts = *call.facts;
  // The body has served once it is parsed, and takes many times what was sent.
  const auto parse = [&](auto how) {
    auto parsed = how(body, facts);
    body = nullptr;
    return parsed;
  };
  switch (route) {
    case Route::embeddings:
      co_return co_await embeddings(call, parse(parse_openai));
    case Route::embed_all:
      co_return co_await embed(call, parse(parse_embed_all), route);
    case Route::vertex:
      co_return co_await vertex(call, parse(parse_vertex));
    case Route::tokenize:
      co_return co_await tokenize(call, parse(parse_tokenize));
    case Route::decode:
      co_return co_await decode(call, parse(parse_decode));
    case Route::ollama_embed:
      co_return co_await ollama(call, parse(parse_ollama_embed), route);
    case Route::ollama_embeddings:
      co_return co_await ollama(call, parse(parse_ollama_embeddings), route);
    case Route::cohere_embed:
      co_return co_await cohere(call, parse(parse_cohere));
    default:
      break;
  }
  const bool similarity = route == Route::similarity || (route == Route::root && is_similarity(body));
  TeiRequest request = parse(similarity ? parse_similarity : parse_embed);
  co_return co_await embed(call, std::move(request), similarity ? Route::similarity : Route::embed);
}

net::awaitable<Response> Service::embeddings(const Call& call, OpenAiRequest request) {
  co_await check_tokens(call, request.inputs);
  const Embedded embedded = co_await compute(call, request.inputs, request.options);
  auto write = [&] { return openai_answer(embedded, request.encoding, *call.facts); };
  co_return co_await finish(call, request.inputs, request.options, embedded, write);
}

net::awaitable<Response> Service::embed(const Call& call, TeiRequest request, Route route) {
  const Embedded embedded = co_await compute(call, request.inputs, request.options);
  auto write = [&] {
    if (route == Route::similarity) return similarity_answer(embedded);
    return route == Route::embed_all ? embed_all_answer(embedded) : embed_answer(request, embedded);
  };
  co_return co_await finish(call, request.inputs, request.options, embedded, write);
}

net::awaitable<Response> Service::ollama(const Call& call, OllamaRequest request, Route route) {
  const bool older = route == Route::ollama_embeddings;
  const Embedded embedded = co_await compute(call, request.inputs, request.options);
  auto write = [&] {
    if (older) return ollama_embeddings_answer(embedded);
    return ollama_embed_answer(request, embedded, std::chrono::steady_clock::now() - call.start);
  };
  co_return co_await finish(call, request.inputs, request.options, embedded, write);
}

net::awaitable<Response> Service::cohere(const Call& call, CohereRequest request) {
  const Embedded embedded = co_await compute(call, request.inputs, request.options);
  auto write = [&] { return cohere_answer(request, embedded, call.request.id); };
  co_return co_await finish(call, request.inputs, request.options, embedded, write);
}

net::awaitable<Response> Service::vertex(const Call& call, std::vector<TeiRequest> requests) {
  std::size_t waiting = 0;  // bytes of the instances' texts
  for (const TeiRequest& request : requests) {
    for (const std::string& text : request.inputs.texts) waiting += text.size();
  }
  Response response;
  response.body = "{\"predictions\":[";
  std::string fingerprints;  // each once, in the instances' order
  for (TeiRequest& request : requests) {
    if (&request != requests.data()) response.body += ',';
    Call part = call;
    part.kept = waiting + 2 * response.body.size();
    const std::string fingerprint = fingerprint_of(*call.facts, request.options);
    if (fingerprints.find(fingerprint) == std::string::npos)
      fingerprints += (fingerprints.empty() ? "" : ", ") + fingerprint;
    const Response one = co_await embed(part, std::move(request), Route::embed);
    response.body += one.body;
    response.work.texts += one.work.texts;
    response.work.tokens += one.work.tokens;
  }
  response.body += "]}";
  if (!fingerprints.empty()) response.fields.push_back({"x-embedding-fingerprint", fingerprints});
  co_return response;
}

}  // namespace stella::server
