#include "server/routes/fingerprint.hpp"

#include "server/routes/test_facts.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

namespace fs = std::filesystem;

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

class WeightsOf : public testing::Test {
 protected:
  WeightsOf() {
    fs::create_directories(folder_ / "2_Dense_256");
    write("config.json", "{}");
    write("model.safetensors", std::string(100'000, 'a'));
    write("2_Dense_256/model.safetensors", "head");
  }
  ~WeightsOf() override { fs::remove_all(folder_.parent_path()); }
  WeightsOf(const WeightsOf&) = delete;
  WeightsOf& operator=(const WeightsOf&) = delete;

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string weights() const { return weights_of(folder_.string(), "", folder_); }

  const fs::path folder_ = fs::temp_directory_path() / ("stella-fingerprint-" + std::to_string(::getpid())) / "model";
};

TEST_F(WeightsOf, CommitsOfTheHub) {
  EXPECT_EQ(weights_of("org/model", "0123456789abcdef0123456789abcdef01234567", "/nowhere"), "org/model@0123456789ab");
}

TEST_F(WeightsOf, FilesElsewhereByTheirContent) {
  const std::string before = weights();
  EXPECT_THAT(before, testing::MatchesRegex("sha256:[0-9a-f]{16}"));
  write("README.md", "other");
  EXPECT_EQ(weights(), before);
  const fs::path copy = folder_.parent_path() / "copy";
  fs::copy(folder_, copy, fs::copy_options::recursive);
  EXPECT_EQ(weights_of("copy", "", copy), before);
  write("2_Dense_256/model.safetensors", "Head");
  EXPECT_NE(weights(), before);
}

TEST_F(WeightsOf, TheEndOfALargeFileCounts) {
  const std::string before = weights();
  write("model.safetensors", std::string(99'999, 'a') + "b");
  EXPECT_NE(weights(), before);
}

}  // namespace
}  // namespace stella::server
