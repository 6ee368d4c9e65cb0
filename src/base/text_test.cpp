// UTF-8, and text made fit for a terminal.
#include "base/text.hpp"

#include "base/shown_url.hpp"
#include "base/utf8.hpp"
#include "stella/error.hpp"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace stella {
namespace {

using namespace std::string_literals;

TEST(Utf8, FindsTheFirstInvalidByte) {
  const auto valid = std::string_view::npos;
  EXPECT_EQ(utf8::find_invalid(""), valid);
  EXPECT_EQ(utf8::find_invalid("plain ASCII, and more than eight bytes of it"), valid);
  EXPECT_EQ(utf8::find_invalid("\u00e9\u6f22\U0001f600\U0010ffff\u0080\u07ff\u0800\ud7ff\ue000\uffff"), valid);
  EXPECT_EQ(utf8::find_invalid("\0"s), valid);
  EXPECT_EQ(utf8::find_invalid("ab\x80"), 2U);  // continuation first
  EXPECT_EQ(utf8::find_invalid("abcdefghij\xff"), 10U);
  EXPECT_EQ(utf8::find_invalid("a\xc0\xaf"), 1U);          // overlong
  EXPECT_EQ(utf8::find_invalid("a\xe0\x9f\xbf"), 1U);      // overlong
  EXPECT_EQ(utf8::find_invalid("a\xf0\x8f\xbf\xbf"), 1U);  // overlong
  EXPECT_EQ(utf8::find_invalid("a\xed\xa0\x80"), 1U);      // surrogate
  EXPECT_EQ(utf8::find_invalid("a\xf4\x90\x80\x80"), 1U);  // beyond U+10FFFF
  EXPECT_EQ(utf8::find_invalid("a\xf5\x80\x80\x80"), 1U);
  EXPECT_EQ(utf8::find_invalid("\u00e9\xc3"), 2U);  // cut short at the end
  EXPECT_EQ(utf8::find_invalid("\u00e9\xe6\xbc"), 2U);
  EXPECT_EQ(utf8::find_invalid("\u00e9\xf0\x9f\x98"), 2U);
  EXPECT_EQ(utf8::find_invalid("\xe6\xbcx"), 0U);
}

TEST(Utf8, CodesEveryLength) {
  for (const char32_t c : {0x0U, 0x7fU, 0x80U, 0x7ffU, 0x800U, 0xffffU, 0x10000U, 0x10ffffU}) {
    std::string text;
    utf8::append(text, c);
    EXPECT_EQ(utf8::decode(text.data()).value, c);
    EXPECT_EQ(utf8::decode(text.data()).length, text.size());
    EXPECT_EQ(utf8::previous(text.data() + text.size()), text.data());
  }
}

/// The rows of the Unicode Standard's table of well-formed byte sequences, and what lies just outside each.
TEST(Utf8, IsTheStandards) {
  const auto npos = std::string_view::npos;
  using namespace std::string_literals;
  for (const std::string& good :
       {"\0"s, "\x7f"s, "\xc2\x80"s, "\xdf\xbf"s, "\xe0\xa0\x80"s, "\xe1\x80\x80"s, "\xed\x9f\xbf"s, "\xee\x80\x80"s,
        "\xef\xbf\xbf"s, "\xf0\x90\x80\x80"s, "\xf3\xbf\xbf\xbf"s, "\xf4\x8f\xbf\xbf"s}) {
    EXPECT_EQ(utf8::find_invalid("ab" + good + "c"), npos) << testing::PrintToString(good);
  }
  for (const std::string& bad : {"\x80"s, "\xbf"s, "\xc0\x80"s, "\xc1\xbf"s, "\xe0\x9f\xbf"s, "\xed\xa0\x80"s,
                                 "\xed\xbf\xbf"s, "\xf0\x8f\xbf\xbf"s, "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s,
                                 "\xff"s, "\xe2\x82"s, "\xf0\x9f\x98"s, "\xc3"s}) {
    EXPECT_EQ(utf8::find_invalid("ab" + bad), 2U) << testing::PrintToString(bad);
    EXPECT_EQ(utf8::find_invalid("ab" + bad + "c"), 2U) << testing::PrintToString(bad);
  }
}

/// Expectations: Python's bytes.decode("utf-8", "replace").
TEST(Utf8, ReplacesWhatIsBroken) {
  using namespace std::string_literals;
  const std::string good = "\u00e9\u6f22\U0001f600 plain\0"s;
  EXPECT_EQ(utf8::replace_invalid(good), good);
  EXPECT_EQ(utf8::replace_invalid(""), "");
  EXPECT_EQ(utf8::replace_invalid("\xe2\x82"), "\ufffd");
  EXPECT_EQ(utf8::replace_invalid("a\xf0\x9f\x98"
                                  "b"),
            "a\ufffdb");
  EXPECT_EQ(utf8::replace_invalid("\xf0\x9f\x98\xf0\x9f"), "\ufffd\ufffd");
  EXPECT_EQ(utf8::replace_invalid("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(utf8::replace_invalid("\xc3("), "\ufffd(");
  EXPECT_EQ(utf8::replace_invalid("\xe0\x9f\xbfx"), "\ufffd\ufffd\ufffdx");
  EXPECT_EQ(utf8::replace_invalid("\xf4\x90\x80"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(utf8::replace_invalid("\xff\xfe"), "\ufffd\ufffd");
  EXPECT_EQ(utf8::replace_invalid("\xf0\x8f\x80"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(utf8::replace_invalid("\xe2\x82\xac\xe2"), "\u20ac\ufffd");
}

TEST(Printable, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("plain, \u00e9, \u6f22, \U0001f600\n\tnext"), "plain, \u00e9, \u6f22, \U0001f600\n\tnext");
  EXPECT_EQ(printable("\x1b[31mred\x07\0"s), "\\x1b[31mred\\x07\\x00");
  EXPECT_EQ(printable("a\x7f\rb"), "a\\x7f\\x0db");
  EXPECT_EQ(printable("\u009b31m"), "\\x9b31m") << "C1 as UTF-8";
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m")
      << "C1 as one byte, which is no UTF-8";
  EXPECT_EQ(printable("\u2028\u202e\u2066"), "\\u2028\\u202e\\u2066") << "line separator, direction overrides";
}

TEST(Printable, ALineIsOneLineOfBoundedLength) {
  EXPECT_EQ(printable_line("one\ntwo\tthree\n"), "one two three");
  EXPECT_EQ(printable_line(""), "");
  const std::string cut = printable_line(std::string(10000, 'x'));
  EXPECT_EQ(cut.size(), 4096U);
  EXPECT_TRUE(cut.ends_with("x\u2026"));
  std::string wide;
  for (int i = 0; i < 3000; ++i) wide += "\u6f22";
  for (std::size_t limit = 20; limit < 30; ++limit) {
    const std::string shorter = printable_line(wide, limit);
    EXPECT_LE(shorter.size(), limit);
    EXPECT_EQ(utf8::find_invalid(shorter), std::string_view::npos);
  }
}

TEST(Printable, EveryErrorIsOneHarmlessLine) {
  const Error error(Errc::malformed_file, "\x1b]0;title\x07 " + std::string(100000, 'n') + "\nsecond line");
  const std::string_view line = error.what();
  EXPECT_LE(line.size(), 4096U);
  EXPECT_EQ(line.find_first_of("\x1b\x07\n"), std::string_view::npos);
}

TEST(Address, NobodyIsToldThePassword) {
  EXPECT_EQ(without_password("http://user:secret@collector:4318/v1/traces"), "http://collector:4318/v1/traces");
  EXPECT_EQ(without_password("http://user:a@b@collector"), "http://collector");
  EXPECT_EQ(without_password("http://collector/a@b"), "http://collector/a@b");
  EXPECT_EQ(without_password("user:secret@collector"), "collector");
}

}  // namespace
}  // namespace stella
