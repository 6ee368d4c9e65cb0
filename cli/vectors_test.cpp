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

std::string header(const std::string& dict, char version = 1) {
  std::string text = "\x93NUMPY";
  text += version;
  text += '\0';
  text += static_cast<char>(dict.size() & 0xffU);
  text += static_cast<char>(dict.size() >> 8U);
  if (version != 1) text.append(2, '\0');
  return text + dict;
}

std::string problem_of(const std::string& start) {
  try {
    parse_npy_header(start);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no problem";
}

TEST(NpyHeaderTest, IsReadInEveryFormatAndSpelling) {
  for (const char version : {1, 2, 3}) {
    const NpyHeader read =
        parse_npy_header(header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 256), }  \n", version) + "rows");
    EXPECT_EQ(read.rows, 3U);
    EXPECT_EQ(read.columns, 256U);
    EXPECT_EQ(read.bytes, (version == 1 ? 10U : 12U) + 64U);
  }
  EXPECT_EQ(parse_npy_header(header("{\"shape\":(0,2),\"fortran_order\":False,\"descr\":\"<f4\"}")).columns, 2U);
}

TEST(NpyHeaderTest, OtherArraysAreRefusedWithTheReason) {
  const auto array = [](const std::string& type, const std::string& order, const std::string& shape) {
    return problem_of(header("{'descr': " + type + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }"));
  };
  EXPECT_EQ(array("'<f4'", "False", "(1, 2)"), "no problem");
  for (const char* type : {"'<f8'", "'>f4'", "'<f2'", "'|O'", "[('a', '<f4')]"}) {
    EXPECT_THAT(array(type, "False", "(1, 2)"), HasSubstr("float32")) << type;
  }
  EXPECT_THAT(array("'<f4'", "True", "(1, 2)"), HasSubstr("Fortran"));
  for (const char* shape :
       {"()", "(1,)", "(1, 2, 3)", "(-1, 2)", "(1, x)", "1, 2", "(1, 2", "(99999999999999999999, 1)"}) {
    EXPECT_THAT(array("'<f4'", "False", shape), HasSubstr("two dimensions")) << shape;
  }
  for (const char* shape : {"(4611686018427387904, 4)", "(4294967296, 4294967296)", "(18446744073709551615, 1)"}) {
    EXPECT_THAT(array("'<f4'", "False", shape), HasSubstr("more rows")) << shape;
  }
}

TEST(NpyHeaderTest, WhatIsNoHeaderIsRefused) {
  EXPECT_THAT(problem_of(""), HasSubstr("no .npy file"));
  EXPECT_THAT(problem_of("not numpy at all"), HasSubstr("no .npy file"));
  EXPECT_THAT(problem_of(header("{}", 4)), HasSubstr("format 4"));
  EXPECT_THAT(problem_of(header("{'fortran_order': False, 'shape': (1, 2)}")), HasSubstr("'descr'"));
  const std::string whole = header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 256), }\n");
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_NE(problem_of(whole.substr(0, size)), "no problem");
  std::string endless = header("{}", 2);
  endless[10] = endless[11] = '\xff';
  EXPECT_THAT(problem_of(endless), HasSubstr("more than 65536 bytes"));
}

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
  const std::string header_ = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n");
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
