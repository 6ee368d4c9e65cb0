// Caches whose links are not those that this client writes: what loads through them is listed as whole, and neither a
// repair nor the removal of something else takes it away.
#include "hub/cache/paths.hpp"
#include "hub/cache/scan.hpp"
#include "hub/cache/store.hpp"
#include "hub/cache/test_support.hpp"
#include "hub/cache/verify.hpp"
#include "stella/cache.hpp"
#include "stella/error.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

const std::string kSecond(40, 'd');
const std::string kName = "a/model.bin";

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A way to let snapshots/kCommit/a/model.bin lead to "abc".
struct Layout {
  std::string what;
  std::function<void(const fs::path& cache, const RepoPaths& paths)> make;
  bool is_blob = true;  // its hash can be told
};

void replace_name(const RepoPaths& paths, const fs::path& target) {
  fs::remove(paths.pointer(kCommit, kName));
  fs::create_symlink(target, paths.pointer(kCommit, kName));
}

void move_and_link(const fs::path& from, const fs::path& to) {
  fs::create_directories(to.parent_path());
  fs::rename(from, to);
  fs::create_symlink(to, from);
}

const std::array<Layout, 13> kLayouts{{
    {"as it is written", [](const fs::path&, const RepoPaths&) {}},
    {"an absolute link", [](const fs::path&, const RepoPaths& paths) { replace_name(paths, paths.blob(kSha256)); }},
    {"an absolute link through a linked cache",
     [](const fs::path& cache, const RepoPaths& paths) {
       fs::create_directory_symlink(cache, cache.parent_path() / "link");
       replace_name(paths, RepoPaths(cache.parent_path() / "link", "org/name").blob(kSha256));
     }},
    {"a link with detours",
     [](const fs::path&, const RepoPaths& paths) {
       replace_name(paths, "../../../refs/../blobs/./../blobs/" + kSha256);
     }},
    {"a link to another name of the snapshot",
     [](const fs::path&, const RepoPaths& paths) {
       fs::create_symlink(RepoPaths::link_target("b.bin", kSha256), paths.pointer(kCommit, "b.bin"));
       replace_name(paths, "../b.bin");
     }},
    {"a hard link",
     [](const fs::path&, const RepoPaths& paths) {
       fs::remove(paths.pointer(kCommit, kName));
       fs::create_hard_link(paths.blob(kSha256), paths.pointer(kCommit, kName));
     }},
    {"the shared store",
     [](const fs::path& cache, const RepoPaths& paths) {
       const std::string place = "blobs/ba/" + kSha256;
       fs::create_directories(cache / "blobs/ba");
       fs::rename(paths.blob(kSha256), cache / place);
       fs::create_symlink("../../" + place, paths.blob(kSha256));
     }},
    {"the shared store by an absolute link",
     [](const fs::path& cache, const RepoPaths& paths) {
       move_and_link(paths.blob(kSha256), cache / "blobs/ba" / kSha256);
     }},
    {"a blob moved to another disk",
     [](const fs::path& cache, const RepoPaths& paths) {
       move_and_link(paths.blob(kSha256), cache.parent_path() / "disk/abc");
     }},
    {"blobs moved to another disk",
     [](const fs::path& cache, const RepoPaths& paths) {
       move_and_link(paths.blobs(), cache.parent_path() / "disk/blobs");
     }},
    {"a repository moved to another disk",
     [](const fs::path& cache, const RepoPaths& paths) {
       move_and_link(paths.folder(), cache.parent_path() / "disk/repository");
     }},
    {"a file outside",
     [](const fs::path& cache, const RepoPaths& paths) {
       std::ofstream(cache.parent_path() / "outside") << "abc";
       replace_name(paths, cache.parent_path() / "outside");
     },
     false},
    {"a folder outside",
     [](const fs::path& cache, const RepoPaths& paths) {
       fs::remove_all(paths.snapshot(kCommit) / "a");
       fs::create_directories(cache.parent_path() / "outside");
       std::ofstream(cache.parent_path() / "outside/model.bin") << "abc";
       fs::create_directory_symlink(cache.parent_path() / "outside", paths.snapshot(kCommit) / "a");
     },
     false},
}};

