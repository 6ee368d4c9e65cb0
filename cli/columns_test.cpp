#include "cli/columns.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

TEST(Columns, WideCharactersTakeTwoAndMarksNone) {
  EXPECT_EQ(columns_of(""), 0U);
  EXPECT_EQ(columns_of("abc"), 3U);
  EXPECT_EQ(columns_of("é"), 1U);
  EXPECT_EQ(columns_of("e\u0301"), 1U);
  EXPECT_EQ(columns_of("日本語"), 6U);
  EXPECT_EQ(columns_of("한국어"), 6U);
  EXPECT_EQ(columns_of("ｱ"), 1U) << "half-width";
  EXPECT_EQ(columns_of("Ａ"), 2U) << "full-width";
  EXPECT_EQ(columns_of("🎉"), 2U);
}

TEST(FitColumns, CutsAtColumnsAndKeepsOneLine) {
  EXPECT_EQ(fit_columns("short", 10), "short");
  EXPECT_EQ(fit_columns("exactly ten", 11), "exactly ten");
  EXPECT_EQ(fit_columns("ééééé", 4), "ééé…");
  EXPECT_EQ(fit_columns("two\nlines", 20), "two lines");
  EXPECT_EQ(fit_columns("日本語", 6), "日本語");
  EXPECT_EQ(fit_columns("日本語", 5), "日本…");
  EXPECT_EQ(fit_columns("日本語", 4), "日…") << "half of a wide character is none";
  EXPECT_EQ(fit_columns("e\u0301e\u0301", 2), "e\u0301e\u0301");
}

TEST(FitColumns, ShowsWhatATerminalWouldObey) {
  const std::string shown = fit_columns(std::string("a\x1b[31mb\x7f\0c\u009b2J", 14), 60);
  EXPECT_EQ(shown, "a\\x1b[31mb\\x7f\\x00c\\x9b2J");
}

TEST(FitColumns, ALongTextIsCutWithoutReadingAllOfIt) {
  EXPECT_EQ(columns_of(fit_columns(std::string(1'000'000, 'x'), 48)), 48U);
  std::string wide;
  for (int i = 0; i < 10'000; ++i) wide += "語";
  EXPECT_EQ(columns_of(fit_columns(wide, 48)), 47U);
}

TEST(PadColumns, FillsUp) {
  EXPECT_EQ(pad_columns("日本", 6), "日本  ");
  EXPECT_EQ(pad_columns("abc", 2), "abc");
}

}  // namespace
}  // namespace stella::cli
