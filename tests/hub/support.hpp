// What the hub tests share: a client whose calls wait, other processes.
#pragma once

#include "base/thread_pool.hpp"
#include "hub/client.hpp"
#include "hub/download/tuning.hpp"
#include "hub_server/hub_server.hpp"
#include "stella/error.hpp"
#include "support/temporary_folder.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stella::test {

namespace fs = std::filesystem;

/// The token of every request; no error and no log line may hold it (checked in every test).
inline constexpr const char* kToken = "hf_tokenThatMustNotLeak";

std::string read_file(const fs::path& path);
void write_file(const fs::path& path, const std::string& bytes);
/// Every path below `root`, relative, sorted.
std::vector<std::string> tree(const fs::path& root);
/// `size` bytes that do not repeat, the same for the same seed.
std::string random_bytes(std::size_t size, std::uint64_t seed);

/// How one get_file() ended.
struct Outcome {
  fs::path path{};
  std::optional<Errc> error{};
  std::string what{};
  ErrorContext context{};

  bool ok() const { return !error; }
};
std::ostream& operator<<(std::ostream& out, const Outcome& outcome);

/// A get_file() under way.
class Download {
 public:
  Download(hub::Client& client, hub::FileRequest request, ProgressCallback on_progress = {});
  void cancel() { stop_.request_stop(); }
  bool ready() const { return result_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  Outcome wait();

 private:
  std::stop_source stop_;
  std::future<Outcome> result_;
};

/// The program hub_get in a process of its own.
class Process {
 public:
  Process(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();  ///< Kills it where it still runs.
  void kill();
  int wait();  ///< Exit status; 128 + signal where a signal ended it.
  bool running();
  const std::string& output();       ///< After wait(): standard output and error.
  std::uint64_t peak_bytes() const;  ///< Most resident memory so far; 0 once it has ended.

 private:
  int pid_ = -1;
  int status_ = 0;
  int output_fd_ = -1;
  bool done_ = false;
  std::string output_;
};

/// A hub, a cache and a client. Repositories are added by each test.
class HubTest : public ::testing::Test {
 protected:
  explicit HubTest(HubServerOptions server = {});
  ~HubTest() override;

  HubOptions options() const;
  hub::FileRequest request(const std::string& file, const std::string& revision = "main");
  Outcome get(const std::string& file, const std::string& revision = "main") { return get(request(file, revision)); }
  Outcome get(hub::FileRequest request) { return Download(client(), std::move(request)).wait(); }
  /// The client is made at first use, so that a test can make another one first.
  hub::Client& client();
  /// Ends the client, as the end of the program would; the next use makes another one.
  void restart_client() { client_.reset(); }
  std::unique_ptr<Process> spawn_get(const std::string& file, const std::string& revision = "main",
                                     std::map<std::string, std::string> environment = {});

  fs::path cache() const { return dir_.path() / "hub"; }
  fs::path repo_folder() const { return cache() / "models--org--name"; }
  fs::path blob(const std::string& file, const std::string& revision = "main") const {
    return repo_folder() / "blobs" / hub_.etag(kRepo, revision, file);
  }
  /// Names below blobs/ that are neither 40 nor 64 hexadecimal digits.
  std::vector<std::string> partials() const;

  static constexpr const char* kRepo = "org/name";
  TemporaryFolder dir_;
  HubServer hub_;
  HubOptions changed_;  ///< Copied into every request(); tests change it.
  /// For the next client(): the defaults, but for pauses between retries so short that tests need not wait.
  hub::ClientTuning tuning_;
  ThreadPool pool_{4, "files"};

 private:
  std::unique_ptr<hub::Client> client_;
};

}  // namespace stella::test
