#include "base/private_folder.hpp"

#include "support/temporary_folder.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr uid_t kStranger = 12345;

class PrivateFolderTest : public ::testing::Test {
 protected:
  static std::string refusal(const fs::path& path) {
    try {
      PrivateFolder::open(path, true);
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::io_error);
      return error.what();
    }
    return {};
  }
  PrivateFolder folder() const { return PrivateFolder::open(folder_, true).value(); }
  void write(const std::string& name, mode_t mode = 0644) const {
    std::ofstream(folder_ / name) << "content";
    ::chmod((folder_ / name).c_str(), mode);
  }

  const test::TemporaryFolder temporary_;
  const fs::path root_ = temporary_.path();
  const fs::path folder_ = root_ / "a/b";
};

TEST_F(PrivateFolderTest, IsMadeForItsUserAloneWhereItIsAskedFor) {
  EXPECT_FALSE(PrivateFolder::open(folder_, false).has_value());
  EXPECT_FALSE(fs::exists(root_ / "a"));
  folder();
  struct stat status {};
  ASSERT_EQ(::stat(folder_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  EXPECT_TRUE(PrivateFolder::open(folder_, false).has_value());
}

TEST_F(PrivateFolderTest, AFolderThatOthersCanWriteToIsRefusedWithTheRemedy) {
  folder();
  for (const mode_t mode : {0777U, 0770U, 01777U, 0702U}) {
    ::chmod(folder_.c_str(), mode);
    EXPECT_THAT(refusal(folder_), HasSubstr("chmod go-w")) << mode;
  }
  ::chmod(folder_.c_str(), 0755);
  EXPECT_EQ(refusal(folder_), "");
}

TEST_F(PrivateFolderTest, TheFoldersAboveMayBeShared) {
  ::chmod(root_.c_str(), 01777);
  EXPECT_EQ(refusal(folder_), "");
}

TEST_F(PrivateFolderTest, OwnLinksOnTheWayAreFollowed) {
  fs::create_directory(root_ / "real");
  fs::create_directory_symlink("real", root_ / "relative");
  fs::create_directory_symlink(root_ / "relative/../real", root_ / "absolute");
  EXPECT_EQ(refusal(root_ / "absolute/deep"), "");
  EXPECT_TRUE(fs::is_directory(root_ / "real/deep"));
  fs::create_symlink("loop", root_ / "loop");
  EXPECT_NE(refusal(root_ / "loop/deep"), "");
}

TEST_F(PrivateFolderTest, WhatAnotherUserOwnsIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make what another user owns";
  folder();
  ASSERT_EQ(::chown(folder_.c_str(), kStranger, kStranger), 0);
  EXPECT_THAT(refusal(folder_), HasSubstr("another user"));
  fs::create_directory(root_ / "mine");
  fs::create_directory_symlink(root_ / "mine", root_ / "link");
  ASSERT_EQ(::lchown((root_ / "link").c_str(), kStranger, kStranger), 0);
  EXPECT_THAT(refusal(root_ / "link"), HasSubstr("link"));
  EXPECT_THAT(refusal(root_ / "link/deep"), HasSubstr("link"));
  EXPECT_TRUE(fs::is_empty(root_ / "mine"));
}

TEST_F(PrivateFolderTest, OpensOnlyFilesThatNobodyElseHasWritten) {
  const PrivateFolder folder = this->folder();
  EXPECT_FALSE(folder.open_file("none").has_value());
  write("good");
  EXPECT_TRUE(folder.open_file("good").has_value());
  EXPECT_TRUE(folder.open_own("good").has_value());
  write("shared", 0664);
  EXPECT_THROW(folder.open_file("shared"), Error);
  fs::create_symlink("good", folder_ / "link");
  EXPECT_THROW(folder.open_file("link"), Error);
  EXPECT_FALSE(folder.open_own("link").has_value());
  EXPECT_FALSE(folder.open_lock_file("link").has_value());
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_THROW(folder.open_file("fifo"), Error);
  EXPECT_FALSE(folder.open_own("fifo").has_value());
  EXPECT_FALSE(folder.open_lock_file("fifo").has_value());
  fs::create_directory(folder_ / "folder");
  EXPECT_THROW(folder.open_file("folder"), Error);
  if (::geteuid() != 0) return;
  ASSERT_EQ(::chown((folder_ / "good").c_str(), kStranger, kStranger), 0);
  EXPECT_THROW(folder.open_file("good"), Error);
  EXPECT_FALSE(folder.open_own("good").has_value());
}

TEST_F(PrivateFolderTest, ANewFileIsLockedAndReplacesALinkAtItsName) {
  const PrivateFolder folder = this->folder();
  std::ofstream(root_ / "victim") << "untouched";
  fs::create_symlink(root_ / "victim", folder_ / "name");
  std::string first;
  std::string second;
  const UniqueFd file = folder.create("name", ".tmp-", first);
  const UniqueFd other = folder.create("name", ".tmp-", second);
  EXPECT_NE(first, second);
  EXPECT_EQ(try_lock(*folder.open_own(first)), LockOutcome::busy);
  write_all(file, "new", folder_ / first);
  EXPECT_TRUE(folder.commit(file, first, "name"));
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder_ / "name")));
  EXPECT_TRUE(folder.is_named(file, "name"));
  EXPECT_EQ(read_text_file(folder_ / "name"), "new");
  EXPECT_EQ(read_text_file(root_ / "victim"), "untouched");
  EXPECT_TRUE(folder.remove(second));
  EXPECT_FALSE(folder.is_named(other, second));
  EXPECT_THAT(folder.names(), testing::ElementsAre("name"));
}

TEST_F(PrivateFolderTest, OfSeveralThatCommitANewFileOneWins) {
  const PrivateFolder folder = this->folder();
  std::string first;
  std::string second;
  const UniqueFd file = folder.create("name", ".tmp-", first);
  const UniqueFd other = folder.create("name", ".tmp-", second);
  EXPECT_EQ(folder.commit_new(file, first, "name"), PrivateFolder::Committed::ours);
  EXPECT_EQ(folder.commit_new(other, second, "name"), PrivateFolder::Committed::others);
  EXPECT_TRUE(folder.is_named(file, "name"));
  EXPECT_TRUE(folder.is_named(other, second));
  EXPECT_EQ(folder.commit_new(other, "missing", "another"), PrivateFolder::Committed::failed);
}

}  // namespace
}  // namespace stella
