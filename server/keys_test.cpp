#include "server/keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

TEST(ApiKeys, AcceptsItsOwnOnly) {
  const ApiKeys keys({"first", "second key"});
  EXPECT_TRUE(keys.accepts("Bearer first"));
  EXPECT_TRUE(keys.accepts("bearer  second key "));
  for (const char* wrong : {"", "first", "Bearer", "Bearer ", "Bearer firs", "Bearer first2", "Bearer First",
                            "Basic first", "Bearerfirst"}) {
    EXPECT_FALSE(keys.accepts(wrong)) << wrong;
  }
  EXPECT_EQ(keys.client_of("Bearer first"), keys.client_of("bearer  first "));
  EXPECT_NE(keys.client_of("Bearer first"), keys.client_of("Bearer second key"));
  EXPECT_EQ(keys.client_of("Bearer first").find("first"), std::string::npos);
  EXPECT_EQ(keys.client_of("Bearer other"), "");
  EXPECT_TRUE(ApiKeys({}).empty());
  EXPECT_FALSE(ApiKeys({}).accepts("Bearer "));
}

TEST(ApiKeys, FilesHaveOneALine) {
  EXPECT_THAT(keys_of_text("# team a\na\r\n\n  b  \nc"), testing::ElementsAre("a", "b", "c"));
  EXPECT_THAT(keys_of_text("\n#\n"), testing::IsEmpty());
}

}  // namespace
}  // namespace stella::server
