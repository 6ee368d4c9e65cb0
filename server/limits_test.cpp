#include "server/limits.hpp"

#include "stella/error.hpp"

#include <cstdint>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal_of(std::string_view text) {
  Options options;
  try {
    read_limits(options, text, "limits.txt");
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Limits, AFileHasOneALine) {
  Options options;
  read_limits(options, "# of the night\n\npayload-limit = 5\r\nmax-concurrent-requests=7\n max-client-share = 50", "f");
  EXPECT_EQ(options.limits.body_bytes, 5);
  EXPECT_EQ(options.admission.texts, 7);
  EXPECT_EQ(options.admission.share_of_client, 0.5);
  EXPECT_EQ(options.admission.tokens, Options{}.admission.tokens);
}

TEST(Limits, WhatIsWrongIsNamedWithItsLine) {
  EXPECT_THAT(refusal_of("\nx = 1"), AllOf(HasSubstr("limits.txt"), HasSubstr("line 2"), HasSubstr("payload-limit")));
  EXPECT_THAT(refusal_of("payload-limit 1"), HasSubstr("line 1"));
  for (const char* value : {"", "-1", "1.5", "0", "1k", "99999999999999999999"}) {
    EXPECT_THAT(refusal_of("payload-limit = " + std::string(value)), HasSubstr("line 1")) << value;
  }
}

TEST(Limits, EveryNameCanBeSet) {
  for (const LimitName& limit : limit_names()) {
    Options options;
    EXPECT_NO_THROW(set_limit(options, limit.name, 1)) << limit.name;
  }
}

TEST(Limits, TheBatchFollowsWhatMayBeUnderWay) {
  Options options;
  EXPECT_EQ(completed(options).max_client_batch_size, 2048);
  options.admission.texts = 4;
  EXPECT_EQ(completed(options).max_client_batch_size, 4);
  options.max_client_batch_size = 5;
  EXPECT_THROW(completed(options), Error);
}

constexpr std::uint64_t kMib = std::uint64_t{1} << 20U;

TEST(Limits, RequestsGetAShareOfTheMemoryThatThereIs) {
  EXPECT_EQ(default_request_memory(208 * kMib), 52 * kMib);
  EXPECT_EQ(default_request_memory(4096 * kMib), 1024 * kMib);
  EXPECT_EQ(default_request_memory(4097 * kMib), 1024 * kMib);
  EXPECT_EQ(default_request_memory(std::numeric_limits<std::uint64_t>::max()), 1024 * kMib);
  EXPECT_GT(completed(Options{}).request_memory, 0);
}

TEST(Limits, MemoryThatCannotBeHadIsSaidInOneLine) {
  EXPECT_EQ(remark_on_request_memory(208 * kMib, 208 * kMib), "");
  const std::string remark = remark_on_request_memory(209 * kMib, 208 * kMib);
  EXPECT_THAT(remark, AllOf(HasSubstr("--max-request-memory 209"), HasSubstr("208 MiB"), HasSubstr("give 52 or")));
  EXPECT_EQ(remark.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace stella::server
