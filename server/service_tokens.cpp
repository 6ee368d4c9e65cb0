// The routes that ask the tokenizer alone.
#include "server/await.hpp"
#include "server/service.hpp"

#include <map>
#include <utility>

namespace stella::server {
namespace {

namespace net = boost::asio;
/// Bytes of text, or ids, of which tokens and decoded text are written on the pool.
constexpr std::size_t kLongText = std::size_t{4} << 10U;
/// For each byte of text that is to be tokenized: it may be a token, with its id and offsets.
constexpr std::size_t kBytesOfUnreadToken = 24;
/// A token with its text, in the answer and before it.
constexpr std::size_t kBytesOfToken = 256;

/// What /tokenize says of the tokens of `whole`, prompt and text; `special` has the texts of special tokens.
std::vector<TokenText> texts_of(const Tokens& tokens, const std::string& whole,
                                const std::map<std::int32_t, std::string>& special) {
  std::vector<TokenText> out(tokens.ids.size());
  for (std::size_t k = 0; k < out.size(); ++k) {
    TokenText& token = out[k];
    token.id = tokens.ids[k];
    token.special = tokens.special[k];
    if (token.special) {
      token.text = special.at(token.id);
    } else {
      token.offsets = tokens.offsets[k];
      token.text = whole.substr(token.offsets->start, token.offsets->stop - token.offsets->start);
    }
  }
  return out;
}

}  // namespace

net::awaitable<std::string> Service::special_text(const Call& call, std::int32_t id) {
  DecodeRequest request;
  request.ids.push_back({id});
  request.skip_special_tokens = false;
  auto start = [this, &request, &call](auto done) {
    backend_->pool().decode(call.facts->id, std::move(request), call.stop, std::move(done));
  };
  std::vector<std::string> texts = co_await await_callback<std::vector<std::string>>(start);
  co_return std::move(texts.at(0));
}

net::awaitable<Response> Service::tokenize(const Call& call, TokenizeBody parsed) {
  const std::string prompt = parsed.options.prompt.value_or("");
  std::size_t bytes = 0;
  for (const std::string& text : parsed.inputs.texts) bytes += text.size() + prompt.size();
  reserve(call, kBytesOfUnreadToken * bytes);
  TokenizeRequest request;
  request.texts = parsed.inputs.texts;
  request.options = parsed.options;
  request.options.max_length = call.facts->description.max_length_limit;
  auto start = [this, &request, &call](auto done) {
    backend_->pool().tokenize(call.facts->id, std::move(request), call.stop, std::move(done));
  };
  const std::vector<Tokens> results = co_await await_callback<std::vector<Tokens>>(start);
  std::size_t tokens = 0;
  std::map<std::int32_t, std::string> special;
  for (const Tokens& text : results) {
    tokens += text.ids.size();
    for (std::size_t k = 0; k < text.ids.size(); ++k) {
      if (!text.special[k] || special.contains(text.ids[k])) continue;
      std::string written = co_await special_text(call, text.ids[k]);
      special.emplace(text.ids[k], std::move(written));
    }
  }
  reserve(call, kBytesOfUnreadToken * bytes + kBytesOfToken * tokens);
  auto write = [&] {
    std::vector<std::vector<TokenText>> texts;
    for (std::size_t i = 0; i < results.size(); ++i)
      texts.push_back(texts_of(results[i], prompt + parsed.inputs.texts[i], special));
    return tokenize_answer(texts);
  };
  Response response;
  response.body = co_await offload(pool_.context(), bytes > kLongText, std::move(write));
  co_return response;
}

net::awaitable<Response> Service::decode(const Call& call, DecodeRequest request) {
  std::size_t ids = 0;
  for (const TokenIds& list : request.ids) ids += list.size();
  reserve(call, kBytesOfToken * ids);
  auto start = [this, &request, &call](auto done) {
    backend_->pool().decode(call.facts->id, std::move(request), call.stop, std::move(done));
  };
  const std::vector<std::string> texts = co_await await_callback<std::vector<std::string>>(start);
  Response response;
  response.body = co_await offload(pool_.context(), ids > kLongText, [&] { return decode_answer(texts); });
  co_return response;
}

}  // namespace stella::server
