// Points 45-48 of docs/hub.md: a hostile hub, a hostile cache.
#include "hub/support.hpp"

#include <fstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

class HubSecurity : public HubTest {
 protected:
  HubSecurity() {
    commit_ = hub_.add_revision(kRepo, "main", kContent);
    write_file(victim_, "precious");
  }
  /// Everything in the test's folder but the cache.
  std::vector<std::string> outside() const {
    std::vector<std::string> paths;
    for (const std::string& path : tree(dir_.path())) {
      if (!path.starts_with("hub")) {
        paths.push_back(path);
      }
    }
    return paths;
  }
  void expect_victim_untouched() {
    EXPECT_EQ(read_file(victim_), "precious");
    EXPECT_THAT(outside(), ::testing::ElementsAre("victim"));
  }

  const std::map<std::string, std::string> kContent = {{"config.json", "{}"},
                                                       {"model.safetensors", random_bytes(400'000, 3)}};
  const fs::path victim_ = dir_.path() / "victim";
  std::string commit_;
};

std::uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  in >> total >> resident;
  return resident * 4096;
}

TEST_F(HubSecurity, P45_NamesThatLeaveTheirFolderAreRefusedBeforeAnyRequest) {
  using namespace std::string_literals;
  for (const std::string& file :
       {"../config.json"s, "a/../../b"s, "/etc/passwd"s, "a\\..\\b"s, ".."s, "."s, ""s, "a//b"s, "a/"s, "nul\0byte"s}) {
    const Outcome outcome = get(file);
    ASSERT_FALSE(outcome.ok()) << file;
    EXPECT_EQ(*outcome.error, Errc::invalid_argument) << file << ": " << outcome;
  }
  for (const std::string& repo : {""s, "a/b/c"s, "../x"s, "org/na--me"s, "org/name.git"s, "org/.."s, "org/na me"s,
                                  "\xc3\xb6rg/name"s, std::string(200, 'a')}) {
    hub::FileRequest bad = request("config.json");
    bad.repo = repo;
    EXPECT_EQ(get(bad).error, Errc::invalid_argument) << repo;
  }
  for (const std::string& revision : {"../main"s, "a/../../b"s, "/etc"s, ""s, "a\0b"s}) {
    EXPECT_EQ(get("config.json", revision).error, Errc::invalid_argument) << revision;
  }
  EXPECT_TRUE(hub_.log().empty());
  EXPECT_FALSE(fs::exists(cache()));
  expect_victim_untouched();
}

TEST_F(HubSecurity, P46_HostileEtagsAndCommitsAreRefused) {
  const std::string sha(64, 'a');
  for (const std::string& etag : {std::string("../../../victim"), std::string("/tmp/x"), std::string("abc"),
                                  sha + "/../x", sha + "a", std::string(40, 'G'), std::string(64, 'A')}) {
    for (const char* header : {"X-Linked-ETag", "ETag"}) {
      hub_.clear_faults();
      std::map<std::string, std::string> headers = {{"X-Linked-ETag", "-"}, {"ETag", "-"}};
      headers[header] = '"' + etag + '"';
      hub_.inject({.port = Port::hub, .times = kAlways, .headers = headers});
      EXPECT_EQ(get("model.safetensors").error, Errc::local_entry_not_found) << header << ' ' << etag;
    }
  }
  for (const std::string& commit :
       {std::string("../../../victim"), std::string(39, 'a'), std::string(64, 'a'), std::string(40, 'Z')}) {
    hub_.clear_faults();
    hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Repo-Commit", commit}}});
    EXPECT_EQ(get("config.json").error, Errc::local_entry_not_found) << commit;
  }
  EXPECT_FALSE(fs::exists(repo_folder() / "snapshots"));
  expect_victim_untouched();
}

TEST_F(HubSecurity, P47_PlantedLinksAreNeverWrittenThrough) {
  const std::string etag = hub_.etag(kRepo, "main", "model.safetensors");
  fs::create_directories(cache() / ".locks" / "models--org--name");
  fs::create_directories(repo_folder() / "blobs");
  const fs::path lock = cache() / ".locks" / "models--org--name" / (etag + ".lock");
  fs::create_symlink(victim_, lock);
  get("model.safetensors");
  expect_victim_untouched();
  fs::remove(lock);

  fs::create_symlink(victim_, repo_folder() / "blobs" / etag);
  get("model.safetensors");
  expect_victim_untouched();
  fs::remove_all(repo_folder());

  // The partial file's name is the client's own business: stop a download half-way to learn it.
  hub_.inject({.port = Port::cdn, .gate = "half", .gate_at = 200'000});
  Download first(client(), request("model.safetensors"));
  ASSERT_TRUE(hub_.wait_at_gate("half"));
  first.cancel();
  EXPECT_EQ(first.wait().error, Errc::cancelled);
  restart_client();
  const std::vector<std::string> names = partials();
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) {
    fs::remove(repo_folder() / "blobs" / name);
    fs::create_symlink(victim_, repo_folder() / "blobs" / name);
  }
  const Outcome outcome = get("model.safetensors");
  if (outcome.ok()) {
    EXPECT_EQ(read_file(outcome.path), kContent.at("model.safetensors"));
  }
  expect_victim_untouched();
}

TEST_F(HubSecurity, P48_HugeSizeAllocatesNothing) {
  const std::uint64_t before = resident_bytes();
  for (const char* size : {"9000000000000000000", "18446744073709551615", "99999999999999999999999", "-1", "1e9"}) {
    hub_.clear_faults();
    hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", size}}});
    const Outcome outcome = get("model.safetensors");
    if (outcome.ok()) {  // a size that is no number may be taken as missing
      EXPECT_EQ(read_file(outcome.path), kContent.at("model.safetensors")) << size;
      fs::remove_all(repo_folder());
    }
  }
  EXPECT_LT(resident_bytes() - std::min(before, resident_bytes()), std::uint64_t{64} << 20);
  std::uint64_t blocks = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
    struct stat status {};
    if (lstat(entry.path().c_str(), &status) == 0) {
      blocks += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
  }
  EXPECT_LT(blocks, std::uint64_t{4} << 20);
  expect_victim_untouched();
}

}  // namespace
}  // namespace stella::test
