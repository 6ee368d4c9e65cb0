#include "base/repo_names.hpp"

#include "stella/error.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stella {
namespace {

const std::string kCommit(40, 'c');
const std::string kSha256(64, 'e');

TEST(RepoNames, EtagsAndCommitsAreHexadecimalOfTheRightLength) {
  EXPECT_TRUE(is_commit(kCommit));
  EXPECT_TRUE(is_etag(kCommit));
  EXPECT_TRUE(is_etag(kSha256));
  EXPECT_FALSE(is_commit(kSha256));
  for (const std::string& bad :
       {std::string(), std::string(39, 'a'), std::string(41, 'a'), std::string(63, 'a'), std::string(40, 'A'),
        std::string(39, 'a') + "/", std::string("../../../evil"), std::string(40, '.')}) {
    EXPECT_FALSE(is_etag(bad)) << bad;
    EXPECT_FALSE(is_commit(bad)) << bad;
  }
}

TEST(RepoNames, NamesThatLeaveTheirFolderAreRefused) {
  using namespace std::string_literals;
  for (const std::string& bad : {""s, "/a"s, "a/../b"s, ".."s, "./a"s, "a//b"s, "a/"s, "a\\b"s, "a\0b"s}) {
    EXPECT_THROW(check_file(bad), Error) << bad;
    EXPECT_THROW(check_revision(bad), Error) << bad;
  }
  EXPECT_NO_THROW(check_file("a/..b/c..d"));
  EXPECT_NO_THROW(check_revision("refs/pr/1"));
}

TEST(RepoNames, RepositoryNames) {
  for (const char* good : {"name", "org/name", "Foo-BAR_foo.bar123/x", "_a/b_"}) {
    EXPECT_NO_THROW(check_repo(good)) << good;
    EXPECT_TRUE(is_repo_id(good)) << good;
  }
  for (const char* bad : {"", "a/b/c", "a--b", "a..b", "x.git", ".a", "a.", "-a/b", "a/", "/a", "a b"}) {
    EXPECT_THROW(check_repo(bad), Error) << bad;
    EXPECT_FALSE(is_repo_id(bad)) << bad;
  }
  EXPECT_THROW(check_repo(std::string(97, 'a')), Error);
}

}  // namespace
}  // namespace stella
