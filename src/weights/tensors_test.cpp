#include "weights/tensors.hpp"

#include "stella/error.hpp"
#include "support/temporary_folder.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::weights {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::size_t>;

class TensorsTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& bytes) const {
    fs::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  /// A file whose header announces its own length truthfully.
  fs::path write(const std::string& name, const std::string& header, const std::string& data) const {
    return write(name, length_bytes(header.size()) + header + data);
  }

  static std::string length_bytes(std::uint64_t length) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i) & 0xFFU));
    return bytes;
  }

  static Tensors open(const fs::path& path) { return Tensors::open(std::array{path}); }

  /// The error of opening `path`: its code must be malformed_file and its text must begin with the path.
  static std::string refusal(const fs::path& path, const std::string& tensor = {}) {
    try {
      open(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file);
      EXPECT_EQ(error.context().file.substr(0, path.string().size()), path.string());
      EXPECT_EQ(error.context().tensor, tensor);
      const std::string text = error.what();
      EXPECT_EQ(text.find('\n'), std::string::npos);
      EXPECT_EQ(text.substr(0, path.string().size()), path.string());
      return text.substr(path.string().size());
    }
    ADD_FAILURE() << "accepted " << path;
    return {};
  }

  const test::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

constexpr const char* kRemedy = "; the file is damaged or incomplete, fetch it again";

TEST_F(TensorsTest, ReadsTheThreeWeightTypes) {
  // 1.5, -2, 2^-24 (the smallest half), 65504 (the largest half).
  const std::string f32("\0\0\xC0\x3F\0\0\0\xC0", 8);
  const std::string f16("\0\x3E\0\xC0\x01\0\xFF\x7B", 8);
  const std::string bf16("\xC0\x3F\0\xC0", 4);
  const Tensors tensors =
      open(write("m.safetensors",
                 R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                 R"("b":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]},)"
                 R"("c":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]}}    )",
                 f32 + f16 + bf16));
  EXPECT_THAT(tensors.names(), ::testing::ElementsAre("a", "b", "c"));
  EXPECT_EQ(to_f32(tensors.get("a", Shape{2})), (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(to_f32(tensors.get("b", Shape{2, 2})), (std::vector<float>{1.5F, -2.0F, 0x1p-24F, 65504.0F}));
  EXPECT_EQ(to_f32(tensors.get("c", Shape{2})), (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(tensors.find("d"), nullptr);
}

TEST_F(TensorsTest, EveryHalfBecomesTheSameNumber) {
  std::string data;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    data.push_back(static_cast<char>(bits & 0xFFU));
    data.push_back(static_cast<char>(bits >> 8U));
  }
  const Tensors tensors =
      open(write("m.safetensors", R"({"x":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})", data));
  const std::vector<float> values = to_f32(tensors.get("x", Shape{65536}));
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const int exponent = static_cast<int>(bits >> 10U & 31U);
    const double fraction = bits & 1023U;
    double expected = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) expected = fraction == 0 ? HUGE_VAL : std::nan("");
    if (bits >= 32768) expected = -expected;
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(values[bits])) << bits;
    } else {
      EXPECT_EQ(static_cast<double>(values[bits]), expected) << bits;
    }
  }
}

TEST_F(TensorsTest, ReadsUnalignedTensors) {
  // A header of odd length puts the data at an odd offset.
  const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::string odd = header.size() % 2 == 0 ? header + " " : header;
  const Tensors tensors = open(write("m.safetensors", odd, std::string("\0\0\xC0\x3F", 4)));
  const TensorView& tensor = tensors.get("x", Shape{1});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % 4, 0U);
  tensor.drop();
  EXPECT_EQ(to_f32(tensor), std::vector<float>{1.5F});
}

TEST_F(TensorsTest, ScalarsAndEmptyTensorsAreAllowed) {
  const Tensors tensors = open(write("m.safetensors",
                                     R"({"none":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},)"
                                     R"("one":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                                     std::string(4, '\0')));
  EXPECT_TRUE(to_f32(tensors.get("none", Shape{0, 4})).empty());
  EXPECT_EQ(to_f32(tensors.get("one", Shape{})), std::vector<float>{0.0F});
}

TEST_F(TensorsTest, OtherTypesAreToleratedUntilAskedFor) {
  const fs::path path = write("m.safetensors", R"({"position_ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})",
                              std::string(8, '\0'));
  const Tensors tensors = open(path);
  EXPECT_EQ(tensors.find("position_ids"), nullptr);
  try {
    tensors.get("position_ids", Shape{1});
    FAIL() << "returned an integer tensor";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::unsupported_model);
    EXPECT_EQ(
        error.what(),
        path.string() + ": tensor 'position_ids' is stored as I64; only F64, F32, F16 and BF16 weights can be read");
  }
}

