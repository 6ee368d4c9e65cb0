#include "server/json/strict.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::server {
namespace {

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(StrictJson, ReadsWhatIsJson) {
  EXPECT_EQ(parse_json(R"( {"a":[1,-2,3.5,null,true],"b":{"a":"\ud83d\ude00\u0000"}} )").at("a").as_array().size(), 5);
  EXPECT_EQ(parse_json(R"("\u00e9")").as_string(), "\xc3\xa9");
  EXPECT_EQ(parse_json("18446744073709551615").as_uint64(), 18446744073709551615ULL);
  EXPECT_TRUE(parse_json("7").is_int64());
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth)));
  EXPECT_NO_THROW(parse_json(R"([{"a":1},{"a":2}])"));
}

TEST(StrictJson, RefusesTheRest) {
  const std::vector<std::string> wrong{"",
                                       " ",
                                       "{",
                                       "[1,]",
                                       "{\"a\":1,}",
                                       "{'a':1}",
                                       "{\"a\":1}x",
                                       "{} {}",
                                       "1 2",
                                       "nul",
                                       "NaN",
                                       "Infinity",
                                       "-Infinity",
                                       "+1",
                                       "01",
                                       "1e999999",
                                       "1e400",
                                       "// c\n1",
                                       "\"\\ud800\"",
                                       "\"\\udc00\"",
                                       "\"\\ud800\\u0041\"",
                                       "\"\xff\"",
                                       "\"\xed\xa0\x80\"",
                                       "\"\n\"",
                                       "\"\\x41\"",
                                       "\xef\xbb\xbf{}",
                                       R"({"a":1,"a":2})",
                                       R"({"a":1,"\u0061":2})",
                                       R"([{"b":{"c":1,"c":1}}])",
                                       nested(kMaxJsonDepth + 1),
                                       std::string(100'000, '[')};
  for (const std::string& text : wrong) EXPECT_THROW(parse_json(text), BadJson) << text.substr(0, 80);
}

TEST(StrictJson, SaysWhatIsWrong) {
  try {
    parse_json(R"({"inputs":"a","inputs":"b"})");
    FAIL();
  } catch (const BadJson& error) {
    EXPECT_NE(std::string(error.what()).find("twice"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace stella::server
