#include "engine/tensor_files.hpp"

#include "engine/source_identity.hpp"
#include "stella/error.hpp"
#include "weights/tensors.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace stella::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexFile = "model.safetensors.index.json";

}  // namespace

std::vector<AwaitedTensors::File> AwaitedTensors::get(const std::stop_token& stop) {
  if (fs::path path = whole_.get(stop); !path.empty()) return {{kWeightsFile, std::move(path)}};
  return shards(stop);
}

std::vector<AwaitedTensors::File> AwaitedTensors::shards(const std::stop_token& stop) {
  const fs::path index = AwaitedFile(files_, kIndexFile, AwaitedFile::Need::optional).get(stop);
  if (index.empty()) {
    throw Error(files_.is_local() ? Errc::malformed_file : Errc::entry_not_found,
                "'" + files_.source() + "' has neither " + kWeightsFile + " nor " + kIndexFile +
                    "; weights in other formats (pytorch_model.bin, GGUF, ONNX) cannot be read, so save the model as "
                    "safetensors",
                {.file = kWeightsFile});
  }
  std::vector<AwaitedFile> awaited;
  for (const std::string& name : weights::shard_names(read_sound_text(index), files_.source() + "/" + kIndexFile)) {
    awaited.emplace_back(files_, name, AwaitedFile::Need::required);
  }
  std::vector<File> found;
  for (AwaitedFile& shard : awaited) found.push_back({shard.name(), shard.get(stop)});
  found.push_back({kIndexFile, index, true});
  return found;
}

std::vector<fs::path> tensor_paths(const std::vector<AwaitedTensors::File>& files) {
  std::vector<fs::path> paths;
  for (const AwaitedTensors::File& file : files) {
    if (!file.is_index) paths.push_back(file.path);
  }
  return paths;
}

std::optional<std::vector<fs::path>> present_tensors(const fs::path& directory) {
  std::error_code error;
  if (fs::exists(directory / kWeightsFile, error)) return std::vector{directory / kWeightsFile};
  const fs::path index = directory / kIndexFile;
  if (!fs::exists(index, error)) return std::nullopt;
  std::vector<fs::path> files;
  for (const std::string& name : weights::shard_names(read_sound_text(index), index.string())) {
    files.push_back(directory / name);
  }
  const bool all =
      std::all_of(files.begin(), files.end(), [&](const fs::path& file) { return fs::exists(file, error); });
  return all && !files.empty() ? std::optional(std::move(files)) : std::nullopt;
}

}  // namespace stella::engine
