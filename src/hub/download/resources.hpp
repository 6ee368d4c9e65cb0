// What all downloads of one client share, on its loop thread.
#pragma once

#include "hub/download/block_pool.hpp"
#include "hub/download/connection_budget.hpp"
#include "hub/download/tuning.hpp"
#include "hub/http/event_loop.hpp"

#include <set>
#include <string>

namespace stella::hub {

struct Resources {
  Resources(ThreadPool& pool, const ClientTuning& client_tuning)
      : tuning(client_tuning), files(pool, loop), blocks(loop, tuning.block_bytes, tuning.blocks), budget(loop) {}

  ClientTuning tuning;
  EventLoop loop;
  FileJobs files;
  BlockPool blocks;
  ConnectionBudget budget;
  std::set<std::string> remarked;  ///< Repositories of mirrors whose etags were remarked upon. Loop thread only.
};

}  // namespace stella::hub
