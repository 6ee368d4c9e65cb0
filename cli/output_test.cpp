#include "cli/output.hpp"

#include "support/temporary_folder.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include <climits>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

class OutputFolder : public testing::Test {
 protected:
  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::ptrdiff_t entries() const {
    return std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator());
  }

  const test::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
  const std::string path_ = (folder_ / "out.txt").string();
};

TEST_F(OutputFolder, AppearsOnCommitOnly) {
  std::ofstream(path_) << "old";
  {
    Output out(path_);
    out.write("new");
    out.flush();
    EXPECT_EQ(content(path_), "old");
  }
  EXPECT_EQ(content(path_), "old");
  EXPECT_EQ(entries(), 1) << "the temporary file is gone";
  Output out(path_);
  out.write("new");
  out.patch(0, "N");
  out.commit();
  EXPECT_EQ(content(path_), "New");
  EXPECT_EQ(entries(), 1);
}

TEST_F(OutputFolder, WhatWasFinishedCanBeKeptBesideTheOldFile) {
  std::ofstream(path_) << "old";
  Output out(path_);
  out.write("new");
  EXPECT_EQ(out.keep_partial(), path_ + ".partial");
  EXPECT_EQ(content(path_), "old");
  EXPECT_EQ(content(path_ + ".partial"), "new");
  EXPECT_EQ(entries(), 2);
  Output device("/dev/null");
  EXPECT_EQ(device.keep_partial(), std::nullopt);
}

TEST_F(OutputFolder, OneFileHasOneIdentityByWhateverName) {
  std::ofstream(path_) << "x";
  const std::string hard = (folder_ / "hard").string();
  const std::string soft = (folder_ / "soft").string();
  std::filesystem::create_hard_link(path_, hard);
  std::filesystem::create_symlink("out.txt", soft);
  ASSERT_TRUE(identity_of(path_, 0));
  EXPECT_EQ(identity_of(path_, 0), identity_of(hard, 0));
  EXPECT_EQ(identity_of(path_, 0), identity_of(soft, 0));
  EXPECT_EQ(identity_of("/dev/null", 0), std::nullopt);
  EXPECT_EQ(identity_of((folder_ / "none").string(), 0), std::nullopt);
}

TEST_F(OutputFolder, AnInterruptedWriteIsNotRepeated) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  struct SignalCame {};
  int waits = 0;
  Output out("/proc/self/fd/" + std::to_string(ends[1]), [&](int, short) {
    if (++waits == 2) throw SignalCame();
  });
  out.write(std::string(PIPE_BUF + 1, 'x'));
  EXPECT_THROW(out.flush(), SignalCame);
  out.write("y");
  out.flush();
  std::string read_back(3 * PIPE_BUF, '\0');
  const ssize_t got = read(ends[0], read_back.data(), read_back.size());
  EXPECT_EQ(got, PIPE_BUF + 1);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(OutputFolder, TheLongestNameIsFine) {
  const std::string longest = (folder_ / std::string(255, 'n')).string();
  Output out(longest);
  out.write("x");
  out.commit();
  EXPECT_EQ(content(longest), "x");
}

TEST_F(OutputFolder, KeepsModeAndFollowsLinks) {
  std::ofstream(path_) << "old";
  std::filesystem::permissions(path_, std::filesystem::perms(0640));
  const std::string link = (folder_ / "link").string();
  std::filesystem::create_symlink("out.txt", link);
  Output out(link);
  out.write("new");
  out.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(content(path_), "new");
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0640));
}

TEST_F(OutputFolder, AFullDiskIsAFailureAndLeavesTheOldFile) {
  std::ofstream(path_) << "old";
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  {
    Output out(path_);
    EXPECT_THROW(
        {
          for (int i = 0; i < 100; ++i) out.write(std::string(1000, 'x'));
          out.commit();
        },
        Failure);
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(content(path_), "old");
  EXPECT_EQ(entries(), 1);
}

TEST_F(OutputFolder, DevicesAreWrittenInPlace) {
  Output out("/dev/full");
  EXPECT_FALSE(out.regular());
  out.write("x");
  EXPECT_THROW(out.commit(), Failure);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST_F(OutputFolder, WhatCannotBeOpenedIsNamed) {
  EXPECT_THROW(Output((folder_ / "no/such/folder").string()), Failure);
  EXPECT_THROW(Output(folder_.string()), Failure);
  EXPECT_THROW(Output(""), Failure);
}

TEST(Paths, CarryTheDimensionBeforeTheExtension) {
  EXPECT_EQ(path_for_dimension("v.npy", 256), "v.256.npy");
  EXPECT_EQ(path_for_dimension("dir.d/v", 256), "dir.d/v.256");
  EXPECT_EQ(path_for_dimension("/x/a.b.f32", 8192), "/x/a.b.8192.f32");
}

}  // namespace
}  // namespace stella::cli
