#include "server/cost.hpp"

#include "server/routes/test_facts.hpp"

#include <gtest/gtest.h>

namespace stella::server {
namespace {

Inputs inputs_of(const std::string& json) {
  return parse_inputs(parse_json(json), "inputs");
}

TEST(Cost, IsToldFromTheBytes) {
  const ModelFacts facts = test_facts();
  EmbedOptions options;
  options.prompt = "12345678";
  const Cost cost = cost_of(inputs_of(R"(["abcdefgh", "x", [1, 2, 3]])"), facts, options);
  EXPECT_EQ(cost.texts, 3);
  // Two tokens, one and another begun, and for each text two of the prompt and two of the template; ids as they are.
  EXPECT_EQ(cost.tokens, (2 + 1 + 4) + (0 + 1 + 4) + 3);
}

TEST(Cost, OfATextIsAtMostWhatItWillBeCutTo) {
  const ModelFacts facts = test_facts();
  EXPECT_EQ(cost_of(inputs_of("\"" + std::string(100'000, 'a') + "\""), facts, {}).tokens, 512);
}

TEST(Cost, DecidesWhoIsInteractive) {
  EXPECT_EQ(priority_of(Cost{1, 256}), Priority::interactive);
  EXPECT_EQ(priority_of(Cost{1, 257}), Priority::bulk);
  EXPECT_EQ(priority_of(Cost{16, 100}), Priority::interactive);
  EXPECT_EQ(priority_of(Cost{17, 100}), Priority::bulk);
}

TEST(Cost, OfParsingCountsValuesAndKeys) {
  const std::string text = R"({"inputs":")" + std::string(1000, 'a') + "\"}";
  EXPECT_GE(parse_bytes(text), 2 * text.size());
  EXPECT_LE(parse_bytes(text), 5 * text.size());
  std::string list = "[";
  for (int i = 0; i < 1000; ++i) list += "1,";
  list += "1]";
  EXPECT_GE(parse_bytes(list), 1001 * 24 * 2);
  EXPECT_GT(parse_bytes(R"({"a":1,"b":2})"), parse_bytes(R"(["aaa","bbb"])"));
}

TEST(Cost, OfTheAnswerIsItsFloats) {
  const ModelFacts facts = test_facts();
  const Inputs one = inputs_of("\"a\"");
  const std::size_t pooled = answer_bytes(one, facts, {});
  EXPECT_GE(pooled, 1024 * (4 + 13));
  EmbedOptions two;
  two.dimensions = {256, 1024};
  EXPECT_GE(answer_bytes(one, facts, two), pooled + 256 * (4 + 13));
  EmbedOptions states;
  states.pooled = false;
  states.token_states = true;
  ModelFacts wide = facts;
  wide.description.hidden = 1024;
  const Inputs text = inputs_of("\"" + std::string(100, 'a') + "\"");
  EXPECT_GE(answer_bytes(text, wide, states), 100 * 1024 * (4 + 13));
}

}  // namespace
}  // namespace stella::server
