// What the parts of the client share on its loop thread.
#pragma once

#include "hub/download/block_pool.hpp"
#include "hub/http/event_loop.hpp"
#include "hub/http/retry.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace stella::hub {

class Transfer;

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

/// Shares the connections out over all transfers: everyone gets one before anyone gets a second one.
class ConnectionBudget {
 public:
  explicit ConnectionBudget(EventLoop& loop) : loop_(loop) {}
  void join(Transfer& transfer) { members_.push_back(&transfer); }
  void leave(Transfer& transfer);
  bool may_open(const Transfer& transfer, std::size_t limit) const;
  void opened() noexcept { ++used_; }
  /// Gives a connection back; whoever has none gets it, from a later task of the loop.
  void closed();

 private:
  EventLoop& loop_;
  std::vector<Transfer*> members_;
  std::size_t used_ = 0;
};

struct Services {
  Services(ThreadPool& pool, const ClientTuning& client_tuning)
      : tuning(client_tuning), files(pool, loop), blocks(loop, tuning.block_bytes, tuning.blocks), budget(loop) {}

  ClientTuning tuning;
  EventLoop loop;
  FileJobs files;
  BlockPool blocks;
  ConnectionBudget budget;
  std::set<std::string> remarked;  ///< Repositories of mirrors whose etags were remarked upon. Loop thread only.
};

}  // namespace stella::hub
