// What a checkpoint's small files say, fetched and read without its weights.
#pragma once

#include "engine/model_files.hpp"
#include "engine/prompt.hpp"
#include "weights/model_spec.hpp"

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::engine {

/// Longest input that may be asked for, whatever the positions allow: attention's time grows with its square.
inline constexpr std::size_t kMaxInput = 8192;

/// Immutable once read.
struct Checkpoint {
  weights::ModelSpec spec;
  std::map<std::size_t, std::string> heads;  // size → folder; empty: the pooled vector only
  std::vector<std::size_t> dimensions;       // what may be asked for: the heads' sizes, else the pooled one
  std::size_t default_dimension = 0;
  std::size_t default_max_length = 0;
  std::size_t max_length_limit = 0;
  Prompts prompts;
  std::filesystem::path directory;  // that holds config.json
  std::string source;               // for messages
};

/// What is known of a model before its files are read.
struct KnownModel {
  std::string name;                       // for messages, and to tell a Stella by
  std::vector<std::size_t> dimensions{};  // the registry's; empty: found in the checkpoint
};

/// The small files that a checkpoint may have; those after the first are optional.
const std::vector<std::string>& small_files();

/// Fetches the small files concurrently, waits for them and reads them. Throws what the files' errors are, those of
/// weights::parse_model_spec(), and Error(cancelled).
std::shared_ptr<const Checkpoint> read_checkpoint(ModelFiles& files, const KnownModel& known,
                                                  const std::stop_token& stop);

}  // namespace stella::engine
