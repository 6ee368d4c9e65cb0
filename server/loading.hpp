// How far a model's loading has come, in words for whoever asks whether the server is ready.
#pragma once

#include "stella/options.hpp"

#include <mutex>
#include <string>

namespace stella::server {

/// Thread-safe.
class Loading {
 public:
  void on_file(const Progress& progress);
  void on_load(double fraction);
  /// "the model is being loaded", with what is under way where it is known.
  std::string text() const;

 private:
  mutable std::mutex mutex_{};
  std::string step_{};  // guarded by mutex_
};

}  // namespace stella::server
