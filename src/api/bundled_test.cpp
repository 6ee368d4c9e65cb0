#include "stella/bundled.hpp"

#include "stella/error.hpp"
#include "support/temporary_folder.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

namespace fs = std::filesystem;

class Bundled : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_ / "bin"); }

  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(Bundled, IsFoundBesideAnInstalledProgram) {
  fs::create_directories(root_ / "share/stella/models");
  EXPECT_EQ(share_directory_of(root_ / "bin", {}), root_ / "share/stella");
}

TEST_F(Bundled, IsFoundInABuildTree) {
  fs::create_directories(root_ / "bin/share/stella/models");
  EXPECT_EQ(share_directory_of(root_ / "bin", {}), root_ / "bin/share/stella");
}

TEST_F(Bundled, IsFoundWhereItWasInstalledByAProgramFromElsewhere) {
  fs::create_directories(root_ / "prefix/share/stella/models");
  EXPECT_EQ(share_directory_of(root_ / "bin", root_ / "prefix/share/stella"), root_ / "prefix/share/stella");
}

TEST_F(Bundled, IsReportedMissing) {
  try {
    share_directory_of(root_ / "bin", root_ / "prefix/share/stella");
    FAIL() << "found something";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::io_error);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr((root_ / "bin/share/stella").string()),
                                             testing::HasSubstr((root_ / "prefix/share/stella").string())));
  }
}

TEST_F(Bundled, ADirectoryBeatsTheBundledModel) {
  const fs::path before = fs::current_path();
  fs::create_directories(root_ / "demo");
  fs::current_path(root_);
  EXPECT_EQ(resolve_model("demo"), "demo");
  fs::current_path(before);
  EXPECT_EQ(resolve_model("org/name"), "org/name");
}

}  // namespace
}  // namespace stella
