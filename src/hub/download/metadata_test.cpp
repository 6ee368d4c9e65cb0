#include "hub/download/metadata.hpp"

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

const std::string kCommit(40, 'c');
const std::string kSha256(64, 'e');
const std::string kGit(40, 'a');

HttpHead answer(int status, std::vector<std::pair<std::string, std::string>> headers) {
  return {status, "https://hub.example/org/name/resolve/main/f?sig=secret", std::move(headers)};
}

Errc metadata_error(const HttpHead& head) {
  try {
    metadata_from(head);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
    return error.errc();
  }
  return Errc{};
}

TEST(Metadata, LinkedHeadersWinOverPlainOnes) {
  const FileMetadata metadata = metadata_from(answer(302, {{"x-repo-commit", kCommit},
                                                           {"etag", "\"" + kGit + "\""},
                                                           {"x-linked-etag", "\"" + kSha256 + "\""},
                                                           {"x-linked-size", "123"},
                                                           {"content-length", "45"},
                                                           {"location", "https://cdn.example/x?y=1"}}));
  EXPECT_EQ(metadata.etag, kSha256);
  EXPECT_EQ(metadata.size, 123U);
  EXPECT_EQ(metadata.location, "https://cdn.example/x?y=1");
}

TEST(Metadata, PlainAnswer) {
  const FileMetadata metadata =
      metadata_from(answer(200, {{"x-repo-commit", kCommit}, {"etag", "W/\"" + kGit + "\""}, {"content-length", "7"}}));
  EXPECT_EQ(metadata.etag, kGit);
  EXPECT_EQ(metadata.commit, kCommit);
  EXPECT_EQ(metadata.size, 7U);
  EXPECT_EQ(metadata.location, "https://hub.example/org/name/resolve/main/f?sig=secret");
}

TEST(Metadata, SizeOfARedirectBodyIsNotTheFiles) {
  const FileMetadata metadata = metadata_from(answer(
      302,
      {{"x-repo-commit", kCommit}, {"etag", kGit}, {"content-length", "45"}, {"location", "https://cdn.example/x"}}));
  EXPECT_FALSE(metadata.size);
}

TEST(Metadata, MissingOrHostileFieldsAreTypedErrors) {
  EXPECT_EQ(metadata_error(answer(200, {{"etag", kGit}})), Errc::file_metadata);
  EXPECT_EQ(metadata_error(answer(200, {{"x-repo-commit", kCommit}})), Errc::file_metadata);
  EXPECT_EQ(metadata_error(answer(200, {{"x-repo-commit", kCommit}, {"etag", "\"../../../evil\""}})),
            Errc::file_metadata);
  EXPECT_EQ(metadata_error(answer(200, {{"x-repo-commit", "../evil"}, {"etag", kGit}})), Errc::file_metadata);
  EXPECT_EQ(metadata_error(answer(302, {{"x-repo-commit", kCommit}, {"etag", kGit}})), Errc::http_error);
  EXPECT_EQ(metadata_error(
                answer(302, {{"x-repo-commit", kCommit}, {"etag", kGit}, {"location", "http://cdn.example/clear"}})),
            Errc::http_error);
}

}  // namespace
}  // namespace stella::hub
