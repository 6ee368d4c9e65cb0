#include "format/npy.hpp"

#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::format {
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

TEST(Npy, HeaderIsAsNumpyDescribesIt) {
  const std::string header = npy_header(3, 1024);
  ASSERT_EQ(header.size(), 128U);
  EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(header[8], 118);
  EXPECT_EQ(header[9], 0);
  EXPECT_THAT(header.substr(10), testing::StartsWith("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1024), }"));
  EXPECT_EQ(header.back(), '\n');
  EXPECT_EQ(npy_header(~std::size_t{0}, ~std::size_t{0}).size(), 128U);
}

TEST(NpyHeaderTest, WhatIsWrittenIsRead) {
  const NpyHeader read = parse_npy_header(npy_header(12, 256));
  EXPECT_EQ(read.rows, 12U);
  EXPECT_EQ(read.columns, 256U);
  EXPECT_EQ(read.bytes, kNpyHeaderBytes);
  EXPECT_EQ(read.file_bytes, kNpyHeaderBytes + 12 * 256 * sizeof(float));
}

}  // namespace
}  // namespace stella::format
