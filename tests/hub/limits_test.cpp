// What a hub may make the client spend, and how soon it lets go: every limit is an error that names it.
#include "hub/support.hpp"

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <netdb.h>
#include <sys/resource.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

// A name server that does not answer until the test is over.
std::mutex resolver_mutex;
std::condition_variable resolver_waits;
int waiting_resolvers = 0;
bool resolver_answers = false;

}  // namespace

// In place of the C library's, for libcurl too.
extern "C" int getaddrinfo(const char* name, const char* /*service*/, const addrinfo* /*hints*/,
                           addrinfo** /*result*/) {
  if (name != nullptr && std::string(name) != "silent.invalid") return EAI_NONAME;
  std::unique_lock lock(resolver_mutex);
  ++waiting_resolvers;
  resolver_waits.notify_all();
  resolver_waits.wait(lock, [] { return resolver_answers; });
  return EAI_AGAIN;
}

namespace stella::test {
namespace {

using std::chrono::steady_clock;
using ::testing::HasSubstr;

class HubLimits : public HubTest {
 protected:
  HubLimits() { hub_.add_revision(kRepo, "main", files_); }
  struct Listed {
    std::vector<hub::RepoFile> files{};
    std::optional<Errc> error{};
    std::string what{};
  };
  Listed list() {
    std::promise<Listed> promise;
    client().list_files(request({}), {}, [&](std::exception_ptr error, std::vector<hub::RepoFile> files) {
      Listed listed{.files = std::move(files)};
      try {
        if (error) std::rethrow_exception(error);
      } catch (const Error& known) {
        listed.error = known.errc();
        listed.what = known.what();
      }
      promise.set_value(std::move(listed));
    });
    return promise.get_future().get();
  }
  void expect_limit(const Outcome& outcome, const std::string& limit) {
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(*outcome.error, Errc::limit_exceeded) << outcome;
    EXPECT_THAT(outcome.what, HasSubstr(limit));
    EXPECT_THAT(outcome.what, HasSubstr("org/name"));
    EXPECT_TRUE(partials().empty());
  }

