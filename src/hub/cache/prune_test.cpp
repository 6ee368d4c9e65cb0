#include "hub/cache/file_lock.hpp"
#include "hub/cache/paths.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"
#include "hub/cache/test_support.hpp"
#include "hub/cache/verify.hpp"
#include "stella/cache.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <sys/stat.h>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;
using cache::Waste;

const std::string kSecond(40, 'd');
const std::string kName = "a/model.bin";

class CachePrune : public CacheTest {
 protected:
  CachePrune() {
    add(kCommit, "config.json", kGit, "hello\n");
    write_ref(paths_, "main", kCommit);
  }

  std::set<std::string> prune(bool dry_run = false) const {
    const auto pruned = cache::prune(hub_, dry_run);
    std::set<std::string> names;
    for (const Waste& waste : pruned.waste) names.insert(waste.name);
    EXPECT_TRUE(pruned.failures.empty());
    return names;
  }

  static void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  static void make_old(const fs::path& path) {
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }

  std::set<std::string> tree() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) names.insert(entry.path());
    return names;
  }
};

TEST_F(CachePrune, NothingIsWasteInWhatADownloadLeaves) {
  const auto before = tree();
  EXPECT_TRUE(prune(true).empty());
  EXPECT_EQ(tree(), before);  // not even a lock
  EXPECT_TRUE(prune().empty());
  EXPECT_TRUE(cached_file(paths_, "main", "config.json"));
  HubOptions none;
  none.cache_dir = root_ / "none";
  EXPECT_TRUE(cache::prune(none).waste.empty());
  EXPECT_FALSE(fs::exists(none.cache_dir));
}

TEST_F(CachePrune, WhatIsOfNoMoreUseGoesAndADryRunSaysTheSame) {
  add(kSecond, "config.json", kGit, "hello\n");  // superseded, and shares a blob
  add(kSecond, kName, kSha256, "abc");
  write(paths_.blob(kUnused), "unused");
  write(paths_.partial(kUnused), "half");
  write(paths_.partial_record(kUnused), "record");
  write(paths_.blobs() / (kGit + ".incomplete"), "Python's");
  const fs::path torn = paths_.snapshot(kCommit) / "config.json.0123456789abcdef.tmp";
  fs::create_symlink("../../blobs/" + kGit, torn);
  const fs::path torn_ref = paths_.folder() / "refs/main.01234567.tmp";
  write(torn_ref, kCommit);
  const fs::path fresh = paths_.folder() / "refs/main.fedcba9876543210.tmp";
  write(fresh, kCommit);
  const fs::path torn_beside = paths_.folder() / "main.0123456789abcdef.tmp";
  write(torn_beside, "");
  make_old(torn);
  make_old(torn_ref);
  make_old(torn_beside);
  const auto before = tree();
  const auto said = cache::prune(hub_, true);
  EXPECT_EQ(tree(), before);
  const auto done = cache::prune(hub_);
  EXPECT_EQ(said.bytes, done.bytes);
  ASSERT_EQ(said.waste.size(), done.waste.size());
  std::multiset<Waste::Kind> kinds;
  for (const Waste& waste : done.waste) kinds.insert(waste.kind);
  EXPECT_EQ(kinds.count(Waste::Kind::revision), 1U);
  EXPECT_EQ(kinds.count(Waste::Kind::blob), 2U);
  EXPECT_EQ(kinds.count(Waste::Kind::unfinished), 3U);
  EXPECT_EQ(kinds.count(Waste::Kind::temporary), 3U);
  EXPECT_TRUE(cached_file(paths_, "main", "config.json"));
  EXPECT_FALSE(fs::exists(paths_.snapshot(kSecond)));
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_TRUE(prune().empty());
  EXPECT_TRUE(check_cache(root_, "", false, {}, {}).problems.empty());
}

TEST_F(CachePrune, ARepositoryWithoutAnyNameKeepsItsRevisions) {
  const RepoPaths pinned(root_, "org/pinned");
  make_folders(pinned, kSecond, kName);
  write(pinned.blob(kSha256), "abc");
  link_blob(pinned, kSecond, kName, kSha256, true);
  EXPECT_TRUE(prune().empty());
  EXPECT_TRUE(cached_file(pinned, kSecond, kName));
}

TEST_F(CachePrune, WhatADownloadHoldsStays) {
  write(paths_.partial(kUnused), "half");
  {
    const auto lock = FileLock::try_acquire(paths_.lock(kUnused));
    for (const bool dry_run : {true, false}) {
      const auto pruned = cache::prune(hub_, dry_run);
      EXPECT_EQ(pruned.busy, 1U);
      EXPECT_TRUE(pruned.waste.empty());
    }
    EXPECT_TRUE(fs::exists(paths_.partial(kUnused)));
  }
  EXPECT_EQ(prune().size(), 1U);
  EXPECT_FALSE(fs::exists(paths_.partial(kUnused)));
}

TEST_F(CachePrune, WhatLinksFromElsewhereLeadToStays) {
  add(kSecond, kName, kSha256, "abc");
  const RepoPaths other(root_, "org/other");
  make_folders(other, kCommit, "x");
  fs::create_symlink(paths_.pointer(kSecond, kName), other.pointer(kCommit, "x"));
  EXPECT_TRUE(prune().empty());
  fs::remove(other.pointer(kCommit, "x"));
  fs::create_symlink(paths_.blob(kSha256), other.pointer(kCommit, "x"));
  EXPECT_EQ(prune(), std::set<std::string>{kSecond});
  EXPECT_TRUE(is_file(other.pointer(kCommit, "x")));
}

TEST_F(CachePrune, NothingBehindALinkedFolderIsTouched) {
  write(root_ / "disk" / kUnused, "unused");
  const RepoPaths linked(root_, "org/linked");
  fs::create_directories(linked.folder());
  fs::create_directory_symlink(root_ / "disk", linked.blobs());
  fs::create_directory_symlink(paths_.folder(), root_ / "models--org--alias");
  EXPECT_TRUE(prune().empty());
  EXPECT_TRUE(fs::exists(root_ / "disk" / kUnused));
}

TEST_F(CachePrune, ARepositoryOfNothingButWasteGoes) {
  const RepoPaths other(root_, "org/other");
  write(other.partial(kUnused), "half");
  EXPECT_EQ(prune().size(), 1U);
  EXPECT_FALSE(fs::exists(other.folder()));
}

}  // namespace
}  // namespace stella::hub
