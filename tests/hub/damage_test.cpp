// A cache after a power cut, with things in it that are no files, or that cannot be written: what is there is used
// where it is right, made again where it is not, and never waited for.
#include "base/file.hpp"
#include "hub/cache/store.hpp"
#include "hub/support.hpp"
#include "stella/log.hpp"
#include "support/unprivileged.hpp"

#include <fcntl.h>
#include <fstream>
#include <mutex>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

/// What this program's system calls did to the disk, in order: "data PATH", "folder PATH", "name PATH".
std::mutex journal_mutex;
std::vector<std::string> journal;

void record(const std::string& what, const std::string& path) {
  const std::lock_guard lock(journal_mutex);
  journal.push_back(what + " " + path);
}

std::string path_of(int fd) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error).string();
}

}  // namespace

// In place of the C library's, for all of this program.
extern "C" int fdatasync(int fd) {
  record("data", path_of(fd));
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
extern "C" int fsync(int fd) {
  record("folder", path_of(fd));
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  record("name", std::string(from) + " > " + to);
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

namespace stella::test {
namespace {

using ::testing::HasSubstr;

class HubDamage : public HubTest {
 protected:
  HubDamage() { commit_ = hub_.add_revision(kRepo, "main", files_); }

  fs::path snapshot(const std::string& file) const { return repo_folder() / "snapshots" / commit_ / file; }
  Outcome refetch(const std::string& file) {
    hub::FileRequest again = request(file, commit_);
    again.refetch = true;
    return get(again);
  }
  /// What a power cut leaves: the size of the file, and zeros.
  void blank(const fs::path& path) {
    const auto size = fs::file_size(path);
    fs::resize_file(path, 0);
    fs::resize_file(path, size);
  }
  static std::vector<std::string> take_journal() {
    const std::lock_guard lock(journal_mutex);
    return std::exchange(journal, {});
  }

  const std::map<std::string, std::string> files_ = {
      {"config.json", "{\"a\": 1}\n"}, {"a/b.txt", "deep\n"}, {"model.safetensors", random_bytes(3'000'000, 7)}};
  std::string commit_;
};

TEST_F(HubDamage, BytesAreOnTheDiskBeforeTheyHaveAName) {
  take_journal();
  for (const auto& [file, content] : files_) ASSERT_TRUE(get(file).ok());
  const std::vector<std::string> done = take_journal();
  std::size_t names = 0;
  for (auto at = done.begin(); at != done.end(); ++at) {
    if (!at->starts_with("name ") || at->find(repo_folder().string()) == std::string::npos) continue;
    const std::size_t arrow = at->find(" > ");
    const std::string from = at->substr(5, arrow - 5);
    const fs::path to = at->substr(arrow + 3);
    if (to.native().ends_with(".incomplete")) continue;  // proves nothing: read again and hashed when used
    ++names;
    EXPECT_NE(std::find(done.begin(), at, "data " + from), at) << *at;
    EXPECT_NE(std::find(at, done.end(), "folder " + to.parent_path().string()), done.end()) << *at;
  }
  EXPECT_EQ(names, 4u);  // three blobs and the ref
  for (const char* folder : {"", "a"}) {
    const std::string links = (snapshot("x").parent_path() / folder).lexically_normal().string();
    EXPECT_THAT(done, ::testing::Contains(::testing::StartsWith("folder " + links.substr(0, links.size())))) << folder;
  }
}

TEST_F(HubDamage, AFileOfAnotherSizeIsFetchedAgain) {
  for (const bool symlinks : {true, false}) {
    changed_.symlinks = symlinks;
    fs::remove_all(cache());
    for (const auto& [file, content] : files_) {
      ASSERT_TRUE(get(file).ok());
      fs::resize_file(snapshot(file), content.size() / 2);
      const Outcome again = get(file);
      ASSERT_TRUE(again.ok()) << again;
      EXPECT_TRUE(read_file(again.path) == content) << file;
      EXPECT_EQ(fs::is_symlink(again.path), symlinks);
    }
  }
}

TEST_F(HubDamage, AHubThatIsWrongAboutASizeCostsNoGoodFile) {
  ASSERT_TRUE(get("model.safetensors").ok());
  hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", "12"}}});
  const Outcome again = get("model.safetensors");
  ASSERT_TRUE(again.ok()) << again;
  EXPECT_TRUE(read_file(again.path) == files_.at("model.safetensors"));
}

TEST_F(HubDamage, RefetchReplacesWhatDoesNotHaveItsHash) {
  for (const bool symlinks : {true, false}) {
    changed_.symlinks = symlinks;
    fs::remove_all(cache());
    for (const auto& [file, content] : files_) {
      ASSERT_TRUE(get(file).ok());
      EXPECT_EQ(hub::check_cached(request(file)), symlinks ? hub::CachedCopy::sound : hub::CachedCopy::unknown);
      blank(snapshot(file));
      EXPECT_EQ(hub::check_cached(request(file)), symlinks ? hub::CachedCopy::damaged : hub::CachedCopy::unknown);
      const Outcome again = refetch(file);
      ASSERT_TRUE(again.ok()) << again;
      EXPECT_TRUE(read_file(snapshot(file)) == content) << file;
      // Now that it is right, nothing is fetched.
      hub_.clear_log();
      ASSERT_TRUE(refetch(file).ok());
      EXPECT_EQ(hub_.body_bytes(file), 0u) << file;
    }
  }
}

TEST_F(HubDamage, WhatCannotBeFetchedAgainIsAnErrorOfItsOwn) {
  ASSERT_TRUE(get("config.json").ok());
  blank(snapshot("config.json"));
  const auto expect_integrity = [&](const char* when) {
    const Outcome outcome = refetch("config.json");
    ASSERT_FALSE(outcome.ok()) << when;
    EXPECT_EQ(*outcome.error, Errc::integrity) << when << outcome;
    EXPECT_THAT(outcome.what, HasSubstr(snapshot("config.json").string())) << when;
    EXPECT_THAT(outcome.what, HasSubstr("stella cache verify --repair")) << when;
  };
  changed_.offline = true;
  expect_integrity("offline");
  changed_.offline = false;
  hub_.inject({.port = Port::hub, .times = kAlways, .status = 401});
  expect_integrity("refused");
  hub_.clear_faults();
  ASSERT_TRUE(refetch("config.json").ok());
}

TEST_F(HubDamage, WhatIsNoFileIsNeverWaitedFor) {
  ASSERT_TRUE(get("config.json").ok());
  hub_.inject({.port = Port::cdn, .gate = "half", .gate_at = 1'000'000});
  Download first(client(), request("model.safetensors"));
  ASSERT_TRUE(hub_.wait_at_gate("half"));
  first.cancel();
  EXPECT_EQ(first.wait().error, Errc::cancelled);
  hub_.release("half");
  ASSERT_FALSE(get("missing.json").ok());
  std::vector<fs::path> places = {repo_folder() / "refs" / "main",
                                  repo_folder() / ".no_exist" / commit_ / "missing.json",
                                  repo_folder() / ".no_exist" / commit_ / "model.safetensors",
                                  blob("config.json"),
                                  blob("model.safetensors"),
                                  snapshot("config.json"),
                                  snapshot("model.safetensors"),
                                  cache() / "CACHEDIR.TAG"};
  for (const std::string& name : partials()) places.push_back(repo_folder() / "blobs" / name);
  for (const char* file : {"config.json", "model.safetensors"}) {
    places.push_back(cache() / ".locks" / "models--org--name" / (hub_.etag(kRepo, "main", file) + ".lock"));
  }
  ASSERT_GE(places.size(), 12u);
  const fs::path sound = dir_.path() / "sound";
  fs::copy(cache(), sound, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  for (const fs::path& place : places) {
    for (const bool fifo : {true, false}) {
      restart_client();
      fs::remove_all(cache());
      fs::copy(sound, cache(), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
      fs::remove(place);
      fs::create_directories(place.parent_path());
      if (fifo) {
        ASSERT_EQ(mkfifo(place.c_str(), 0600), 0) << place;
      } else {
        fs::create_symlink("/dev/zero", place);
      }
      for (const char* file : {"config.json", "model.safetensors", "missing.json"}) {
        for (const bool offline : {true, false}) {
          changed_.offline = offline;
          const Outcome outcome = get(file);
          if (outcome.ok()) {
            EXPECT_TRUE(read_file(outcome.path) == files_.at(file)) << place << ' ' << file;
          }
        }
        const hub::FileRequest asked = request(file);
        hub::cached_file(hub::RepoPaths(asked.options->cache_dir, asked.repo), asked.revision, file);
      }
      changed_.offline = false;
    }
  }
}

TEST_F(HubDamage, ABranchThatMovedOnLeavesAReadOnlyCacheWorking) {
  ASSERT_TRUE(get("config.json").ok());
  ASSERT_TRUE(get("model.safetensors").ok());
  hub_.add_revision(kRepo, "main", {{"config.json", "{}"}, {"model.safetensors", random_bytes(1000, 1)}});
  restart_client();
  std::vector<fs::path> folders = {dir_.path()};
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
    if (entry.is_directory() && !entry.is_symlink()) folders.push_back(entry.path());
  }
  for (const fs::path& folder : folders) fs::permissions(folder, static_cast<fs::perms>(0555));
  std::string remark;
  set_log_sink([&](LogLevel level, std::string_view line) {
    if (level == LogLevel::warning) remark = line;
  });
  Outcome outcome;
  {
    const Unprivileged user;
    ASSERT_FALSE(std::ofstream(repo_folder() / "probe").is_open()) << "the cache is not read-only";
    ThreadPool pool(1, "files");
    hub::Client client(pool);
    outcome = Download(client, request("config.json")).wait();
  }
  set_log_sink({});
  for (const fs::path& folder : folders) fs::permissions(folder, fs::perms::owner_all);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.path, snapshot("config.json"));
  EXPECT_EQ(read_file(outcome.path), files_.at("config.json"));
  EXPECT_THAT(remark, HasSubstr("cannot be stored"));
}

}  // namespace
}  // namespace stella::test
