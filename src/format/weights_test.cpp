#include "format/weights.hpp"

#include "support/temporary_folder.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::format {
namespace {

namespace fs = std::filesystem;

class WeightsOf : public testing::Test {
 protected:
  WeightsOf() {
    fs::create_directories(folder_ / "2_Dense_256");
    write("config.json", "{}");
    write("model.safetensors", std::string(100'000, 'a'));
    write("2_Dense_256/model.safetensors", "head");
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string weights() const { return weights_of(folder_.string(), "", folder_); }

  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path() / "model";
};

TEST_F(WeightsOf, CommitsOfTheHub) {
  EXPECT_EQ(weights_of("org/model", "0123456789abcdef0123456789abcdef01234567", "/nowhere"), "org/model@0123456789ab");
}

TEST_F(WeightsOf, FilesElsewhereByTheirContent) {
  const std::string before = weights();
  EXPECT_THAT(before, testing::MatchesRegex("sha256:[0-9a-f]{16}"));
  write("README.md", "other");
  EXPECT_EQ(weights(), before);
  const fs::path copy = folder_.parent_path() / "copy";
  fs::copy(folder_, copy, fs::copy_options::recursive);
  EXPECT_EQ(weights_of("copy", "", copy), before);
  write("2_Dense_256/model.safetensors", "Head");
  EXPECT_NE(weights(), before);
}

TEST_F(WeightsOf, TheEndOfALargeFileCounts) {
  const std::string before = weights();
  write("model.safetensors", std::string(99'999, 'a') + "b");
  EXPECT_NE(weights(), before);
}

}  // namespace
}  // namespace stella::format
