#include "hub/cache/hasher.hpp"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

std::string digest_of(std::size_t etag_length, const std::string& text) {
  Hasher hasher(std::string(etag_length, '0'), text.size());
  for (const char& c : text) hasher.update(std::as_bytes(std::span(&c, 1)));
  return hasher.digest();
}

TEST(Hasher, KnownValues) {
  EXPECT_EQ(digest_of(64, "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of(64, ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // "printf 'hello\n' | git hash-object --stdin", and of the empty file.
  EXPECT_EQ(digest_of(40, "hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(digest_of(40, ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

}  // namespace
}  // namespace stella::hub
