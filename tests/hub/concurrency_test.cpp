// Points 25 and 27-30 of docs/hub.md: many askers, several processes, a folder that changes under our feet.
#include "hub/support.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::test {
namespace {

constexpr std::size_t kSize = 3'000'000;

class HubConcurrency : public HubTest {
 protected:
  HubConcurrency() { hub_.add_revision(kRepo, "main", files_); }
  fs::path lock_path(const std::string& file) const {
    return cache() / ".locks" / "models--org--name" / (hub_.etag(kRepo, "main", file) + ".lock");
  }
  void hold_bodies(std::uint64_t at) {
    hub_.inject({.port = Port::cdn, .times = kAlways, .gate = "bodies", .gate_at = at});
  }
  void expect_model(const Outcome& outcome) {
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(read_file(outcome.path), files_.at("model.safetensors"));
  }
  /// Waits for something that a hub cannot report, without a limit of its own: the test's time limit is the limit.
  template <typename Condition>
  static void until(Condition condition) {
    while (!condition()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  const std::map<std::string, std::string> files_ = {
      {"config.json", "{}"}, {"other.json", "{\"other\": 1}"}, {"model.safetensors", random_bytes(kSize, 4)}};
};

/// A lock on a file, held by a description of its own, as another process would hold it.
class HeldLock {
 public:
  explicit HeldLock(const fs::path& path) {
    fs::create_directories(path.parent_path());
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    EXPECT_EQ(flock(fd_, LOCK_EX | LOCK_NB), 0);
  }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;
  ~HeldLock() { release(); }
  void release() {
    if (fd_ >= 0) {
      close(fd_);
    }
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

TEST_F(HubConcurrency, P25_TwoProcessesTransferOneBody) {
  hold_bodies(1000);
  const auto first = spawn_get("model.safetensors");
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  const auto second = spawn_get("model.safetensors");
  until([&] { return hub_.count(Port::hub, "HEAD", "model.safetensors") >= 2 || !second->running(); });
  hub_.release("bodies");
  EXPECT_EQ(first->wait(), 0) << first->output();
  EXPECT_EQ(second->wait(), 0) << second->output();
  EXPECT_EQ(first->output(), second->output());
  EXPECT_EQ(hub_.body_bytes("model.safetensors"), kSize);
}

TEST_F(HubConcurrency, P27_HundredRequestsOneDownload) {
  hold_bodies(1000);
  std::vector<std::unique_ptr<Download>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(std::make_unique<Download>(client(), request("model.safetensors")));
  }
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  all[17]->cancel();
  EXPECT_EQ(all[17]->wait().error, Errc::cancelled);
  all[99]->cancel();
  EXPECT_EQ(all[99]->wait().error, Errc::cancelled);
  EXPECT_FALSE(all[0]->ready());
  hub_.release("bodies");
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i != 17 && i != 99) {
      expect_model(all[i]->wait());
    }
  }
  EXPECT_EQ(hub_.body_bytes("model.safetensors"), kSize);
  EXPECT_LE(hub_.count(Port::hub, "HEAD", "model.safetensors"), 2u);
}

TEST_F(HubConcurrency, P27_CancellingTheLastOneStopsTheTransferAndKeepsThePartial) {
  hold_bodies(1'000'000);
  Download one(client(), request("model.safetensors"));
  Download two(client(), request("model.safetensors"));
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  one.cancel();
  two.cancel();
  EXPECT_EQ(one.wait().error, Errc::cancelled);
  EXPECT_EQ(two.wait().error, Errc::cancelled);
  // The gate stays closed, so what ends the connections is the client.
  until([&] { return hub_.count(Port::cdn, "GET") > 0 && hub_.open_connections() <= 1; });
  EXPECT_FALSE(fs::exists(blob("model.safetensors")));
  EXPECT_FALSE(partials().empty());
  hub_.clear_faults();
  hub_.release("bodies");
  expect_model(get("model.safetensors"));
}

TEST_F(HubConcurrency, P27_CancelledBeforeItStartsAsksNobody) {
  std::stop_source stop;
  stop.request_stop();
  std::promise<std::exception_ptr> ended;
  client().get_file(request("model.safetensors"), stop.get_token(), {},
                    [&](std::exception_ptr error, fs::path) { ended.set_value(error); });
  const std::exception_ptr error = ended.get_future().get();
  ASSERT_TRUE(error);
  EXPECT_THROW(std::rethrow_exception(error), Error);
  EXPECT_EQ(hub_.body_bytes(), 0u);
}

TEST_F(HubConcurrency, P28_WaitingForALockBlocksNobody) {
  HeldLock lock(lock_path("model.safetensors"));
  ThreadPool one_thread(1, "files");
  hub::Client narrow(one_thread);
  Download waiting(narrow, request("model.safetensors"));
  until([&] { return hub_.count(Port::hub, "HEAD", "model.safetensors") >= 1; });
  // If the wait held the loop or the only file thread, these would never end.
  EXPECT_TRUE(Download(narrow, request("config.json")).wait().ok());
  EXPECT_TRUE(Download(narrow, request("other.json")).wait().ok());
  EXPECT_FALSE(waiting.ready());
  EXPECT_EQ(hub_.body_bytes("model.safetensors"), 0u);
  lock.release();
  expect_model(waiting.wait());
}

TEST_F(HubConcurrency, P28_AWaiterCanBeCancelled) {
  const HeldLock lock(lock_path("model.safetensors"));
  Download waiting(client(), request("model.safetensors"));
  until([&] { return hub_.count(Port::hub, "HEAD", "model.safetensors") >= 1; });
  waiting.cancel();
  EXPECT_EQ(waiting.wait().error, Errc::cancelled);
}

TEST_F(HubConcurrency, P29_HolderKilledWaiterProceeds) {
  hold_bodies(1'000'000);
  const auto holder = spawn_get("model.safetensors");
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  Download waiter(client(), request("model.safetensors"));
  until([&] { return hub_.count(Port::hub, "HEAD", "model.safetensors") >= 2; });
  EXPECT_FALSE(waiter.ready());
  holder->kill();
  hub_.release("bodies");
  expect_model(waiter.wait());
}

TEST_F(HubConcurrency, P30_PruneDuringARunIsHarmless) {
  hold_bodies(1'000'000);
  Download download(client(), request("model.safetensors"));
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  std::size_t pruned = 0;
  for (const auto& entry : fs::directory_iterator(repo_folder() / "blobs")) {
    if (entry.path().extension() == ".incomplete") {  // what "hf cache prune" deletes
      fs::remove(entry.path());
      ++pruned;
    }
  }
  EXPECT_GE(pruned, 1u);
  hub_.release("bodies");
  expect_model(download.wait());
}

TEST_F(HubConcurrency, P30_PruneBetweenRunsIsHarmless) {
  hold_bodies(1'000'000);
  Download first(client(), request("model.safetensors"));
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  first.cancel();
  EXPECT_EQ(first.wait().error, Errc::cancelled);
  restart_client();
  for (const std::string& name : partials()) {
    EXPECT_TRUE(name.ends_with(".incomplete")) << name << " would survive hf cache prune";
    fs::remove(repo_folder() / "blobs" / name);
  }
  hub_.clear_faults();
  expect_model(get("model.safetensors"));
  EXPECT_TRUE(partials().empty());
}

TEST_F(HubConcurrency, FilesOfOneModelDownloadAtTheSameTime) {
  // Neither body goes on before both have begun.
  hub_.inject({.method = "GET", .path = "config.json", .times = kAlways, .gate = "both", .gate_at = 0});
  hub_.inject({.method = "GET", .path = "other.json", .times = kAlways, .gate = "both", .gate_at = 0});
  Download config(client(), request("config.json"));
  Download other(client(), request("other.json"));
  EXPECT_TRUE(hub_.wait_at_gate("both", 2));
  hub_.release("both");
  EXPECT_TRUE(config.wait().ok());
  EXPECT_TRUE(other.wait().ok());
}

TEST_F(HubConcurrency, DestroyingTheClientCompletesWhatIsPending) {
  hold_bodies(1'000'000);
  Download model(client(), request("model.safetensors"));
  ASSERT_TRUE(hub_.wait_at_gate("bodies"));
  restart_client();
  EXPECT_EQ(model.wait().error, Errc::shut_down);
}

TEST_F(HubConcurrency, ProgressGrowsAndEndsOnce) {
  std::vector<Progress> seen;
  Download download(client(), request("model.safetensors"),
                    [&](const Progress& progress) { seen.push_back(progress); });
  expect_model(download.wait());
  restart_client();
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(
      std::is_sorted(seen.begin(), seen.end(), [](const Progress& a, const Progress& b) { return a.bytes < b.bytes; }));
  EXPECT_EQ(std::count_if(seen.begin(), seen.end(), [](const Progress& one) { return one.finished; }), 1);
  EXPECT_TRUE(seen.back().finished);
  EXPECT_EQ(seen.back().bytes, kSize);
  EXPECT_EQ(seen.back().total, kSize);
  EXPECT_EQ(seen.back().repo, kRepo);
  EXPECT_EQ(seen.back().file, "model.safetensors");
  EXPECT_FALSE(seen.back().from_cache);
}

TEST_F(HubConcurrency, ListFilesTakesEveryPage) {
  std::map<std::string, std::string> many;
  for (int i = 0; i < 2500; ++i) {
    many["folder/" + std::to_string(i) + ".txt"] = std::to_string(i);
  }
  many["model.safetensors"] = files_.at("model.safetensors");
  hub_.add_revision(kRepo, "wide", many);
  std::promise<std::vector<hub::RepoFile>> promise;
  client().list_files(request("", "wide"), {}, [&](std::exception_ptr error, std::vector<hub::RepoFile> files) {
    if (error) {
      promise.set_exception(error);
    } else {
      promise.set_value(std::move(files));
    }
  });
  const std::vector<hub::RepoFile> files = promise.get_future().get();
  std::map<std::string, hub::RepoFile> by_path;
  for (const hub::RepoFile& file : files) {
    by_path[file.path] = file;
  }
  ASSERT_EQ(files.size(), many.size());
  for (const auto& [path, content] : many) {
    ASSERT_TRUE(by_path.contains(path)) << path;
    EXPECT_EQ(by_path[path].size, content.size());
    EXPECT_EQ(by_path[path].hash, hub_.etag(kRepo, "wide", path));
  }
}

}  // namespace
}  // namespace stella::test
