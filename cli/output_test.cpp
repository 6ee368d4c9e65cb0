#include "cli/output.hpp"

#include "support/temporary_folder.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/resource.h>

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
}

TEST(Paths, CarryTheDimensionBeforeTheExtension) {
  EXPECT_EQ(path_for_dimension("v.npy", 256), "v.256.npy");
  EXPECT_EQ(path_for_dimension("dir.d/v", 256), "dir.d/v.256");
  EXPECT_EQ(path_for_dimension("/x/a.b.f32", 8192), "/x/a.b.8192.f32");
}

}  // namespace
}  // namespace stella::cli
