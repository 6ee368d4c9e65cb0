// Mirrors of the hub: reverse proxies and artifact stores that pass files on without all of the hub's headers.
#include "base/sha.hpp"
#include "hub/support.hpp"
#include "stella/log.hpp"

#include <algorithm>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HubMirror : public HubTest {
 protected:
  HubMirror() {
    commit_ = hub_.add_revision(kRepo, "main", files_);
    set_log_sink([this](LogLevel level, std::string_view line) {
      if (level == LogLevel::warning) remarks_.emplace_back(line);
    });
  }
  ~HubMirror() override {
    restart_client();
    set_log_sink({});
  }
  /// From now on files carry this etag and nothing else that names their content.
  void announce(const std::string& etag, std::map<std::string, std::string> more = {}) {
    hub_.clear_faults();
    more.insert({{"X-Linked-ETag", "-"}, {"X-Linked-Size", "-"}, {"ETag", etag}});
    hub_.inject({.port = Port::hub, .times = kAlways, .headers = more});
  }
  void start_over() {
    restart_client();
    fs::remove_all(cache());
    remarks_.clear();
  }
  /// Every blob is called by the hash of what it holds.
  void expect_sound_names() {
    for (const auto& [file, content] : files_) {
      EXPECT_EQ(hub::check_cached(request(file)), hub::CachedCopy::sound) << file;
    }
    EXPECT_TRUE(partials().empty());
  }

  const std::map<std::string, std::string> files_ = {{"config.json", "{\"a\": 1}\n"},
                                                     {"model.safetensors", random_bytes(3'000'000, 9)}};
  std::string commit_;
  std::vector<std::string> remarks_;
};

std::string plain_sha1(const std::string& text) {
  Sha1 sha1;
  sha1.update(std::as_bytes(std::span(text)));
  return to_hex(sha1.digest());
}

TEST_F(HubMirror, ABare404IsAnEntryThatIsNotThere) {
  hub_.inject({.port = Port::hub, .path = "modules.json", .times = kAlways, .status = 404});
  const Outcome outcome = get("modules.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::entry_not_found) << outcome;
  EXPECT_EQ(outcome.context.http_status, 404);
  // Nobody knows which of the two it is.
  EXPECT_THAT(outcome.what, HasSubstr("no such file"));
  EXPECT_THAT(outcome.what, HasSubstr("HF_ENDPOINT"));
  EXPECT_FALSE(fs::exists(repo_folder() / ".no_exist"));
}

TEST_F(HubMirror, ABare404DoesNotTakeACachedFileAway) {
  ASSERT_TRUE(get("config.json").ok());
  hub_.inject({.port = Port::hub, .times = kAlways, .status = 404});
  const Outcome cached = get("config.json");
  ASSERT_TRUE(cached.ok()) << cached;
}

TEST_F(HubMirror, EtagsThatAreNoHashesAreTakenWithOneRemark) {
  const std::string md5 = "\"9e107d9d372bb6826bd81d3542a419d6\"";
  for (const std::string& etag :
       {md5, "W/" + md5, std::string("\"9e107d9d372bb6826bd81d3542a419d6-gzip\""),
        std::string("\"9e107d9d372bb6826bd81d3542a419d6--gzip\""), std::string("\"9E107D9D372BB6826BD81D3542A419D6\""),
        std::string("\"9e107d9d372bb6826bd81d3542a419d6-12\""), std::string("\"5f3c1a2b-1a2b3c\""),
        std::string("\"0x8DB6C1A2B3C4D5E\"")}) {
    start_over();
    announce(etag);
    for (const auto& [file, content] : files_) {
      const Outcome outcome = get(file);
      ASSERT_TRUE(outcome.ok()) << etag << outcome;
      EXPECT_TRUE(read_file(outcome.path) == content);
    }
    expect_sound_names();
    ASSERT_EQ(remarks_.size(), 1u) << etag;
    EXPECT_THAT(remarks_[0], HasSubstr("cannot be verified"));
    EXPECT_THAT(remarks_[0], HasSubstr("org/name"));
    // What is there is used, also offline.
    hub_.clear_log();
    EXPECT_TRUE(get("model.safetensors").ok());
    changed_.offline = true;
    EXPECT_TRUE(get("model.safetensors").ok());
    changed_.offline = false;
    EXPECT_EQ(hub_.body_bytes(), 0u);
  }
}

TEST_F(HubMirror, PlainSha1IsCompared) {
  for (const char* form : {"\"%\"", "%", "\"%-gzip\"", "\"{SHA1{%}}\""}) {
    start_over();
    for (const auto& [file, content] : files_) {
      std::string etag = form;
      etag.replace(etag.find('%'), 1, plain_sha1(content));
      // The large file's metadata comes from a mirror that streams it, without the redirect.
      hub_.clear_faults();
      hub_.inject(
          {.port = Port::hub, .path = file, .times = kAlways, .headers = {{"X-Linked-ETag", "-"}, {"ETag", etag}}});
      if (file == "model.safetensors") continue;
      const Outcome outcome = get(file);
      ASSERT_TRUE(outcome.ok()) << etag << outcome;
      EXPECT_EQ(read_file(outcome.path), content);
      EXPECT_EQ(fs::read_symlink(outcome.path).filename(), sha256_hex(content));
    }
    ASSERT_EQ(remarks_.size(), 1u) << form;
    EXPECT_THAT(remarks_[0], HasSubstr("sha1"));
  }
}

TEST_F(HubMirror, WhatDoesNotHaveItsSha1IsRefusedAndNobodyIsAccused) {
  announce('"' + plain_sha1("something else") + '"');
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::integrity) << outcome;
  EXPECT_THAT(outcome.what, HasSubstr(plain_sha1("something else")));
  EXPECT_THAT(outcome.what, HasSubstr("HF_ENDPOINT"));
  EXPECT_THAT(outcome.what, Not(HasSubstr("report it to the repository")));
  EXPECT_TRUE(partials().empty());
}

