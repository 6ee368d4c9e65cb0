#include "cli/progress.hpp"

#include "cli/columns.hpp"

#include <array>
#include <map>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

using testing::HasSubstr;

Progress half() {
  return {.repo = "org/name",
          .file = "model.safetensors",
          .bytes = 870'000'000,
          .total = 1'740'000'000,
          .bytes_per_second = 87e6};
}

TEST(Bar, SaysNameShareBytesRateAndTimeLeft) {
  const std::string bar = format_bar(half(), 100);
  EXPECT_LE(bar.size(), 100U);
  for (const char* part : {"model.safetensors ", " 50% [", "#.", "870 MB / 1.74 GB", "87.0 MB/s", "0:10"}) {
    EXPECT_THAT(bar, HasSubstr(part));
  }
}

TEST(Bar, FitsNarrowTerminalsAndUnknownTotals) {
  EXPECT_LE(columns_of(format_bar(half(), 30)), 30U);
  Progress unknown = half();
  unknown.total = 0;
  unknown.file = "a/very/long/path/inside/the/repository/model-00001-of-00002.safetensors";
  const std::string bar = format_bar(unknown, 100);
  EXPECT_THAT(bar, HasSubstr("870 MB  87.0 MB/s"));
  EXPECT_THAT(bar, HasSubstr("...0001-of-00002.safetensors"));
}

TEST(Bar, AllFilesTogether) {
  std::map<std::string, Progress> under_way{{"a", half()}, {"b", half()}};
  const std::string bar = format_overall(3, 520'000'000, under_way, 120);
  EXPECT_LE(bar.size(), 120U);
  for (const char* part : {"all (3 of 5 files)", " 56% [", "2.26 GB / 4.00 GB", "174 MB/s", "0:10"}) {
    EXPECT_THAT(bar, HasSubstr(part));
  }
  under_way["b"].total = 0;
  EXPECT_THAT(format_overall(3, 520'000'000, under_way, 120), HasSubstr("2.26 GB  174 MB/s"));
}

TEST(Bar, OfTexts) {
  TextProgress progress{.texts = 1234, .tokens = 50'000, .bytes = 25'000, .total = 100'000, .seconds = 10};
  const std::string bar = format_texts(progress, 120);
  for (const char* part : {"1,234 texts ", " 25% [", "25.0 kB / 100 kB", "5,000 tokens/s", "0:30"}) {
    EXPECT_THAT(bar, HasSubstr(part));
  }
  EXPECT_LE(columns_of(format_texts(progress, 30)), 30U);
  EXPECT_EQ(format_texts_done(progress), "1,234 texts, 50,000 tokens in 0:10, 5,000 tokens/s");
  progress.total = 0;
  EXPECT_EQ(format_texts(progress, 120), "1,234 texts  5,000 tokens/s");
}

TEST(Bar, NamesAreShownInColumnsAndHarmless) {
  Progress progress = half();
  progress.file = "\x1b[2J日本語日本語日本語日本語日本語日本語";
  const std::string bar = format_bar(progress, 100);
  EXPECT_EQ(bar.find('\x1b'), std::string::npos);
  EXPECT_LE(columns_of(bar), 100U);
  EXPECT_THAT(bar, HasSubstr("...日本語日本語日本語日本語 "));
}

/// What a display in `style` writes for one file's progress and one line.
std::string shown(ProgressStyle style) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  {
    ProgressDisplay display(style, ends[1]);
    display.on_file(half());
    display.on_load(0.5);
    display.print("a remark\x1b[2J");
    Progress done = half();
    done.bytes = done.total;
    done.finished = true;
    display.on_file(done);
  }
  close(ends[1]);
  std::string bytes(65'536, '\0');
  const ssize_t got = read(ends[0], bytes.data(), bytes.size());
  close(ends[0]);
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

TEST(Display, LinesForALog) {
  EXPECT_EQ(shown(ProgressStyle::lines), "a remark\\x1b[2J\nmodel.safetensors: 1.74 GB, 87.0 MB/s\n");
}

TEST(Display, BarsForATerminal) {
  const std::string bytes = shown(ProgressStyle::bars);
  EXPECT_THAT(bytes, HasSubstr("50%"));
  EXPECT_THAT(bytes, HasSubstr("\x1b[1A"));
  EXPECT_THAT(bytes, HasSubstr("a remark\\x1b[2J\n"));
}

TEST(Display, OneMoreBarForSeveralFiles) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  {
    ProgressDisplay display(ProgressStyle::bars, ends[1]);
    Progress other = half();
    other.file = "tokenizer.json";
    display.on_file(half());
    display.on_file(other);
    display.print("a remark");  // draws whatever the time
    other.finished = true;
    display.on_file(other);
  }
  close(ends[1]);
  std::string bytes(65'536, '\0');
  const ssize_t got = read(ends[0], bytes.data(), bytes.size());
  close(ends[0]);
  bytes.resize(static_cast<std::size_t>(got));
  EXPECT_THAT(bytes, HasSubstr("all (0 of 2 files)"));
  EXPECT_THAT(bytes, HasSubstr("\x1b[3A"));
  EXPECT_THAT(bytes, HasSubstr("all (1 of 2 files)"));
}

TEST(Display, RemarksOnlyWhereNoProgressIsWanted) {
  EXPECT_EQ(shown(ProgressStyle::none), "a remark\\x1b[2J\n");
}

}  // namespace
}  // namespace stella::cli
