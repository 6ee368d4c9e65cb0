#include "hub/listing.hpp"

#include "stella/error.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

const std::string kSha256(64, 'e');
const std::string kGit(40, 'a');

TEST(Listing, TreePage) {
  const std::string json = R"([{"type":"directory","oid":"d","path":"a"},
    {"type":"file","oid":")" +
                           kGit +
                           R"(","size":3,"path":"a/b.txt"},
    {"type":"file","oid":"o","size":130,"path":"m.bin","lfs":{"oid":")" +
                           kSha256 + R"(","size":9,"pointerSize":130}},
    {"type":"file","oid":"o","size":1,"path":"../evil"}])";
  const auto files = parse_tree_page(json, "org/name");
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, "a/b.txt");
  EXPECT_EQ(files[0].hash, kGit);
  EXPECT_EQ(files[1].hash, kSha256);
  EXPECT_EQ(files[1].size, 9U);
  EXPECT_THROW(parse_tree_page("<html>", "org/name"), Error);
  EXPECT_THROW(parse_tree_page("{}", "org/name"), Error);
}

}  // namespace
}  // namespace stella::hub
