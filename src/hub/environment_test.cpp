#include "stella/error.hpp"
#include "stella/hub.hpp"
#include "support/temporary_folder.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

namespace fs = std::filesystem;

const char* const kVariables[] = {"HF_HOME",
                                  "HF_HUB_CACHE",
                                  "HUGGINGFACE_HUB_CACHE",
                                  "XDG_CACHE_HOME",
                                  "HF_ENDPOINT",
                                  "HF_TOKEN",
                                  "HUGGING_FACE_HUB_TOKEN",
                                  "HF_TOKEN_PATH",
                                  "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                                  "HF_HUB_OFFLINE",
                                  "TRANSFORMERS_OFFLINE",
                                  "HF_HUB_DISABLE_PROGRESS_BARS",
                                  "HF_HUB_DISABLE_SYMLINKS",
                                  "HF_HUB_ETAG_TIMEOUT",
                                  "HF_HUB_DOWNLOAD_TIMEOUT",
                                  "HF_HUB_DOWNLOAD_CONNECTIONS",
                                  "HTTP_PROXY",
                                  "HTTPS_PROXY",
                                  "ALL_PROXY",
                                  "NO_PROXY",
                                  "http_proxy",
                                  "https_proxy",
                                  "all_proxy",
                                  "no_proxy",
                                  "SSL_CERT_FILE",
                                  "SSL_CERT_DIR",
                                  "REQUEST_METHOD",
                                  "STELLA_TEST_FOLDER"};

class Environment : public ::testing::Test {
 protected:
  ~Environment() override {
    for (const char* name : kVariables) ::unsetenv(name);
  }

  HubOptions options(const std::map<std::string, std::string>& variables) {
    for (const char* name : kVariables) ::unsetenv(name);
    ::setenv("HOME", home_.c_str(), 1);
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    return HubOptions::from_environment();
  }

  const test::TemporaryFolder folder_;
  const fs::path home_ = folder_.path();
};

