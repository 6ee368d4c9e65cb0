// The files that hold a checkpoint's tensors: model.safetensors, or the shards that an index names.
#pragma once

#include "engine/model_files.hpp"

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::engine {

/// In a checkpoint and in the folder of a head.
inline constexpr const char* kWeightsFile = "model.safetensors";

/// The tensors' files, being fetched.
class AwaitedTensors {
 public:
  explicit AwaitedTensors(ModelFiles& files, const Together* together = nullptr)
      : files_(files), whole_(files, kWeightsFile, AwaitedFile::Need::optional, together) {}

  struct File {
    std::string name;
    std::filesystem::path path;
    bool is_index = false;
  };
  /// Waits; fetches the shards, concurrently, where there is no model.safetensors.
  std::vector<File> get(const std::stop_token& stop);

 private:
  std::vector<File> shards(const std::stop_token& stop);

  ModelFiles& files_;
  AwaitedFile whole_;
};

/// The paths without the index.
std::vector<std::filesystem::path> tensor_paths(const std::vector<AwaitedTensors::File>& files);

/// Where they lie in a checkpoint's directory; nothing where they are not all there.
std::optional<std::vector<std::filesystem::path>> present_tensors(const std::filesystem::path& directory);

}  // namespace stella::engine
