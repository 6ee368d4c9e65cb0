// Points 31-44 of docs/hub.md: everything that can break, broken.
#include "hub/support.hpp"

#include <ctime>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr std::size_t kSize = 6'000'000;

class HubFaults : public HubTest {
 protected:
  explicit HubFaults(HubServerOptions server = {}) : HubTest(server) {
    commit_ = hub_.add_revision(kRepo, "main", files_);
    changed_.download_timeout = std::chrono::seconds(2);
    changed_.etag_timeout = std::chrono::seconds(2);
  }
  /// The file arrives whole although the faults injected before were met.
  void expect_survives(const std::string& file = "model.safetensors") {
    const Outcome outcome = get(file);
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(read_file(outcome.path) == files_.at(file)) << "wrong bytes";
    EXPECT_GE(hub_.faults_applied(), 1u) << "the fault was never met";
    EXPECT_TRUE(partials().empty());
  }
  /// Of answers that no fault touched.
  std::uint64_t honest_bytes() const {
    std::uint64_t sum = 0;
    for (const Request& request : hub_.log()) {
      sum += request.port == Port::cdn && !request.faulted ? request.body_bytes : 0;
    }
    return sum;
  }
  /// For tests that count bytes: where several connections share the rest, what was on its way when one of them gave a
  /// part away is lost, and how much that is, is the machine's affair.
  void use_one_connection() { changed_.connections = 1; }
  void start_over() {
    restart_client();
    hub_.clear_faults();
    hub_.clear_log();
    fs::remove_all(cache());
  }

  const std::map<std::string, std::string> files_ = {{"config.json", random_bytes(50'000, 5)},
                                                     {"model.safetensors", random_bytes(kSize, 6)}};
  std::string commit_;
};

class HubFaultsTls : public HubFaults {
 protected:
  explicit HubFaultsTls(Tls kind = Tls::trusted) : HubFaults({.tls = kind}) {}
};
class HubFaultsUntrusted : public HubFaultsTls {
 protected:
  HubFaultsUntrusted() : HubFaultsTls(Tls::untrusted) {}
};
class HubFaultsWrongHost : public HubFaultsTls {
 protected:
  HubFaultsWrongHost() : HubFaultsTls(Tls::wrong_host) {}
};

TEST_F(HubFaults, P31_CutByFin) {
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1'000'000}, kSize - 1}) {
    start_over();
    hub_.inject({.port = Port::cdn, .cut_at = at});
    expect_survives();
  }
  start_over();
  hub_.inject({.port = Port::hub, .method = "GET", .path = "config.json", .cut_at = 10'000});
  expect_survives("config.json");
}

TEST_F(HubFaults, P31_CutByReset) {
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1'000'000}, kSize - 1}) {
    start_over();
    hub_.inject({.port = Port::cdn, .cut_at = at, .reset = true});
    expect_survives();
  }
  start_over();
  hub_.inject({.port = Port::hub, .close_at_once = true, .reset = true});
  expect_survives();
}

