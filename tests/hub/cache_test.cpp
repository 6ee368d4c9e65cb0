// Points 13 and 16-23 of docs/hub.md: what lies on the disk. Python's side of 13-16 and 24 is in interop_test.py.
#include "hub/cache/store.hpp"
#include "hub/support.hpp"
#include "support/unprivileged.hpp"

#include <chrono>
#include <fstream>
#include <sys/stat.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using ::testing::HasSubstr;

const std::map<std::string, std::string> kFiles = {
    {"config.json", "{}\n"}, {"a/b/c.txt", "deep\n"}, {"model.safetensors", random_bytes(200'000, 2)}};

class HubCache : public HubTest {
 protected:
  HubCache() { commit_ = hub_.add_revision(kRepo, "main", kFiles); }
  fs::path snapshot(const std::string& file) const { return repo_folder() / "snapshots" / commit_ / file; }
  std::string commit_;
};

unsigned mode(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777U;
}

/// The umask for a scope.
class Umask {
 public:
  explicit Umask(mode_t mask) : old_(umask(mask)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { umask(old_); }

 private:
  mode_t old_;
};

TEST_F(HubCache, P13_LayoutLinkTextAndRefBytes) {
  for (const auto& [file, content] : kFiles) {
    const Outcome outcome = get(file);
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(outcome.path, snapshot(file));
    EXPECT_EQ(read_file(outcome.path), content);
  }
  EXPECT_EQ(fs::read_symlink(snapshot("config.json")), "../../blobs/" + hub_.etag(kRepo, "main", "config.json"));
  EXPECT_EQ(fs::read_symlink(snapshot("a/b/c.txt")), "../../../../blobs/" + hub_.etag(kRepo, "main", "a/b/c.txt"));
  EXPECT_EQ(read_file(repo_folder() / "refs" / "main"), commit_);
  EXPECT_TRUE(read_file(cache() / "CACHEDIR.TAG").starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"));
  for (const auto& [file, content] : kFiles) {
    EXPECT_TRUE(fs::is_empty(cache() / ".locks" / "models--org--name" / (hub_.etag(kRepo, "main", file) + ".lock")));
  }
  EXPECT_TRUE(partials().empty());
}

TEST_F(HubCache, P13_ModesFollowTheUmask) {
  for (const mode_t mask : {mode_t{077}, mode_t{022}, mode_t{002}}) {
    fs::remove_all(cache());
    const Umask scope(mask);
    restart_client();
    ASSERT_TRUE(get("config.json").ok());
    ASSERT_TRUE(get("model.safetensors").ok());
    EXPECT_EQ(mode(blob("config.json")), 0666U & ~mask);
    EXPECT_EQ(mode(blob("model.safetensors")), 0666U & ~mask);
    EXPECT_EQ(mode(repo_folder() / "refs" / "main"), 0666U & ~mask);
    EXPECT_EQ(mode(repo_folder() / "blobs"), 0777U & ~mask);
  }
}

TEST_F(HubCache, P16_SharedStoreBlobIsFollowedAndNeverWritten) {
  const std::string etag = hub_.etag(kRepo, "main", "model.safetensors");
  const std::string xet(64, 'e');
  const fs::path shared = cache() / "blobs" / "ee" / xet;
  write_file(shared, kFiles.at("model.safetensors"));
  fs::permissions(shared, fs::perms::owner_read);
  write_file(cache() / "blobs" / ".huggingface-shared-blobs", "");
  fs::create_directories(repo_folder() / "blobs");
  fs::create_symlink("../../blobs/ee/" + xet, repo_folder() / "blobs" / etag);

  const Outcome outcome = get("model.safetensors");
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(hub_.body_bytes("model.safetensors"), 0u);
  EXPECT_EQ(fs::canonical(outcome.path), fs::canonical(shared));
  EXPECT_EQ(mode(shared), 0400U);
  changed_.offline = true;
  EXPECT_TRUE(get("model.safetensors").ok());
}

TEST_F(HubCache, P17_DanglingLinkIsAMissAndIsRepaired) {
  ASSERT_TRUE(get("model.safetensors").ok());
  fs::remove(blob("model.safetensors"));
  const hub::RepoPaths paths(cache(), kRepo);
  EXPECT_FALSE(hub::cached_file(paths, "main", "model.safetensors"));
  EXPECT_FALSE(hub::cached_file(paths, commit_, "model.safetensors"));
  changed_.offline = true;
  EXPECT_FALSE(get("model.safetensors").ok());
  changed_.offline = false;
  const Outcome outcome = get("model.safetensors", commit_);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(read_file(outcome.path), kFiles.at("model.safetensors"));
}

TEST_F(HubCache, P18_PinnedAndCachedNeedsNoRequest) {
  ASSERT_TRUE(get("config.json", commit_).ok());
  hub_.clear_log();
  restart_client();
  // The hub sees a moment later that the first client has gone.
  while (hub_.open_connections() != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const Outcome outcome = get("config.json", commit_);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.path, snapshot("config.json"));
  EXPECT_TRUE(hub_.log().empty());
  EXPECT_EQ(hub_.open_connections(), 0u);
}

TEST_F(HubCache, P19_MovedBranchKeepsUnchangedBlobs) {
  ASSERT_TRUE(get("config.json").ok());
  ASSERT_TRUE(get("model.safetensors").ok());
  auto files = kFiles;
  files["config.json"] = "{\"changed\": true}\n";
  const std::string moved = hub_.add_revision(kRepo, "main", files);
  hub_.clear_log();

  const Outcome config = get("config.json");
  const Outcome model = get("model.safetensors");
  ASSERT_TRUE(config.ok() && model.ok()) << config << model;
  EXPECT_EQ(config.path, repo_folder() / "snapshots" / moved / "config.json");
  EXPECT_EQ(read_file(config.path), files["config.json"]);
  EXPECT_EQ(model.path, repo_folder() / "snapshots" / moved / "model.safetensors");
  EXPECT_EQ(hub_.body_bytes("model.safetensors"), 0u);
  EXPECT_EQ(read_file(repo_folder() / "refs" / "main"), moved);
  EXPECT_EQ(read_file(snapshot("config.json")), kFiles.at("config.json"));
}

TEST_F(HubCache, P20_UnpinnedOfflineGoesThroughTheRefOnly) {
  ASSERT_TRUE(get("config.json").ok());
  hub_.clear_log();
  changed_.offline = true;
  const Outcome cached = get("config.json");
  ASSERT_TRUE(cached.ok()) << cached;
  EXPECT_EQ(cached.path, snapshot("config.json"));

  fs::remove(repo_folder() / "refs" / "main");
  const Outcome unknown = get("config.json");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(*unknown.error, Errc::local_entry_not_found) << unknown;
  EXPECT_THAT(unknown.context.cause + unknown.what, HasSubstr("offline"));
  EXPECT_TRUE(get("config.json", commit_).ok());
  EXPECT_TRUE(hub_.log().empty());
}

TEST_F(HubCache, P20_HubDownGoesThroughTheRef) {
  ASSERT_TRUE(get("config.json").ok());
  hub_.suspend();
  const Outcome cached = get("config.json");
  ASSERT_TRUE(cached.ok()) << cached;
  EXPECT_EQ(cached.path, snapshot("config.json"));
}

TEST_F(HubCache, P21_AbsenceIsRemembered) {
  const Outcome outcome = get("missing/file.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::entry_not_found) << outcome;
  EXPECT_TRUE(fs::is_empty(repo_folder() / ".no_exist" / commit_ / "missing" / "file.json"));
  EXPECT_EQ(read_file(repo_folder() / "refs" / "main"), commit_);
  // Without the commit nobody knows which revision lacks it.
  fs::remove_all(cache());
  hub_.inject({.times = kAlways, .headers = {{"X-Repo-Commit", "-"}}});
  EXPECT_EQ(get("missing/file.json").error, Errc::entry_not_found);
  EXPECT_FALSE(fs::exists(repo_folder() / ".no_exist"));
}

TEST_F(HubCache, P22_ReadOnlyCacheWithTheFilePresentSucceeds) {
  ASSERT_TRUE(get("config.json").ok());
  write_file(repo_folder() / "refs" / "main", std::string(40, '0'));  // to be updated, which cannot be done
  restart_client();
  fs::permissions(dir_.path(), static_cast<fs::perms>(0555));
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
    if (entry.is_directory() && !entry.is_symlink()) {
      fs::permissions(entry.path(), static_cast<fs::perms>(0555));
    }
  }
  Outcome outcome;
  {
    const Unprivileged user;
    ASSERT_FALSE(std::ofstream(repo_folder() / "probe").is_open()) << "the cache is not read-only";
    ThreadPool pool(1, "files");
    hub::Client client(pool);
    outcome = Download(client, request("config.json")).wait();
  }
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
    if (entry.is_directory() && !entry.is_symlink()) {
      fs::permissions(entry.path(), fs::perms::owner_all);
    }
  }
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.path, snapshot("config.json"));
}

TEST_F(HubCache, P23_WithoutSymlinksTheFileItselfIsInTheSnapshot) {
  changed_.symlinks = false;
  for (const auto& [file, content] : kFiles) {
    const Outcome outcome = get(file);
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_FALSE(fs::is_symlink(outcome.path));
    EXPECT_EQ(read_file(outcome.path), content);
    EXPECT_FALSE(fs::exists(blob(file)));
  }
  hub_.clear_log();
  EXPECT_TRUE(get("model.safetensors", commit_).ok());
  EXPECT_TRUE(hub_.log().empty());
  EXPECT_TRUE(get("model.safetensors").ok());
  EXPECT_EQ(hub_.body_bytes(), 0u);
  changed_.offline = true;
  EXPECT_TRUE(get("a/b/c.txt").ok());
}

}  // namespace
}  // namespace stella::test
