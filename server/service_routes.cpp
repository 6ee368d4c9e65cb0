// The routes that ask the model.
#include "server/await.hpp"
#include "server/routes/cohere.hpp"
#include "server/routes/fields.hpp"
#include "server/routes/fingerprint.hpp"
#include "server/routes/ollama.hpp"
#include "server/routes/openai.hpp"
#include "server/service.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace stella::server {
namespace {

namespace net = boost::asio;
constexpr std::size_t kLongAnswer = std::size_t{64} << 10U;
constexpr std::size_t kBytesOfFloat = 12;  ///< As text.

std::string milliseconds(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

std::optional<std::chrono::milliseconds> asked_timeout(const Request& request) {
  const std::string* field = find_field(request.fields, "x-timeout-ms");
  if (field == nullptr) return std::nullopt;
  constexpr std::int64_t kMax = 86'400'000;
  std::int64_t value = 0;
  for (const char c : *field) {
    if (c < '0' || c > '9' || value > kMax) refuse_field("x-timeout-ms", "a whole number of milliseconds");
    value = value * 10 + (c - '0');
  }
  if (field->empty() || value == 0) refuse_field("x-timeout-ms", "a whole number of milliseconds");
  return std::chrono::milliseconds(std::min(value, kMax));
}

Priority asked_priority(const Request& request) {
  const std::string* field = find_field(request.fields, "x-priority");
  if (field == nullptr) return Priority::automatic;
  if (*field == "interactive") return Priority::interactive;
  if (*field == "bulk") return Priority::bulk;
  refuse_field("x-priority", "interactive or bulk");
}

/// As Priority::automatic has it.
bool is_bulk(const Inputs& inputs, Priority priority) {
  constexpr std::size_t kMaxBytes = 4096;
  constexpr std::size_t kMaxIds = 1024;
  std::size_t bytes = 0;
  for (const std::string& text : inputs.texts) bytes += text.size();
  std::size_t ids = 0;
  for (const TokenIds& list : inputs.ids) ids += list.size();
  return priority == Priority::bulk || (priority == Priority::automatic && (bytes > kMaxBytes || ids > kMaxIds));
}

std::size_t floats_of(const EmbedOptions& options, const ModelFacts& facts, std::size_t texts) {
  std::size_t sum = options.dimensions.empty() ? facts.description.default_dimension : 0;
  for (const std::size_t dimension : options.dimensions) sum += dimension;
  if (options.token_states) sum += facts.description.hidden * facts.max_input_length();
  return sum * texts;
}

}  // namespace

void Service::set_terms(const Call& call, EmbedOptions& options) const {
  const std::string* key = find_field(call.request.fields, "authorization");
  options.client = key != nullptr && !keys_.empty() ? *key : call.request.peer;
  options.priority = asked_priority(call.request);
  auto timeout = asked_timeout(call.request);
  if (options_.request_timeout)
    timeout = timeout ? std::min(*timeout, *options_.request_timeout) : *options_.request_timeout;
  if (timeout) options.deadline = call.start + *timeout;
}

net::awaitable<Embedded> Service::compute(const Call& call, Inputs& inputs, EmbedOptions options) {
  const bool batch = !inputs.single;
  metrics_.count_request(batch, inputs.size());
  auto permit = admission_.enter(inputs.size());
  if (!permit) throw ApiError(ErrorKind::overloaded, "Model is overloaded");
  set_terms(call, options);
  metrics_.count_queue(is_bulk(inputs, options.priority));
  std::exception_ptr too_long;
  EmbedResult results[2];
  for (const bool of_ids : {false, true}) {
    if (of_ids ? inputs.ids.empty() : inputs.texts.empty()) continue;
    EmbedRequest request;
    if (of_ids) {
      request.ids = std::move(inputs.ids);
    } else {
      request.texts = inputs.texts;  // for say_length()
    }
    request.options = options;
    request.any_count = true;
    request.indexed_errors = batch;
    auto start = [this, &request, &call](auto done) {
      backend_->model().embed(std::move(request), call.stop, std::move(done));
    };
    try {
      results[of_ids ? 1 : 0] = co_await await_callback<EmbedResult>(start);
    } catch (const Error& error) {
      if (error.errc() != Errc::text_too_long || of_ids) throw;
      too_long = std::current_exception();
    }
    if (too_long) co_await say_length(call, inputs.texts, options);
    if (too_long) std::rethrow_exception(too_long);
  }
  co_return Embedded(inputs.is_ids, std::move(results[0]), std::move(results[1]));
}

/// Throws ApiError with the tokens that the first text has that is too long, as TEI's clients know it.
net::awaitable<void> Service::say_length(const Call& call, const std::vector<std::string>& texts,
                                         EmbedOptions options) {
  TokenizeRequest request;
  request.texts = texts;
  request.options.prompt = options.prompt;
  auto start = [this, &request, &call](auto done) {
    backend_->model().tokenize(std::move(request), call.stop, std::move(done));
  };
  const std::vector<Tokens> tokens = co_await await_callback<std::vector<Tokens>>(start);
  for (const Tokens& text : tokens) {
    if (!text.truncated) continue;
    throw ApiError(ErrorKind::validation,
                   "`inputs` must have less than " + std::to_string(call.facts->max_input_length()) +
                       " tokens. Given: " + std::to_string(text.full_tokens),
                   "input");
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

template <class Write>
net::awaitable<Response> Service::finish(const Call& call, const Inputs& inputs, const EmbedOptions& options,
                                         const Embedded& embedded, Write write) {
  const std::size_t bytes = kBytesOfFloat * floats_of(options, *call.facts, embedded.size());
  Response response;
  response.body = co_await offload(pool_, bytes > kLongAnswer, std::move(write));
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

net::awaitable<Response> Service::answer_post(const Call& call, Route route, const json::value& body) {
  const ModelFacts& facts = *call.facts;
  switch (route) {
    case Route::embeddings:
      co_return co_await embeddings(call, body);
    case Route::embed_all:
      co_return co_await embed(call, parse_embed_all(body, facts), route);
    case Route::vertex:
      co_return co_await vertex(call, body);
    case Route::tokenize:
      co_return co_await tokenize(call, body);
    case Route::decode:
      co_return co_await decode(call, body);
    case Route::ollama_embed:
    case Route::ollama_embeddings:
      co_return co_await ollama(call, body, route);
    case Route::cohere_embed:
      co_return co_await cohere(call, body);
    default:
      break;
  }
  const bool similarity = route == Route::similarity || (route == Route::root && is_similarity(body));
  TeiRequest request = similarity ? parse_similarity(body, facts) : parse_embed(body, facts);
  co_return co_await embed(call, std::move(request), similarity ? Route::similarity : Route::embed);
}

net::awaitable<Response> Service::embeddings(const Call& call, const json::value& body) {
  OpenAiRequest request = parse_openai(body, *call.facts);
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

net::awaitable<Response> Service::ollama(const Call& call, const json::value& body, Route route) {
  const bool older = route == Route::ollama_embeddings;
  OllamaRequest request = older ? parse_ollama_embeddings(body, *call.facts) : parse_ollama_embed(body, *call.facts);
  const Embedded embedded = co_await compute(call, request.inputs, request.options);
  auto write = [&] {
    if (older) return ollama_embeddings_answer(embedded);
    return ollama_embed_answer(request, embedded, std::chrono::steady_clock::now() - call.start);
  };
  co_return co_await finish(call, request.inputs, request.options, embedded, write);
}

net::awaitable<Response> Service::cohere(const Call& call, const json::value& body) {
  CohereRequest request = parse_cohere(body, *call.facts);
  const Embedded embedded = co_await compute(call, request.inputs, request.options);
  auto write = [&] { return cohere_answer(request, embedded, call.request.id); };
  co_return co_await finish(call, request.inputs, request.options, embedded, write);
}

net::awaitable<Response> Service::vertex(const Call& call, const json::value& body) {
  std::vector<TeiRequest> requests = parse_vertex(body, *call.facts);
  Response response;
  response.body = "{\"predictions\":[";
  for (TeiRequest& request : requests) {
    if (&request != requests.data()) response.body += ',';
    Response one = co_await embed(call, std::move(request), Route::embed);
    response.body += one.body;
  }
  response.body += "]}";
  co_return response;
}

net::awaitable<std::string> Service::special_text(const Call& call, std::int32_t id) {
  DecodeRequest request;
  request.ids.push_back({id});
  request.skip_special_tokens = false;
  auto start = [this, &request, &call](auto done) {
    backend_->model().decode(std::move(request), call.stop, std::move(done));
  };
  std::vector<std::string> texts = co_await await_callback<std::vector<std::string>>(start);
  co_return std::move(texts.at(0));
}

net::awaitable<Response> Service::tokenize(const Call& call, const json::value& body) {
  TokenizeBody parsed = parse_tokenize(body, *call.facts);
  const std::string prompt = parsed.options.prompt.value_or("");
  TokenizeRequest request;
  request.texts = parsed.inputs.texts;
  request.options = parsed.options;
  request.options.max_length = call.facts->description.max_length_limit;
  auto start = [this, &request, &call](auto done) {
    backend_->model().tokenize(std::move(request), call.stop, std::move(done));
  };
  const std::vector<Tokens> results = co_await await_callback<std::vector<Tokens>>(start);
  std::map<std::int32_t, std::string> special;
  std::vector<std::vector<TokenText>> texts;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string whole = prompt + parsed.inputs.texts[i];
    const Tokens& tokens = results[i];
    std::vector<TokenText>& out = texts.emplace_back();
    for (std::size_t k = 0; k < tokens.ids.size(); ++k) {
      TokenText token;
      token.id = tokens.ids[k];
      token.special = tokens.special[k];
      if (token.special) {
        if (!special.contains(token.id)) {
          std::string text = co_await special_text(call, token.id);
          special.emplace(token.id, std::move(text));
        }
        token.text = special.at(token.id);
      } else {
        token.offsets = tokens.offsets[k];
        token.text = whole.substr(token.offsets->start, token.offsets->stop - token.offsets->start);
      }
      out.push_back(std::move(token));
    }
  }
  Response response;
  response.body = tokenize_answer(texts);
  co_return response;
}

net::awaitable<Response> Service::decode(const Call& call, const json::value& body) {
  DecodeRequest request = parse_decode(body, *call.facts);
  auto start = [this, &request, &call](auto done) {
    backend_->model().decode(std::move(request), call.stop, std::move(done));
  };
  const std::vector<std::string> texts = co_await await_callback<std::vector<std::string>>(start);
  Response response;
  response.body = decode_answer(texts);
  co_return response;
}

}  // namespace stella::server