TEST_F(TensorsTest, NamesWhatIsMissingOrMisshapen) {
  const fs::path path =
      write("m.safetensors", R"({"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})", std::string(8, '\0'));
  const Tensors tensors = open(path);
  try {
    tensors.get("x", Shape{1, 2});
    FAIL() << "accepted a wrong shape";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::malformed_file);
    EXPECT_EQ(error.what(), path.string() + ": tensor 'x' has the shape [2, 1] where config.json asks for [1, 2]");
    EXPECT_EQ(error.context().tensor, "x");
  }
  try {
    tensors.get("y", Shape{1});
    FAIL() << "found a tensor that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::missing_tensor);
    EXPECT_EQ(error.what(), "tensor 'y' is missing from " + path.string() + ", though config.json asks for it");
    EXPECT_EQ(error.context().file, path.string());
  }
}

TEST_F(TensorsTest, RefusesFilesThatLieAboutTheirHeader) {
  const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  EXPECT_EQ(refusal(write("a", "")), std::string(": only 0 bytes, too short for a safetensors file") + kRemedy);
  EXPECT_EQ(refusal(write("b", length_bytes(2) + "{}         ")),
            std::string(": only 19 bytes, too short for a safetensors file") + kRemedy);
  EXPECT_EQ(refusal(write("c", length_bytes(0) + std::string(40, ' '))),
            std::string(": says its header has 0 bytes, not between 1 and 100000000") + kRemedy);
  EXPECT_EQ(refusal(write("d", length_bytes(100'000'001) + header)),
            std::string(": says its header has 100000001 bytes, not between 1 and 100000000") + kRemedy);
  EXPECT_EQ(refusal(write("e", length_bytes(UINT64_MAX) + header)),
            std::string(": says its header has 18446744073709551615 bytes, not between 1 and 100000000") + kRemedy);
  EXPECT_EQ(refusal(write("f", length_bytes(header.size() + 1) + header)),
            ": says its header has " + std::to_string(header.size() + 1) + " bytes, but " +
                std::to_string(header.size()) + " follow" + kRemedy);
  EXPECT_EQ(refusal(write("g", R"(["a", "b", "c"])", "")), std::string(": the header is not a JSON object") + kRemedy);
  EXPECT_THAT(refusal(write("h", R"({"x":{"dtype":"F32",)", "    ")),
              ::testing::StartsWith(" (header): not valid JSON at line 1, column 21: "));
  EXPECT_THAT(refusal(write("i", "{\"\xFF\":{\"dtype\":\"F32\"}}", "    ")), ::testing::HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(write("j", std::string(100'000, '['), "    ")), ::testing::HasSubstr("not valid JSON"));
  EXPECT_EQ(
      refusal(write(
          "k",
          R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
          "12345678")),
      " (header): key 'x' appears twice");
}

TEST_F(TensorsTest, RefusesEntriesThatLie) {
  const auto one = [&](const std::string& entry, const std::string& data) {
    static int count = 0;
    const std::string text = refusal(write("e" + std::to_string(count++), R"({"x":)" + entry + "}", data), "x");
    EXPECT_EQ(text.substr(0, 11), ": tensor 'x") << text;
    EXPECT_THAT(text, ::testing::EndsWith(kRemedy));
    return text.substr(13, text.size() - 13 - std::string(kRemedy).size());
  };
  EXPECT_EQ(one("7", "1234567890"), "is not described by a JSON object");
  EXPECT_EQ(one(R"({"shape":[1],"data_offsets":[0,4]})", "1234"), "has no dtype");
  EXPECT_EQ(one(R"({"dtype":"F33","shape":[1],"data_offsets":[0,4]})", "1234"), "has the unknown dtype 'F33'");
  EXPECT_EQ(one(R"({"dtype":"F32","data_offsets":[0,4]})", "1234"), "has no shape of whole numbers");
  for (const char* shape : {"[-1]", "[1.0]", "[\"1\"]", "[[1]]", "1", "[1e30]", "[99999999999999999999]"}) {
    EXPECT_EQ(one(std::string(R"({"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,4]})", "1234"),
              "has no shape of whole numbers");
  }
  for (const char* offsets : {"[0]", "[0,2,4]", "[-4,0]", "4", "[0,4.0]"}) {
    EXPECT_EQ(one(std::string(R"({"dtype":"F32","shape":[1],"data_offsets":)") + offsets + "}", "1234"),
              "has no pair of data_offsets");
  }
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", "123"),
            "has the offsets [0, 4), outside the 3 bytes that follow the header");
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", "1234"),
            "has the offsets [4, 0), outside the 4 bytes that follow the header");
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]})", "1234"),
            "has the offsets [0, 18446744073709551615), outside the 4 bytes that follow the header");
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "1234"),
            "has the shape [2] of F32, but 4 bytes");
  EXPECT_EQ(one(R"({"dtype":"F16","shape":[1],"data_offsets":[0,4]})", "1234"),
            "has the shape [1] of F16, but 4 bytes");
  // 2^32 · 2^32 elements: the product wraps to 0 in 64 bits.
  EXPECT_EQ(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})", ""),
            "has the shape [4294967296, 4294967296] of F32, but 0 bytes");
}

