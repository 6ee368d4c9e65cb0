#include "hub/cache/paths.hpp"

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

const std::string kCommit(40, 'c');
const std::string kSha256(64, 'e');

// The layout that huggingface_hub 2.4.0 writes for the repository org/name.
TEST(CachePaths, LayoutOfARepository) {
  const RepoPaths paths("/cache", "org/name");
  EXPECT_EQ(paths.folder(), "/cache/models--org--name");
  EXPECT_EQ(paths.blob(kSha256), "/cache/models--org--name/blobs/" + kSha256);
  EXPECT_EQ(paths.ref("refs/pr/1"), "/cache/models--org--name/refs/refs/pr/1");
  EXPECT_EQ(paths.pointer(kCommit, "a/b.txt"), "/cache/models--org--name/snapshots/" + kCommit + "/a/b.txt");
  EXPECT_EQ(paths.no_exist(kCommit, "a/b.txt"), "/cache/models--org--name/.no_exist/" + kCommit + "/a/b.txt");
  EXPECT_EQ(paths.lock(kSha256), "/cache/.locks/models--org--name/" + kSha256 + ".lock");
  EXPECT_EQ(RepoPaths("/cache", "name").folder(), "/cache/models--name");
}

TEST(CachePaths, LinkTextHasOneMoreStepPerFolder) {
  EXPECT_EQ(RepoPaths::link_target("config.json", "e"), "../../blobs/e");
  EXPECT_EQ(RepoPaths::link_target("1_Pooling/config.json", "e"), "../../../blobs/e");
  EXPECT_EQ(RepoPaths::link_target("a/b/c", "e"), "../../../../blobs/e");
}

TEST(CachePaths, PartialNamesArePrunedByPythonsClient) {
  const RepoPaths paths("/cache", "org/name");
  EXPECT_EQ(paths.partial(kSha256).extension(), ".incomplete");
  EXPECT_EQ(paths.partial_record(kSha256).extension(), ".incomplete");
}

TEST(CachePaths, OnlyTheSharedStoreMayBeLinkedTo) {
  EXPECT_TRUE(is_shared_store_link("../../blobs/ee/" + kSha256));
  EXPECT_FALSE(is_shared_store_link("../../blobs/aa/" + kSha256));
  EXPECT_FALSE(is_shared_store_link("../../../blobs/ee/" + kSha256));
  EXPECT_FALSE(is_shared_store_link("/etc/passwd"));
}

}  // namespace
}  // namespace stella::hub
