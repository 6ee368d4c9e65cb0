#include "cli/parts.hpp"

#include "base/sha.hpp"
#include "support/temporary_folder.hpp"

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::cli {
namespace {

using testing::HasSubstr;

class PartsTest : public ::testing::Test {
 protected:
  std::string write(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
    return path_;
  }
  template <class Call>
  static std::string failure_of(Call call) {
    try {
      call();
    } catch (const Failure& failure) {
      return failure.what();
    }
    return "no failure";
  }

  const test::TemporaryFolder temporary_;
  const std::string path_ = temporary_.path() / "input";
  const std::string folder_ = temporary_.path() / "parts";
};

TEST_F(PartsTest, PartsAreWholeLinesAndHoldEveryLineOnce) {
  std::mt19937 random(17);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    std::vector<std::size_t> starts;
    const std::size_t lines = random() % 20;
    for (std::size_t i = 0; i < lines; ++i) {
      starts.push_back(text.size());
      text += std::string(random() % 30, 'x') + (i + 1 < lines || random() % 2 == 0 ? "\n" : "x");
    }
    const std::size_t parts = 1 + random() % 7;
    const InputPlan plan = plan_parts(write(text), parts, {});
    EXPECT_EQ(plan.rows, lines);
    EXPECT_EQ(plan.bytes, text.size());
    EXPECT_EQ(plan.sha256, sha256_hex(text));
    ASSERT_EQ(plan.parts.size(), parts);
    std::uint64_t offset = 0;
    std::size_t row = 0;
    for (const PartRange& part : plan.parts) {
      EXPECT_EQ(part.offset, offset);
      EXPECT_EQ(part.first_row, row);
      EXPECT_EQ(part.rows == 0, part.bytes == 0);
      if (part.rows != 0) {
        EXPECT_EQ(starts.at(row), offset);
      }
      offset += part.bytes;
      row += part.rows;
    }
    EXPECT_EQ(offset, text.size());
    EXPECT_EQ(row, lines);
  }
}

TEST_F(PartsTest, PartsHaveAboutEquallyManyBytes) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += std::to_string(i) + "\n";  // more than one block
  const InputPlan plan = plan_parts(write(text), 8, {});
  for (const PartRange& part : plan.parts) {
    EXPECT_NEAR(static_cast<double>(part.bytes), static_cast<double>(text.size()) / 8, 10);
  }
}

TEST_F(PartsTest, WhatIsNoFileIsRefused) {
  EXPECT_THAT(failure_of([&] { plan_parts(path_, 2, {}); }), HasSubstr("No such file"));
  EXPECT_THAT(failure_of([&] { plan_parts(temporary_.path(), 2, {}); }), HasSubstr("no regular file"));
}

TEST_F(PartsTest, AFolderKnowsWhatWasBegunAndWhatIsFinished) {
  const InputPlan plan = plan_parts(write("a\nb\nc\n"), 2, {});
  const Settings settings{{"model", "\"demo\""}, {"dimensions", "[256]"}};
  {
    PartsFolder folder(folder_, {});
    EXPECT_FALSE(folder.manifest().has_value());
    EXPECT_THAT(failure_of([&] { PartsFolder(folder_, {}); }), HasSubstr("another run works in"));
    folder.begin(settings, plan);
    EXPECT_EQ(folder.path_of(1, ".npy"), folder_ + "/part-00001-of-00002.npy");
    std::ofstream(folder.path_of(1, ".jsonl")) << "row\n";
    std::ofstream(folder_ + "/.part-00000-of-00002.jsonl.0123456789abcdef.tmp") << "half";
    EXPECT_FALSE(folder.state_of(1, plan.parts[1]).counts.has_value()) << "rows alone do not finish a part";
    EXPECT_EQ(folder.state_of(1, plan.parts[1]).damage, "");
    folder.finish(1, {1, 0, 3, 4}, {folder.path_of(1, ".jsonl")});
  }
  PartsFolder folder(folder_, {});
  ASSERT_TRUE(folder.manifest().has_value());
  EXPECT_EQ(folder.manifest()->parts, 2U);
  EXPECT_EQ(folder.manifest()->text("model"), "demo");
  EXPECT_EQ(folder.manifest()->text("dimensions"), std::nullopt);
  folder.compare(settings);
  EXPECT_THAT(failure_of([&] {
                folder.compare({{"dimensions", "[1024]"}});
              }),
              HasSubstr("was begun with dimensions [256], and this run has [1024]"));
  folder.begin(settings, plan);
  EXPECT_EQ(names_in(folder_).size(), 3U) << "what a killed run left is gone";
  EXPECT_FALSE(folder.state_of(0, plan.parts[0]).counts.has_value());
  ASSERT_TRUE(folder.state_of(1, plan.parts[1]).counts.has_value());
  EXPECT_EQ(folder.state_of(1, plan.parts[1]).counts->tokens, 4U);
  for (const char* rows : {"cut", "Row\n"}) {
    std::ofstream(folder.path_of(1, ".jsonl")) << rows;
    EXPECT_FALSE(folder.state_of(1, plan.parts[1]).counts.has_value()) << rows;
    EXPECT_THAT(folder.state_of(1, plan.parts[1]).damage, HasSubstr("part-00001-of-00002.jsonl' is not as it was"));
  }
  std::filesystem::remove(folder.path_of(1, ".jsonl"));
  EXPECT_THAT(folder.state_of(1, plan.parts[1]).damage, HasSubstr("part-00001-of-00002.jsonl' is missing"));
}