class CacheLinks : public CacheTest, public ::testing::WithParamInterface<std::size_t> {
 protected:
  CacheLinks() {
    hub_.cache_dir = cache_;
    for (const std::string& commit : {kCommit, kSecond}) {
      make_folders(here_, commit, kName);
      make_folders(here_, commit, "config.json");
    }
    std::ofstream(here_.blob(kSha256)) << "abc";
    std::ofstream(here_.blob(kGit)) << "hello\n";
    for (const std::string& commit : {kCommit, kSecond}) {
      link_blob(here_, commit, kName, kSha256, true);
      link_blob(here_, commit, "config.json", kGit, true);
    }
    write_ref(here_, "main", kCommit);
    write_ref(here_, "other", kSecond);
    layout().make(cache_, here_);
  }

  static const Layout& layout() { return kLayouts.at(GetParam()); }

  void expect_loads() const {
    EXPECT_EQ(text_of(here_.pointer(kCommit, kName)), "abc") << layout().what;
    EXPECT_EQ(text_of(here_.pointer(kCommit, "config.json")), "hello\n") << layout().what;
  }

  fs::path cache_ = root_ / "hub";
  RepoPaths here_{cache_, "org/name"};
};

TEST_P(CacheLinks, AreListedAsWhole) {
  const auto contents = cache::list(hub_);
  ASSERT_EQ(contents.repositories.size(), 1U) << layout().what;
  const auto& repository = contents.repositories[0];
  EXPECT_EQ(repository.bytes, 9U) << layout().what;
  ASSERT_EQ(repository.revisions.size(), 2U);
  const auto& file = repository.revisions[0].files.at(0);
  EXPECT_EQ(file.path, kName);
  EXPECT_EQ(file.size, 3U) << layout().what;
  EXPECT_EQ(file.blob, layout().is_blob ? kSha256 : "") << layout().what;
  for (const auto& blob : repository.blobs) EXPECT_TRUE(blob.referenced) << layout().what;
}

TEST_P(CacheLinks, AreSoundAndSurviveARepair) {
  const auto report = check_cache(cache_, "", true, {}, {});
  EXPECT_TRUE(report.problems.empty()) << layout().what;
  EXPECT_EQ(report.blobs, 2U);
  EXPECT_EQ(report.unhashed, layout().is_blob ? 0U : 1U);
  expect_loads();
}

TEST_P(CacheLinks, SurviveTheRemovalOfAnotherRevision) {
  try {
    cache::remove(hub_, "org/name", "other");
    EXPECT_FALSE(fs::exists(here_.snapshot(kSecond)));
  } catch (const Error& error) {
    EXPECT_EQ(layout().what, "blobs moved to another disk") << error.what();
  }
  expect_loads();
}

TEST_P(CacheLinks, RemovingThemKeepsWhatAnotherRevisionUses) {
  if (layout().what == "blobs moved to another disk") return;  // refused
  cache::remove(hub_, "org/name", "main");
  EXPECT_FALSE(fs::exists(here_.snapshot(kCommit)));
  EXPECT_EQ(text_of(here_.pointer(kSecond, kName)), "abc") << layout().what;
  EXPECT_EQ(fs::exists(root_ / "outside"), !layout().is_blob);
}

TEST_P(CacheLinks, ADamagedBlobBehindThemIsFoundAndRepairedOnce) {
  if (!layout().is_blob) return;  // nothing says its hash
  std::ofstream(here_.pointer(kCommit, kName), std::ios::trunc) << "abd";
  const auto report = check_cache(cache_, "", true, {}, {});
  ASSERT_EQ(report.problems.size(), 1U) << layout().what;
  EXPECT_EQ(report.problems[0].kind, cache::Problem::Kind::damaged);
  EXPECT_GE(report.problems[0].users.size(), 2U);
  EXPECT_TRUE(report.problems[0].failure.empty()) << report.problems[0].failure;
  EXPECT_FALSE(is_file(here_.pointer(kCommit, kName))) << layout().what;
  EXPECT_TRUE(check_cache(cache_, "", false, {}, {}).problems.empty());
}

INSTANTIATE_TEST_SUITE_P(Layouts, CacheLinks, ::testing::Range<std::size_t>(0, kLayouts.size()));

