// Points 1-12 of docs/hub.md: what goes over the wire.
#include "hub/support.hpp"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const std::map<std::string, std::string> kFiles = {{"config.json", "{\"hidden_size\": 64}\n"},
                                                   {"1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": true}\n"},
                                                   {"model.safetensors", random_bytes(300'000, 1)}};

class HubProtocol : public HubTest {
 protected:
  explicit HubProtocol(HubServerOptions server = {}) : HubTest(server) {
    commit_ = hub_.add_revision(kRepo, "main", kFiles);
  }
  void expect_file(const Outcome& outcome, const std::string& file) {
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(read_file(outcome.path), kFiles.at(file));
    EXPECT_EQ(outcome.path, repo_folder() / "snapshots" / commit_ / file);
  }
  std::string commit_;
};

class HubProtocolXet : public HubProtocol {
 protected:
  HubProtocolXet() : HubProtocol({.xet_headers = true}) {}
};

TEST_F(HubProtocol, P01_RevisionAndFileAreEncoded) {
  const std::string file = "a folder/\xc3\xbc #1?50%.txt";
  hub_.add_revision(kRepo, "refs/pr/1", std::map<std::string, std::string>{{file, "text"}});
  const Outcome outcome = get(file, "refs/pr/1");
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(read_file(outcome.path), "text");
  EXPECT_EQ(hub_.log().front().target, "/org/name/resolve/refs%2Fpr%2F1/a%20folder/%C3%BC%20%231%3F50%25.txt");
  EXPECT_TRUE(fs::is_regular_file(repo_folder() / "refs" / "refs" / "pr" / "1"));
}

TEST_F(HubProtocol, P02_RepositoryWithoutOrganisation) {
  const std::string commit = hub_.add_revision("gpt2", "main", kFiles);
  hub::FileRequest without = request("config.json");
  without.repo = "gpt2";
  const Outcome outcome = get(without);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.path, cache() / "models--gpt2" / "snapshots" / commit / "config.json");
  EXPECT_EQ(hub_.log().front().target, "/gpt2/resolve/main/config.json");
}

TEST_F(HubProtocol, P03_EveryRequestAsksForIdentity) {
  expect_file(get("config.json"), "config.json");
  expect_file(get("model.safetensors"), "model.safetensors");
  ASSERT_GE(hub_.log().size(), 4u);
  for (const Request& request : hub_.log()) {
    ASSERT_TRUE(request.headers.contains("accept-encoding")) << request.method << ' ' << request.target;
    EXPECT_EQ(request.headers.at("accept-encoding"), "identity") << request.method << ' ' << request.target;
  }
}

TEST_F(HubProtocol, P04_RelativeRedirectKeepsItsQuery) {
  // Without the query the hub answers 404, so the file itself proves the rest.
  expect_file(get("1_Pooling/config.json"), "1_Pooling/config.json");
  std::size_t with_query = 0;
  for (const Request& request : hub_.log()) {
    with_query +=
        request.target.starts_with("/api/resolve-cache/") && request.target.find("&etag=%22") != std::string::npos;
  }
  EXPECT_GE(with_query, 1u);
}

TEST_F(HubProtocol, P05_WeakAndQuotedEtags) {
  const std::string etag = hub_.etag(kRepo, "main", "config.json");
  for (const std::string& form : {"W/\"" + etag + "\"", "\"" + etag + "\"", etag}) {
    hub_.clear_faults();
    hub_.inject({.port = Port::hub,
                 .method = "HEAD",
                 .times = kAlways,
                 .headers = {{"ETag", form}, {"X-Linked-ETag", "-"}, {"X-Linked-Size", "-"}}});
    fs::remove_all(cache());
    expect_file(get("config.json"), "config.json");
    EXPECT_TRUE(fs::is_regular_file(repo_folder() / "blobs" / etag)) << form;
  }
}

TEST_F(HubProtocol, P06_LinkedEtagAndSizeArePreferred) {
  std::uint64_t total = 0;
  Download download(client(), request("model.safetensors"), [&](const Progress& progress) { total = progress.total; });
  expect_file(download.wait(), "model.safetensors");
  // The redirect's own ETag is another hash and its Content-Length is that of its text.
  EXPECT_EQ(total, kFiles.at("model.safetensors").size());
  EXPECT_TRUE(fs::is_regular_file(blob("model.safetensors")));
}

TEST_F(HubProtocol, P07_CdnEtagIsIgnored) {
  const std::string other(64, 'a');
  hub_.inject({.port = Port::cdn, .times = kAlways, .headers = {{"ETag", '"' + other + '"'}, {"X-Repo-Commit", "f"}}});
  expect_file(get("model.safetensors"), "model.safetensors");
  EXPECT_GE(hub_.faults_applied(), 1u);
  EXPECT_THAT(tree(repo_folder() / "blobs"), UnorderedElementsAre(hub_.etag(kRepo, "main", "model.safetensors")));
}

TEST_F(HubProtocol, P08_MissingSizeIsTolerated) {
  hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", "-"}}});
  hub_.inject({.port = Port::cdn, .times = kAlways, .chunked = true});
  expect_file(get("model.safetensors"), "model.safetensors");
}

TEST_F(HubProtocol, P08_MissingCommitOrEtagIsATypedError) {
  for (const char* header : {"X-Repo-Commit", "X-Linked-ETag"}) {
    hub_.clear_faults();
    hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{header, "-"}, {"ETag", "-"}}});
    const Outcome outcome = get("model.safetensors");
    ASSERT_FALSE(outcome.ok()) << header;
    EXPECT_EQ(*outcome.error, Errc::local_entry_not_found) << outcome;
    EXPECT_FALSE(outcome.context.cause.empty()) << header;
    EXPECT_FALSE(fs::exists(repo_folder() / "snapshots"));
  }
}

