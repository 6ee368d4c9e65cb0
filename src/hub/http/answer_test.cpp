#include "hub/http/answer.hpp"

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

using std::chrono::seconds;

constexpr std::time_t kNow = 1445412420;  // Wed, 21 Oct 2015 07:27:00 GMT

HttpHead answer(int status, std::vector<std::pair<std::string, std::string>> headers) {
  return {status, "https://hub.example/org/name/resolve/main/f?sig=secret", std::move(headers)};
}

TEST(Answer, ErrorTable) {
  const auto code = [](int status, std::vector<std::pair<std::string, std::string>> headers) {
    return failure_from(answer(status, std::move(headers)), "f of org/name", kNow).code;
  };
  EXPECT_EQ(code(404, {{"x-error-code", "RevisionNotFound"}}), Errc::revision_not_found);
  EXPECT_EQ(code(404, {{"x-error-code", "EntryNotFound"}}), Errc::entry_not_found);
  EXPECT_EQ(code(403, {{"x-error-code", "GatedRepo"}}), Errc::gated_repo);
  EXPECT_EQ(code(404, {{"x-error-code", "RepoNotFound"}}), Errc::repository_not_found);
  EXPECT_EQ(code(401, {}), Errc::repository_not_found);
  EXPECT_EQ(code(401, {{"x-error-message", "Invalid credentials in Authorization header"}}), Errc::http_error);
  for (const int status : {400, 403, 404, 416, 429, 500, 503}) EXPECT_EQ(code(status, {}), Errc::http_error) << status;
  EXPECT_TRUE(failure_from(answer(503, {}), "f", kNow).retry);
  EXPECT_FALSE(failure_from(answer(403, {}), "f", kNow).retry);
}

TEST(Answer, ErrorsCarryTheAddressWithoutItsSecretsOnOneLine) {
  const HttpFailure failure =
      failure_from(answer(500, {{"x-request-id", "r1"}, {"x-error-message", "two\nlines"}}), "f of org/name", kNow);
  EXPECT_EQ(failure.context.url, "https://hub.example/org/name/resolve/main/f");
  EXPECT_EQ(failure.context.request_id, "r1");
  EXPECT_EQ(failure.message.find('\n'), std::string::npos);
  EXPECT_EQ(failure.message.find("secret"), std::string::npos);
}

TEST(Answer, WaitsThatServersAskFor) {
  const auto wait = [](int status, std::string name, std::string value) {
    return requested_wait(answer(status, {{std::move(name), std::move(value)}}), kNow);
  };
  EXPECT_EQ(wait(429, "ratelimit", "\"resolvers\";r=0;t=55"), seconds(56));
  EXPECT_EQ(wait(429, "ratelimit", "\"resolvers\";r=3;t=55"), std::nullopt);
  EXPECT_EQ(wait(429, "retry-after", "120"), seconds(121));
  EXPECT_EQ(wait(503, "retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), seconds(61));
  EXPECT_EQ(wait(503, "retry-after", "Wed, 21 Oct 2015 07:00:00 GMT"), seconds(1));
  EXPECT_EQ(wait(429, "retry-after", "soon"), std::nullopt);
  EXPECT_EQ(wait(429, "x", "y"), std::nullopt);
}

TEST(Answer, ContentRange) {
  const auto range = content_range(answer(206, {{"content-range", "bytes 10-19/100"}}));
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 10U);
  EXPECT_EQ(range->last, 19U);
  EXPECT_EQ(range->total, 100U);
  EXPECT_FALSE(content_range(answer(206, {{"content-range", "bytes 10-19/*"}}))->total);
  for (const char* bad : {"", "bytes */100", "bytes 19-10/100", "items 1-2/3", "bytes -5/100", "bytes 1-2",
                          "bytes 5-9/0", "bytes 5-9/9", "bytes 0-18446744073709551615/*"}) {
    EXPECT_FALSE(content_range(answer(206, {{"content-range", bad}}))) << bad;
  }
  EXPECT_FALSE(content_range(answer(206, {})));
}

TEST(Answer, NextPage) {
  EXPECT_EQ(next_link(answer(200, {{"link", "<https://h/a?cursor=x>; rel=\"next\""}})), "https://h/a?cursor=x");
  EXPECT_EQ(next_link(answer(200, {{"link", "<https://h/p>; rel=\"prev\", <https://h/n>; rel=\"next\""}})),
            "https://h/n");
  EXPECT_EQ(next_link(answer(200, {{"link", "<https://h/p>; rel=\"prev\""}})), "");
  EXPECT_EQ(next_link(answer(200, {})), "");
}

}  // namespace
}  // namespace stella::hub
