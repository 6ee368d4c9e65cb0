// A hub repository as the engine's source of files.
#pragma once

#include "engine/model_files.hpp"
#include "hub/client.hpp"
#include "stella/hub.hpp"
#include "stella/options.hpp"

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

namespace stella::api {

/// The runtime's hub client, made at first use and gone once closed; whoever asks later hears Error(shut_down). Models
/// may outlive the runtime, so they hold this and not the client. Thread-safe.
class HubGate {
 public:
  explicit HubGate(ThreadPool& pool) : pool_(pool) {}

  void get_file(hub::FileRequest request, std::stop_token stop, ProgressCallback on_progress,
                Completion<std::filesystem::path> done);
  void list_files(hub::FileRequest request, std::stop_token stop, Completion<std::vector<hub::RepoFile>> done);
  /// Runs `job` on the pool; false, and nothing, where the gate is closed.
  bool post(UniqueFunction<void()> job);
  /// Completes what is pending with Error(shut_down) and joins the hub's thread. Once, not from a hub completion.
  void close();

 private:
  /// Calls `use(client)`; what kept it from that, where something did.
  template <class Use>
  std::exception_ptr with_client(Use use);

  bool enter();
  void leave();

  ThreadPool& pool_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t calls_ = 0;                // guarded by mutex_; with_client() calls under way
  bool closed_ = false;                  // guarded by mutex_
  std::unique_ptr<hub::Client> client_;  // made under mutex_; destroyed when closed and no call is under way
};

/// Which repository, and how to reach it.
struct HubSource {
  std::string repo;
  std::string revision;
  std::shared_ptr<const HubOptions> options;
  ProgressCallback on_progress;
};

std::shared_ptr<engine::ModelFiles> hub_files(std::shared_ptr<HubGate> gate, HubSource source);

}  // namespace stella::api
