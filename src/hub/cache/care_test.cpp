#include "hub/cache/file_lock.hpp"
#include "hub/cache/paths.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"
#include "hub/cache/test_support.hpp"
#include "hub/cache/verify.hpp"
#include "stella/cache.hpp"
#include "stella/error.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;
using cache::Problem;

class CacheCare : public CacheTest {
 protected:
  CacheCare() {
    add(kCommit, "config.json", kGit, "hello\n");
    add(kCommit, "a/model.bin", kSha256, "abc");
    write_ref(paths_, "main", kCommit);
    fs::create_directories(root_ / "datasets--org--other" / "blobs");
  }

  cache::Report check(bool remove_bad = false) const { return check_cache(root_, "", remove_bad, {}, {}); }
};

TEST_F(CacheCare, ListsRepositoriesRevisionsFilesAndWhatIsUnfinished) {
  std::ofstream(paths_.blobs() / (kUnused + ".stella.incomplete")) << "half";
  std::ofstream(paths_.blob(kUnused)) << "unused";
  const auto contents = cache::list(hub_);
  ASSERT_EQ(contents.repositories.size(), 1U);
  const auto& repository = contents.repositories[0];
  EXPECT_EQ(repository.repo, "org/name");
  ASSERT_EQ(repository.revisions.size(), 1U);
  EXPECT_EQ(repository.revisions[0].commit, kCommit);
  EXPECT_EQ(repository.revisions[0].refs, std::vector<std::string>{"main"});
  ASSERT_EQ(repository.revisions[0].files.size(), 2U);
  EXPECT_EQ(repository.revisions[0].files[0].path, "a/model.bin");
  EXPECT_EQ(repository.revisions[0].files[0].size, 3U);
  EXPECT_EQ(repository.revisions[0].files[0].blob, kSha256);
  ASSERT_EQ(repository.blobs.size(), 3U);
  for (const auto& blob : repository.blobs) EXPECT_EQ(blob.referenced, blob.hash != kUnused);
  ASSERT_EQ(repository.unfinished.size(), 1U);
  EXPECT_EQ(repository.bytes, 9U + 6U + repository.unfinished[0].bytes);
  HubOptions none;
  none.cache_dir = root_ / "none";
  EXPECT_TRUE(cache::list(none).repositories.empty());
}

TEST_F(CacheCare, FindsAndRemovesADamagedBlobWithItsLinks) {
  const auto sound = check();
  EXPECT_EQ(sound.blobs, 2U);
  EXPECT_EQ(sound.bytes, 9U);
  EXPECT_TRUE(sound.problems.empty());

  std::ofstream(paths_.blob(kSha256)) << "abd";
  const auto kept = check();
  ASSERT_EQ(kept.problems.size(), 1U);
  EXPECT_EQ(kept.problems[0].kind, Problem::Kind::damaged);
  EXPECT_EQ(kept.problems[0].blob, kSha256);
  ASSERT_EQ(kept.problems[0].users.size(), 1U);
  EXPECT_EQ(kept.problems[0].users[0].file, "a/model.bin");
  EXPECT_TRUE(fs::exists(paths_.blob(kSha256)));

  EXPECT_EQ(check(true).problems.size(), 1U);
  EXPECT_FALSE(fs::exists(paths_.blob(kSha256)));
  EXPECT_FALSE(fs::is_symlink(paths_.pointer(kCommit, "a/model.bin")));
  EXPECT_TRUE(check().problems.empty());
}

TEST_F(CacheCare, ADamagedBlobThatADownloadHoldsStays) {
  std::ofstream(paths_.blob(kSha256)) << "abd";
  const auto lock = FileLock::try_acquire(paths_.lock(kSha256));
  const auto report = check(true);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_NE(report.problems[0].failure.find("a download holds it"), std::string::npos);
  EXPECT_TRUE(fs::exists(paths_.blob(kSha256)));
}

// Looked at once more under the lock: by then another process may have fetched it anew.
TEST_F(CacheCare, WhatWasPutRightMeanwhileStays) {
  std::ofstream(paths_.blob(kSha256)) << "abd";
  const auto mend = [&](const Progress& progress) {
    if (progress.finished) std::ofstream(paths_.blob(kSha256)) << "abc";
  };
  check_cache(root_, "", true, mend, {});
  EXPECT_TRUE(cached_file(paths_, "main", "a/model.bin"));
  EXPECT_TRUE(check().problems.empty());
}

