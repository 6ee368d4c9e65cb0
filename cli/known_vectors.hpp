// Vectors that a model is known to give: a checkpoint's own goldens, and published ones that come with the program.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace stella::cli {

/// One text under one prompt.
struct KnownText {
  std::string text{};
  std::string task{};
  std::string prompt{};             ///< What the task stood for when the vectors were made.
  std::size_t max_length = 0;       ///< 0: the model's own.
  std::vector<std::int32_t> ids{};  ///< Empty: not known.
  std::vector<std::pair<std::size_t, std::vector<float>>> vectors{};  ///< (dimension, vector of any length).
};

struct KnownVectors {
  std::string source{};  ///< For the report.
  /// Least cosine at f32 and, where the known vectors are of unit length and exact, the greatest difference.
  double least_cosine = 0;
  std::optional<double> greatest_difference{};
  std::vector<KnownText> texts{};
};

/// goldens/goldens.json and goldens/goldens.safetensors inside a checkpoint; nothing where there are none.
std::optional<KnownVectors> read_goldens(const std::filesystem::path& checkpoint);

/// The published vectors for a model's name ("…/stella_en_400M_v5"); nothing for others.
std::optional<KnownVectors> read_published(const std::string& model, const std::filesystem::path& share);

}  // namespace stella::cli