TEST_F(HubProtocol, P09_TokenNeverCrossesOrigins) {
  expect_file(get("model.safetensors"), "model.safetensors");
  expect_file(get("config.json"), "config.json");
  ASSERT_GE(hub_.count(Port::cdn, "GET"), 1u);
  for (const Request& request : hub_.log()) {
    // The CDN is the same host on another port: another origin.
    EXPECT_EQ(request.headers.contains("authorization"), request.port == Port::hub) << request.target;
    EXPECT_EQ(request.target.find(kToken), std::string::npos);
  }
}

TEST_F(HubProtocol, P09_TokenStaysHomeWhenAMetadataRedirectLeavesTheHub) {
  hub_.inject({.port = Port::hub,
               .method = "HEAD",
               .path = "config.json",
               .times = kAlways,
               .headers = {{"Location", hub_.cdn_endpoint() + "/elsewhere"},
                           {"X-Linked-ETag", hub_.etag(kRepo, "main", "config.json")}}});
  const Outcome outcome = get("config.json");
  EXPECT_FALSE(outcome.ok());
  ASSERT_GE(hub_.count(Port::cdn, ""), 1u);
  for (const Request& request : hub_.log()) {
    EXPECT_FALSE(request.port == Port::cdn && request.headers.contains("authorization")) << request.target;
  }
}

TEST_F(HubProtocol, P10_RedirectLoopEnds) {
  hub_.inject({.port = Port::hub, .times = kAlways, .redirect_to_self = true});
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::local_entry_not_found) << outcome;
  EXPECT_THAT(outcome.context.cause, HasSubstr("redirect"));
  EXPECT_LE(hub_.log().size(), 21u);
}

TEST_F(HubProtocolXet, P11_XetHeadersAreIgnored) {
  expect_file(get("model.safetensors"), "model.safetensors");
  for (const Request& request : hub_.log()) {
    EXPECT_EQ(request.target.find("xet"), std::string::npos) << request.target;
  }
}

TEST_F(HubProtocol, P12_ProxyIsUsedForWhatItIsToldAndNotForNoProxy) {
  const std::string proxy = hub_.endpoint();
  changed_.endpoint = "http://hub.invalid";
  changed_.http_proxy = proxy;
  expect_file(get("config.json"), "config.json");
  for (const Request& request : hub_.log()) {
    EXPECT_TRUE(request.target.starts_with("http://hub.invalid/")) << request.target;
  }
  fs::remove_all(cache());
  hub_.clear_log();
  changed_.endpoint = proxy;
  changed_.no_proxy = "127.0.0.1";
  expect_file(get("config.json"), "config.json");
  for (const Request& request : hub_.log()) {
    EXPECT_TRUE(request.target.starts_with("/")) << request.target;
  }
}

