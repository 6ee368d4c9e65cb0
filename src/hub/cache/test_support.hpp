// A cache in a temporary folder, for tests.
#pragma once

#include "hub/cache/paths.hpp"
#include "hub/cache/store.hpp"
#include "stella/hub.hpp"
#include "support/temporary_folder.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace stella::hub {

// git's name of "hello\n" and the sha256 of "abc", by git hash-object and sha256sum.
inline const std::string kGit = "ce013625030ba8dba906f756967f9e9ca394464a";
inline const std::string kSha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
inline const std::string kUnused(40, 'e');
inline const std::string kCommit(40, 'c');

class CacheTest : public ::testing::Test {
 protected:
  CacheTest() { hub_.cache_dir = root_; }

  void add(const std::string& commit, const std::string& file, const std::string& etag, const std::string& text) const {
    make_folders(paths_, commit, file);
    std::ofstream(paths_.blob(etag)) << text;
    link_blob(paths_, commit, file, etag, true);
  }
  void link_blob_of(const std::string& commit, const std::string& file, const std::string& etag) const {
    make_folders(paths_, commit, file);
    link_blob(paths_, commit, file, etag, true);
  }

  const test::TemporaryFolder folder_;
  const std::filesystem::path root_ = folder_.path();
  HubOptions hub_;
  RepoPaths paths_{root_, "org/name"};
};

}  // namespace stella::hub
