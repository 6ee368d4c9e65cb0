// What PyTorch gave for a checkpoint: goldens/goldens.json and goldens/goldens.safetensors of its folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace stella::test {

struct Goldens {
  struct Case {
    std::size_t text = 0;  // of `texts`
    std::string task;
    std::size_t max_length = 0;
    std::vector<std::int32_t> ids;

    /// "{text}.{task}.{max_length}", the start of its vectors' names.
    std::string key() const;
  };
  std::vector<std::string> texts;
  std::map<std::string, std::string> prompts;
  std::vector<Case> cases;
  std::map<std::string, std::vector<float>> vectors;  // "{text}.{task}.{max_length}.{dimension}"

  /// Null where there is no such vector.
  const std::vector<float>* find(const Case& one, std::size_t dimension) const;
};

Goldens read_goldens(const std::filesystem::path& checkpoint);

}  // namespace stella::test
