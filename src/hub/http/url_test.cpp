#include "hub/http/url.hpp"

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

TEST(Url, OriginIsSchemeHostAndPort) {
  EXPECT_TRUE(same_origin("https://Hub.example/a", "https://hub.example:443/b?c"));
  EXPECT_FALSE(same_origin("https://hub.example", "http://hub.example"));
  EXPECT_FALSE(same_origin("http://hub.example:8000", "http://hub.example:8001"));
  EXPECT_FALSE(same_origin("https://hub.example", "https://hub.example.evil"));
  EXPECT_FALSE(same_origin("https://hub.example", "https://hub.example@evil.example"));
  EXPECT_FALSE(same_origin("nonsense://x", "nonsense://x"));
  EXPECT_FALSE(origin_of("not an address"));
}

TEST(Url, Quoting) {
  // Python: urllib.parse.quote("a b/ü~'(1)", safe="") and safe="/".
  EXPECT_EQ(quote("a b/\xc3\xbc~'(1)", false), "a%20b%2F%C3%BC~%27%281%29");
  EXPECT_EQ(quote("a b/\xc3\xbc~'(1)", true), "a%20b/%C3%BC~%27%281%29");
  EXPECT_EQ(file_url("https://h", "org/name", "refs/pr/1", "a/b c"),
            "https://h/org/name/resolve/refs%2Fpr%2F1/a/b%20c");
}

TEST(Url, RelativeLocationsKeepTheirQuery) {
  EXPECT_EQ(resolve_location("http://h:1/a/b?c=d", "/api/x?y=z"), "http://h:1/api/x?y=z");
  EXPECT_EQ(resolve_location("http://h:1/a/b", "c"), "http://h:1/a/c");
  EXPECT_EQ(resolve_location("https://h/a", "//cdn/b?s=1"), "https://cdn/b?s=1");
  EXPECT_EQ(resolve_location("https://h/a", "https://cdn/b#f"), "https://cdn/b");
  EXPECT_FALSE(resolve_location("https://h/a", "file:///etc/passwd"));
  EXPECT_FALSE(resolve_location("https://h/a", ""));
}

TEST(Url, Redirects) {
  const std::string endpoint = "http://127.0.0.1:8000";
  EXPECT_TRUE(is_hub_redirect(endpoint, endpoint + "/a", endpoint + "/b"));
  EXPECT_TRUE(is_hub_redirect(endpoint, endpoint + "/a", "https://huggingface.co/b"));
  EXPECT_FALSE(is_hub_redirect(endpoint, endpoint + "/a", "http://127.0.0.1:8001/b"));
  EXPECT_FALSE(is_hub_redirect(endpoint, endpoint + "/a", "http://huggingface.co/b"));
  EXPECT_TRUE(is_downgrade("https://a", "http://a"));
  EXPECT_FALSE(is_downgrade("http://a", "http://b"));
  EXPECT_FALSE(is_downgrade("https://a", "https://b"));
}

TEST(Url, SecretsAreLeftOut) {
  EXPECT_EQ(redacted("https://user:password@cdn.example/a/b?X-Signature=s#f"), "https://cdn.example/a/b");
}

}  // namespace
}  // namespace stella::hub