/// Sets variables for a scope.
class Environment {
 public:
  explicit Environment(std::map<std::string, std::string> values) : values_(std::move(values)) {
    for (const char* name : {"HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME",
                             "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HOME",
                             "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_DISABLE_SYMLINKS",
                             "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_DISABLE_PROGRESS_BARS"}) {
      if (const char* old = std::getenv(name)) {
        old_[name] = old;
      }
      unsetenv(name);
    }
    for (const auto& [name, value] : values_) {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const auto& [name, value] : values_) {
      unsetenv(name.c_str());
    }
    for (const auto& [name, value] : old_) {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }

 private:
  std::map<std::string, std::string> values_;
  std::map<std::string, std::string> old_;
};

HubOptions options_from(std::map<std::string, std::string> values) {
  values.try_emplace("HOME", "/home/someone");
  const Environment environment(std::move(values));
  return HubOptions::from_environment();
}

TEST_F(HubProtocol, P12_EndpointWithSlashAndEmptyVariablesDownload) {
  const auto process =
      spawn_get("config.json", "main",
                {{"HF_ENDPOINT", hub_.endpoint() + "/"}, {"HF_TOKEN", ""}, {"HF_HUB_OFFLINE", ""}, {"HF_HOME", ""}});
  EXPECT_EQ(process->wait(), 0) << process->output();
  EXPECT_EQ(hub_.log().front().target, "/org/name/resolve/main/config.json");
  EXPECT_FALSE(hub_.log().front().headers.contains("authorization"));
}

TEST(HubEnvironment, P12_EndpointAndCache) {
  EXPECT_EQ(options_from({}).endpoint, "https://huggingface.co");
  EXPECT_EQ(options_from({{"HF_ENDPOINT", ""}}).endpoint, "https://huggingface.co");
  EXPECT_EQ(options_from({{"HF_ENDPOINT", "http://h:1/"}}).endpoint, "http://h:1");
  EXPECT_EQ(options_from({}).cache_dir, "/home/someone/.cache/huggingface/hub");
  EXPECT_EQ(options_from({{"XDG_CACHE_HOME", "/x"}}).cache_dir, "/x/huggingface/hub");
  EXPECT_EQ(options_from({{"HF_HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}).cache_dir, "/h/hub");
  EXPECT_EQ(options_from({{"HF_HOME", ""}, {"XDG_CACHE_HOME", "/x"}}).cache_dir, "/x/huggingface/hub");
  EXPECT_EQ(options_from({{"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HOME", "/h"}}).cache_dir, "/old");
  EXPECT_EQ(options_from({{"HF_HUB_CACHE", "/new"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}).cache_dir, "/new");
  EXPECT_EQ(options_from({{"HF_HUB_CACHE", ""}, {"HUGGINGFACE_HUB_CACHE", "/old"}}).cache_dir, "/old");
  EXPECT_EQ(options_from({{"HF_HOME", "~/h"}}).cache_dir, "/home/someone/h/hub");
  EXPECT_EQ(options_from({{"HF_HUB_CACHE", "$HOME/c"}}).cache_dir, "/home/someone/c");
}

TEST(HubEnvironment, P12_Flags) {
  for (const char* yes : {"1", "ON", "yes", "True"}) {
    EXPECT_TRUE(options_from({{"HF_HUB_OFFLINE", yes}}).offline) << yes;
    EXPECT_TRUE(options_from({{"TRANSFORMERS_OFFLINE", yes}}).offline) << yes;
    EXPECT_FALSE(options_from({{"HF_HUB_DISABLE_SYMLINKS", yes}}).symlinks) << yes;
    EXPECT_FALSE(options_from({{"HF_HUB_DISABLE_PROGRESS_BARS", yes}}).progress_bars) << yes;
  }
  for (const char* no : {"", "0", "off", "2", "y"}) {
    EXPECT_FALSE(options_from({{"HF_HUB_OFFLINE", no}}).offline) << no;
    EXPECT_TRUE(options_from({{"HF_HUB_DISABLE_SYMLINKS", no}}).symlinks) << no;
  }
  EXPECT_EQ(options_from({{"HF_HUB_ETAG_TIMEOUT", "3"}}).etag_timeout, std::chrono::seconds(3));
  EXPECT_EQ(options_from({{"HF_HUB_DOWNLOAD_TIMEOUT", ""}}).download_timeout, std::chrono::seconds(10));
}

TEST(HubEnvironment, P12_Token) {
  const TemporaryFolder home;
  write_file(home.path() / "token", " from-file \n");
  const std::string folder = home.path().string();
  EXPECT_EQ(options_from({{"HF_HOME", folder}}).token, "from-file");
  EXPECT_EQ(options_from({{"HF_HOME", folder}, {"HF_TOKEN", " t\n"}}).token, "t");
  EXPECT_EQ(options_from({{"HF_HOME", folder}, {"HF_TOKEN", ""}}).token, "from-file");
  EXPECT_EQ(options_from({{"HF_HOME", folder}, {"HUGGING_FACE_HUB_TOKEN", "old"}}).token, "old");
  EXPECT_EQ(options_from({{"HF_HOME", folder}, {"HUGGING_FACE_HUB_TOKEN", "old"}, {"HF_TOKEN", "t"}}).token, "t");
  write_file(home.path() / "other", "elsewhere");
  EXPECT_EQ(options_from({{"HF_HOME", folder}, {"HF_TOKEN_PATH", folder + "/other"}}).token, "elsewhere");
  EXPECT_EQ(options_from({{"HF_HOME", folder}, {"HF_TOKEN", "t"}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
  EXPECT_EQ(options_from({{"HF_HOME", "/nowhere"}}).token, "");
}

}  // namespace
}  // namespace stella::test
