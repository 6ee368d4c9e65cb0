#include "cli/text.hpp"

#include "cli/failure.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

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
