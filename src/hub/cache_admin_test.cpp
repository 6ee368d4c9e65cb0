#include "hub/cache_admin.hpp"

#include "hub/cache_paths.hpp"
#include "hub/cache_store.hpp"
#include "stella/error.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

// git's name of "hello\n" and the sha256 of "abc".
const std::string kGit = "ce013625030ba8dba906f756967f9e9ca394464a";
const std::string kSha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string kCommit(40, 'c');

class CacheAdmin : public ::testing::Test {
 protected:
  CacheAdmin() {
    std::string name = (fs::temp_directory_path() / "stella-admin-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    const RepoPaths paths(root_, "org/name");
    add(paths, "config.json", kGit, "hello\n");
    add(paths, "a/model.bin", kSha256, "abc");
    write_ref(paths, "main", kCommit);
    fs::create_directories(root_ / "datasets--org--other" / "blobs");
  }
  ~CacheAdmin() override { fs::remove_all(root_); }

  static void add(const RepoPaths& paths, const std::string& file, const std::string& etag, const std::string& text) {
    make_folders(paths, kCommit, file);
    std::ofstream(paths.blob(etag)) << text;
    link_blob(paths, kCommit, file, etag, true);
  }

  fs::path root_;
};

TEST_F(CacheAdmin, ListsRepositories) {
  const auto repos = list_cache(root_);
  ASSERT_EQ(repos.size(), 1U);
  EXPECT_EQ(repos[0].repo, "org/name");
  EXPECT_EQ(repos[0].bytes, 9U);
  EXPECT_EQ(repos[0].files, 2U);
  ASSERT_EQ(repos[0].refs.size(), 1U);
  EXPECT_EQ(repos[0].refs[0].first, "main");
  EXPECT_EQ(repos[0].refs[0].second, kCommit);
  EXPECT_TRUE(list_cache(root_ / "none").empty());
}

TEST_F(CacheAdmin, FindsAndRemovesWhatIsDamaged) {
  const CacheCheck sound = check_cache(root_, "", false);
  EXPECT_EQ(sound.blobs, 2U);
  EXPECT_EQ(sound.bytes, 9U);
  EXPECT_TRUE(sound.damaged.empty());

  const fs::path blob = RepoPaths(root_, "org/name").blob(kSha256);
  std::ofstream(blob) << "abd";
  const CacheCheck kept = check_cache(root_, "org/name", false);
  ASSERT_EQ(kept.damaged.size(), 1U);
  EXPECT_EQ(kept.damaged[0].blob, blob);
  ASSERT_EQ(kept.damaged[0].files.size(), 1U);
  EXPECT_EQ(kept.damaged[0].files[0].second, "a/model.bin");
  EXPECT_TRUE(fs::exists(blob));

  EXPECT_EQ(check_cache(root_, "", true).damaged.size(), 1U);
  EXPECT_FALSE(fs::exists(blob));
  EXPECT_TRUE(check_cache(root_, "", true).damaged.empty());
  EXPECT_EQ(check_cache(root_, "org/absent", true).blobs, 0U);
}

TEST_F(CacheAdmin, CanBeInterrupted) {
  int calls = 0;
  check_cache(root_, "", false, [&](const fs::path&, std::uint64_t) { return ++calls < 1; });
  EXPECT_EQ(calls, 1);
}

TEST_F(CacheAdmin, RemovesOneRepository) {
  EXPECT_FALSE(remove_repo(root_, "org/absent"));
  EXPECT_THROW(remove_repo(root_, "../datasets--org--other"), Error);
  EXPECT_TRUE(remove_repo(root_, "org/name"));
  EXPECT_TRUE(list_cache(root_).empty());
  EXPECT_TRUE(fs::exists(root_ / "datasets--org--other"));
}

}  // namespace
}  // namespace stella::hub
