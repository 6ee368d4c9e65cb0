#include "server/routes/fingerprint.hpp"

#include "server/routes/test_facts.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

ModelFacts facts_of(Precision precision = Precision::int16) {
  ModelFacts facts = test_facts();
  facts.weights = "org/model@0123456789ab";
  facts.description.precision = precision;
  return facts;
}

EmbedOptions options_of(const std::string& prompt = "", std::vector<std::size_t> dimensions = {}) {
  EmbedOptions options;
  options.prompt = prompt;
  options.dimensions = std::move(dimensions);
  return options;
}

TEST(Fingerprint, SaysAllThatMatters) {
  EXPECT_EQ(fingerprint_of(facts_of(), options_of("Query: ", {256})),
            "weights=org/model@0123456789ab; dimension=256; precision=int16; prompt=s2p; normalized=true");
  EXPECT_EQ(default_fingerprint(facts_of()),
            "weights=org/model@0123456789ab; dimension=1024; precision=int16; prompt=none; normalized=true");
}

TEST(Fingerprint, DiffersWhereVectorsDo) {
  const std::string plain = default_fingerprint(facts_of());
  EXPECT_EQ(fingerprint_of(facts_of(), options_of("", {1024})), plain);
  EXPECT_NE(default_fingerprint(facts_of(Precision::f32)), plain);
  EXPECT_NE(fingerprint_of(facts_of(), options_of("", {256})), plain);
  EXPECT_NE(fingerprint_of(facts_of(), options_of("Query: ")), plain);
  EmbedOptions raw = options_of();
  raw.normalize = false;
  EXPECT_NE(fingerprint_of(facts_of(), raw), plain);
  EmbedOptions states = options_of();
  states.token_states = true;
  EXPECT_NE(fingerprint_of(facts_of(), states), plain);
  ModelFacts other = facts_of();
  other.weights = "org/model@ba9876543210";
  EXPECT_NE(default_fingerprint(other), plain);
}

TEST(Fingerprint, LiteralPromptsAreHashed) {
  const std::string literal = fingerprint_of(facts_of(), options_of("Find:\r\n\xc3\xa9"));
  EXPECT_THAT(literal, testing::HasSubstr("; prompt=sha256:"));
  EXPECT_NE(fingerprint_of(facts_of(), options_of("Find:")), literal);
  for (const char c : literal) EXPECT_TRUE(c >= ' ' && c <= '~');
}

}  // namespace
}  // namespace stella::server
