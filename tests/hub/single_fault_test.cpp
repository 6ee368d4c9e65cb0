// The twelve single faults of docs/hub.md on a 260 MB file, of which Python's client survives eight, and what a killed
// process has to fetch again.
#include "hub/support.hpp"

#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>

namespace stella::test {
namespace {

constexpr std::size_t kSize = 260'000'000;
constexpr std::size_t kMiddle = kSize / 2;

class HubSingleFault : public HubTest {
 protected:
  HubSingleFault() {
    changed_.download_timeout = std::chrono::seconds(2);
    const std::string block = random_bytes(1 << 20, 7);
    const fs::path path = dir_.path() / "repo" / "model.safetensors";
    fs::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::binary);
    for (std::uint64_t at = 0; at < kSize; at += block.size()) {
      // Each block differs from the others, so that a range put in a wrong place shows.
      out.write(reinterpret_cast<const char*>(&at), sizeof at);
      const std::uint64_t rest = std::min<std::uint64_t>(block.size(), kSize - at);
      out.write(block.data(), static_cast<std::streamsize>(rest - std::min<std::uint64_t>(rest, sizeof at)));
    }
    out.close();
    fs::resize_file(path, kSize);
    hub_.add_revision(kRepo, "main", dir_.path() / "repo");
  }