class CacheUses : public CacheTest {};

TEST_F(CacheUses, ABlobThatAnotherModelUsesIsKept) {
  add(kCommit, kName, kSha256, "abc");
  const RepoPaths other(root_, "org/other");
  make_folders(other, kSecond, "x");
  fs::create_symlink(paths_.blob(kSha256), other.pointer(kSecond, "x"));
  EXPECT_EQ(cache::remove(hub_, "org/name", kCommit).blobs, 0U);
  EXPECT_EQ(text_of(other.pointer(kSecond, "x")), "abc");
  link_blob_of(kCommit, kName, kSha256);
  EXPECT_EQ(cache::remove(hub_, "org/name").used, 1U);
  EXPECT_EQ(text_of(other.pointer(kSecond, "x")), "abc");
  cache::remove(hub_, "org/other");
  EXPECT_EQ(cache::remove(hub_, "org/name").blobs, 1U);
  EXPECT_FALSE(fs::exists(paths_.folder()));
}

TEST_F(CacheUses, ADamagedBlobIsMissedByEveryModelThatLeadsToIt) {
  add(kCommit, kName, kSha256, "abd");
  const RepoPaths before(root_, "org/a");
  make_folders(before, kSecond, "x");
  fs::create_symlink(paths_.blob(kSha256), before.pointer(kSecond, "x"));
  const auto report = check_cache(root_, "", true, {}, {});
  ASSERT_EQ(report.problems.size(), 2U);
  EXPECT_EQ(report.problems[0].repo, "org/name");
  EXPECT_EQ(report.problems[1].repo, "org/a");
  EXPECT_TRUE(check_cache(root_, "", false, {}, {}).problems.empty());
}

TEST_F(CacheUses, ALinkedFolderOnTheWayIsKept) {
  const RepoPaths other(root_, "org/other");
  make_folders(paths_, kCommit, "y");
  std::ofstream(paths_.pointer(kCommit, "y")) << "plain";
  fs::create_directories(other.folder() / "snapshots");
  fs::create_directory_symlink(paths_.snapshot(kCommit), other.snapshot(kSecond));
  make_folders(paths_, kSecond, "x");
  fs::create_symlink(other.pointer(kSecond, "y"), paths_.pointer(kSecond, "x"));
  EXPECT_THROW(cache::remove(hub_, "org/other", kSecond), Error);
  EXPECT_EQ(text_of(paths_.pointer(kSecond, "x")), "plain");
}

TEST_F(CacheUses, NothingGoesBehindALinkedPart) {
  add(kCommit, kName, kSha256, "abc");
  move_and_link(paths_.blobs(), root_ / "disk/blobs");
  EXPECT_THROW(cache::remove(hub_, "org/name", kCommit), Error);
  EXPECT_THROW(cache::remove(hub_, "org/name"), Error);
  EXPECT_EQ(text_of(paths_.pointer(kCommit, kName)), "abc");
  EXPECT_TRUE(fs::exists(root_ / "disk/blobs" / kSha256));
}

TEST_F(CacheUses, AHardLinkOfAnotherModelKeepsItsFileAndHindersNothing) {
  add(kCommit, kName, kSha256, "abc");
  const RepoPaths other(root_, "org/other");
  make_folders(other, kSecond, "x");
  fs::create_hard_link(paths_.blob(kSha256), other.blob(kSha256));
  link_blob(other, kSecond, "x", kSha256, true);
  const auto removed = cache::remove(hub_, "org/name");
  EXPECT_EQ(removed.blobs, 1U);
  EXPECT_EQ(removed.bytes, 0U);
  EXPECT_FALSE(fs::exists(paths_.folder()));
  EXPECT_EQ(text_of(other.pointer(kSecond, "x")), "abc");
}

