#include "server/backend.hpp"

#include "server/await.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/fingerprint.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace stella::server {

namespace net = boost::asio;

Backend::Backend(const Options& options, Model model) : options_(options), model_(std::move(model)) {}

std::shared_ptr<const ModelFacts> Backend::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

ModelFacts Backend::facts_of(ModelDescription description) const {
  ModelFacts facts;
  facts.id = options_.model_id;
  facts.served_name = options_.served_model_name.value_or(options_.model_id);
  facts.provider = model_.info().provider;
  facts.weights = weights_of(options_.model_id, description.commit, description.directory);
  facts.description = std::move(description);
  facts.max_client_batch_size = options_.max_client_batch_size;
  facts.max_concurrent_requests = options_.max_concurrent_requests;
  facts.auto_truncate = options_.auto_truncate;
  facts.any_token_ids = options_.any_token_ids;
  facts.default_prompt_name = options_.default_prompt_name;
  facts.default_prompt = options_.default_prompt;
  EmbedOptions prompt;
  try {
    choose_prompt(facts, std::nullopt, prompt);
  } catch (const ApiError& error) {
    throw Error(Errc::invalid_argument, std::string(error.what()) + "; choose another --default-prompt-name");
  }
  return facts;
}

/// A text's ids with the template and without it tell what the template adds.
net::awaitable<void> Backend::find_template(ModelFacts& facts, std::stop_token stop) {
  std::vector<Tokens> results;
  for (const bool special : {false, true}) {
    TokenizeRequest request;
    request.texts.emplace_back("a");
    request.options.prompt = "";
    request.options.add_special_tokens = special;
    auto start = [this, &request, &stop](auto done) { model_.tokenize(std::move(request), stop, std::move(done)); };
    std::vector<Tokens> tokens = co_await await_callback<std::vector<Tokens>>(start);
    results.push_back(std::move(tokens.at(0)));
  }
  const TokenIds& plain = results[0].ids;
  const TokenIds& whole = results[1].ids;
  const auto found = std::search(whole.begin(), whole.end(), plain.begin(), plain.end());
  if (found == whole.end()) co_return;
  facts.before.assign(whole.begin(), found);
  facts.behind.assign(found + static_cast<std::ptrdiff_t>(plain.size()), whole.end());
}

net::awaitable<void> Backend::load(std::stop_token stop) {
  auto start = [this, &stop](auto done) { model_.load(stop, std::move(done)); };
  ModelDescription description = co_await await_callback<ModelDescription>(start);
  auto facts = std::make_shared<ModelFacts>(facts_of(std::move(description)));
  co_await find_template(*facts, stop);
  EmbedRequest request;  // brings the default head
  request.texts.emplace_back("a");
  request.options.prompt = "";
  auto embed = [this, &request, &stop](auto done) { model_.embed(std::move(request), stop, std::move(done)); };
  co_await await_callback<EmbedResult>(embed);
  const std::lock_guard lock(mutex_);
  facts_ = std::move(facts);
}

}  // namespace stella::server
