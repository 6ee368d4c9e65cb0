#include "server/routes/encodings.hpp"

#include "server/routes/errors.hpp"

#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::server {
namespace {

using testing::ElementsAre;

std::string embedding(const std::vector<float>& values, Encoding encoding) {
  std::string out;
  append_embedding(out, values, encoding);
  return out;
}

TEST(Encodings, Floats) {
  EXPECT_EQ(embedding({0.5F, -1e-7F, 0, 3}, Encoding::floats), "\"embedding\":[0.5,-1e-07,0,3]");
  EXPECT_EQ(embedding({}, Encoding::floats), "\"embedding\":[]");
  std::string out;
  EXPECT_THROW(append_floats(out, std::vector<float>{std::numeric_limits<float>::quiet_NaN()}), std::domain_error);
}

TEST(Encodings, Base64IsThatOfTheBytes) {
  // Python: base64.b64encode(struct.pack("<…f", …))
  EXPECT_EQ(embedding({1}, Encoding::base64), "\"embedding\":\"AACAPw==\"");
  EXPECT_EQ(embedding({1, -2}, Encoding::base64), "\"embedding\":\"AACAPwAAAMA=\"");
  EXPECT_EQ(embedding({1, -2, 0.1F}, Encoding::base64), "\"embedding\":\"AACAPwAAAMDNzMw9\"");
  EXPECT_EQ(embedding({}, Encoding::base64), "\"embedding\":\"\"");
}

TEST(Encodings, BitsAsNumpyPacksThem) {
  // numpy.packbits([1,0,0,1,0,0,0,1, 1]) is [145, 128]; sentence-transformers takes 128 off for "binary".
  const std::vector<float> values{0.1F, -0.1F, 0, 1, -1, -2, -3, 4, 5};
  EXPECT_THAT(pack_signs(values), ElementsAre(145, 128));
  EXPECT_EQ(embedding(values, Encoding::ubinary), "\"embedding\":[145,128]");
  EXPECT_EQ(embedding(values, Encoding::binary), "\"embedding\":[17,0]");
}

TEST(Encodings, Int8SpansTheWholeRange) {
  EXPECT_EQ(embedding({1, -0.5F, 0}, Encoding::int8).substr(0, 34), "\"embedding\":[127,-64,0],\"scale\":0.");
  EXPECT_THAT(quantise(std::vector<float>{0, 0}).values, ElementsAre(0, 0));
  EXPECT_EQ(quantise(std::vector<float>{0, 0}).scale, 0);
}

TEST(Encodings, Int8KeepsTheDirection) {
  std::mt19937 random{7};
  std::normal_distribution<float> normal;
  for (const std::size_t dimension : {256, 1024, 8192}) {
    std::vector<float> values(dimension);
    for (float& value : values) value = normal(random);
    const Quantised quantised = quantise(values);
    double dot = 0;
    double a = 0;
    double b = 0;
    for (std::size_t i = 0; i < dimension; ++i) {
      const double back = static_cast<double>(quantised.values[i]) * static_cast<double>(quantised.scale);
      EXPECT_NEAR(back, values[i], quantised.scale * 0.5001);
      dot += back * values[i];
      a += back * back;
      b += static_cast<double>(values[i]) * values[i];
    }
    EXPECT_GT(dot / std::sqrt(a * b), 0.999);
  }
}

TEST(Encodings, UnknownOnesAreListed) {
  EXPECT_EQ(parse_encoding("ubinary"), Encoding::ubinary);
  try {
    parse_encoding("uint8");
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_NE(std::string(error.what()).find("base64"), std::string::npos);
    EXPECT_EQ(error.param(), "encoding_format");
  }
}

}  // namespace
}  // namespace stella::server