TEST_F(CacheUses, ASnapshotThatAnotherLeadsIntoIsRefusedUnchanged) {
  const std::string plain(40, 'f');
  make_folders(paths_, plain, "x");
  std::ofstream(paths_.pointer(plain, "x")) << "plain";
  for (const bool whole : {false, true}) {
    make_folders(paths_, kCommit, "y");
    fs::remove_all(paths_.snapshot(kCommit));
    if (whole) {
      fs::create_directory_symlink(plain, paths_.snapshot(kCommit));
    } else {
      fs::create_directories(paths_.snapshot(kCommit));
      fs::create_symlink("../" + plain + "/x", paths_.pointer(kCommit, "x"));
    }
    EXPECT_THROW(cache::remove(hub_, "org/name", plain), Error);
    EXPECT_EQ(text_of(paths_.pointer(kCommit, "x")), "plain");
    cache::remove(hub_, "org/name", kCommit);
    EXPECT_EQ(text_of(paths_.pointer(plain, "x")), "plain");
  }
}

TEST_F(CacheUses, AModelThatAnotherNameLeadsToIsRefusedUnchanged) {
  add(kCommit, kName, kSha256, "abc");
  fs::create_directory_symlink("models--org--name", root_ / "models--org--alias");
  EXPECT_EQ(cache::list(hub_).repositories.size(), 2U);
  EXPECT_THROW(cache::remove(hub_, "org/name"), Error);
  EXPECT_EQ(text_of(RepoPaths(root_, "org/alias").pointer(kCommit, kName)), "abc");
  cache::remove(hub_, "org/alias");
  EXPECT_EQ(text_of(paths_.pointer(kCommit, kName)), "abc");
  cache::remove(hub_, "org/name");
  EXPECT_FALSE(fs::exists(paths_.folder()));
}

TEST_F(CacheUses, FoldersThatLeadIntoThemselvesEnd) {
  add(kCommit, kName, kSha256, "abc");
  fs::create_directory_symlink("..", paths_.snapshot(kCommit) / "a/up");
  fs::create_directory_symlink(".", paths_.snapshot(kCommit) / "here");
  EXPECT_TRUE(check_cache(root_, "", true, {}, {}).problems.empty());
  EXPECT_EQ(cache::list(hub_).repositories.at(0).bytes, 3U);
  cache::remove(hub_, "org/name", kCommit);
  EXPECT_FALSE(fs::exists(paths_.folder()));
}

// What is no file may lie anywhere; opening a FIFO would wait for ever.
class CacheOddities : public CacheTest, public ::testing::WithParamInterface<std::size_t> {
 protected:
  static void make_odd(const fs::path& path) {
    fs::create_directories(path.parent_path());
    switch (GetParam()) {
      case 0:
        ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
        return;
      case 1:
        fs::create_symlink("/dev/zero", path);
        return;
      case 2: {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
        path.filename().native().copy(address.sun_path, sizeof address.sun_path - 1);
        const fs::path before = fs::current_path();
        fs::current_path(path.parent_path());  // addresses are short
        EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        fs::current_path(before);
        ::close(fd);
        return;
      }
      default:
        fs::create_directory(path);
    }
  }
};

TEST_P(CacheOddities, NeitherHangNorFailTheRest) {
  add(kCommit, "config.json", kGit, "hello\n");
  write_ref(paths_, "main", kCommit);
  const RepoPaths odd(root_, "org/odd");
  make_folders(odd, kCommit, "whole");
  std::ofstream(odd.blob(kSha256)) << "abc";
  link_blob(odd, kCommit, "whole", kSha256, true);
  write_ref(odd, "main", kCommit);
  make_odd(root_ / "models--org--no-folder");
  make_odd(root_ / "blobs");
  make_odd(odd.blob(kUnused));
  make_odd(odd.blobs() / (kGit + ".incomplete"));
  make_odd(odd.folder() / "refs/v1");
  make_odd(odd.folder() / "refs/deep/v2");
  make_odd(odd.snapshot(kCommit) / "odd");
  make_odd(odd.snapshot(kCommit) / "deep/odd");
  make_odd(odd.folder() / ".no_exist" / kCommit / "x");
  make_odd(odd.folder() / "trees" / (kCommit + ".json"));
  make_odd(odd.folder() / "extra");
  link_blob(odd, kCommit, "to-odd", kUnused, true);

  const auto contents = cache::list(hub_);
  ASSERT_GE(contents.repositories.size(), 2U);
  EXPECT_EQ(contents.repositories[0].bytes, 6U);
  for (const auto& repository : contents.repositories) EXPECT_EQ(repository.failure, "");
  EXPECT_THROW(cache::pack(hub_, "org/odd", "v1", root_ / "out.tar"), Error);
  if (GetParam() != 3) {
    EXPECT_THROW(cache::pack(hub_, "org/odd", "main", root_ / "out.tar"), Error);
  }
  EXPECT_GE(check_cache(root_, "", false, {}, {}).problems.size(), 1U);
  check_cache(root_, "", true, {}, {});
  EXPECT_EQ(text_of(odd.pointer(kCommit, "whole")), "abc");
  EXPECT_EQ(text_of(paths_.pointer(kCommit, "config.json")), "hello\n");
  EXPECT_THROW(cache::remove(hub_, "org/odd", "v1"), Error);
  try {
    cache::remove(hub_, "org/odd", "main");
    cache::remove(hub_, "org/odd");
  } catch (const Error& error) {
    EXPECT_EQ(GetParam(), 3U) << error.what();  // a folder in the place of a file is nobody's to remove
  }
  EXPECT_EQ(text_of(paths_.pointer(kCommit, "config.json")), "hello\n");
}

