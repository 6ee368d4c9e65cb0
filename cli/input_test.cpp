#include "cli/input.hpp"

#include "support/temporary_folder.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class InputFile : public testing::Test {
 protected:
  std::unique_ptr<TextSource> open(const std::string& content, InputFormat format = InputFormat::lines,
                                   const std::string& field = "text", bool skip_empty = false) {
    std::ofstream(path_, std::ios::binary) << content;
    return make_file_source(path_.string(), {.format = format, .fields = {field, {}}, .skip_empty = skip_empty}, {});
  }

  std::vector<std::string> read_all(const std::string& content, InputFormat format = InputFormat::lines,
                                    const std::string& field = "text") {
    return drain(*open(content, format, field));
  }

  static std::vector<std::string> drain(TextSource& source, std::size_t max_texts = 3) {
    std::vector<std::string> all;
    while (true) {
      Chunk chunk = source.read(max_texts, 1 << 20, true);
      if (chunk.texts.empty()) return all;
      EXPECT_EQ(chunk.indices.front(), all.size());
      EXPECT_LE(chunk.texts.size(), max_texts);
      for (auto& text : chunk.texts) all.push_back(std::move(text));
    }
  }

  static std::string failure_of(TextSource& source) {
    try {
      drain(source);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.status(), kBadInput);
      return failure.what();
    }
    return "no failure";
  }

  const test::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "texts";
};

TEST_F(InputFile, LinesEndWithLfOrCrLf) {
  EXPECT_THAT(read_all("a\nb\r\n \nc"), ElementsAre("a", "b", " ", "c"));
  EXPECT_THAT(read_all("a\n"), ElementsAre("a"));
  EXPECT_THAT(read_all("a\rb\n"), ElementsAre("a\rb")) << "a lone CR ends no line";
  EXPECT_THAT(read_all(""), ElementsAre());
}

TEST_F(InputFile, AnEmptyLineIsNamedAndWhatCameBeforeItIsGivenOut) {
  const auto source = open("one\ntwo\n\nfour\n");
  EXPECT_THAT(source->read(10, 1000, true).texts, ElementsAre("one", "two"));
  EXPECT_THAT(failure_of(*source), HasSubstr("line 3 of " + path_.string() + " is empty"));
  EXPECT_THAT(failure_of(*open("\r\n")), HasSubstr("line 1"));
  EXPECT_THAT(failure_of(*open("a\n\n")), HasSubstr("line 2"));
}

TEST_F(InputFile, InvalidUtf8IsNamedWithItsByte) {
  EXPECT_THAT(failure_of(*open("fine\nab\xff\n")),
              HasSubstr("line 2 of " + path_.string() + " is not valid UTF-8 (byte 3)"));
  EXPECT_THAT(failure_of(*open("\"ab\xff\"\n", InputFormat::jsonl)), HasSubstr("line 1"));
}

TEST_F(InputFile, JsonLinesHoldStringsOrObjects) {
  EXPECT_THAT(read_all("\"a\\u00e9\\n\"\n{\"text\":\"b\",\"n\":1}\r\n", InputFormat::jsonl), ElementsAre("aé\n", "b"));
  EXPECT_THAT(read_all("{\"body\":\"x\"}", InputFormat::jsonl, "body"), ElementsAre("x"));
}

TEST_F(InputFile, BadJsonLinesAreNamedWithWhatIsWrong) {
  const auto failure = [&](const std::string& line) {
    return failure_of(*open("\"ok\"\n" + line, InputFormat::jsonl));
  };
  EXPECT_THAT(failure("{\"text\":"), HasSubstr("line 2 of " + path_.string() + " is not JSON"));
  EXPECT_THAT(failure("\"a\" \"b\""), HasSubstr("line 2 of " + path_.string() + " is not JSON"));
  EXPECT_THAT(failure("\"\\ud800\""), HasSubstr("is not JSON"));
  EXPECT_THAT(failure("7"), HasSubstr("is a number"));
  EXPECT_THAT(failure("[\"a\"]"), HasSubstr("is an array"));
  EXPECT_THAT(failure("{\"body\":\"x\"}"), HasSubstr("has no field \"text\""));
  EXPECT_THAT(failure("{\"text\":null}"), HasSubstr("has null in field \"text\""));
  EXPECT_THAT(failure("{\"text\":\"\"}"), HasSubstr("is empty"));
  EXPECT_THAT(failure("\n"), HasSubstr("is empty"));
}

TEST_F(InputFile, ALineThatIsTooLongStopsBeforeItIsRead) {
  EXPECT_EQ(read_all(std::string(kMaxTextBytes, 'a') + "\n").front().size(), kMaxTextBytes);
  EXPECT_THAT(failure_of(*open(std::string(kMaxTextBytes + 1, 'a'))), HasSubstr("line 1"));
  EXPECT_THAT(failure_of(*open("a\n" + std::string(5 * kMaxTextBytes, 'a'))), HasSubstr("line 2"));
  EXPECT_THAT(failure_of(*open("\"" + std::string(kMaxTextBytes + 1, 'a') + "\"", InputFormat::jsonl)),
              HasSubstr("1,000,000 bytes"));
}

