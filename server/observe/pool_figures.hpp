// What the models of a pool and the hub's transfers are like, in Prometheus' text format.
#pragma once

#include "stella/options.hpp"
#include "stella/pool_status.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace stella::server {

/// Files and bytes that came from the hub, or lay in its cache. Thread-safe.
class HubTransfers {
 public:
  /// What a transfer says of itself; several parts of a load may say the same of one file.
  void count(const Progress& progress);
  void append(std::string& out) const;

 private:
  struct File {
    std::uint64_t bytes = 0;
    bool finished = false;
  };

  mutable std::mutex mutex_{};
  std::map<std::string, File> files_{};  // guarded by mutex_, as what follows
  std::uint64_t downloaded_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t cached_ = 0;
};

/// State, memory, loads and evictions of each model, and the pool's memory. `names`: what clients call the models.
void append_pool(std::string& out, const PoolHealth& health, const std::map<std::string, std::string>& names);

}  // namespace stella::server