  void expect_survives() {
    const Outcome outcome = get("model.safetensors");
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_GE(hub_.faults_applied(), 1u) << "the fault was never met";
    expect_same_bytes(outcome.path);
  }
  void expect_same_bytes(const fs::path& path) {
    std::ifstream got(path, std::ios::binary);
    std::ifstream want(dir_.path() / "repo" / "model.safetensors", std::ios::binary);
    std::vector<char> a(1 << 20);
    std::vector<char> b(1 << 20);
    ASSERT_EQ(fs::file_size(path), kSize);
    for (std::size_t at = 0; at < kSize; at += a.size()) {
      got.read(a.data(), static_cast<std::streamsize>(a.size()));
      want.read(b.data(), static_cast<std::streamsize>(b.size()));
      ASSERT_EQ(got.gcount(), want.gcount());
      ASSERT_TRUE(a == b) << "bytes differ after " << at;
    }
  }
};

TEST_F(HubSingleFault, F01_CutByFin) {
  hub_.inject({.port = Port::cdn, .cut_at = 5'000'000});
  expect_survives();
  EXPECT_LE(hub_.body_bytes(), kSize + kSize / 10);
}

TEST_F(HubSingleFault, F02_CutByReset) {
  hub_.inject({.port = Port::cdn, .cut_at = 5'000'000, .reset = true});
  expect_survives();
}

TEST_F(HubSingleFault, F03_CutAtTheFirstByte) {
  hub_.inject({.port = Port::cdn, .cut_at = 0});
  expect_survives();
}

TEST_F(HubSingleFault, F04_FlippedByte) {
  hub_.inject({.port = Port::cdn, .flip_at = 3'000'000});
  expect_survives();
}

TEST_F(HubSingleFault, F05_HubUnavailable) {
  hub_.inject({.port = Port::hub, .times = 2, .status = 503});
  expect_survives();
}

TEST_F(HubSingleFault, F06_CdnUnavailable) {
  hub_.inject({.port = Port::cdn, .times = 2, .status = 503});
  expect_survives();
}

TEST_F(HubSingleFault, F07_TooManyRequests) {
  hub_.inject({.port = Port::hub, .status = 429, .headers = {{"Retry-After", "1"}}});
  expect_survives();
}

TEST_F(HubSingleFault, F08_RangeIgnored) {
  hub_.inject({.port = Port::cdn, .cut_at = 5'000'000});
  hub_.inject({.port = Port::cdn, .only_ranges = true, .times = kAlways, .ignore_range = true});
  expect_survives();
}

TEST_F(HubSingleFault, F09_RangeLying) {
  hub_.inject({.port = Port::cdn, .cut_at = 5'000'000});
  hub_.inject({.port = Port::cdn, .only_ranges = true, .lie_about_range = 1000});
  expect_survives();
}

TEST_F(HubSingleFault, F10_ExpiredUrl) {
  hub_.inject({.port = Port::cdn, .cut_at = 5'000'000});
  hub_.inject({.port = Port::cdn, .expire_urls = true});
  expect_survives();
}

TEST_F(HubSingleFault, F11_WrongLength) {
  hub_.inject({.port = Port::cdn, .length_delta = -1000});
  expect_survives();
}

TEST_F(HubSingleFault, F12_Stall) {
  hub_.inject({.port = Port::cdn, .stall_at = 5'000'000});
  expect_survives();
}

TEST_F(HubSingleFault, MemoryDoesNotGrowWithTheFile) {
  const auto process = spawn_get("model.safetensors");
  std::uint64_t peak = 0;
  while (process->running()) {
    peak = std::max(peak, process->peak_bytes());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ASSERT_EQ(process->wait(), 0) << process->output();
  // 64 MiB for what is received and not yet on disk, the rest for the program itself.
  EXPECT_GT(peak, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(peak, std::uint64_t{96} << 20);
#endif
}

class HubKilled : public HubSingleFault {
 protected:
  /// Bytes of the partial that take room on the disk.
  std::uint64_t on_disk() const {
    std::uint64_t most = 0;
    for (const std::string& name : partials()) {
      struct stat status {};
      if (stat((repo_folder() / "blobs" / name).c_str(), &status) == 0) {
        most = std::max(most, static_cast<std::uint64_t>(status.st_blocks) * 512);
      }
    }
    return most;
  }

  /// Kills a process that has about half of the file; gives the bytes that the hub had sent by then.
  std::uint64_t kill_half_way() {
    hub_.set_rate(20'000'000);
    const auto process = spawn_get("model.safetensors");
    while (hub_.body_bytes() < kMiddle && process->running()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    // What waits in sockets is lost with the process and proves nothing: let it take that first.
    hub_.set_rate(1);
    constexpr std::uint64_t kInMemory = 12U << 20U;  // sixteen blocks that are not full, and what is being written
    while (on_disk() + kInMemory < hub_.body_bytes() && process->running()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    process->kill();
    const std::uint64_t sent = hub_.body_bytes();
    EXPECT_LT(sent, kSize) << "killed too late to prove anything";
    EXPECT_FALSE(fs::exists(blob("model.safetensors")));
    hub_.clear_log();
    hub_.set_rate(0);
    return sent;
  }
};

TEST_F(HubKilled, P42_ResumeFetchesOnlyWhatIsMissing) {
  const std::uint64_t first = kill_half_way();
  const Outcome outcome = get("model.safetensors");
  ASSERT_TRUE(outcome.ok()) << outcome;
  expect_same_bytes(outcome.path);
  EXPECT_LE(first + hub_.body_bytes(), kSize + kMiddle / 10) << "re-fetched more than a tenth of what there was";
  EXPECT_TRUE(partials().empty());
}

TEST_F(HubKilled, P42_ADamagedPartialIsNotTrusted) {
  kill_half_way();
  for (const std::string& name : partials()) {
    std::fstream file(repo_folder() / "blobs" / name, std::ios::in | std::ios::out | std::ios::binary);
    if (fs::file_size(repo_folder() / "blobs" / name) > 1'000'000) {
      file.seekp(500);
      file.write("damage", 6);
    } else {
      file.seekp(0, std::ios::end);
      file.write("garbage at the end of the record", 32);
    }
  }
  const Outcome outcome = get("model.safetensors");
  ASSERT_TRUE(outcome.ok()) << outcome;
  expect_same_bytes(outcome.path);
}

TEST_F(HubKilled, P42_APartialOfAnotherVersionIsNotUsed) {
  kill_half_way();
  hub_.add_revision(kRepo, "main", std::map<std::string, std::string>{{"model.safetensors", random_bytes(500'000, 8)}});
  const Outcome outcome = get("model.safetensors");
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_TRUE(read_file(outcome.path) == random_bytes(500'000, 8));
}

}  // namespace
}  // namespace stella::test
