// The same operations for programs without an event loop: each call blocks its thread until the result is there and
// throws stella::Error. Includes no Asio. Thread-safe; never call it from a Runtime thread (a completion or a progress
// callback).
#pragma once

#include "stella/bundled.hpp"
#include "stella/error.hpp"
#include "stella/hub.hpp"
#include "stella/options.hpp"
#include "stella/request.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace stella::sync {

/// Texts to vectors, blocking.
class Model {
 public:
  /// Fetches what is missing and loads. `model`: a directory, a repository id, or "demo" for the bundled model, which
  /// lies beside the program or the library, else in `share_directory`.
  static Model load(const std::string& model, const HubOptions& hub = HubOptions::from_environment(),
                    Precision precision = Precision::automatic,
                    const std::filesystem::path& share_directory = STELLA_SHARE_DIRECTORY);

  std::vector<float> embed(const std::string& text, const std::string& task = {}, std::size_t dimension = 0) const;
  std::vector<Embedding> batch_embed(const std::vector<std::string>& texts, const EmbedOptions& options = {}) const;
  std::vector<std::size_t> supported_dimensions() const;

 private:
  struct Impl;
  explicit Model(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

/// huggingface_file(), blocking.
std::filesystem::path huggingface_file(const std::string& registry_key, const std::string& file,
                                       const std::string& revision = "main",
                                       const HubOptions& hub = HubOptions::from_environment());

}  // namespace stella::sync
