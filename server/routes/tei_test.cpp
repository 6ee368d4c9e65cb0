#include "server/routes/tei.hpp"

#include "server/routes/test_facts.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TeiRequest parse(const std::string& body, const ModelFacts& facts = test_facts()) {
  return parse_embed(parse_json(body), facts);
}

Response refusal(const std::string& body, const ModelFacts& facts = test_facts()) {
  return refusal_of(Family::tei, [&] { parse(body, facts); });
}

TEST(Tei, InputsMixTextsAndIds) {
  const TeiRequest request = parse(R"({"inputs":["a",[7,8],"b"]})");
  EXPECT_THAT(request.inputs.texts, ElementsAre("a", "b"));
  EXPECT_THAT(request.inputs.ids, ElementsAre(TokenIds{7, 8}));
  EXPECT_THAT(request.inputs.is_ids, ElementsAre(false, true, false));
}

TEST(Tei, DefaultsAndOptions) {
  const TeiRequest plain = parse(R"({"inputs":"a"})");
  EXPECT_TRUE(plain.options.normalize);
  EXPECT_EQ(plain.options.on_long, OnLong::truncate);
  EXPECT_EQ(plain.options.prompt, "");
  EXPECT_FALSE(plain.options.truncation_side);
  const TeiRequest request = parse(
      R"({"inputs":"a","normalize":false,"truncate":false,"truncation_direction":"Left","prompt_name":"s2p","dimensions":256})");
  EXPECT_FALSE(request.options.normalize);
  EXPECT_EQ(request.options.on_long, OnLong::error);
  EXPECT_EQ(request.options.truncation_side, TruncationSide::left);
  EXPECT_EQ(request.options.prompt, "Query: ");
  EXPECT_THAT(request.options.dimensions, ElementsAre(256));
  EXPECT_FALSE(request.dimensions_listed);
}

TEST(Tei, ErrorsWordForWord) {
  EXPECT_EQ(refusal(R"({"inputs":[]})").body,
            R"({"error":"Input validation error: `inputs` cannot be empty","error_type":"Empty"})");
  EXPECT_EQ(refusal(R"({"inputs":[]})").status, 400);
  EXPECT_EQ(refusal(R"({"inputs":["a","b","c","d","e"]})").body,
            R"({"error":"batch size 5 > maximum allowed batch size 4","error_type":"Validation"})");
  EXPECT_EQ(refusal(R"({"inputs":["a","b","c","d","e"]})").status, 422);
  EXPECT_EQ(
      refusal(R"({"inputs":"a","prompt_name":"x"})").body,
      "{\"error\":\"Input validation error: `default-prompt-name` is set to `x` but it was not found in the Sentence "
      "Transformers prompts. Available prompts: none, s2p\",\"error_type\":\"Validation\"}");
  EXPECT_THAT(
      refusal(R"({"inputs":"a","prompt_name":"x\u0000y"})").body,
      HasSubstr("`x\\\\x00y` but it was not found in the Sentence Transformers prompts. Available prompts: none"));
  EXPECT_THAT(refusal("{\"inputs\":\"a\",\"prompt_name\":\"" + std::string(10000, 'x') + "\"}").body,
              testing::AllOf(HasSubstr("Available prompts: none, s2p"), testing::SizeIs(testing::Lt(500))));
  EXPECT_THAT(refusal(R"({"inputs":"a","dimensions":0})").body, HasSubstr("`dimensions` should be positive"));
  EXPECT_EQ(refusal("{").status, 400);
  EXPECT_EQ(refusal(R"({"inputs":7})").status, 422);
  EXPECT_EQ(refusal(R"({"inputs":"a","truncate":"yes"})").status, 422);
  EXPECT_EQ(refusal(R"({"inputs":"a","truncation_direction":"Up"})").status, 422);
  EXPECT_EQ(error_response(ApiError(ErrorKind::overloaded, "Model is overloaded"), Family::tei).body,
            R"({"error":"Model is overloaded","error_type":"Overloaded"})");
  EXPECT_EQ(error_response(ApiError(ErrorKind::backend, "Model is not a classifier model"), Family::tei).body,
            R"({"error":"Backend error: Model is not a classifier model","error_type":"Backend"})");
  EXPECT_EQ(error_response(ApiError(ErrorKind::unauthorized, "no"), Family::tei).body, "");
}

TEST(Tei, TextsOfTooManyCharactersAreCutOrRefused) {
  ModelFacts facts = test_facts();
  facts.description.default_max_length = 1;  // 250 characters
  const std::string e_acute = "\xc3\xa9";
  std::string text = "b";
  for (int i = 0; i < 250; ++i) text += e_acute;
  EXPECT_EQ(parse("{\"inputs\":\"" + text + "\"}", facts).inputs.texts[0], text.substr(0, 499));
  EXPECT_EQ(parse("{\"inputs\":\"" + text + R"(","truncation_direction":"Left"})", facts).inputs.texts[0],
            text.substr(1));
  EXPECT_THAT(refusal("{\"inputs\":\"" + text + R"(","truncate":false})", facts).body,
              HasSubstr("`inputs` must have less than 250 characters. Given: 251"));
}