INSTANTIATE_TEST_SUITE_P(Kinds, CacheOddities, ::testing::Range<std::size_t>(0, 4));

// Caches made by chance: whatever loads before an action loads after it, but for what the action names.
class CacheByChance : public CacheTest {
 protected:
  using Loads = std::map<fs::path, std::string>;  // what a name in a snapshot reads as

  std::size_t below(std::size_t end) { return random_() % end; }

  std::string any_commit() { return std::string(40, "cdf"[below(3)]); }
  RepoPaths any_repository() { return {root_, below(2) == 0 ? "org/a" : "org/b"}; }
  static std::string any_name(std::size_t number) { return number == 0 ? "x" : number == 1 ? "y" : "folder/z"; }

  fs::path any_place() {
    const RepoPaths paths = any_repository();
    switch (below(5)) {
      case 0:
        return paths.pointer(any_commit(), any_name(below(3)));
      case 1:
        return paths.snapshot(any_commit()) / (below(2) == 0 ? "folder" : "");
      case 2:
        return root_ / "outside/file";
      default:
        return paths.blob(below(2) == 0 ? kSha256 : kGit);
    }
  }

  void make_something() {
    const fs::path place = any_place().lexically_normal();
    const fs::path from = place.has_filename() ? place : place.parent_path();
    fs::path to = any_place().lexically_normal();
    if (!to.has_filename()) to = to.parent_path();
    if (from.native().starts_with((root_ / "outside").native())) return;
    std::error_code error;
    fs::create_directories(from.parent_path(), error);
    if (below(2) == 0 && !is_real_folder(from)) fs::remove(from, error);
    if (own_id_of(from)) return;
    switch (below(4)) {
      case 0:
        fs::create_hard_link(to, from, error);
        return;
      case 1:
        fs::create_symlink(to, from, error);
        return;
      case 2:
        fs::create_symlink(to.lexically_relative(from.parent_path()), from, error);
        return;
      default:
        std::ofstream(from) << "plain";
    }
  }

  void make_cache_by_chance(unsigned seed) {
    random_.seed(seed);
    for (const char* repo : {"org/a", "org/b"}) {
      const RepoPaths paths(root_, repo);
      fs::create_directories(paths.blobs());
      std::ofstream(paths.blob(kSha256)) << "abc";
      std::ofstream(paths.blob(kGit)) << "hello\n";
    }
    fs::create_directories(root_ / "outside");
    std::ofstream(root_ / "outside/file") << "outside";
    for (std::size_t i = 0; i < 16; ++i) make_something();
    for (const char* repo : {"org/a", "org/b"}) {
      for (const std::string& etag : {kSha256, kGit}) {  // sound, whatever became of them
        const fs::path blob = RepoPaths(root_, repo).blob(etag);
        if (!is_file(blob) || text_of(blob) != (etag == kGit ? "hello\n" : "abc")) fs::remove(blob);
      }
    }
    if (below(2) == 0) {
      const RepoPaths paths = any_repository();
      fs::create_directories(paths.folder() / "refs");
      std::ofstream(paths.ref("main")) << any_commit();
    }
  }

