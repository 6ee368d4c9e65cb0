#include "server/routes/cohere.hpp"

#include "server/routes/test_facts.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

CohereRequest parse(const std::string& fields, const ModelFacts& facts = test_facts()) {
  return parse_cohere(parse_json("{\"model\":\"served\"," + fields + "}"), facts);
}

Response refusal(const std::string& fields, const ModelFacts& facts = test_facts()) {
  return refusal_of(Family::cohere, [&] { parse(fields, facts); });
}

ModelFacts stella_facts() {
  ModelFacts facts = test_facts();
  facts.description.prompts = {{"none", ""}, {"document", ""}, {"s2p", "Query: "}, {"s2s", "Same: "}};
  return facts;
}

TEST(Cohere, InputTypesChooseThePrompt) {
  const auto prompt = [](const std::string& type) {
    return parse(R"("texts":["a"],"input_type":")" + type + "\"", stella_facts()).options.prompt;
  };
  EXPECT_EQ(prompt("search_query"), "Query: ");
  EXPECT_EQ(prompt("search_document"), "");
  EXPECT_EQ(prompt("classification"), "Same: ");
  EXPECT_EQ(prompt("clustering"), "Same: ");
  EXPECT_EQ(parse(R"("texts":["a"],"input_type":"clustering","task":"s2p")", stella_facts()).options.prompt, "Query: ");
}

TEST(Cohere, AModelWithoutPromptsTakesTextsAsTheyAre) {
  ModelFacts facts = test_facts();
  facts.description.prompts = {{"none", ""}};
  EXPECT_EQ(parse(R"("texts":["a"],"input_type":"search_query")", facts).options.prompt, "");
}

TEST(Cohere, TextsAndInputs) {
  EXPECT_THAT(parse(R"("texts":["a","b"],"input_type":"search_document")").inputs.texts, ElementsAre("a", "b"));
  EXPECT_THAT(
      parse(R"("inputs":[{"content":[{"type":"text","text":"a"}]}],"input_type":"search_document")").inputs.texts,
      ElementsAre("a"));
}

TEST(Cohere, Truncation) {
  const auto options = [](const std::string& fields) {
    return parse(R"("texts":["a"],"input_type":"search_document")" + fields).options;
  };
  EXPECT_EQ(options("").on_long, OnLong::truncate);
  EXPECT_EQ(options(R"(,"truncate":"NONE")").on_long, OnLong::error);
  EXPECT_EQ(options(R"(,"truncate":"START")").truncation_side, TruncationSide::left);
  EXPECT_EQ(options(R"(,"truncate":"END")").truncation_side, TruncationSide::right);
  EXPECT_EQ(options(R"(,"max_tokens":7)").max_length, 7U);
  EXPECT_EQ(options(R"(,"max_tokens":100000)").max_length, 512U);
}

TEST(Cohere, DimensionsAndTypes) {
  const CohereRequest plain = parse(R"("texts":["a"],"input_type":"search_document")");
  EXPECT_THAT(plain.encodings, ElementsAre(Encoding::floats));
  EXPECT_TRUE(plain.options.dimensions.empty());
  const CohereRequest asked = parse(
      R"("texts":["a"],"input_type":"search_document","output_dimension":256,"embedding_types":["int8","float","int8"])");
  EXPECT_THAT(asked.encodings, ElementsAre(Encoding::int8, Encoding::floats));
  EXPECT_THAT(asked.options.dimensions, ElementsAre(256));
}

TEST(Cohere, RefusesInItsOwnShape) {
  EXPECT_THAT(refusal(R"("texts":["a"])").body, HasSubstr("input_type"));
  EXPECT_THAT(refusal(R"("texts":["a"],"input_type":"search")").body, HasSubstr("search_query, search_document"));
  for (const std::string fields :
       {R"("texts":["a"])", R"("texts":["a"],"input_type":"image")", R"("input_type":"search_query")",
        R"("texts":[],"input_type":"search_query")", R"("texts":[1],"input_type":"search_query")",
        R"("texts":"a","input_type":"search_query")", R"("texts":[[101,102]],"input_type":"search_query")",
        R"("images":["data:"],"input_type":"search_query")",
        R"("inputs":[{"content":[{"type":"image_url"}]}],"input_type":"search_query")",
        R"("inputs":[{"content":[{"type":"image_url","text":"a"}]}],"input_type":"search_query")",
        R"("texts":["a"],"input_type":"search_query","output_dimension":512)",
        R"("texts":["a"],"input_type":"search_query","embedding_types":["f64"])",
        R"("texts":["a"],"input_type":"search_query","embedding_types":"float")",
        R"("texts":["a"],"input_type":"search_query","truncate":"MIDDLE")",
        R"("texts":["a","b","c","d","e"],"input_type":"search_query")"}) {
    const Response response = refusal(fields);
    EXPECT_EQ(response.status, 400) << fields;
    EXPECT_THAT(response.body, testing::StartsWith("{\"message\":\"")) << fields;
  }
  EXPECT_EQ(refusal_of(Family::cohere, [] { parse_cohere(parse_json(R"({"model":"x"})"), test_facts()); }).status, 404);
}

TEST(Cohere, NamesItsOwnFields) {
  for (const char* value : {"0", "512", "-1"}) {
    const std::string body =
        refusal(std::string(R"("texts":["a"],"input_type":"search_query","output_dimension":)") + value).body;
    EXPECT_THAT(body, HasSubstr("`output_dimension`"));
    EXPECT_THAT(body, Not(HasSubstr("`dimensions`")));
  }
  ModelFacts facts = test_facts();
  facts.description.default_max_length = 1;
  EXPECT_THAT(
      refusal(R"("texts":[")" + std::string(251, 'a') + R"("],"input_type":"search_query","truncate":"NONE")", facts)
          .body,
      HasSubstr("`texts` must have less than 250 characters"));
}

TEST(Cohere, Answer) {
  const CohereRequest request = parse(
      R"("texts":["a\"","b"],"input_type":"search_document","embedding_types":["float","int8","uint8","binary","ubinary","base64"])");
  const Embedded embedded({false, false}, result_of({{1, -0.5F}, {0, 1}}), {});
  // base64: Python's base64.b64encode(struct.pack("<2f", …)); numpy.packbits([1, 0]) is [128].
  EXPECT_EQ(
      cohere_answer(request, embedded, "id-1"),
      R"({"id":"id-1","embeddings":{"float":[[1,-0.5],[0,1]],"int8":[[127,-64],[0,127]],"uint8":[[255,64],[128,255]],)"
      R"("binary":[[0],[-64]],"ubinary":[[128],[64]],"base64":["AACAPwAAAL8=","AAAAAAAAgD8="]},)"
      R"("texts":["a\"","b"],"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":6}},)"
      R"("response_type":"embeddings_by_type"})");
}

}  // namespace
}  // namespace stella::server
