#include "cli/rows.hpp"

#include "format/npy.hpp"
#include "support/temporary_folder.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

Embedding row(std::vector<std::pair<std::size_t, std::vector<float>>> vectors) {
  return {.tokens = 5, .full_tokens = 9, .truncated = true, .vectors = std::move(vectors)};
}

class Rows : public testing::Test {
 protected:
  std::string content(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::unique_ptr<RowWriter> writer(RowFormat format, const std::string& name, std::vector<std::size_t> dimensions) {
    auto outputs = open_rows(format, row_paths(format, (folder_ / name).string(), dimensions), {});
    return make_row_writer(format, {"m\"odel", "s2p", "f32", std::move(dimensions), {}}, std::move(outputs));
  }

  const test::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
};

TEST_F(Rows, JsonLines) {
  const auto out = writer(RowFormat::jsonl, "v", {2});
  out->write(0, row({{2, {0.5F, -1.0F}}}), {});
  out->write(1, row({{2, {0.1F, 1e-5F}}}), {});
  out->finish();
  EXPECT_EQ(
      content("v"),
      "{\"index\":0,\"tokens\":5,\"truncated\":true,\"full_tokens\":9,\"dimension\":2,\"embedding\":[0.5,-1]}\n"
      "{\"index\":1,\"tokens\":5,\"truncated\":true,\"full_tokens\":9,\"dimension\":2,\"embedding\":[0.1,1e-05]}\n");
}

TEST_F(Rows, SeveralDimensions) {
  const auto out = writer(RowFormat::jsonl, "v", {1, 2});
  out->write(7, row({{1, {1.0F}}, {2, {0.5F, 0.25F}}}), {});
  out->finish();
  EXPECT_EQ(
      content("v"),
      "{\"index\":7,\"tokens\":5,\"truncated\":true,\"full_tokens\":9,\"embeddings\":{\"1\":[1],\"2\":[0.5,0.25]}}\n");
}

TEST_F(Rows, Json) {
  auto out = writer(RowFormat::json, "v", {1});
  out->write(0, row({{1, {1.0F}}}), {});
  out->write(1, row({{1, {1.0F}}}), {});
  out->finish();
  EXPECT_EQ(content("v"),
            "{\"model\":\"m\\\"odel\",\"task\":\"s2p\",\"precision\":\"f32\",\"data\":[\n"
            "{\"index\":0,\"tokens\":5,\"truncated\":true,\"full_tokens\":9,\"dimension\":1,\"embedding\":[1]},\n"
            "{\"index\":1,\"tokens\":5,\"truncated\":true,\"full_tokens\":9,\"dimension\":1,\"embedding\":[1]}\n]}\n");
  out = writer(RowFormat::json, "empty", {1});
  out->finish();
  EXPECT_EQ(content("empty"), "{\"model\":\"m\\\"odel\",\"task\":\"s2p\",\"precision\":\"f32\",\"data\":[\n]}\n");
}

TEST_F(Rows, NpyCountsItsRows) {
  const auto out = writer(RowFormat::npy, "v.npy", {2, 1});
  for (std::size_t i = 0; i < 12; ++i) out->write(i, row({{2, {1.0F, 2.0F}}, {1, {3.0F}}}), {});
  out->finish();
  const std::string bytes = content("v.2.npy");
  ASSERT_EQ(bytes.size(), format::kNpyHeaderBytes + 12 * 2 * sizeof(float));
  EXPECT_EQ(bytes.substr(0, format::kNpyHeaderBytes), format::npy_header(12, 2));
  float second = 0;
  std::memcpy(&second, bytes.data() + format::kNpyHeaderBytes + sizeof(float), sizeof second);
  EXPECT_EQ(second, 2.0F);
  EXPECT_EQ(content("v.1.npy").size(), format::kNpyHeaderBytes + 12 * sizeof(float));
}

TEST_F(Rows, RawFloats) {
  const auto out = writer(RowFormat::f32, "v.f32", {2});
  out->write(0, row({{2, {1.0F, 2.0F}}}), {});
  out->finish();
  EXPECT_EQ(content("v.f32"), std::string("\0\0\x80\x3f\0\0\0\x40", 8));
}

TEST_F(Rows, NothingIsLeftWithoutFinish) {
  {
    const auto out = writer(RowFormat::npy, "v.npy", {1, 2});
    out->write(0, row({{1, {1.0F}}, {2, {0.5F, 0.25F}}}), {});
    out->flush();
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(Rows, FieldsAreCarriedAlong) {
  auto outputs = open_rows(RowFormat::jsonl, {(folder_ / "v").string()}, {});
  const auto out = make_row_writer(RowFormat::jsonl, {"m", {}, "f32", {1}, {"id", "a \"b\""}}, std::move(outputs));
  Embedding whole = row({{1, {1.0F}}});
  whole.truncated = false;
  out->write(0, whole, {"[1,2]", "null"});
  out->finish();
  EXPECT_EQ(content("v"),
            "{\"index\":0,\"id\":[1,2],\"a \\\"b\\\"\":null,\"tokens\":5,\"truncated\":false,\"dimension\":1,"
            "\"embedding\":[1]}\n");
}

TEST_F(Rows, WhatWasFinishedIsAWholeDocument) {
  const auto kept = [&](RowFormat format) {
    const auto out = writer(format, "v", {1});
    out->write(0, row({{1, {1.0F}}}), {});
    EXPECT_THROW(out->write(1, row({{1, {std::nanf("")}}}), {}), Failure);
    const auto names = out->keep_partial();
    EXPECT_THAT(names, testing::ElementsAre((folder_ / "v.partial").string()));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "v"));
    return content("v.partial");
  };
  EXPECT_THAT(kept(RowFormat::json), testing::EndsWith("\"embedding\":[1]}\n]}\n"));
  EXPECT_THAT(kept(RowFormat::jsonl), testing::EndsWith("\"embedding\":[1]}\n"));
  EXPECT_EQ(kept(RowFormat::f32), std::string("\0\0\x80\x3f", 4));
  EXPECT_EQ(kept(RowFormat::npy), format::npy_header(1, 1) + std::string("\0\0\x80\x3f", 4));
}

TEST_F(Rows, WhatIsNotFiniteLeavesNoRowInAnyFile) {
  const auto out = writer(RowFormat::npy, "v.npy", {1, 2});
  EXPECT_THROW(out->write(0, row({{1, {1.0F}}, {2, {1.0F, std::nanf("")}}}), {}), Failure);
  EXPECT_THAT(out->keep_partial(), testing::SizeIs(2));
  EXPECT_EQ(content("v.1.npy.partial"), format::npy_header(0, 1));
}

TEST(RowNames, SayTheFormat) {
  EXPECT_EQ(format_of_name("a/v.npy"), RowFormat::npy);
  EXPECT_EQ(format_of_name("v.JSONL"), RowFormat::jsonl);
  EXPECT_EQ(format_of_name("v.ndjson"), RowFormat::jsonl);
  EXPECT_EQ(format_of_name("v.json"), RowFormat::json);
  EXPECT_EQ(format_of_name("v.f32"), RowFormat::f32);
  EXPECT_EQ(format_of_name("v.bin"), RowFormat::f32);
  EXPECT_EQ(format_of_name("v.txt"), std::nullopt);
  EXPECT_EQ(format_of_name("-"), std::nullopt);
}

TEST_F(Rows, VectorsThatAreNotFiniteAreRefused) {
  for (const RowFormat format : {RowFormat::json, RowFormat::npy}) {
    const auto out = writer(format, "v", {1});
    EXPECT_THROW(out->write(0, row({{1, {std::nanf("")}}}), {}), Failure);
  }
  EXPECT_THROW(open_rows(RowFormat::npy, {"/dev/null"}, {}), Failure);
}

}  // namespace
}  // namespace stella::cli
