#include "hub/cache/file_lock.hpp"

#include "hub/cache/test_support.hpp"
#include "stella/error.hpp"

#include <filesystem>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

TEST_F(CacheTest, LocksExcludeEachOtherAndNeverFollowLinks) {
  const fs::path path = paths_.lock(kSha256);
  {
    const auto held = FileLock::try_acquire(path);
    ASSERT_TRUE(held);
    EXPECT_FALSE(FileLock::try_acquire(path));
  }
  EXPECT_TRUE(FileLock::try_acquire(path));
  EXPECT_EQ(fs::file_size(path), 0U);
  fs::remove(path);
  fs::create_symlink(root_ / "elsewhere", path);
  EXPECT_THROW(FileLock::try_acquire(path), Error);
  EXPECT_FALSE(fs::exists(root_ / "elsewhere"));
}

}  // namespace
}  // namespace stella::hub
