// A model that the tests of the routes speak of, and short ways to speak of it.
#pragma once

#include "server/json/strict.hpp"
#include "server/routes/errors.hpp"
#include "server/routes/facts.hpp"

#include <string>

namespace stella::server {

inline ModelFacts test_facts() {
  ModelFacts facts;
  facts.id = "org/model";
  facts.served_name = "served";
  facts.provider = "org";
  facts.description.vocab_size = 1000;
  facts.description.default_max_length = 512;
  facts.description.default_dimension = 1024;
  facts.description.dimensions = {256, 1024};
  facts.description.prompts = {{"none", ""}, {"s2p", "Query: "}};
  facts.description.default_task = "s2p";
  facts.before = {101};
  facts.behind = {102};
  facts.max_client_batch_size = 2;
  facts.max_texts = 4;
  facts.max_concurrent_requests = 8;
  return facts;
}

/// The answer that `call` is refused with: its status, and its body.
template <class Call>
Response refusal_of(Family family, Call call) {
  try {
    call();
  } catch (...) {
    return error_response(to_api_error(std::current_exception()), family);
  }
  return {};
}

/// One vector and one count a text.
inline EmbedResult result_of(const std::vector<std::vector<float>>& rows) {
  EmbedResult result;
  FloatMatrix matrix;
  matrix.rows = rows.size();
  matrix.columns = matrix.stride = rows.empty() ? 0 : rows[0].size();
  matrix.values = std::shared_ptr<float>(new float[matrix.rows * matrix.columns + 1], std::default_delete<float[]>());
  float* to = matrix.values.get();
  for (const auto& row : rows) to = std::copy(row.begin(), row.end(), to);
  result.vectors.push_back(matrix);
  result.texts.resize(rows.size(), TokenCount{3, 5, true});
  result.stats.tokens = 3 * rows.size();
  return result;
}

}  // namespace stella::server