  const std::map<std::string, std::string> files_ = {
      {"config.json", "{}"}, {"tokenizer.json", "{\"a\": 1}"}, {"model.safetensors", random_bytes(2'000'000, 5)}};
};

TEST_F(HubLimits, Headers) {
  std::map<std::string, std::string> many;
  for (int i = 0; i < 100; ++i) many["X-Filler-" + std::to_string(i)] = std::string(1000, 'x');
  for (const auto& headers :
       {many, {{"X-Filler", std::string(80'000, 'x')}}, {{"X-Filler", std::string(200'000, 'x')}}}) {
    for (const Port port : {Port::hub, Port::cdn}) {
      hub_.clear_faults();
      hub_.inject({.port = port, .times = kAlways, .headers = headers});
      expect_limit(get("model.safetensors"), "65536 bytes of headers");
    }
  }
}

TEST_F(HubLimits, AnnouncedSizesOfFilesThatAreReadWhole) {
  hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", "3000000000"}}});
  expect_limit(get("config.json"), std::to_string(64U << 20U));
  expect_limit(get("tokenizer.json"), std::to_string(256U << 20U));
  EXPECT_EQ(hub_.body_bytes("json"), 0u);
}

TEST_F(HubLimits, ABodyOfUnknownSize) {
  tuning_.most_without_size = 1'000'000;
  hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", "-"}}});
  hub_.inject({.port = Port::cdn, .times = kAlways, .chunked = true});
  expect_limit(get("model.safetensors"), "1000000");
}

TEST_F(HubLimits, AListing) {
  EXPECT_EQ(list().files.size(), 3u);
  // One page of more than eight MiB.
  hub_.inject({.port = Port::hub, .times = kAlways, .status = 200, .body = "[" + std::string(9'000'000, ' ') + "]"});
  Listed listed = list();
  EXPECT_EQ(listed.error, Errc::limit_exceeded) << listed.what;
  EXPECT_THAT(listed.what, HasSubstr(std::to_string(8U << 20U)));
  // Pages without end, which together are too many.
  hub_.clear_faults();
  const std::string next = "<" + hub_.endpoint() + "/api/models/org/name/tree/main?cursor=1>; rel=\"next\"";
  hub_.inject({.port = Port::hub,
               .times = kAlways,
               .status = 200,
               .body = "[" + std::string(4'000'000, ' ') + "]",
               .headers = {{"Link", next}}});
  listed = list();
  EXPECT_EQ(listed.error, Errc::limit_exceeded) << listed.what;
  EXPECT_THAT(listed.what, HasSubstr(std::to_string(64U << 20U)));
}

TEST_F(HubLimits, TheBodyOfARedirectIsNotWaitedFor) {
  hub_.inject({.port = Port::hub,
               .method = "GET",
               .path = "config.json",
               .times = 1,
               .status = 302,
               .body = std::string(20'000'000, 'x'),
               .headers = {{"Location", hub_.endpoint() + "/org/name/resolve/main/config.json"}},
               .rate = 200'000});
  const auto before = steady_clock::now();
  const Outcome outcome = get("config.json");
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_LT(steady_clock::now() - before, std::chrono::seconds(30));  // all of it takes a hundred
}

TEST_F(HubLimits, CancellingDoesNotWaitForANameServer) {
  changed_.endpoint = "http://silent.invalid";
  changed_.etag_timeout = std::chrono::minutes(5);
  Download download(client(), request("config.json"));
  {
    std::unique_lock lock(resolver_mutex);
    ASSERT_TRUE(resolver_waits.wait_for(lock, std::chrono::seconds(60), [] { return waiting_resolvers > 0; }));
  }
  // Were it waited for, neither of these would come back: it answers only below.
  download.cancel();
  EXPECT_EQ(download.wait().error, Errc::cancelled);
  restart_client();
  const std::lock_guard lock(resolver_mutex);
  resolver_answers = true;
  resolver_waits.notify_all();
}

TEST_F(HubLimits, FewDescriptorsAreSaidToBeFew) {
  client();
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit few = old;
  few.rlim_cur = 3;  // nothing more can be opened
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const Outcome outcome = get("config.json");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::resource_limit) << outcome;
  const Outcome next = get("config.json");
  EXPECT_TRUE(next.ok()) << next;
}

TEST_F(HubLimits, ProblemsOfTheEnvironmentStopOnlyWhatNeedsTheHub) {
  ASSERT_TRUE(get("config.json").ok());
  changed_.problem = "HF_ENDPOINT is 'x', which is no address";
  hub_.clear_log();
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::invalid_argument);
  EXPECT_THAT(outcome.what, HasSubstr("HF_ENDPOINT"));
  EXPECT_EQ(list().error, Errc::invalid_argument);
  EXPECT_TRUE(hub_.log().empty());
  changed_.offline = true;
  EXPECT_TRUE(get("config.json").ok());
  EXPECT_EQ(list().files.size(), 1u);
}

TEST_F(HubLimits, AProxyThatIsNoneIsNotShown) {
  changed_.http_proxy = "ftp://user:secret@proxy";
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::invalid_argument) << outcome;
  EXPECT_EQ(outcome.what.find("secret"), std::string::npos) << outcome.what;
}

TEST_F(HubLimits, ExceptionsFromTheProxyMayHaveAPort) {
  changed_.http_proxy = "http://127.0.0.1:1";  // nobody listens
  changed_.no_proxy = "elsewhere, 127.0.0.1:" + std::to_string(hub_.port());
  EXPECT_TRUE(get("config.json").ok());
  fs::remove_all(cache());
  changed_.no_proxy = "127.0.0.1:2";
  EXPECT_FALSE(get("config.json").ok());
}

}  // namespace
}  // namespace stella::test
