// huggingface_file(): one file of a hub repository as a path in the local cache, asynchronously.
#pragma once

#include "base/unique_function.hpp"
#include "hub/download/request.hpp"
#include "hub/listing.hpp"
#include "stella/hub.hpp"
#include "stella/options.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace stella {
class ThreadPool;
}

namespace stella::hub {

struct ClientTuning;

/// The hub client. Owns one I/O thread that drives libcurl's multi interface; disk and hashing run on `file_pool`.
/// Thread-safe. Completions and progress callbacks run on the client's threads, never on the caller's.
class Client {
 public:
  /// `file_pool` outlives the client.
  explicit Client(ThreadPool& file_pool);
  /// For tests and benches.
  Client(ThreadPool& file_pool, const ClientTuning& tuning);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  /// Stops every transfer, completes every request with Error(shut_down), joins the I/O thread.
  ~Client();

  /// Resolves, downloads when needed, verifies, and gives the path under snapshots/. Concurrent requests for one blob
  /// share one transfer, also across processes. When `stop` is requested the request completes with Error(cancelled);
  /// the transfer stops when its last waiter has left. Errors are stella::Error as hub.md section 3 lists them.
  void get_file(FileRequest request, std::stop_token stop, ProgressCallback on_progress,
                Completion<std::filesystem::path> done);

  /// Every file of the repository at the revision (GET /api/models/{id}/tree/{revision}?recursive=true, all pages).
  /// Offline, or where the hub cannot be reached: the files of the cached snapshot.
  void list_files(FileRequest request_without_file, std::stop_token stop, Completion<std::vector<RepoFile>> done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a look at the bytes of a cached file says.
enum class CachedCopy : std::uint8_t {
  sound,
  damaged,  ///< Its bytes do not have the hash that its blob is named by.
  unknown,  ///< It is not here, or nothing here says which hash it should have.
};
/// Reads all of the file: blocks. Throws Error(io_error).
CachedCopy check_cached(const FileRequest& request);

}  // namespace stella::hub
