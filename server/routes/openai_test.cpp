#include "server/routes/openai.hpp"

#include "server/routes/test_facts.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

OpenAiRequest parse(const std::string& body, const ModelFacts& facts = test_facts()) {
  return parse_openai(parse_json(body), facts);
}

Response refusal(const std::string& body, const ModelFacts& facts = test_facts()) {
  return refusal_of(Family::openai, [&] { parse(body, facts); });
}

TEST(OpenAi, InputsOfAllShapes) {
  EXPECT_THAT(parse(R"({"input":"a"})").inputs.texts, ElementsAre("a"));
  EXPECT_TRUE(parse(R"({"input":"a"})").inputs.single);
  EXPECT_THAT(parse(R"({"input":["a","b"],"model":"served","user":"u","what":1})").inputs.texts, ElementsAre("a", "b"));
  EXPECT_THAT(parse(R"({"input":[101,7,102],"model":"org/model"})").inputs.ids, ElementsAre(TokenIds{101, 7, 102}));
  EXPECT_THAT(parse(R"({"input":[[101,7,102],[101,102]]})").inputs.ids,
              ElementsAre(TokenIds{101, 7, 102}, TokenIds{101, 102}));
}

TEST(OpenAi, RefusesOtherInputsInItsOwnShape) {
  for (const std::string input :
       {"null", "1", "{}", "true", "[null]", "[\"a\",[101,102]]", "[1.5]", "[-1]", "[4294967296]", "[[\"a\"]]", "[]",
        "\"\"", "[\"a\",\"\"]", "[[]]", "[99999999999999999999]"}) {
    const Response response = refusal("{\"input\":" + input + "}");
    EXPECT_EQ(response.status, 400) << input;
    EXPECT_THAT(response.body, HasSubstr(R"("type":"invalid_request_error","param":"input","code":null}})")) << input;
  }
  EXPECT_EQ(refusal("{}").status, 400);
  EXPECT_EQ(refusal("[]").status, 400);
  EXPECT_EQ(refusal(R"({"input":["a","b","c","d","e"]})").status, 400);
  EXPECT_THAT(refusal("{").body, HasSubstr("\"code\":null"));
}

TEST(OpenAi, ModelByItsNames) {
  const Response response = refusal(R"({"input":"a","model":"gpt"})");
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(response.body, HasSubstr(R"("param":"model","code":"model_not_found")"));
  EXPECT_THAT(response.body, HasSubstr("served"));
}

TEST(OpenAi, DimensionsAreTrainedHeads) {
  EXPECT_THAT(parse(R"({"input":"a","dimensions":256})").options.dimensions, ElementsAre(256));
  EXPECT_TRUE(parse(R"({"input":"a","dimensions":null})").options.dimensions.empty());
  const Response response = refusal(R"({"input":"a","dimensions":512})");
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("256, 1024"));
  EXPECT_THAT(response.body, HasSubstr(R"("param":"dimensions")"));
  for (const std::string wrong : {"0", "-1", "1.5", "\"256\"", "[256]", "1e3"}) {
    EXPECT_EQ(refusal(R"({"input":"a","dimensions":)" + wrong + "}").status, 400) << wrong;
  }
}

TEST(OpenAi, IdsOfAnotherTokenizerAreNamed) {
  const Response foreign = refusal(R"({"input":[101,1000,102]})");
  EXPECT_THAT(foreign.body, HasSubstr("check_embedding_ctx_length=False"));
  EXPECT_THAT(foreign.body, HasSubstr("1000"));
  EXPECT_THAT(refusal(R"({"input":[[101,7,102],[7,8]]})").body, HasSubstr("check_embedding_ctx_length=False"));
  ModelFacts facts = test_facts();
  facts.any_token_ids = true;
  EXPECT_THAT(parse(R"({"input":[7,8]})", facts).inputs.ids, ElementsAre(TokenIds{7, 8}));
  EXPECT_EQ(refusal(R"({"input":[7,1000]})", facts).status, 400);
}

TEST(OpenAi, PromptsByName) {
  EXPECT_EQ(parse(R"({"input":"a"})").options.prompt, "");
  EXPECT_EQ(parse(R"({"input":"a","task":"s2p"})").options.prompt, "Query: ");
  EXPECT_EQ(parse(R"({"input":"a","prompt_name":"s2p_query"})").options.prompt, "Query: ");
  const Response response = refusal(R"({"input":"a","prompt_name":"x"})");
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("none, s2p"));
  ModelFacts facts = test_facts();
  facts.default_prompt_name = "s2p";
  EXPECT_EQ(parse(R"({"input":"a"})", facts).options.prompt, "Query: ");
  EXPECT_EQ(parse(R"({"input":"a","task":"none"})", facts).options.prompt, "");
}

TEST(OpenAi, Answer) {
  const Embedded embedded({false, true, false}, result_of({{1, 2}, {3, 4}}), result_of({{5, 6}}));
  EXPECT_EQ(openai_answer(embedded, Encoding::floats, test_facts()),
            R"({"object":"list","data":[{"object":"embedding","embedding":[1,2],"index":0},)"
            R"({"object":"embedding","embedding":[5,6],"index":1},{"object":"embedding","embedding":[3,4],"index":2}],)"
            R"("model":"served","usage":{"prompt_tokens":9,"total_tokens":9}})");
  EXPECT_EQ(openai_models({{"org/model", "served", "org"}}, 12),
            R"({"object":"list","data":[{"id":"served","object":"model","created":12,"owned_by":"org"}]})");
}

}  // namespace
}  // namespace stella::server