TEST(Tei, SimilarityTakesTheSourceFirst) {
  const std::string body =
      R"({"inputs":{"source_sentence":"a","sentences":["b","c"]},"parameters":{"prompt_name":"s2p"}})";
  EXPECT_TRUE(is_similarity(parse_json(body)));
  EXPECT_FALSE(is_similarity(parse_json(R"({"inputs":"a"})")));
  EXPECT_FALSE(is_similarity(parse_json("[]")));
  const TeiRequest request = parse_similarity(parse_json(body), test_facts());
  EXPECT_THAT(request.inputs.texts, ElementsAre("a", "b", "c"));
  EXPECT_EQ(request.options.prompt, "Query: ");
  const auto refuse = [](const std::string& text) {
    return refusal_of(Family::tei, [&] { parse_similarity(parse_json(text), test_facts()); });
  };
  EXPECT_EQ(refuse(R"({"inputs":{"source_sentence":"a","sentences":[]}})").body,
            R"({"error":"`inputs.sentences` cannot be empty","error_type":"Empty"})");
  EXPECT_THAT(refuse(R"({"inputs":{"source_sentence":"a","sentences":["b","c","d","e"]}})").body,
              HasSubstr("batch size 5 >"));
  EXPECT_EQ(refuse(R"({"inputs":{"source_sentence":[7],"sentences":["b"]}})").status, 422);
  EXPECT_EQ(refuse(R"({"inputs":{"sentences":["b"]}})").status, 422);
}

TEST(Tei, Answers) {
  const Embedded embedded({false, false}, result_of({{0.6F, 0.8F}, {1, 0}}), {});
  TeiRequest request;
  EXPECT_EQ(embed_answer(request, embedded), "[[0.6,0.8],[1,0]]");
  EXPECT_EQ(similarity_answer(embedded), "[0.6]");
  request.report = true;
  request.dimensions_listed = true;
  request.options.dimensions = {256};
  EXPECT_EQ(embed_answer(request, embedded),
            R"({"embeddings":{"256":[[0.6,0.8],[1,0]]},"report":[{"tokens":3,"full_tokens":5,"truncated":true},)"
            R"({"tokens":3,"full_tokens":5,"truncated":true}]})");
  EXPECT_EQ(embedded.truncated(), 2);
}

TEST(Tei, ListsOfDimensions) {
  const TeiRequest request = parse(R"({"inputs":"a","dimensions":[1024,256,256]})");
  EXPECT_TRUE(request.dimensions_listed);
  EXPECT_THAT(request.options.dimensions, ElementsAre(1024, 256));
  EXPECT_EQ(refusal(R"({"inputs":"a","dimensions":[]})").status, 422);
  EXPECT_EQ(refusal(R"({"inputs":"a","dimensions":[256,512]})").status, 422);
}

TEST(Tei, DecodeTakesOneListOrMany) {
  const auto ids = [](const std::string& body) { return parse_decode(parse_json(body), test_facts()).ids; };
  EXPECT_THAT(ids(R"({"ids":[7,8]})"), ElementsAre(TokenIds{7, 8}));
  EXPECT_THAT(ids(R"({"ids":[[7],[8]],"skip_special_tokens":false})"), ElementsAre(TokenIds{7}, TokenIds{8}));
  EXPECT_EQ(refusal_of(Family::tei, [&] { ids(R"({"ids":[]})"); }).body,
            R"({"error":"Input validation error: `input_ids` cannot be empty","error_type":"Empty"})");
  EXPECT_EQ(refusal_of(Family::tei, [&] { ids(R"({"ids":"a"})"); }).status, 422);
}

TEST(Tei, ATaskIsAPromptsNameOnEveryRoute) {
  const std::string rest = R"(,"task":"s2p"})";
  const ModelFacts facts = test_facts();
  EXPECT_EQ(parse(R"({"inputs":"a")" + rest).options.prompt, "Query: ");
  EXPECT_EQ(parse_embed_all(parse_json(R"({"inputs":"a")" + rest), facts).options.prompt, "Query: ");
  EXPECT_EQ(parse_tokenize(parse_json(R"({"inputs":"a")" + rest), facts).options.prompt, "Query: ");
  const std::string parameters = R"({"inputs":{"source_sentence":"a","sentences":["b"]},"parameters":{"task":"s2p"}})";
  EXPECT_EQ(parse_similarity(parse_json(parameters), facts).options.prompt, "Query: ");
}

TEST(Tei, Tokens) {
  TokenText word;
  word.id = 7;
  word.text = "a\"";
  word.offsets = TokenOffsets{0, 2};
  TokenText special;
  special.id = 101;
  special.text = "[CLS]";
  special.special = true;
  EXPECT_EQ(tokenize_answer({{special, word}, {}}),
            R"([[{"id":101,"text":"[CLS]","special":true,"start":null,"stop":null},)"
            R"({"id":7,"text":"a\"","special":false,"start":0,"stop":2}],[]])");
}

}  // namespace
}  // namespace stella::server