TEST_F(HubMirror, HashesThatAreGivenAreChecked) {
  const std::string wrong(64, 'a');
  announce("\"9e107d9d372bb6826bd81d3542a419d6\"", {{"X-Checksum-Sha256", wrong}});
  EXPECT_EQ(get("config.json").error, Errc::integrity);
  start_over();
  const std::string right = sha256_hex(files_.at("config.json"));
  // On the answer that has the file, not on the redirect to it.
  announce("\"9e107d9d372bb6826bd81d3542a419d6\"", {{"X-Checksum-Sha256", right}});
  const Outcome outcome = get("config.json");
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_TRUE(remarks_.empty()) << remarks_[0];
  // The hub's own, which the mirror passes on.
  start_over();
  hub_.clear_faults();
  hub_.inject({.port = Port::cdn, .times = kAlways, .flip_at = 1000});
  EXPECT_EQ(get("model.safetensors").error, Errc::integrity);
}

TEST_F(HubMirror, ACommitNeedsNoHeader) {
  hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Repo-Commit", "-"}}});
  const Outcome unknown = get("config.json");
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.what, HasSubstr("X-Repo-Commit"));
  const Outcome outcome = get("config.json", commit_);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.path, repo_folder() / "snapshots" / commit_ / "config.json");
}

TEST_F(HubMirror, WithoutTreesTheRevisionNamesTheFiles) {
  hub_.inject({.port = Port::hub, .path = "/tree/", .times = kAlways, .status = 404});
  std::promise<std::vector<std::string>> promise;
  client().list_files(request({}), {}, [&](std::exception_ptr error, const std::vector<hub::RepoFile>& files) {
    EXPECT_FALSE(error);
    std::vector<std::string> names;
    for (const hub::RepoFile& file : files) names.push_back(file.path);
    promise.set_value(std::move(names));
  });
  EXPECT_THAT(promise.get_future().get(), ::testing::UnorderedElementsAre("config.json", "model.safetensors"));
}

TEST_F(HubMirror, ALargeFileThatIsAPointerIsRefused) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'b') + "\nsize 3000000\n";
  hub_.add_revision(kRepo, "pointers", {{"model.safetensors", pointer}, {"tokenizer.json", pointer}});
  for (const char* file : {"model.safetensors", "tokenizer.json"}) {
    const Outcome outcome = get(file, "pointers");
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(*outcome.error, Errc::integrity) << outcome;
    EXPECT_THAT(outcome.what, HasSubstr("LFS pointer"));
    EXPECT_TRUE(partials().empty());
  }
  // Also where the size is the file's.
  hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", "3000000"}}});
  const Outcome outcome = get("model.safetensors", "pointers");
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.what, HasSubstr("LFS pointer"));
}

}  // namespace
}  // namespace stella::test