TEST_F(InputFile, ChunksHoldLittleMoreThanTheBytesAskedFor) {
  const auto source = open("aaaa\nbbbb\ncccc\n");
  EXPECT_EQ(source->read(100, 5, true).texts.size(), 2U);
  EXPECT_EQ(source->read(100, 5, true).texts.size(), 1U);
}

TEST_F(InputFile, AByteOrderMarkAtTheStartIsNoText) {
  const std::string mark = "\xef\xbb\xbf";
  EXPECT_THAT(read_all(mark + "a\n" + mark + "b\n"), ElementsAre("a", mark + "b"));
  EXPECT_THAT(read_all(mark), ElementsAre());
  EXPECT_THAT(read_all(mark + "\"a\"\n", InputFormat::jsonl), ElementsAre("a"));
  EXPECT_THAT(failure_of(*open(mark + "\na\n")), HasSubstr("line 1"));
  EXPECT_EQ(read_all(mark + std::string(kMaxTextBytes, 'a') + "\r\n").front().size(), kMaxTextBytes);
}

TEST_F(InputFile, EmptyTextsAreSkippedAndCountedWhereThatIsAskedFor) {
  const auto source = open("\na\n\r\n\nb\n\n", InputFormat::lines, "text", true);
  const Chunk chunk = source->read(10, 1000, true);
  EXPECT_THAT(chunk.texts, ElementsAre("a", "b"));
  EXPECT_THAT(chunk.indices, ElementsAre(1U, 4U));
  EXPECT_TRUE(chunk.last);
  EXPECT_EQ(source->skipped(), 4U);
  EXPECT_EQ(source->describe(4), "line 5 of " + path_.string());
  const auto json = open("{\"text\":\"\"}\n\n\"\"\n\"x\"\n", InputFormat::jsonl, "text", true);
  EXPECT_THAT(json->read(10, 1000, true).indices, ElementsAre(3U));
  EXPECT_EQ(json->skipped(), 3U);
}

TEST_F(InputFile, ChunksSayHowFarTheFileWasRead) {
  const auto source = open("aaaa\nbb\nc");
  EXPECT_EQ(source->size(), 9U);
  EXPECT_EQ(source->read(1, 1000, true).end, 5U);
  EXPECT_EQ(source->read(1, 1000, true).end, 8U);
  EXPECT_EQ(source->read(1, 1000, true).end, 9U);
}

TEST_F(InputFile, ControlCharactersAreTexts) {
  EXPECT_THAT(read_all(std::string("a\0b\n\x1b[2J\n", 9)), ElementsAre(std::string("a\0b", 3), "\x1b[2J"));
}

TEST_F(InputFile, AFifoWithoutAWriterIsWaitedForWhereSignalsAreSeen) {
  const std::string fifo = (folder_.path() / "fifo").string();
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  struct SignalCame {};
  const auto source = make_file_source(fifo, {}, [](int, short) { throw SignalCame(); });
  EXPECT_THROW(source->read(1, 1, true), SignalCame);
}

TEST_F(InputFile, UnreadableFilesAreNamed) {
  EXPECT_THROW(make_file_source("/nonexistent/file", {}, {}), Failure);
  EXPECT_THROW(make_file_source(testing::TempDir(), {}, {}), Failure);
}

TEST(LineReaderTest, APipeGivesWhatIsThereWithoutWaitingForMore) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "one\ntw", 6), 6);
  LineReader reader(ends[0], 100, {});
  EXPECT_TRUE(reader.available());
  EXPECT_EQ(reader.next(), "one");
  EXPECT_FALSE(reader.available()) << "half a line is not a line";
  ASSERT_EQ(write(ends[1], "o\nthree", 7), 7);
  EXPECT_TRUE(reader.available());
  EXPECT_EQ(reader.next(), "two");
  close(ends[1]);
  EXPECT_TRUE(reader.available());
  EXPECT_EQ(reader.next(), "three");
  EXPECT_EQ(reader.next(), std::nullopt);
  close(ends[0]);
}

TEST(LineReaderTest, AReadErrorIsReportedAfterTheLinesBeforeIt) {
  const int folder = ::open(testing::TempDir().c_str(), O_RDONLY);
  LineReader reader(folder, 100, {});
  EXPECT_TRUE(reader.available());
  EXPECT_THROW(reader.next(), std::system_error);
  close(folder);
}

TEST(LineReaderTest, WhatIsSkippedIsNotWaitedFor) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "\n\n", 2), 2);
  const auto source = make_file_source("/proc/self/fd/" + std::to_string(ends[0]), {.skip_empty = true}, {});
  const Chunk chunk = source->read(10, 1000, false);
  EXPECT_EQ(chunk.size(), 0U);
  EXPECT_FALSE(chunk.last);
  EXPECT_EQ(source->skipped(), 2U);
  close(ends[1]);
  EXPECT_TRUE(source->read(10, 1000, false).last);
  close(ends[0]);
}

TEST(Arguments, AreCheckedAtOnce) {
  EXPECT_THAT(make_argument_source({"a", " "})->read(10, 10, true).texts, ElementsAre("a", " "));
  EXPECT_THROW(make_argument_source({"a", ""}), Failure);
  EXPECT_THROW(make_argument_source({"\xff"}), Failure);
}

}  // namespace
}  // namespace stella::cli
