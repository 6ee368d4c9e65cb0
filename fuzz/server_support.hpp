// What the fuzzers of the server share: a model's facts, and answers that must be fit to be sent.
#pragma once

#include "fuzz.hpp"
#include "server/json/strict.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/facts.hpp"

#include <exception>
#include <string>
#include <utility>

namespace stella::fuzz {

inline constexpr std::size_t kMaxBatch = 4;

inline server::ModelFacts server_facts() {
  server::ModelFacts facts;
  facts.id = "org/model";
  facts.served_name = "served";
  facts.provider = "org";
  facts.weights = "org/model@0123456789ab";
  facts.description.vocab_size = 1000;
  facts.description.default_max_length = 8;
  facts.description.max_length_limit = 16;
  facts.description.default_dimension = 1024;
  facts.description.dimensions = {256, 1024};
  facts.description.prompts = {{"document", ""}, {"none", ""}, {"s2p", "Query: "}, {"s2s", "Same: "}};
  facts.description.default_task = "s2p";
  facts.before = {101};
  facts.behind = {102};
  facts.max_client_batch_size = kMaxBatch;
  facts.max_texts = kMaxBatch;
  facts.max_concurrent_requests = 8;
  return facts;
}

/// Runs `parse`; whether it took the request. What it throws must become an answer of the client's fault, in JSON.
template <class Parse>
bool takes_or_answers(server::Family family, Parse&& parse) {
  try {
    parse();
    return true;
  } catch (const server::BadJson&) {   // NOLINT(bugprone-empty-catch): below
  } catch (const server::ApiError&) {  // NOLINT(bugprone-empty-catch): below
  } catch (...) {
    check(false, "only BadJson and ApiError leave a parser");
  }
  try {
    parse();
  } catch (...) {
    const server::Response response = server::error_response(server::to_api_error(std::current_exception()), family);
    check(response.status >= 400 && response.status < 500, "a wrong request is its sender's fault");
    check(server::parse_json(response.body).is_object(), "a refusal is an object");
  }
  return false;
}

}  // namespace stella::fuzz
