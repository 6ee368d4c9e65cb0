#include "models/packed_file.hpp"

#include "base/crc32c.hpp"
#include "stella/error.hpp"
#include "support/temporary_folder.hpp"

#include <array>
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
  std::shared_ptr<const PrivateFolder> open_folder() const {
    return std::make_shared<const PrivateFolder>(PrivateFolder::open(path().parent_path(), true).value());
  }
  std::string damage() const {
    try {
      ParallelTeam team(2);
      PackedFile::open(path())->check(team);
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file);
      return error.what();
    }
    return {};
  }
  /// Two parts whose sizes are no multiples of the alignment.
  bool write() const {
    PackedFileWriter writer(open_folder(), "model.packed");
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
  EXPECT_EQ(damage(), "");
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

TEST_F(PackedFileTest, EveryFlippedByteIsNoticed) {
  ASSERT_TRUE(write());
  const std::string content = read();
  for (std::size_t at = 0; at < content.size(); ++at) {
    std::string damaged = content;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x11);
    replace(damaged);
    EXPECT_THAT(damage(), ::testing::HasSubstr("remove the file")) << at;
  }
}

TEST_F(PackedFileTest, NothingIsLeftOfAFileThatWasNotCommitted) {
  {
    const PackedFileWriter writer(open_folder(), "model.packed");
    EXPECT_EQ(files(), 1U);
  }
  {
    PackedFileWriter writer(open_folder(), "model.packed");
    writer.add("first", std::as_bytes(std::span(first_)));
    EXPECT_EQ(files(), 1U);
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(PackedFileTest, CommitReplacesAnOlderFileWholeWhileItIsMapped) {
  ASSERT_TRUE(write());
  const auto old = PackedFile::open(path());
  PackedFileWriter writer(open_folder(), "model.packed");
  writer.add("other", std::as_bytes(std::span(second_)));
  ASSERT_TRUE(writer.commit("{}"));
  EXPECT_EQ(files(), 1U);
  ParallelTeam team(1);
  EXPECT_NO_THROW(old->check(team));
  EXPECT_NO_THROW(PackedFile::open(path())->part("other"));
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
    PackedFileWriter writer(open_folder(), "model.packed");
    const FileSizeLimit limit(1000);
    writer.add("large", std::vector<std::byte>(5000));
    writer.add("first", std::as_bytes(std::span(first_)));
    committed = writer.commit("{}");
  }
  EXPECT_FALSE(committed);
  EXPECT_EQ(files(), 0U);
}

TEST_F(PackedFileTest, PartsLargerThanAPieceAreCheckedWhole) {
  std::vector<std::byte> large((std::size_t{5} << 20U) + 1234);
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<std::byte>(i * i >> 7U);
  {
    PackedFileWriter writer(open_folder(), "model.packed");
    writer.add("small", std::as_bytes(std::span(first_)));
    writer.add("large", large, PartUse::rows);
    writer.add("last", std::as_bytes(std::span(second_)));
    ASSERT_TRUE(writer.commit("{}"));
  }
  std::size_t seen = 0;
  ParallelTeam team(2);
  PackedFile::open(path())->check(team, [&](std::size_t bytes) { seen = bytes; });
  EXPECT_EQ(seen, 64 + (large.size() + 63) / 64 * 64 + 64);
  std::string content = read();
  for (const std::size_t at : {std::size_t{64}, std::size_t{1} << 20U, std::size_t{5} << 20U, large.size() + 63}) {
    content[at] ^= 1;
    replace(content);
    EXPECT_THAT(damage(), ::testing::HasSubstr("'large'")) << at;
    content[at] ^= 1;
  }
}

/// A file whose checksums are right and whose sizes are not: its parts are 128 bytes.
std::string forged(const std::string& index, std::uint64_t version = 2) {
  const std::string whole_index = "{}\n" + index;
  std::string content(128, 'x');
  content += whole_index;
  std::array<std::uint64_t, 8> trailer{0, version, 128, whole_index.size()};
  std::memcpy(trailer.data(), "stellaPW", 8);
  trailer[4] = crc32c(std::as_bytes(std::span(whole_index)));
  std::string end(reinterpret_cast<const char*>(trailer.data()), sizeof(trailer));
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(end).first(60)));
  std::memcpy(end.data() + 60, &crc, 4);
  return content + end;
}

TEST_F(PackedFileTest, AnIndexThatLiesIsRefused) {
  open_folder();
  replace(forged("64 00000000 whole a\n64 00000000 whole b\n"));
  EXPECT_NO_THROW(PackedFile::open(path()));
  EXPECT_THAT(damage(), ::testing::HasSubstr("'a'"));
  for (const char* index : {"", "64 0 whole a\n", "128 0 a", "129 0 whole a\n", "64 0 whole a\n64 0 whole a\n",
                            "64 0 whole a\n128 0 whole b\n", "18446744073709551615 0 whole a\n",
                            "18446744073709551552 0 whole a\n192 0 whole b\n", "99999999999999999999999 0 whole a\n",
                            "-64 0 whole a\n", "64  0 whole a\n", "64 xyz whole a\n", "128 123456789 whole a\n",
                            "128\n", "128 0\n", "128 0 a\n", "128 0 none a\n", "\n\n"}) {
    replace(forged(index));
    EXPECT_THROW(PackedFile::open(path()), Error) << index;
  }
  replace(forged("128 0 whole a\n", 3));
  EXPECT_THAT(damage(), ::testing::HasSubstr("version"));
}

TEST_F(PackedFileTest, AnEarlierVersionStillSaysWhatItIs) {
  open_folder();
  replace(forged("0 128 a\n", 1));
  EXPECT_THROW(PackedFile::open(path()), Error);
  PackedLine line = read_packed_line(open_regular(path()), path());
  EXPECT_EQ(line.about, "{}");
  EXPECT_FALSE(line.current);
  ASSERT_TRUE(write());
  line = read_packed_line(open_regular(path()), path());
  EXPECT_EQ(line.about, R"({"precision":"int16"})");
  EXPECT_TRUE(line.current);
}

}  // namespace
}  // namespace stella::models
