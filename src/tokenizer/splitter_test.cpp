#include "tokenizer/splitter.hpp"

#include "stella/error.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Words = std::vector<std::string>;

const std::string kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Words words(const Splitter& splitter, std::string_view text) {
  Words found;
  Budget budget(text.size());
  for_each_word(splitter, text, budget, [&](std::string_view word) { found.emplace_back(word); });
  return found;
}

// Expectations: pre_tokenizers.Split, ByteLevel and BertPreTokenizer of tokenizers 0.23.3.

TEST(Gpt4Splitter, Words) {
  const Splitter qwen2 = make_pattern_splitter(kQwen2, "test");
  ASSERT_TRUE(std::holds_alternative<Gpt4Splitter>(qwen2));
  EXPECT_THAT(words(qwen2, "I'm 'Re it'\u017f x'"), ElementsAre("I", "'m", " '", "Re", " it", "'\u017f", " x", "'"));
  EXPECT_THAT(words(qwen2, "it'\u017fx it'\u017f"), ElementsAre("it", "'\u017f", "x", " it", "'\u017f"));
  EXPECT_THAT(words(qwen2, "a  b   \n \n  c"), ElementsAre("a", " ", " b", "   \n \n", " ", " c"));
  EXPECT_THAT(words(qwen2, "12\u0663 \u00bd"), ElementsAre("1", "2", "\u0663", " ", "\u00bd"));
  EXPECT_THAT(words(qwen2, "\u00a0\u00e9t\u00e9\t(x)\u2026\r\n\n!"),
              ElementsAre("\u00a0\u00e9t\u00e9", "\t", "(x", ")\u2026\r\n\n", "!"));
  EXPECT_THAT(words(qwen2, "  "), ElementsAre("  "));
  EXPECT_THAT(words(qwen2, "don't  stop "), ElementsAre("don", "'t", " ", " stop", " "));
  EXPECT_THAT(words(qwen2, "''s' s"), ElementsAre("''", "s", "'", " s"));
  EXPECT_THAT(words(qwen2, ""), IsEmpty());
}

TEST(Gpt2Splitter, Words) {
  const Splitter gpt2 = Gpt2Splitter{};
  EXPECT_THAT(words(gpt2, "I'm 'Re it'\u017f x'"), ElementsAre("I", "'m", " '", "Re", " it", "'", "\u017f", " x", "'"));
  EXPECT_THAT(words(gpt2, "a  b   \n \n  c"), ElementsAre("a", " ", " b", "   \n \n ", " c"));
  EXPECT_THAT(words(gpt2, "12\u0663 \u00bd"), ElementsAre("12\u0663", " \u00bd"));
  EXPECT_THAT(words(gpt2, "\u00a0\u00e9t\u00e9\t(x)\u2026\r\n\n!"),
              ElementsAre("\u00a0", "\u00e9t\u00e9", "\t", "(", "x", ")\u2026", "\r\n", "\n", "!"));
}

TEST(BertSplitter, Words) {
  const Splitter bert = BertSplitter{};
  EXPECT_THAT(words(bert, "I'm 'Re it'"), ElementsAre("I", "'", "m", "'", "Re", "it", "'"));
  EXPECT_THAT(words(bert, "\u00a0\u00e9t\u00e9\t(x)\u2026\r\n\n!"),
              ElementsAre("\u00e9t\u00e9", "(", "x", ")", "\u2026", "!"));
  EXPECT_THAT(words(bert, "  \n"), IsEmpty());
}

TEST(RegexSplitter, MatchesAndWhatLiesBetween) {
  const std::string text = "ab,  12345 xxc b\n";
  const auto split = [&](const char* pattern) { return words(RegexSplitter(pattern, "test"), text); };
  EXPECT_THAT(split(R"(\P{N}+|\p{N}{2})"), ElementsAre("ab,  ", "12", "34", "5", " xxc b\n"));
  EXPECT_THAT(split(R"([\s,]+)"), ElementsAre("ab", ",  ", "12345", " ", "xxc", " ", "b", "\n"));
  EXPECT_THAT(split(R"([^\S\n]+)"), ElementsAre("ab,", "  ", "12345", " ", "xxc", " ", "b\n"));
}

TEST(RegexSplitter, EmptyMatchesCut) {
  const std::string text = "ab,  12345 xxc b\n";
  EXPECT_THAT(words(RegexSplitter("x*", "test"), text),
              ElementsAre("a", "b", ",", " ", " ", "1", "2", "3", "4", "5", " ", "xx", "c", " ", "b", "\n"));
  EXPECT_THAT(words(RegexSplitter("(?=b)|c", "test"), text), ElementsAre("a", "b,  12345 xx", "c", " ", "b\n"));
}

TEST(RegexSplitter, LongMatches) {
  const std::string letters(1 << 20, 'a');
  EXPECT_THAT(words(RegexSplitter(R"((?:\p{L}|\p{N})+)", "test"), letters), ElementsAre(letters));
}

TEST(RegexSplitter, RefusesWhatItCannotTranslate) {
  const auto message = [](const char* pattern) -> std::string {
    try {
      make_pattern_splitter(pattern, "tokenizer.json");
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::unsupported_model) << pattern;
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message(R"(\w+)"), HasSubstr(R"('\w')"));
  EXPECT_THAT(message(R"(\p{Lu}+)"), HasSubstr(R"('\p{Lu}')"));
  EXPECT_THAT(message(R"(^a)"), HasSubstr("'^'"));
  EXPECT_THAT(message(R"((?<=a)b)"), HasSubstr("'(?<='"));
  EXPECT_THAT(message(R"([a[bc]])"), HasSubstr("[ inside a character class"));
  EXPECT_THAT(message(R"(a{2}+)"), HasSubstr("'}+'"));
  EXPECT_THAT(message(R"((?i:stra\u00dfe))"), HasSubstr("(?i:"));
  EXPECT_THAT(message("(*COMMIT)a"), HasSubstr("'(*'"));
  EXPECT_THAT(message("a(?R)"), HasSubstr("'(?R)'"));
  EXPECT_THAT(message("a(?C1)"), HasSubstr("'(?C1'"));
  EXPECT_THAT(message(R"(\C)"), HasSubstr(R"('\C')"));
  EXPECT_THAT(message("a{,3}"), HasSubstr("'{,'"));
  EXPECT_THAT(message("(a"), HasSubstr("does not compile"));
}

}  // namespace
}  // namespace stella::tokenizer
