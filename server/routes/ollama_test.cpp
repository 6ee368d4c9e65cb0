#include "server/routes/ollama.hpp"

#include "server/routes/test_facts.hpp"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

OllamaRequest parse(const std::string& body, const ModelFacts& facts = test_facts()) {
  return parse_ollama_embed(parse_json(body), facts);
}

Response refusal(const std::string& body, const ModelFacts& facts = test_facts()) {
  return refusal_of(Family::ollama, [&] { parse(body, facts); });
}

TEST(Ollama, Inputs) {
  EXPECT_THAT(parse(R"({"model":"served","input":"a"})").inputs.texts, ElementsAre("a"));
  EXPECT_THAT(
      parse(R"({"model":"served:latest","input":["a","b"],"keep_alive":"5m","options":{"num_ctx":7}})").inputs.texts,
      ElementsAre("a", "b"));
  EXPECT_EQ(parse(R"({"model":"served:latest","input":"a"})").model, "served:latest");
  EXPECT_EQ(parse(R"({"input":"a"})").model, "served");
}

TEST(Ollama, AnEmptyInputOnlyLoads) {
  EXPECT_EQ(parse(R"({"model":"served","input":""})").inputs.size(), 0U);
  EXPECT_EQ(parse(R"({"model":"served","input":[]})").inputs.size(), 0U);
  EXPECT_EQ(ollama_embed_answer(parse(R"({"model":"served","input":[]})"), Embedded(), std::chrono::nanoseconds(7)),
            R"({"model":"served","embeddings":[],"total_duration":7,"load_duration":0,"prompt_eval_count":0})");
  EXPECT_EQ(ollama_embeddings_answer(Embedded()), R"({"embedding":[]})");
}

TEST(Ollama, Options) {
  const OllamaRequest plain = parse(R"({"input":"a"})");
  EXPECT_EQ(plain.options.on_long, OnLong::truncate);
  EXPECT_EQ(plain.options.prompt, "");
  EXPECT_TRUE(plain.options.dimensions.empty());
  const OllamaRequest asked = parse(R"({"input":"a","truncate":false,"dimensions":256,"task":"s2p"})");
  EXPECT_EQ(asked.options.on_long, OnLong::error);
  EXPECT_EQ(asked.options.prompt, "Query: ");
  EXPECT_THAT(asked.options.dimensions, ElementsAre(256));
}

TEST(Ollama, RefusesInItsOwnShape) {
  const Response unknown = refusal(R"({"model":"llama","input":"a"})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr(R"({"error":"The model `llama`)"));
  for (const std::string body : {R"({})", R"({"input":7})", R"({"input":[1,2]})", R"({"input":["a",""]})",
                                 R"({"input":"a","dimensions":512})", R"({"input":["a","b","c","d","e"]})"}) {
    const Response response = refusal(body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_THAT(response.body, testing::StartsWith("{\"error\":\"")) << body;
  }
  EXPECT_EQ(error_response(ApiError(ErrorKind::unauthorized, "no"), Family::ollama).body, R"({"error":"no"})");
}

TEST(Ollama, Answers) {
  const OllamaRequest request = parse(R"({"model":"served:latest","input":["a","b"]})");
  const Embedded embedded({false, false}, result_of({{1, 2}, {3, 4}}), {});
  EXPECT_EQ(ollama_embed_answer(request, embedded, std::chrono::milliseconds(1)),
            R"({"model":"served:latest","embeddings":[[1,2],[3,4]],"total_duration":1000000,"load_duration":0,)"
            R"("prompt_eval_count":6})");
}

TEST(Ollama, OlderClientsHaveOnePrompt) {
  const auto parse_older = [](const std::string& body) {
    return parse_ollama_embeddings(parse_json(body), test_facts());
  };
  EXPECT_THAT(parse_older(R"({"model":"served","prompt":"a"})").inputs.texts, ElementsAre("a"));
  EXPECT_EQ(parse_older(R"({"model":"served","prompt":""})").inputs.size(), 0U);
  EXPECT_EQ(refusal_of(Family::ollama, [&] { parse_older(R"({"prompt":["a"]})"); }).status, 400);
  EXPECT_EQ(ollama_embeddings_answer(Embedded({false}, result_of({{1, 2}}), {})), R"({"embedding":[1,2]})");
}

}  // namespace
}  // namespace stella::server