  Loads loads(const fs::path& except = {}) const {
    Loads found;
    for (const auto& [repo, paths] : repos_of(root_)) {
      for (const char c : {'c', 'd', 'f'}) {
        if (paths.snapshot(std::string(40, c)) == except) continue;
        for (std::size_t i = 0; i < 3; ++i) {
          const fs::path name = paths.pointer(std::string(40, c), any_name(i));
          if (is_file(name)) found[name] = text_of(name);
        }
      }
    }
    return found;
  }

  std::minstd_rand random_{};
};

TEST_F(CacheByChance, NothingThatLoadsIsLost) {
  std::size_t refused = 0;
  for (unsigned seed = 1; seed <= 100; ++seed) {
    for (const auto& entry : fs::directory_iterator(root_)) fs::remove_all(entry.path());
    make_cache_by_chance(seed);
    const Loads before = loads();
    check_cache(root_, "", true, {}, {});
    ASSERT_EQ(loads(), before) << "repair, seed " << seed;
    for (const auto& repository : cache::list(hub_).repositories) {
      for (const auto& revision : repository.revisions) {
        for (const auto& file : revision.files) {
          const fs::path name = RepoPaths(root_, repository.repo).pointer(revision.commit, file.path);
          EXPECT_EQ(file.size.has_value(), is_file(name)) << name << ", seed " << seed;
        }
      }
    }
    const RepoPaths paths = any_repository();
    const std::string commit = any_commit();
    const Loads rest = loads(paths.snapshot(commit));
    try {
      cache::remove(hub_, paths.folder().filename() == "models--org--a" ? "org/a" : "org/b", commit);
      ASSERT_EQ(loads(), rest) << "rm --revision, seed " << seed;
    } catch (const Error&) {
      ++refused;
      ASSERT_EQ(loads(), before) << "rm --revision refused, seed " << seed;
    }
    const Loads then = loads();
    const auto pruned = cache::prune(hub_);
    Loads kept = then;
    for (const auto& waste : pruned.waste) {
      if (waste.kind != cache::Waste::Kind::revision) continue;
      const fs::path gone = RepoPaths(root_, waste.repo).snapshot(waste.name);
      std::erase_if(kept, [&](const auto& load) { return load.first.native().starts_with(gone.native()); });
    }
    ASSERT_EQ(loads(), kept) << "prune, seed " << seed;
    try {
      cache::remove(hub_, "org/a");
      const fs::path gone = RepoPaths(root_, "org/a").folder();
      std::erase_if(kept, [&](const auto& load) { return load.first.native().starts_with(gone.native()); });
    } catch (const Error&) {
      ++refused;
    }
    ASSERT_EQ(loads(), kept) << "rm, seed " << seed;
    EXPECT_EQ(text_of(root_ / "outside/file"), "outside") << "seed " << seed;
  }
  EXPECT_LT(refused, 190U);
}

// What one may not look into is not taken for empty.
TEST_F(CacheUses, WhatMayNotBeReadIsReportedAndNothingIsLost) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  add(kCommit, kName, kSha256, "abc");
  add(kSecond, kName, kSha256, "abc");
  for (const fs::path& closed : {paths_.snapshot(kCommit), paths_.blobs(), paths_.folder() / "snapshots"}) {
    fs::permissions(closed, fs::perms::none);
    EXPECT_NE(cache::list(hub_).repositories.at(0).failure, "");
    const auto report = check_cache(root_, "", true, {}, {});
    fs::permissions(closed, fs::perms::owner_all);
    ASSERT_EQ(report.problems.size(), 1U);
    EXPECT_EQ(report.problems[0].kind, cache::Problem::Kind::unreadable);
    EXPECT_NE(report.problems[0].failure, "");
    fs::permissions(closed, fs::perms::none);
    EXPECT_THROW(cache::remove(hub_, "org/name", kSecond), Error);
    fs::permissions(closed, fs::perms::owner_all);
    EXPECT_EQ(text_of(paths_.pointer(kCommit, kName)), "abc");
    EXPECT_EQ(text_of(paths_.pointer(kSecond, kName)), "abc");
  }
}

}  // namespace
}  // namespace stella::hub
