#include "cli/json_line.hpp"

#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

JsonLine parse(const std::string& line, std::vector<std::string> keep = {}) {
  return parse_json_line(line, {"text", std::move(keep)});
}

std::string problem_of(const std::string& line) {
  try {
    parse(line);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no problem";
}

std::string nested(std::size_t levels) {
  return "{\"deep\":" + std::string(levels, '[') + std::string(levels, ']') + ",\"text\":\"a\"}";
}

TEST(JsonLineTest, StringsAndObjects) {
  EXPECT_EQ(parse(R"("a\u00e9\n")").text, "aé\n");
  EXPECT_EQ(parse(R"( { "n" : 1 , "text" : "b" } )").text, "b");
  EXPECT_EQ(parse(R"({"te\u0078t":"escaped name"})").text, "escaped name");
  EXPECT_EQ(parse(R"("\ud83c\udf89\"\\\/\b\f\r\t\u0000")").text, std::string("🎉\"\\/\b\f\r\t\0", 12));
}

TEST(JsonLineTest, OfEqualNamesTheLastCounts) {
  EXPECT_EQ(parse(R"({"text":7,"text":"a","text":"b"})").text, "b");
  EXPECT_THAT(parse(R"({"text":"a","id":1,"id":[2]})", {"id"}).kept, ElementsAre("[2]"));
}

TEST(JsonLineTest, OtherFieldsMayBeAnything) {
  for (const char* value : {"1e999999999999", "-0.0", "true", "[[],{},[{}]]", "{\"text\":\"inner\"}", "null"}) {
    EXPECT_EQ(parse(std::string("{\"x\":") + value + ",\"text\":\"a\"}").text, "a") << value;
  }
  EXPECT_EQ(parse("{\"x\":" + std::string(5000, '9') + ",\"text\":\"a\"}").text, "a");
}

TEST(JsonLineTest, IsReadDownToTheDepthThatItNames) {
  EXPECT_EQ(parse(nested(1024)).text, "a");
  EXPECT_EQ(parse(nested(kMaxJsonDepth - 1)).text, "a");
  EXPECT_THAT(problem_of(nested(kMaxJsonDepth + 1)), HasSubstr("deeper than 10000 levels"));
  EXPECT_THAT(problem_of(std::string(6'000'000, '[')), HasSubstr("deeper than 10000 levels"));
}

TEST(JsonLineTest, KeptValuesAreWhatWasWritten) {
  const std::string line =
      R"({"id": 12345678901234567890123, "n": null, "t": { "a b" : [ 1.50 , "x \" y" ] }, "text": "a"})";
  EXPECT_THAT(parse(line, {"t", "id", "n", "missing", "text"}).kept,
              ElementsAre(R"({"a b":[1.50,"x \" y"]})", "12345678901234567890123", "null", "null", R"("a")"));
  EXPECT_THAT(parse("\"a\"", {"id"}).kept, ElementsAre("null"));
  EXPECT_THAT(parse("{\"id\":\"\x7f\u009b\u00e9\",\"text\":\"a\"}", {"id"}).kept, ElementsAre(R"("\u007f\u009bé")"));
}

TEST(JsonLineTest, WhatIsNotJsonIsRefused) {
  for (const char* line : {"{\"text\":",
                           "{\"text\":\"a\"",
                           "{\"text\":\"a\"} x",
                           "\"a\" \"b\"",
                           "{text:\"a\"}",
                           "{\"text\":\"a\",}",
                           "[1,]",
                           "{\"x\":[1 2],\"text\":\"a\"}",
                           "{\"x\":[1},\"text\":\"a\"}",
                           "{\"x\":01,\"text\":\"a\"}",
                           "{\"x\":1.,\"text\":\"a\"}",
                           "{\"x\":.5,\"text\":\"a\"}",
                           "{\"x\":+1,\"text\":\"a\"}",
                           "{\"x\":1e,\"text\":\"a\"}",
                           "{\"x\":-,\"text\":\"a\"}",
                           "{\"x\":NaN,\"text\":\"a\"}",
                           "\"\\x\"",
                           "\"\\",
                           "\"\\u12\"",
                           "\"a\tb\"",
                           "\"a",
                           "tru",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "{\"x\":\"\\ud800\",\"text\":\"a\"}",
                           "{'text':'a'}",
                           "{\"text\" \"a\"}",
                           "{,}",
                           " "}) {
    EXPECT_THAT(problem_of(line), HasSubstr("is not JSON")) << line;
  }
  EXPECT_THAT(problem_of(std::string("{\"text\":\0\"a\"}", 13)), HasSubstr("is not JSON"));
  EXPECT_THAT(problem_of(std::string("{\0\"text\":\"a\"}", 13)), HasSubstr("is not JSON"));
}

TEST(JsonLineTest, WhatIsWantedIsNamed) {
  EXPECT_THAT(problem_of("7"), HasSubstr("is a number"));
  EXPECT_THAT(problem_of("[\"a\"]"), HasSubstr("is an array"));
  EXPECT_THAT(problem_of("{}"), HasSubstr("has no field \"text\""));
  EXPECT_THAT(problem_of("{\"text\":null}"), HasSubstr("has null in field \"text\""));
  EXPECT_THAT(problem_of("{\"text\":{\"text\":\"a\"}}"), HasSubstr("has an object in field \"text\""));
}

}  // namespace
}  // namespace stella::cli