TEST_F(TensorsTest, RefusesOverlapsAndGaps) {
  const auto two = [&](const std::string& name, const std::string& a, const std::string& b, const std::string& data) {
    return write(name,
                 R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
                     R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}",
                 data);
  };
  EXPECT_EQ(refusal(two("a", "[0,4]", "[0,4]", "1234"), "b"),
            std::string(": tensor 'b' overlaps tensor 'a'") + kRemedy);
  EXPECT_EQ(refusal(two("b", "[2,6]", "[0,4]", "123456"), "a"),
            std::string(": tensor 'a' overlaps tensor 'b'") + kRemedy);
  EXPECT_EQ(refusal(two("c", "[0,4]", "[6,10]", "1234567890"), "b"),
            std::string(": tensor 'b' leaves 2 bytes before it that belong to no tensor") + kRemedy);
  EXPECT_EQ(refusal(two("d", "[0,4]", "[4,8]", "123456789")),
            std::string(": 1 bytes at the end belong to no tensor") + kRemedy);
}

TEST_F(TensorsTest, DoublesBecomeFloats) {
  // 1.5, -2, 0.1 (rounds to the nearest float), 1e300 (beyond them).
  const std::array<double, 4> stored{1.5, -2, 0.1, 1e300};
  std::string data(sizeof stored, '\0');
  std::memcpy(data.data(), stored.data(), data.size());
  Tensors opened = open(write("m.safetensors", R"({"x":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]}})", data));
  const Tensors tensors = std::move(opened);
  EXPECT_NE(tensors.find("x"), nullptr);
  const TensorView& tensor = tensors.get("x", Shape{2, 2});
  EXPECT_EQ(tensor.type, DType::f32);
  EXPECT_EQ(to_f32(tensor), (std::vector<float>{1.5F, -2.0F, 0.1F, HUGE_VALF}));
  tensor.drop();
  EXPECT_EQ(&tensors.get("x", Shape{2, 2}), &tensor);
}

TEST_F(TensorsTest, OldNamesOfNormsAreFound) {
  const Tensors tensors = open(write("m.safetensors",
                                     R"({"a.LayerNorm.gamma":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                     R"("a.LayerNorm.beta":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                                     "12345678"));
  EXPECT_EQ(to_f32(tensors.get("a.LayerNorm.weight", Shape{1})), to_f32(tensors.get("a.LayerNorm.gamma", Shape{1})));
  EXPECT_EQ(to_f32(tensors.get("a.LayerNorm.bias", Shape{1})), to_f32(tensors.get("a.LayerNorm.beta", Shape{1})));
  EXPECT_EQ(tensors.find("a.weight"), nullptr);
}

TEST_F(TensorsTest, LimitsAreNamed) {
  const auto limit = [&](const fs::path& path) {
    try {
      open(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::limit_exceeded) << error.what();
      return std::string(error.what()).substr(path.string().size());
    }
    return std::string("accepted");
  };
  const std::size_t most = std::size_t{16} << 20U;
  EXPECT_EQ(limit(write("long", length_bytes(most + 1) + "{}" + std::string(most - 1, ' '))),
            ": its header has 16777217 bytes, more than the 16777216 that are read");
  std::string header = "{";
  for (std::size_t i = 0; i <= 100'000; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  EXPECT_EQ(limit(write("many", header + "}", "")), ": describes more than the 100000 tensors that are read");
  EXPECT_EQ(refusal(write("pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")),
            ": a Git LFS pointer lies in place of the file; run `git lfs pull` there");
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_THAT(
      refusal(write("rank", R"({"x":{"dtype":"F32","shape":[)" + ones + R"(],"data_offsets":[0,4]}})", "1234"), "x"),
      ::testing::HasSubstr("has no shape"));
}

TEST_F(TensorsTest, OtherKeysOfAHeaderAreSkipped) {
  const Tensors tensors = open(write(
      "m.safetensors",
      R"({"__metadata__":{"dtype":"F32","shape":"[1]","x":{"data_offsets":[9]}},"dtype":{"note":[[1],{"shape":[7]}],)"
      R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"more":{"dtype":"F16"}}})",
      "1234"));
  EXPECT_EQ(tensors.names(), std::vector<std::string>{"dtype"});
  EXPECT_EQ(tensors.get("dtype", Shape{1}).type, DType::f32);
  EXPECT_EQ(refusal(write("list", R"([{"dtype":"F32"},["x"],1])", "    ")),
            std::string(": the header is not a JSON object") + kRemedy);
}