TEST_F(HubFaults, P31_ACutGoesOnWhereItEnded) {
  use_one_connection();
  hub_.inject({.port = Port::cdn, .cut_at = 1'500'000});
  expect_survives();
  // Nothing that was received is fetched again.
  EXPECT_LE(hub_.body_bytes("model.safetensors"), kSize + 300'000);
}

TEST_F(HubFaults, P32_WrongContentLength) {
  for (const std::int64_t delta : {std::int64_t{10}, std::int64_t{-10}}) {
    start_over();
    hub_.inject({.port = Port::cdn, .length_delta = delta});
    expect_survives();
  }
  start_over();
  hub_.inject({.port = Port::hub, .method = "GET", .path = "config.json", .length_delta = -10});
  hub_.inject({.port = Port::hub, .method = "GET", .path = "config.json", .length_delta = 10});
  expect_survives("config.json");
}

TEST_F(HubFaults, P32_Chunked) {
  hub_.inject({.port = Port::cdn, .times = kAlways, .chunked = true});
  expect_survives();
  hub_.inject({.port = Port::hub, .method = "GET", .times = kAlways, .chunked = true});
  expect_survives("config.json");
}

TEST_F(HubFaults, P32_AnnouncedSizeThatIsWrongForEverIsAnIntegrityError) {
  for (const char* size : {"5999999", "6000001"}) {
    start_over();
    hub_.inject({.port = Port::hub, .times = kAlways, .headers = {{"X-Linked-Size", size}}});
    const Outcome outcome = get("model.safetensors");
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(*outcome.error, Errc::integrity) << outcome;
    EXPECT_FALSE(fs::exists(blob("model.safetensors")));
  }
}

TEST_F(HubFaults, P33_FlippedByteIsFetchedAgain) {
  hub_.inject({.port = Port::cdn, .flip_at = 12'345});
  expect_survives();
  hub_.inject({.port = Port::hub, .method = "GET", .path = "config.json", .flip_at = 17});
  expect_survives("config.json");
}

TEST_F(HubFaults, P33_FlippedForEverIsAnIntegrityErrorAndNothingIsKept) {
  use_one_connection();
  hub_.inject({.port = Port::cdn, .times = kAlways, .flip_at = 12'345});
  const Outcome outcome = get("model.safetensors");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::integrity) << outcome;
  EXPECT_FALSE(fs::exists(blob("model.safetensors")));
  EXPECT_FALSE(fs::exists(repo_folder() / "snapshots" / commit_ / "model.safetensors"));
  // Twice, no more: a hub that serves the wrong file would be asked for ever.
  EXPECT_LE(hub_.body_bytes("model.safetensors"), 2 * kSize + 300'000);
  hub_.clear_faults();
  EXPECT_TRUE(get("model.safetensors").ok());
}

TEST_F(HubFaults, P34_RangeIgnored) {
  use_one_connection();
  hub_.inject({.port = Port::cdn, .cut_at = 2'000'000});
  hub_.inject({.port = Port::cdn, .times = kAlways, .ignore_range = true});
  expect_survives();
  // The cut one and one whole answer: a 200 taken for the range would only show in the hash, and cost another one.
  EXPECT_LE(hub_.body_bytes("model.safetensors"), 2'000'000 + kSize);
}

TEST_F(HubFaults, P34_RangeLying) {
  use_one_connection();
  for (const std::int64_t by : {std::int64_t{1}, std::int64_t{100'000}}) {
    start_over();
    hub_.inject({.port = Port::cdn, .cut_at = 2'000'000});
    hub_.inject({.port = Port::cdn, .only_ranges = true, .times = 1, .lie_about_range = by});
    expect_survives();
    // Refused by its Content-Range, not by the hash: nothing that came before is fetched again.
    EXPECT_LE(honest_bytes(), kSize - 2'000'000);
    start_over();
    hub_.inject({.port = Port::cdn, .cut_at = 2'000'000});
    hub_.inject({.port = Port::cdn, .only_ranges = true, .times = 1, .shift_body = by});
    expect_survives();
  }
}

TEST_F(HubFaults, P34_RangeLyingForEverIsAnError) {
  hub_.inject({.port = Port::cdn, .cut_at = 2'000'000});
  hub_.inject({.port = Port::cdn, .times = kAlways, .shift_body = 7});
  const Outcome outcome = get("model.safetensors");
  EXPECT_FALSE(outcome.ok() && read_file(outcome.path) != files_.at("model.safetensors"))
      << "a wrong file was accepted";
}

TEST_F(HubFaults, P35_RangeNotSatisfiable) {
  hub_.inject({.port = Port::cdn, .cut_at = 2'000'000});
  hub_.inject({.port = Port::cdn, .only_ranges = true, .status = 416, .headers = {{"Content-Range", "bytes */0"}}});
  expect_survives();
}

std::string http_date(int seconds_from_now) {
  const std::time_t when = std::time(nullptr) + seconds_from_now;
  std::tm parts{};
  gmtime_r(&when, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

TEST_F(HubFaults, P36_TooManyRequestsInEveryForm) {
  const std::vector<std::map<std::string, std::string>> forms = {{{"RateLimit", "\"resolvers\";r=0;t=1"}},
                                                                 {{"Retry-After", "0"}},
                                                                 {{"Retry-After", http_date(1)}},
                                                                 {{"Retry-After", "soon"}},
                                                                 {}};
  for (const Port port : {Port::hub, Port::cdn}) {
    for (const auto& headers : forms) {
      start_over();
      hub_.inject({.port = port, .path = "model", .status = 429, .body = "slow down", .headers = headers});
      expect_survives();
    }
  }
}

TEST_F(HubFaults, P36_TheWaitThatTheServerAsksForIsKept) {
  for (const char* header : {"RateLimit", "Retry-After"}) {
    start_over();
    const std::string value = std::string(header) == "RateLimit" ? "\"resolvers\";r=0;t=1" : "1";
    hub_.inject({.port = Port::hub, .path = "config", .status = 429, .headers = {{header, value}}});
    const auto before = std::chrono::steady_clock::now();
    expect_survives("config.json");
    // At least so long: nothing is said about how much longer a busy machine takes.
    EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::seconds(1)) << header;
  }
}

TEST_F(HubFaults, P36_TheWaitIsCapped) {
  tuning_.retries.longest_asked = milliseconds(50);
  hub_.inject({.port = Port::hub, .path = "config", .status = 429, .headers = {{"Retry-After", "1000000"}}});
  expect_survives("config.json");
}

TEST_F(HubFaults, P37_ServerErrorStorms) {
  for (const Port port : {Port::hub, Port::cdn}) {
    for (const int status : {500, 502, 503, 504, 408}) {
      start_over();
      hub_.inject({.port = port, .path = "model", .times = 2, .status = status, .body = "<html>oops</html>"});
      expect_survives();
    }
  }
}

TEST_F(HubFaults, P37_AStormThatNeverEndsUsesTheCachedCopy) {
  ASSERT_TRUE(get("config.json").ok());
  hub_.inject({.port = Port::hub, .times = kAlways, .status = 503});
  const Outcome cached = get("config.json");
  ASSERT_TRUE(cached.ok()) << cached;
  EXPECT_EQ(read_file(cached.path), files_.at("config.json"));
}

TEST_F(HubFaults, P38_ExpiredSignedUrlIsResolvedAnew) {
  hub_.inject({.port = Port::cdn, .cut_at = 2'000'000});
  hub_.inject({.port = Port::cdn, .expire_urls = true});
  expect_survives();
  EXPECT_GE(hub_.count(Port::hub, "", "model.safetensors"), 2u);
}

TEST_F(HubFaults, P38_ExpiredBeforeTheFirstByte) {
  for (const int status : {401, 403, 404, 410}) {
    start_over();
    hub_.inject({.port = Port::cdn, .status = status, .body = "<Error><Code>AccessDenied</Code></Error>"});
    expect_survives();
  }
}

TEST_F(HubFaults, P39_StallIsGivenUpOn) {
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{500'000}}) {
    start_over();
    hub_.inject({.port = Port::cdn, .stall_at = at});
    expect_survives();
  }
}

TEST_F(HubFaults, P39_SlowLorisIsGivenUpOn) {
  // Each byte comes within the read timeout, so only a low-speed limit ends this one.
  hub_.inject({.port = Port::cdn, .drip_bytes = 1, .drip_every = milliseconds(300)});
  expect_survives();
}

TEST_F(HubFaults, P39_SilentMetadataIsGivenUpOn) {
  ASSERT_TRUE(get("config.json").ok());
  hub_.inject({.port = Port::hub, .method = "HEAD", .times = kAlways, .delay = std::chrono::hours(1)});
  const Outcome cached = get("config.json");
  EXPECT_TRUE(cached.ok()) << cached;
}

TEST_F(HubFaultsTls, P40_TrustedCertificateWorks) {
  ASSERT_TRUE(hub_.endpoint().starts_with("https://"));
  EXPECT_TRUE(get("model.safetensors").ok());
  EXPECT_TRUE(get("config.json").ok());
}

TEST_F(HubFaultsTls, P40_TruncatedTlsIsNotTheEndOfTheFile) {
  hub_.inject({.port = Port::cdn, .cut_at = 1'000'000, .reset = true});
  expect_survives();
  start_over();
  // Without a length only close_notify tells a whole body from a cut one.
  hub_.inject({.port = Port::cdn, .headers = {{"Content-Length", "-"}}, .cut_at = 1'000'000, .reset = true});
  expect_survives();
}

TEST_F(HubFaultsTls, P40_NoDowngradeToClearText) {
  HubServer clear;
  clear.add_revision(kRepo, "main", files_);
  const std::string location = clear.endpoint() + "/org/name/resolve/main/model.safetensors";
  for (const char* method : {"HEAD", "GET"}) {
    Fault fault{.method = method, .times = kAlways, .headers = {{"Location", location}}};
    fault.status = std::string(method) == "GET" ? 302 : 0;  // the body's host redirects; or the metadata's answer does
    hub_.clear_faults();
    hub_.inject(fault);
    const Outcome outcome = get("model.safetensors");
    EXPECT_FALSE(outcome.ok());
    EXPECT_TRUE(clear.log().empty()) << "asked in clear text for " << clear.log().front().target;
  }
}

TEST_F(HubFaultsUntrusted, P40_UntrustedCertificateIsRefused) {
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.what + outcome.context.cause, HasSubstr("certificate"));
  EXPECT_TRUE(hub_.log().empty());
}

TEST_F(HubFaultsWrongHost, P40_CertificateOfAnotherHostIsRefused) {
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_TRUE(hub_.log().empty());
}

TEST_F(HubFaults, P41_FullDiskIsAnErrorAndTheNextRunWorks) {
  // A limit on the size of files stands for a full disk: write(2) fails, and no privileges are needed to arrange it.
  const std::map<std::string, std::string> environment = {
      {"HF_ENDPOINT", hub_.endpoint()}, {"HF_HUB_CACHE", cache().string()}, {"HOME", dir_.path().string()}};
  Process process(
      {"/bin/sh", "-c",
       std::string("trap '' XFSZ; ulimit -f 2000; exec ") + STELLA_HUB_GET + " org/name main model.safetensors"},
      environment);
  EXPECT_EQ(process.wait(), 3) << process.output();
  EXPECT_THAT(process.output(), HasSubstr(cache().string()));
  EXPECT_FALSE(fs::exists(blob("model.safetensors")));
  const Outcome next = get("model.safetensors");
  ASSERT_TRUE(next.ok()) << next;
  EXPECT_TRUE(read_file(next.path) == files_.at("model.safetensors"));
}

TEST_F(HubFaults, P43_GarbageOnHeadUsesTheCachedCopy) {
  ASSERT_TRUE(get("config.json").ok());
  const std::vector<Fault> garbage = {{.raw = "\x01\x02\x03 not HTTP at all\r\n\r\n"},
                                      {.status = 200, .body = "<html>Please log in to the network</html>"},
                                      {.close_at_once = true},
                                      {.close_at_once = true, .reset = true},
                                      {.headers = {{"X-Filler", std::string(200'000, 'x')}}}};
  for (Fault fault : garbage) {
    hub_.clear_faults();
    fault.port = Port::hub;
    fault.times = kAlways;
    hub_.inject(fault);
    const Outcome cached = get("config.json");
    ASSERT_TRUE(cached.ok()) << cached;
    EXPECT_EQ(cached.path, repo_folder() / "snapshots" / commit_ / "config.json");
  }
}

struct ErrorForm {
  int status;
  const char* code;
  const char* message;
  Errc without_copy;
  bool uses_copy;
};

class HubErrors : public HubFaults, public ::testing::WithParamInterface<ErrorForm> {};

TEST_P(HubErrors, P44_TypedErrorAndCachedCopyRule) {
  const ErrorForm& form = GetParam();
  Fault fault{.port = Port::hub, .times = kAlways, .status = form.status, .body = "no"};
  if (*form.code != '\0') {
    fault.headers["X-Error-Code"] = form.code;
  }
  if (*form.message != '\0') {
    fault.headers["X-Error-Message"] = form.message;
  }
  fault.headers["X-Request-Id"] = "Root=1-abc";
  ASSERT_TRUE(get("config.json").ok());
  hub_.inject(fault);
  const Outcome with_copy = get("config.json");
  EXPECT_EQ(with_copy.ok(), form.uses_copy) << with_copy;
  if (!form.uses_copy) {
    EXPECT_EQ(*with_copy.error, form.without_copy) << with_copy;
  }
  fs::remove_all(cache());
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, form.without_copy) << outcome;
  EXPECT_THAT(outcome.what, HasSubstr("org/name"));
  EXPECT_EQ(outcome.context.http_status, form.status) << outcome;
  EXPECT_EQ(outcome.context.request_id, "Root=1-abc");
  EXPECT_THAT(outcome.context.url, HasSubstr("/org/name/resolve/main/config.json"));
  if (form.without_copy == Errc::local_entry_not_found) {
    EXPECT_THAT(outcome.context.cause, HasSubstr(std::to_string(form.status)));
  }
}

INSTANTIATE_TEST_SUITE_P(All, HubErrors,
                         ::testing::Values(ErrorForm{404, "RevisionNotFound", "", Errc::revision_not_found, false},
                                           ErrorForm{404, "EntryNotFound", "", Errc::entry_not_found, false},
                                           ErrorForm{401, "GatedRepo", "", Errc::gated_repo, true},
                                           ErrorForm{403, "GatedRepo", "", Errc::gated_repo, true},
                                           ErrorForm{404, "RepoNotFound", "", Errc::repository_not_found, true},
                                           ErrorForm{401, "RepoNotFound", "", Errc::repository_not_found, true},
                                           ErrorForm{401, "", "", Errc::repository_not_found, true},
                                           ErrorForm{401, "", "Invalid credentials in Authorization header",
                                                     Errc::local_entry_not_found, true},
                                           ErrorForm{400, "", "", Errc::local_entry_not_found, true},
                                           ErrorForm{403, "", "", Errc::local_entry_not_found, true},
                                           ErrorForm{416, "", "", Errc::local_entry_not_found, true},
                                           ErrorForm{501, "", "", Errc::local_entry_not_found, true}),
                         [](const auto& param) {
                           return std::to_string(param.param.status) + "_" + param.param.code +
                                  std::to_string(param.index);
                         });

TEST_F(HubFaults, P44_UnreachableHub) {
  hub_.suspend();
  const Outcome outcome = get("config.json");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(*outcome.error, Errc::local_entry_not_found) << outcome;
  EXPECT_THAT(outcome.context.cause, HasSubstr("onnect"));
}

TEST_F(HubFaults, P44_PrivateAndGatedRepositories) {
  hub_.set_gated(kRepo, "hf_right");
  EXPECT_EQ(get("config.json").error, Errc::gated_repo);
  changed_.token = "hf_right";
  EXPECT_TRUE(get("config.json").ok());
  EXPECT_TRUE(get("model.safetensors").ok());
}

}  // namespace
}  // namespace stella::test