TEST_F(PartsTest, OnlyWhatAKilledRunOfThesePartsLeavesIsTakenAway) {
  const InputPlan plan = plan_parts(write("a\nb\n"), 2, {});
  const std::string digits = ".0123456789abcdef.tmp";
  const std::vector<std::string> left{".manifest.json" + digits, ".part-00000-of-00002.json" + digits,
                                      ".part-00001-of-00002.jsonl" + digits, ".part-00001-of-00002.npy" + digits,
                                      ".part-00001-of-00002.1024.f32" + digits};
  std::vector<std::string> own{".part-00000-of-00003.jsonl" + digits,  // of other parts
                               ".part-00002-of-00002.jsonl" + digits,
                               ".part-0-of-00002.jsonl" + digits,
                               ".part-00000-of-00002.txt" + digits,
                               ".part-00000-of-00002.256.json" + digits,
                               ".part-00000-of-00002.x.npy" + digits,
                               ".part-00000-of-00002..npy" + digits,
                               ".part-00000-of-00002" + digits,
                               ".notes.json" + digits,
                               ".part-00000-of-00002.jsonl.tmp",
                               ".part-00000-of-00002.jsonl.mine.tmp",
                               ".part-00000-of-00002.jsonl.0123456789abcdeF.tmp",
                               "part-00000-of-00002.jsonl" + digits,
                               ".part-of-the-book.tmp",
                               digits};
  PartsFolder folder(folder_, {});
  for (const auto& names : {left, own}) {
    for (const std::string& name : names) std::ofstream(folder_ + "/" + name) << "text";
  }
  folder.begin({}, plan);
  own.emplace_back("manifest.json");
  EXPECT_THAT(names_in(folder_), testing::UnorderedElementsAreArray(own));
}

TEST_F(PartsTest, ADamagedPartIsNotFinished) {
  const InputPlan plan = plan_parts(write("a\nb\n"), 1, {});
  PartsFolder folder(folder_, {});
  folder.begin({}, plan);
  std::ofstream(folder.path_of(0, ".f32")) << "rows";
  const std::string file = R"({"name":"part-00000-of-00001.f32","sha256":")" + sha256_hex("rows") + R"(","bytes":)";
  std::ofstream(folder.path_of(0, ".json")) << R"({"rows":2,"files":[)" + file + "4}]}";
  EXPECT_TRUE(folder.state_of(0, plan.parts[0]).counts.has_value());
  for (const std::string& text :
       {std::string(), std::string("{"), std::string(R"({"rows":2,"files":[]})"),
        std::string(R"({"rows":2,"files":[7]})"), R"({"rows":1,"files":[)" + file + "4}]}",
        R"({"rows":-2,"files":[)" + file + "4}]}", R"({"rows":2,"files":[)" + file + "-1}]}",
        std::string(R"({"rows":2,"files":[{"name":"part-00000-of-00001.f32","bytes":4}]})")}) {
    std::ofstream(folder.path_of(0, ".json")) << text;
    EXPECT_FALSE(folder.state_of(0, plan.parts[0]).counts.has_value()) << text;
    EXPECT_THAT(folder.state_of(0, plan.parts[0]).damage, HasSubstr(folder_ + "/")) << text;
  }
}

TEST_F(PartsTest, PartsWithoutAManifestAreRefused) {
  {
    PartsFolder folder(folder_, {});
    folder.begin({}, plan_parts(write("a\n"), 1, {}));
    std::ofstream(folder.path_of(0, ".json")) << "{}";
  }
  std::filesystem::remove(folder_ + "/manifest.json");
  EXPECT_THAT(failure_of([&] { PartsFolder(folder_, {}); }),
              HasSubstr("has part-00000-of-00001.json of an earlier run"));
}

TEST_F(PartsTest, AnotherManifestIsRefused) {
  std::filesystem::create_directory(folder_);
  for (const char* text : {"{}", "no JSON", "[]", R"({"settings":1,"parts":[]})"}) {
    std::ofstream(folder_ + "/manifest.json") << text;
    EXPECT_THAT(failure_of([&] { PartsFolder(folder_, {}); }), HasSubstr("is no manifest")) << text;
  }
}

}  // namespace
}  // namespace stella::cli
