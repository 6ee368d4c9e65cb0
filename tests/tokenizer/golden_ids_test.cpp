// The ids of every checkpoint's goldens, which the PyTorch reference made with the Hugging Face library.
#include "base/json.hpp"
#include "base/mapped_file.hpp"
#include "tokenizer/tokenizer.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::tokenizer {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> checkpoints() {
  std::vector<fs::path> found = {fs::path(STELLA_SOURCE_DIR) / "models" / "stella-demo"};
  for (const auto& entry : fs::directory_iterator(fs::path(STELLA_TEST_DATA) / "checkpoints")) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

class GoldenIds : public ::testing::TestWithParam<fs::path> {};

TEST_P(GoldenIds, EqualTheReferences) {
  const Tokenizer tokenizer = Tokenizer::from_file(GetParam() / "tokenizer.json");
  const auto goldens = json::parse(read_text_file(GetParam() / "goldens" / "goldens.json")).as_object();
  const auto& texts = goldens.at("texts").as_array();
  const auto& prompts = goldens.at("prompts").as_object();
  std::size_t compared = 0;
  for (const auto& entry : goldens.at("cases").as_array()) {
    const auto& one = entry.as_object();
    const auto& prompt = prompts.at(one.at("task").as_string()).as_string();
    const auto& text = texts.at(one.at("text").to_number<std::size_t>()).as_string();
    const auto wanted = json::value_to<std::vector<std::int32_t>>(one.at("ids"));
    const auto encoding = tokenizer.encode(std::string(prompt) + std::string(text),
                                           {.max_length = one.at("max_len").to_number<std::size_t>()});
    EXPECT_EQ(encoding.ids, wanted) << "text " << one.at("text") << ", task " << one.at("task");
    ++compared;
  }
  EXPECT_GT(compared, 0U);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenIds, ::testing::ValuesIn(checkpoints()), [](const auto& test) {
  std::string name = test.param.filename().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace stella::tokenizer
