#include "models/packed_file.hpp"

#include "stella/error.hpp"
#include "support/temporary_folder.hpp"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::models {
namespace {

namespace fs = std::filesystem;

class PackedFileTest : public ::testing::Test {
 protected:
  fs::path path() const { return folder_ / "deep" / "model.packed"; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path().parent_path()), {}));
  }
  /// Two parts whose sizes are no multiples of the alignment.
  bool write() const {
    PackedFileWriter writer(path());
    writer.add("first", std::as_bytes(std::span(first_)));
    writer.add("layers.0.second part", std::as_bytes(std::span(second_)));
    return writer.commit(R"({"precision":"int16"})");
  }
  std::string read() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void replace(const std::string& content) const { std::ofstream(path(), std::ios::binary) << content; }

  const std::vector<float> first_ = {1.5F, -2.0F, 3.25F};
  const std::string second_ = "the second part";
  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(PackedFileTest, HoldsWhatWasWritten) {
  ASSERT_TRUE(write());
  EXPECT_EQ(files(), 1U);
  const auto file = PackedFile::open(path());
  EXPECT_EQ(file->about(), R"({"precision":"int16"})");
  EXPECT_EQ(file->bytes(), fs::file_size(path()));
  const auto first = file->part("first");
  ASSERT_EQ(first.size(), first_.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(first.data(), first_.data(), first.size()), 0);
  const auto second = file->part("layers.0.second part");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(second.data()), second.size()), second_);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.data()) % 64, 0U);
  EXPECT_TRUE(file->hash_matches());
  EXPECT_THROW(file->part("third"), Error);
}

TEST_F(PackedFileTest, FileCutAnywhereIsRefused) {
  ASSERT_TRUE(write());
  const std::string content = read();
  for (std::size_t size = 0; size < content.size(); ++size) {
    replace(content.substr(0, size));
    EXPECT_THROW(PackedFile::open(path()), Error) << size;
  }
}

TEST_F(PackedFileTest, EveryFlippedByteIsRefusedOrFailsTheHash) {
  ASSERT_TRUE(write());
  const std::string content = read();
  for (std::size_t at = 0; at < content.size(); ++at) {
    std::string damaged = content;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x11);
    replace(damaged);
    try {
      EXPECT_FALSE(PackedFile::open(path())->hash_matches()) << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file) << at;
      EXPECT_THAT(error.what(), ::testing::HasSubstr("remove the file")) << at;
    }
  }
}

TEST_F(PackedFileTest, NothingIsLeftOfAFileThatWasNotCommitted) {
  {
    PackedFileWriter writer(path());
    writer.add("first", std::as_bytes(std::span(first_)));
    EXPECT_EQ(files(), 1U);
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(PackedFileTest, CommitReplacesAnOlderFileWholeWhileItIsMapped) {
  ASSERT_TRUE(write());
  const auto old = PackedFile::open(path());
  PackedFileWriter writer(path());
  writer.add("other", std::as_bytes(std::span(second_)));
  ASSERT_TRUE(writer.commit("{}"));
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(old->hash_matches());
  EXPECT_NO_THROW(PackedFile::open(path())->part("other"));
}

TEST_F(PackedFileTest, FolderThatCannotBeMadeIsAnErrorThatNamesIt) {
  std::ofstream(folder_ / "file") << "no folder";
  try {
    const PackedFileWriter writer(folder_ / "file" / "model.packed");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::io_error);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("model.packed"));
  }
}

/// Files of this process end at a few bytes: writing fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(PackedFileTest, DiskThatIsFullIsToldByCommitAndLeavesNothing) {
  bool committed = true;
  {
    PackedFileWriter writer(path());
    const FileSizeLimit limit(1000);
    writer.add("large", std::vector<std::byte>(5000));
    writer.add("first", std::as_bytes(std::span(first_)));
    committed = writer.commit("{}");
  }
  EXPECT_FALSE(committed);
  EXPECT_EQ(files(), 0U);
}

}  // namespace
}  // namespace stella::models
