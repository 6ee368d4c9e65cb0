#include "engine/validation.hpp"

#include "engine/test_support.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::engine {
namespace {

using test::error_of;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Validation, DimensionMessageIsTheOriginals) {
  EXPECT_EQ(error_of(
                [] {
                  validate_dimension("stella_en_400M_v5", 512, {256, 768, 1024});
                },
                Errc::unsupported_dimension),
            "Model 'stella_en_400M_v5' does not support 512D embeddings. Supported dimensions: [256, 768, 1024]");
  EXPECT_NO_THROW(validate_dimension("m", 768, {256, 768}));
}

TEST(Validation, BoundsOfOneText) {
  EXPECT_NO_THROW(validate_text(" "));
  EXPECT_NO_THROW(validate_text(std::string(1'000'000, 'a')));
  EXPECT_THAT(error_of([] { validate_text(""); }, Errc::empty_text), HasSubstr("empty"));
  EXPECT_THAT(error_of([] { validate_text(std::string(1'000'001, 'a')); }, Errc::text_too_large),
              HasSubstr("1000001 bytes"));
}

TEST(Validation, BoundsOfABatch) {
  EXPECT_NO_THROW(validate_batch(std::vector<std::string>(10'000, "a")));
  EXPECT_THAT(error_of([] { validate_batch({}); }, Errc::empty_batch), HasSubstr("empty"));
  EXPECT_THAT(error_of([] { validate_batch(std::vector<std::string>(10'001, "a")); }, Errc::batch_too_large),
              HasSubstr("10001 texts"));
}

TEST(Validation, NamesTheTextInABatch) {
  EXPECT_THAT(error_of([] { validate_batch({"a", "b", ""}); }, Errc::empty_text), StartsWith("Text at index 2"));
  EXPECT_THAT(error_of(
                  [] {
                    validate_batch({"a", "b\xff"});
                  },
                  Errc::invalid_utf8),
              testing::AllOf(StartsWith("Text at index 1"), HasSubstr("byte 1")));
}

}  // namespace
}  // namespace stella::engine