TEST_F(TensorsTest, EveryTruncationOfARealFileIsRefused) {
  const fs::path whole = fs::path(STELLA_TEST_DATA) / "checkpoints/stella-small-tiny/2_Dense_256/model.safetensors";
  std::ifstream in(whole, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  ASSERT_GT(bytes.size(), 1000U);
  EXPECT_EQ(open(write("whole", bytes)).names().size(), 2U);
  for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 4001) {
    const fs::path cut = write("cut", bytes.substr(0, size));
    try {
      open(cut);
      ADD_FAILURE() << "accepted the first " << size << " bytes";
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file) << size;
    }
  }
}

TEST_F(TensorsTest, DamagedHeadersAreRefusedOrHarmless) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"BF16",)"
                             R"("shape":[2],"data_offsets":[8,12]}})";
  const std::string whole = length_bytes(header.size()) + header + "123456789012";
  std::mt19937 random(1);
  std::size_t accepted = 0;
  constexpr std::size_t kRounds = 3000;
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::string bytes = whole;
    for (std::size_t change = 0; change <= round % 3; ++change) {
      bytes[random() % (8 + header.size())] =
          static_cast<char>(round % 2 == 0 ? random() : "0123456789[]{},\":-"[random() % 18]);
    }
    try {
      const Tensors tensors = open(write("damaged", bytes));
      ++accepted;  // a changed name or another value that the format allows
      for (const std::string& name : tensors.names()) {
        const TensorView& tensor = *tensors.find(name);
        EXPECT_EQ(to_f32(tensor).size() * size_of(tensor.type), tensor.bytes.size());
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file) << error.what();
    }
  }
  EXPECT_GT(accepted, 0U);
  EXPECT_LT(accepted, kRounds / 2);
}

TEST_F(TensorsTest, ShardsMakeOneCheckpoint) {
  const auto shard = [&](const std::string& name, const std::string& tensor) {
    return write(name, R"({")" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234");
  };
  const Tensors both = Tensors::open(std::array{shard("1", "a"), shard("2", "b")});
  EXPECT_THAT(both.names(), ::testing::ElementsAre("a", "b"));
  try {
    both.get("c", Shape{1});
    FAIL() << "found a tensor that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), "tensor 'c' is missing from " + (folder_ / "1").string() +
                                " and its other shards, though config.json asks for it");
  }
  try {
    Tensors::open(std::array{shard("1", "a"), shard("2", "a")});
    FAIL() << "took one of two tensors of the same name";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::malformed_file);
    EXPECT_EQ(error.what(), (folder_ / "2").string() + ": tensor 'a' is also in another file of the checkpoint");
  }
}

TEST(ShardNames, InOrderOfFirstUse) {
  EXPECT_THAT(shard_names(R"({"metadata":{"total_size":1},"weight_map":{"a":"model-00002-of-00002.safetensors",)"
                          R"("b":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}})",
                          "index"),
              ::testing::ElementsAre("model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"));
}

TEST(ShardNames, TheirNumberHasALimit) {
  std::string index = R"({"weight_map":{"t":"0.safetensors")";
  for (int i = 0; i < 1000; ++i) {
    index.append(",\"").append(std::to_string(i)).append("\":\"").append(std::to_string(i)).append(".safetensors\"");
  }
  EXPECT_EQ(shard_names(index + "}}", "index").size(), 1000U);
  try {
    shard_names(index + R"(,"x":"x.safetensors"}})", "index");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::limit_exceeded);
    EXPECT_EQ(error.what(), std::string("index: names more than the 1000 files that are read"));
  }
}

TEST(ShardNames, RefusesPathTricksAndNonsense) {
  for (const char* name : {R"("../x.safetensors")", R"("/etc/x.safetensors")", R"("a/b.safetensors")",
                           R"("a\\b.safetensors")", R"("C:x.safetensors")", R"(".safetensors")", R"("..safetensors")",
                           R"("x.bin")", R"("")", R"("a\u0000.safetensors")", "7", "null"}) {
    try {
      shard_names(std::string(R"({"weight_map":{"t":)") + name + "}}", "dir/index.json");
      ADD_FAILURE() << "accepted " << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), Errc::malformed_file);
      EXPECT_EQ(error.what(), std::string("dir/index.json: tensor 't' is said to be in ") + name +
                                  ", which is not the plain name of a .safetensors file");
      EXPECT_EQ(error.context().tensor, "t");
    }
  }
  for (const char* index : {"[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", "{"}) {
    EXPECT_THROW(shard_names(index, "index"), Error) << index;
  }
}

}  // namespace
}  // namespace stella::weights
