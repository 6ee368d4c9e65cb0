#include "format/json_text.hpp"

#include "base/json.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::format {
namespace {

std::string print(float value) {
  std::string out;
  append_float(out, value);
  return out;
}

TEST(Floats, ReadBackToTheSameFloat) {
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const std::string text = print(value);
    EXPECT_EQ(std::strtof(text.c_str(), nullptr), value) << text;
  }
}

TEST(Floats, AreShort) {
  EXPECT_EQ(print(0.1F), "0.1");
  EXPECT_EQ(print(1.0F), "1");
  EXPECT_EQ(print(-0.25F), "-0.25");
  EXPECT_EQ(print(0.029703768F), "0.029703768");
  EXPECT_EQ(print(std::numeric_limits<float>::denorm_min()), "1e-45");
}

TEST(Floats, RefuseWhatJsonCannotSay) {
  const std::vector<float> bad = {1.0F, std::nanf("")};
  EXPECT_THROW(JsonText().value(bad), std::domain_error);
  EXPECT_THROW(JsonText().value(std::numeric_limits<float>::infinity()), std::domain_error);
  EXPECT_EQ(JsonText().value(std::vector{1.0F, -2.5F}).take(), "[1,-2.5]");
}

TEST(JsonString, EscapesWhatJsonDemands) {
  EXPECT_EQ(json_string("a\"b\\c\n\t\x01é"), "\"a\\\"b\\\\c\\n\\t\\u0001é\"");
}

TEST(JsonString, HoldsNothingThatATerminalWouldObeyAndIsUtf8) {
  EXPECT_EQ(json_string("\x7f\u009b"), "\"\\u007f\\u009b\"");
  EXPECT_EQ(json_string("a\xff\xe9\x80z"), "\"a\ufffd\ufffd\ufffdz\"");
}

TEST(JsonTexts, SetTheCommas) {
  JsonText json;
  json.begin_object().member("a", 1).key("none").begin_array().end_array().key("empty").begin_object().end_object();
  json.key("list")
      .begin_array()
      .value(true)
      .value(std::optional<int>())
      .begin_array()
      .end_array()
      .value("x")
      .end_array();
  json.list("pairs", std::vector{1, 2}, [](JsonText& to, int one) { to.begin_object().member("n", one).end_object(); });
  const std::string text = json.member("b\n", std::optional<std::string>()).end_object().take();
  EXPECT_EQ(text, R"({"a":1,"none":[],"empty":{},"list":[true,null,[],"x"],"pairs":[{"n":1},{"n":2}],"b\n":null})");
  EXPECT_EQ(json.value(-5).take(), "-5") << "it begins anew";
}

TEST(JsonTexts, AreJsonToAnotherReader) {
  JsonText out;
  out.begin_object()
      .member("text", std::string("\x01\"\\/\u6f22\U0001f600\x7f"))
      .member("numbers", std::vector{0.1F, 1e30F});
  out.member("size", std::uint64_t{18'446'744'073'709'551'615U}).member("deep", std::vector<std::vector<int>>{{1}, {}});
  const json::value read = json::parse(out.end_object().take());
  EXPECT_EQ(read.at("text").as_string(), "\x01\"\\/\u6f22\U0001f600\x7f");
  EXPECT_EQ(read.at("numbers").at(1).to_number<float>(), 1e30F);
  EXPECT_EQ(read.at("size").as_uint64(), 18'446'744'073'709'551'615U);
  EXPECT_EQ(read.at("deep"), json::parse("[[1], []]"));
}

}  // namespace
}  // namespace stella::format
