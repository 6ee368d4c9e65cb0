// The numbers that a client works with.
#pragma once

#include "hub/http/retry.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace stella::hub {

/// Numbers that tests make small. The defaults are for the public hub.
struct ClientTuning {
  RetryPolicy retries{};
  std::size_t block_bytes = 512 * 1024;      ///< One write to disk, and one line in a partial file's record.
  std::size_t blocks = 48;                   ///< Received bytes in memory are at most block_bytes * blocks.
  std::size_t connections = 16;              ///< Where HubOptions::connections is 0.
  std::size_t first_connections = 4;         ///< For one large file, before growth.
  std::uint64_t smallest_piece = 1U << 20U;  ///< Of one request; more where the latency is high, or not known yet.
  std::uint64_t largest_piece = 64U << 20U;
  std::uint64_t most_without_size = std::uint64_t{16} << 30U;  ///< Of a body that nothing says the size of.
  std::chrono::milliseconds sample{10};                        ///< Between two looks at the throughput.
  std::chrono::milliseconds lock_poll{50};                     ///< Between two tries for another process's lock.
  std::chrono::milliseconds progress_every{100};               ///< Between two progress calls for one waiter.
};

}  // namespace stella::hub