TEST_F(Environment, CacheFolder) {
  EXPECT_EQ(options({}).cache_dir, home_ / ".cache/huggingface/hub");
  EXPECT_EQ(options({{"XDG_CACHE_HOME", "/x"}}).cache_dir, "/x/huggingface/hub");
  EXPECT_EQ(options({{"HF_HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}).cache_dir, "/h/hub");
  EXPECT_EQ(options({{"HF_HOME", "/h"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}).cache_dir, "/old");
  EXPECT_EQ(options({{"HF_HUB_CACHE", "/new"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}).cache_dir, "/new");
  EXPECT_EQ(options({{"HF_HUB_CACHE", "~/c"}}).cache_dir, home_ / "c");
  EXPECT_EQ(options({{"HF_HUB_CACHE", "/new"}}).home, home_ / ".cache/huggingface");
  EXPECT_EQ(options({{"HF_HUB_CACHE", "/new"}, {"XDG_CACHE_HOME", "/x"}}).home, "/x/huggingface");
  EXPECT_EQ(options({{"HF_HUB_CACHE", "/new"}, {"HF_HOME", "~/h"}}).home, home_ / "h");
  EXPECT_EQ(options({{"STELLA_TEST_FOLDER", "/f"}, {"HF_HUB_CACHE", "$STELLA_TEST_FOLDER/a/${STELLA_TEST_FOLDER}b"}})
                .cache_dir,
            "/f/a//fb");
  EXPECT_EQ(options({{"HF_HUB_CACHE", "/a/$STELLA_NO_SUCH/b"}}).cache_dir, "/a/$STELLA_NO_SUCH/b");
}

TEST_F(Environment, EmptyVariablesAreUnset) {
  const HubOptions all = options({{"HF_HUB_CACHE", ""}, {"HF_HOME", ""}, {"HF_ENDPOINT", ""}, {"HF_TOKEN", ""}});
  EXPECT_EQ(all.cache_dir, home_ / ".cache/huggingface/hub");
  EXPECT_EQ(all.endpoint, "https://huggingface.co");
  EXPECT_EQ(all.token, "");
}

TEST_F(Environment, Endpoint) {
  EXPECT_EQ(options({{"HF_ENDPOINT", "http://127.0.0.1:1/hf//"}}).endpoint, "http://127.0.0.1:1/hf");
  EXPECT_EQ(options({{"HF_ENDPOINT", "http://h/artifactory/my repo"}}).endpoint, "http://h/artifactory/my%20repo");
  EXPECT_EQ(options({{"HF_ENDPOINT", " http://h \n"}}).endpoint, "http://h");
}

// What cannot be used stops nobody who does not need it: it is told, and counts as unset.
TEST_F(Environment, WhatCannotBeUsedIsAProblemAndNoError) {
  const auto expect_problem = [&](const std::map<std::string, std::string>& variables, const std::string& name) {
    const HubOptions all = options(variables);
    EXPECT_THAT(all.problem, testing::HasSubstr(name));
    EXPECT_EQ(all.endpoint, "https://huggingface.co") << name;
    EXPECT_EQ(all.token, "") << name;
    EXPECT_EQ(all.etag_timeout, std::chrono::seconds(10)) << name;
    EXPECT_EQ(all.http_proxy, "") << name;
    EXPECT_EQ(all.problem.find("secret"), std::string::npos) << all.problem;
  };
  EXPECT_EQ(options({}).problem, "");
  for (const char* bad :
       {"ftp://x", "hf-mirror.com", "http://u:secret@h", "http://h?q", "http://", "://h", "\x1b[2J"}) {
    expect_problem({{"HF_ENDPOINT", bad}}, "HF_ENDPOINT");
  }
  EXPECT_THAT(options({{"HF_ENDPOINT", "hf-mirror.com"}}).problem, testing::HasSubstr("https://hf-mirror.com"));
  expect_problem({{"HF_TOKEN", "a\r\nsecret: 1"}}, "HF_TOKEN");
  expect_problem({{"HF_TOKEN", "hf_1\nsecret"}}, "HF_TOKEN");
  for (const char* bad : {"-1", "x", "1.5", "99999999999999999999"}) {
    expect_problem({{"HF_HUB_ETAG_TIMEOUT", bad}}, "HF_HUB_ETAG_TIMEOUT");
    expect_problem({{"HF_HUB_DOWNLOAD_TIMEOUT", bad}}, "HF_HUB_DOWNLOAD_TIMEOUT");
    expect_problem({{"HF_HUB_DOWNLOAD_CONNECTIONS", bad}}, "HF_HUB_DOWNLOAD_CONNECTIONS");
  }
  expect_problem({{"http_proxy", "ftp://u:secret@p"}}, "http_proxy");
  expect_problem({{"HTTPS_PROXY", "http://u:secret@"}}, "HTTPS_PROXY");
  expect_problem({{"SSL_CERT_FILE", "/dev/zero"}}, "SSL_CERT_FILE");
  // Two of them are both told.
  const std::string both = options({{"HF_ENDPOINT", "x"}, {"HF_HUB_ETAG_TIMEOUT", "y"}}).problem;
  EXPECT_THAT(both, testing::AllOf(testing::HasSubstr("HF_ENDPOINT"), testing::HasSubstr("HF_HUB_ETAG_TIMEOUT")));
}

TEST_F(Environment, TokenFilesThatAreNone) {
  const fs::path file = home_ / "token";
  const auto problem = [&] { return options({{"HF_TOKEN_PATH", file.string()}}).problem; };
  EXPECT_EQ(problem(), "");  // there is none
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_THAT(problem(), testing::HasSubstr("FIFO"));
  EXPECT_EQ(options({{"HF_TOKEN_PATH", file.string()}, {"HF_TOKEN", "hf_x"}}).problem, "");
  fs::remove(file);
  fs::create_symlink("/dev/zero", file);
  EXPECT_THAT(problem(), testing::HasSubstr(file.string()));
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_THAT(problem(), testing::HasSubstr("HF_TOKEN_PATH"));
  fs::remove(file);
  std::ofstream(file) << std::string(100'000, 'x');
  EXPECT_THAT(problem(), testing::HasSubstr(file.string()));
  std::ofstream(file) << "hf_1\nhf_2\n";
  EXPECT_THAT(problem(), testing::HasSubstr(file.string()));
}

TEST_F(Environment, Token) {
  fs::create_directories(home_ / "hf");
  std::ofstream(home_ / "hf/token") << " hf_file\n";
  std::ofstream(home_ / "other") << "hf_other";
  const std::string hf_home = (home_ / "hf").string();
  EXPECT_EQ(options({{"HF_HOME", hf_home}}).token, "hf_file");
  EXPECT_EQ(options({{"HF_HOME", hf_home}, {"HF_TOKEN_PATH", "~/other"}}).token, "hf_other");
  EXPECT_EQ(options({{"HF_HOME", hf_home}, {"HUGGING_FACE_HUB_TOKEN", "hf_old"}}).token, "hf_old");
  EXPECT_EQ(options({{"HF_TOKEN", " hf_new \n"}, {"HUGGING_FACE_HUB_TOKEN", "hf_old"}}).token, "hf_new");
  EXPECT_EQ(options({{"HF_TOKEN", "hf_new"}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
}

TEST_F(Environment, Booleans) {
  for (const char* yes : {"1", "ON", "on", "Yes", "TRUE", "true"}) {
    EXPECT_TRUE(options({{"HF_HUB_OFFLINE", yes}}).offline) << yes;
    EXPECT_FALSE(options({{"HF_HUB_DISABLE_SYMLINKS", yes}}).symlinks) << yes;
  }
  for (const char* no : {"0", "off", "2", "y", ""}) EXPECT_FALSE(options({{"HF_HUB_OFFLINE", no}}).offline) << no;
  EXPECT_TRUE(options({{"TRANSFORMERS_OFFLINE", "1"}}).offline);
  EXPECT_FALSE(options({{"HF_HUB_OFFLINE", "0"}, {"TRANSFORMERS_OFFLINE", "1"}}).offline);
  EXPECT_FALSE(options({{"HF_HUB_DISABLE_PROGRESS_BARS", "1"}}).progress_bars);
}

TEST_F(Environment, Numbers) {
  const HubOptions set =
      options({{"HF_HUB_ETAG_TIMEOUT", "3"}, {"HF_HUB_DOWNLOAD_TIMEOUT", "0"}, {"HF_HUB_DOWNLOAD_CONNECTIONS", "12"}});
  EXPECT_EQ(set.etag_timeout, std::chrono::seconds(3));
  EXPECT_EQ(set.download_timeout, std::chrono::seconds(10));
  EXPECT_EQ(set.connections, 12U);
}

TEST_F(Environment, ProxiesAndCertificates) {
  const HubOptions all = options({{"ALL_PROXY", "http://p:1"},
                                  {"HTTPS_PROXY", "http://p:2"},
                                  {"NO_PROXY", "localhost"},
                                  {"SSL_CERT_FILE", "/ca.pem"},
                                  {"SSL_CERT_DIR", "/ca"}});
  EXPECT_EQ(all.http_proxy, "http://p:1");
  EXPECT_EQ(all.https_proxy, "http://p:2");
  EXPECT_EQ(all.no_proxy, "localhost");
  EXPECT_EQ(all.ca_file, "/ca.pem");
  EXPECT_EQ(all.ca_dir, "/ca");
}

// As Python's urllib.request.getproxies_environment() reads them.
TEST_F(Environment, AnEmptyLowerCaseProxyVoidsTheOther) {
  EXPECT_EQ(options({{"HTTP_PROXY", "http://p:1"}}).http_proxy, "http://p:1");
  EXPECT_EQ(options({{"http_proxy", ""}, {"HTTP_PROXY", "http://p:1"}}).http_proxy, "");
  EXPECT_EQ(options({{"http_proxy", "http://q:1"}, {"HTTP_PROXY", "http://p:1"}}).http_proxy, "http://q:1");
  EXPECT_EQ(options({{"http_proxy", ""}, {"ALL_PROXY", "http://a:1"}}).http_proxy, "http://a:1");
  EXPECT_EQ(options({{"all_proxy", ""}, {"ALL_PROXY", "http://a:1"}}).https_proxy, "");
  EXPECT_EQ(options({{"no_proxy", ""}, {"NO_PROXY", "hub"}}).no_proxy, "");
  EXPECT_EQ(options({{"HTTP_PROXY", "http://p:1"}, {"REQUEST_METHOD", "GET"}}).http_proxy, "");
  EXPECT_EQ(options({{"HTTPS_PROXY", "p:3128"}}).https_proxy, "p:3128");
}

}  // namespace
}  // namespace stella
