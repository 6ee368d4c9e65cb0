#include "cli/vectors.hpp"

#include "cli/failure.hpp"
#include "support/temporary_folder.hpp"

#include <cmath>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

using testing::HasSubstr;

class NpyFile : public testing::Test {
 protected:
  std::string write(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return path_;
  }
  static std::string rows(const std::vector<float>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  }
  std::string failure_of() {
    try {
      NpyRows npy(path_, "make it");
      std::vector<float> values(npy.rows() * npy.columns());
      npy.read(values);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.status(), kBadInput);
      return failure.what();
    }
    return "no failure";
  }

  const test::TemporaryFolder folder_;
  const std::string path_ = (folder_.path() / "v.npy").string();
  const std::string header_ = format::npy_header(2, 3);
};

TEST_F(NpyFile, GivesItsRowsInOrder) {
  write(header_ + rows({1, 2, 3, 4, 5, 6}));
  NpyRows npy(path_, "");
  std::vector<float> row(3);
  npy.read(row);
  EXPECT_THAT(row, testing::ElementsAre(1, 2, 3));
  npy.read({});
  npy.read(row);
  EXPECT_THAT(row, testing::ElementsAre(4, 5, 6));
}

TEST_F(NpyFile, WhatDoesNotFitIsNamed) {
  EXPECT_THAT(failure_of(), HasSubstr("'" + path_ + "' is not there; make it"));
  write(header_ + rows({1, 2, 3, 4, 5}));
  EXPECT_THAT(failure_of(), HasSubstr("bytes"));
  write(header_ + rows({1, 2, 3, 4, 5, 6, 7}));
  EXPECT_THAT(failure_of(), HasSubstr("bytes"));
  write(header_ + rows({1, 2, 3, 4, std::nanf(""), 6}));
  EXPECT_THAT(failure_of(), HasSubstr("not finite in row 2"));
  write("hello");
  EXPECT_THAT(failure_of(), HasSubstr("no .npy file"));
}

TEST_F(NpyFile, AFolderOrADeviceIsRefused) {
  EXPECT_THROW(NpyRows(folder_.path().string(), ""), Failure);
  EXPECT_THROW(NpyRows("/dev/zero", ""), Failure);
}

}  // namespace
}  // namespace stella::cli
