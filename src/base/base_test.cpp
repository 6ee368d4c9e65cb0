#include "base/log.hpp"
#include "base/mapped_file.hpp"
#include "stella/error.hpp"
#include "stella/options.hpp"
#include "support/temporary_folder.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

using testing::HasSubstr;

TEST(Error, CarriesCodeMessageAndContext) {
  const Error error(Errc::missing_tensor, "no tensor 'x' in f", {.file = "f", .tensor = "x"});
  EXPECT_STREQ(error.what(), "no tensor 'x' in f");
  EXPECT_EQ(error.code(), Errc::missing_tensor);
  EXPECT_EQ(error.context().tensor, "x");
  EXPECT_EQ(error.code().message(), "missing tensor");
}

TEST(Error, KindsDecideTheExitStatus) {
  EXPECT_TRUE(is_hub_error(Errc::integrity));
  EXPECT_TRUE(is_hub_error(Errc::repository_not_found));
  EXPECT_FALSE(is_hub_error(Errc::io_error));
  EXPECT_TRUE(is_input_error(Errc::unsupported_dimension));
  EXPECT_FALSE(is_input_error(Errc::malformed_file));
}

TEST(Options, NamesRoundTripAndUnknownOnesListTheChoices) {
  for (const Precision p : {Precision::automatic, Precision::f32, Precision::bf16, Precision::int16, Precision::int8}) {
    EXPECT_EQ(parse_precision(to_string(p)), p);
  }
  EXPECT_EQ(parse_kernel_set("avx512"), KernelSet::avx512);
  try {
    parse_precision("f64");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("'f64'"));
    EXPECT_THAT(error.what(), HasSubstr("auto, f32, bf16, int16, int8"));
  }
}

class MappedFileTest : public testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }

  const test::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "file";
};

TEST_F(MappedFileTest, ShowsTheBytesAndSurvivesAMove) {
  write("hello");
  MappedFile file(path_);
  const std::byte* address = file.bytes().data();
  const MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().data(), address);
  EXPECT_EQ(std::memcmp(moved.bytes().data(), "hello", 5), 0);
}

TEST_F(MappedFileTest, DroppedPagesReadTheSameAgain) {
  write(std::string(3 * 4096, 'x'));
  const MappedFile file(path_);
  file.drop(100, 3 * 4096 - 100);
  EXPECT_EQ(static_cast<char>(file.bytes()[5000]), 'x');
}

TEST_F(MappedFileTest, AnEmptyFileIsEmpty) {
  write("");
  EXPECT_TRUE(MappedFile(path_).bytes().empty());
}

TEST_F(MappedFileTest, AMissingFileAndADirectoryAreNamed) {
  try {
    const MappedFile file("/nonexistent/file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::io_error);
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/file"));
  }
  EXPECT_THROW(MappedFile(test::TemporaryFolder().path()), Error);
  EXPECT_THROW(read_text_file("/nonexistent/file"), Error);
}

TEST(Log, GoesToTheSinkAndNowhereWithoutOne) {
  std::string seen;
  set_log_sink([&](LogLevel level, std::string_view line) {
    if (level == LogLevel::warning) seen = line;
  });
  log(LogLevel::warning, "careful");
  set_log_sink({});
  log(LogLevel::warning, "lost");
  EXPECT_EQ(seen, "careful");
}

}  // namespace
}  // namespace stella
