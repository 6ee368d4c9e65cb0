#include "hub/http/proxy.hpp"

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

struct Case {
  const char* no_proxy;
  const char* url;
  bool bypasses;
};

// Expectations: what requests 2 (should_bypass_proxies) and httpx say, which Python's hub clients use; spaces as
// libcurl.
TEST(NoProxy, EntriesAsPythonReadsThem) {
  const Case cases[] = {
      {"", "http://hub.corp/x", false},
      {"hub.corp", "http://hub.corp/x", true},
      {"hub.corp", "https://hub.corp:8443/x", true},
      {"hub.corp:8443", "https://hub.corp:8443/x", true},
      {"hub.corp:8443", "https://hub.corp/x", false},
      {"hub.corp:443", "https://hub.corp/x", true},
      {"hub.corp:80", "http://hub.corp/x", true},
      {"corp", "http://hub.corp/x", true},
      {".corp", "http://hub.corp/x", true},
      {"*.corp", "http://hub.corp/x", true},
      {".hub.corp", "http://hub.corp/x", true},
      {"ub.corp", "http://hub.corp/x", false},
      {"HUB.Corp", "http://hub.CORP/x", true},
      {"hub.corp.", "http://hub.corp/x", true},
      {"hub.corp", "http://hub.corp./x", true},
      {"a, b ,hub.corp", "http://hub.corp/x", true},
      {"a b hub.corp", "http://hub.corp/x", true},
      {"*", "http://hub.corp/x", true},
      {"a,*", "http://hub.corp/x", true},
      {"127.0.0.1", "http://127.0.0.1:1234/x", true},
      {"127.0.0.1:1234", "http://127.0.0.1:1234/x", true},
      {"127.0.0.1:1235", "http://127.0.0.1:1234/x", false},
      {"0.0.1", "http://127.0.0.1/x", false},
      {"127.0.0.0/8", "http://127.3.0.1/x", true},
      {"10.0.0.0/9", "http://10.128.0.1/x", false},
      {"10.0.0.0/33", "http://10.0.0.1/x", false},
      {"10.0.0.0/8", "http://hub.corp/x", false},
      {"::1", "http://[::1]:80/x", true},
      {"[::1]", "http://[::1]/x", true},
      {"[::1]:81", "http://[::1]/x", false},
      {"[::1]:80", "http://[::1]/x", true},
      {"fd00::/8", "http://[fd12::1]/x", true},
      {"localhost", "http://localhost:3000/x", true},
      {"https://hub.corp", "http://hub.corp/x", false},
      {"http://hub.corp", "http://hub.corp/x", true},
      {",,  ,", "http://hub.corp/x", false},
      {".", "http://hub.corp/x", false},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(bypasses_proxy(one.no_proxy, one.url), one.bypasses) << one.no_proxy << ' ' << one.url;
  }
}

TEST(Proxy, AddressesThatCanBeUsed) {
  for (const char* good : {"http://p:3128", "p:3128", "p", "10.0.0.1:8080", "http://user:pass@p:3128", "https://p",
                           "socks5h://p:1080", "SOCKS5://p", "http://[::1]:3128", "http://u%40corp:p%2Fw@p:1/"}) {
    EXPECT_TRUE(is_proxy(good)) << good;
  }
  for (const char* bad : {"://p", "ftp://p:21", "http://", "http://p:port", "http://p:99999", "p q"}) {
    EXPECT_FALSE(is_proxy(bad)) << bad;
  }
}

}  // namespace
}  // namespace stella::hub