TEST_F(CacheCare, LinksThatLeadNowhereAreProblems) {
  fs::remove(paths_.blob(kGit));
  fs::create_symlink(root_ / "models--org--other" / "blobs" / kSha256, paths_.pointer(kCommit, "z.bin"));
  fs::create_symlink("loop", paths_.pointer(kCommit, "loop"));
  const auto report = check();
  ASSERT_EQ(report.problems.size(), 3U);
  for (const Problem& problem : report.problems) EXPECT_EQ(problem.kind, Problem::Kind::dangling);
  EXPECT_EQ(report.problems[0].blob, kGit);
  EXPECT_EQ(report.problems[1].blob, "");
  EXPECT_EQ(report.problems[2].blob, "");
  check(true);
  EXPECT_FALSE(fs::is_symlink(paths_.pointer(kCommit, "z.bin")));
  EXPECT_FALSE(fs::is_symlink(paths_.pointer(kCommit, "loop")));
  EXPECT_TRUE(check().problems.empty());
}

TEST_F(CacheCare, AStopEndsIt) {
  std::stop_source stop;
  const auto stop_at_once = [&](const Progress&) { stop.request_stop(); };
  try {
    check_cache(root_, "", false, stop_at_once, stop.get_token());
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::cancelled);
  }
}

TEST_F(CacheCare, RemovingARevisionKeepsWhatOthersUse) {
  const std::string second(40, 'd');
  link_blob_of(second, "config.json", kGit);
  link_blob_of(second, "new.bin", kUnused);
  std::ofstream(paths_.blob(kUnused)) << "new";
  write_ref(paths_, "feature/x", second);
  write_ref(paths_, "v2", second);
  fs::create_directories(paths_.folder() / ".no_exist" / second);

  const auto removed = cache::remove(hub_, "org/name", "v2");
  EXPECT_EQ(removed.revisions, 1U);
  EXPECT_EQ(removed.blobs, 1U);
  EXPECT_EQ(removed.bytes, 3U);
  EXPECT_FALSE(fs::exists(paths_.blob(kUnused)));
  EXPECT_TRUE(fs::exists(paths_.blob(kGit)));
  EXPECT_FALSE(fs::exists(paths_.ref("feature/x")));
  EXPECT_FALSE(fs::exists(paths_.folder() / "refs" / "feature"));
  EXPECT_FALSE(fs::exists(paths_.snapshot(second)));
  EXPECT_FALSE(fs::exists(paths_.folder() / ".no_exist" / second));
  EXPECT_TRUE(cached_file(paths_, "main", "a/model.bin"));
  EXPECT_THROW(cache::remove(hub_, "org/name", "v2"), Error);

  cache::remove(hub_, "org/name", kCommit);
  EXPECT_FALSE(fs::exists(paths_.folder()));
}

TEST_F(CacheCare, ARevisionsBlobThatADownloadHoldsStays) {
  const auto lock = FileLock::try_acquire(paths_.lock(kSha256));
  const auto removed = cache::remove(hub_, "org/name", "main");
  EXPECT_EQ(removed.busy, 1U);
  EXPECT_EQ(removed.blobs, 1U);
  EXPECT_TRUE(fs::exists(paths_.blob(kSha256)));
  EXPECT_FALSE(fs::exists(paths_.blob(kGit)));
}

TEST_F(CacheCare, ARepositoryBeingDownloadedIsRefusedUnchanged) {
  std::ofstream(paths_.blobs() / (kUnused + ".stella.incomplete")) << "half";
  {
    const auto lock = FileLock::try_acquire(paths_.lock(kUnused));
    EXPECT_THROW(cache::remove(hub_, "org/name"), Error);
  }
  EXPECT_TRUE(cached_file(paths_, "main", "a/model.bin"));
  EXPECT_EQ(cache::remove(hub_, "org/name").blobs, 3U);
  EXPECT_FALSE(fs::exists(paths_.folder()));
  EXPECT_TRUE(fs::exists(root_ / "datasets--org--other"));
}

TEST_F(CacheCare, RemovingNeverFollowsLinks) {
  const fs::path outside = root_ / "outside";
  fs::create_directories(outside / "snapshots" / kCommit);
  std::ofstream(outside / "precious") << "text";
  fs::create_directory_symlink(outside, paths_.snapshot(kCommit) / "folder");
  fs::create_directory_symlink(outside, root_ / "models--org--linked");
  EXPECT_EQ(cache::remove(hub_, "org/linked").link_target, fs::canonical(outside));
  EXPECT_FALSE(fs::is_symlink(root_ / "models--org--linked"));
  cache::remove(hub_, "org/name");
  EXPECT_TRUE(fs::exists(outside / "precious"));
  EXPECT_TRUE(fs::exists(outside / "snapshots" / kCommit));
}

TEST_F(CacheCare, NamesThatLeaveTheCacheAreRefused) {
  EXPECT_THROW(cache::remove(hub_, "../datasets--org--other"), Error);
  EXPECT_THROW(cache::remove(hub_, "org/name", "../../datasets--org--other"), Error);
  EXPECT_THROW(cache::remove(hub_, "org/absent"), Error);
  EXPECT_TRUE(fs::exists(root_ / "datasets--org--other"));
}

}  // namespace
}  // namespace stella::hub
