#include "cli/text.hpp"

#include "cli/failure.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
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
  std::string out;
  EXPECT_THROW(append_floats(out, {1.0F, std::nanf("")}), std::domain_error);
  out.clear();
  append_floats(out, {1.0F, -2.5F});
  EXPECT_EQ(out, "[1,-2.5]");
}

TEST(JsonString, EscapesWhatJsonDemands) {
  EXPECT_EQ(json_string("a\"b\\c\n\t\x01é"), "\"a\\\"b\\\\c\\n\\t\\u0001é\"");
}

TEST(JsonString, HoldsNothingThatATerminalWouldObeyAndIsUtf8) {
  EXPECT_EQ(json_string("\x7f\u009b"), "\"\\u007f\\u009b\"");
  EXPECT_EQ(json_string("a\xff\xe9\x80z"), "\"a\ufffd\ufffd\ufffdz\"");
}

TEST(Dimensions, AreSizesSeparatedByCommas) {
  EXPECT_THAT(parse_dimensions("256,1024"), testing::ElementsAre(256, 1024));
  EXPECT_THAT(parse_dimensions("8192"), testing::ElementsAre(8192));
  for (const char* bad : {"", ",", "256,", "0", "-1", "256 1024", "a", "256,256", "99999999999999999999999"}) {
    EXPECT_THROW(parse_dimensions(bad), Failure) << bad;
  }
}

TEST(Sizes, ArePrintedWithThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1'740'000'000), "1.74 GB");
  EXPECT_EQ(format_bytes(12'345), "12.3 kB");
  EXPECT_EQ(format_bytes(999'600), "1.00 MB");
}

TEST(Durations, AreMinutesAndSeconds) {
  EXPECT_EQ(format_duration(62), "1:02");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(1e9), "-:--");
}

TEST(Counts, HaveSeparators) {
  EXPECT_EQ(with_separators(0), "0");
  EXPECT_EQ(with_separators(999), "999");
  EXPECT_EQ(with_separators(1000), "1,000");
  EXPECT_EQ(with_separators(1234567), "1,234,567");
}

}  // namespace
}  // namespace stella::cli
