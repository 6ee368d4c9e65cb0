// The parts of a transfer: ranges, the number of connections, and the partial file's record.
#include "hub/download/partial_file.hpp"
#include "hub/download/range_set.hpp"
#include "hub/download/rate_meter.hpp"
#include "hub/download/throughput.hpp"
#include "support/temporary_folder.hpp"

#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

TEST(RangeSet, AgreesWithASetOfSingleBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    RangeSet ranges;
    std::vector<bool> bytes(64, false);
    for (int step = 0; step < 20; ++step) {
      const std::uint64_t a = random() % 65;
      const std::uint64_t b = random() % 65;
      const bool add = random() % 3 != 0;
      add ? ranges.add(a, b) : ranges.remove(a, b);
      for (std::uint64_t i = a; i < b; ++i) bytes[i] = add;
    }
    std::uint64_t total = 0;
    for (const bool byte : bytes) total += byte ? 1 : 0;
    EXPECT_EQ(ranges.total(), total);
    for (std::uint64_t i = 0; i < 64; ++i) ASSERT_EQ(ranges.contains(i, i + 1), bytes[i]) << i;
    std::uint64_t prefix = 0;
    while (prefix < 64 && bytes[prefix]) ++prefix;
    EXPECT_EQ(ranges.prefix(), prefix);
    const auto gap = ranges.first_gap(64);
    ASSERT_EQ(gap.has_value(), prefix < 64);
    if (gap) {
      std::uint64_t end = prefix;
      while (end < 64 && !bytes[end]) ++end;
      EXPECT_EQ(*gap, RangeSet::Range(prefix, end));
    }
    for (const auto& [first, end] : ranges.ranges()) ASSERT_LT(first, end);
  }
}

// A network that gives each connection `each` bytes per second and all together `most`.
TransferSample sample_of(double each, double most, std::size_t connections, double seconds) {
  TransferSample sample;
  sample.bytes = static_cast<std::uint64_t>(std::min(each * static_cast<double>(connections), most) * seconds);
  sample.seconds = seconds;
  sample.delivering = connections;
  return sample;
}

// The number at which growth ends: the limit, or the one gone back to.
std::size_t settled(double each, double most, std::size_t limit) {
  Throughput throughput(4);
  for (int i = 0; i < 20; ++i) {
    const std::size_t before = throughput.wanted();
    throughput.sample(sample_of(each, most, before, 0.1), limit, 0.01);
    if (throughput.wanted() < before && before <= limit) break;
  }
  return throughput.wanted();
}

TEST(Throughput, GrowsWhileItHelps) {
  EXPECT_EQ(settled(40e6, 1e12, 16), 16U);
  EXPECT_EQ(settled(40e6, 1e12, 64), 64U);
  EXPECT_EQ(settled(40e6, 1e12, 3), 3U);
  EXPECT_EQ(settled(40e6, 320e6, 64), 8U);
  EXPECT_EQ(settled(2e9, 2e9, 16), 4U);
}

TEST(Throughput, TriesAgainAfterAWhileAndEverLessOften) {
  Throughput throughput(4);
  std::size_t trials = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t before = throughput.wanted();
    throughput.sample(sample_of(2e9, 2e9, before, 0.1), 16, 0.01);
    trials += throughput.wanted() > before ? 1 : 0;
  }
  EXPECT_GE(trials, 4U);
  EXPECT_LE(trials, 12U);
}

TEST(Throughput, ShortMemoryEndsTheGrowth) {
  Throughput throughput(4);
  for (int i = 0; i < 20; ++i) {
    TransferSample sample = sample_of(40e6, 1e12, throughput.wanted(), 0.1);
    sample.short_of_memory = true;
    throughput.sample(sample, 16, 0.01);
    EXPECT_EQ(throughput.wanted(), 4U);
  }
}

TEST(Throughput, JudgesOnlyOnceEveryConnectionDelivers) {
  Throughput throughput(4);
  TransferSample sample = sample_of(40e6, 1e12, 4, 0.1);
  sample.delivering = 3;
  for (int i = 0; i < 8; ++i) throughput.sample(sample, 16, 0.01);
  EXPECT_EQ(throughput.wanted(), 4U);
  sample.delivering = 4;
  throughput.sample(sample, 16, 0.01);
  EXPECT_EQ(throughput.wanted(), 8U);
  // One connection that never delivers does not stop the growth for ever.
  sample.bytes *= 2;
  for (int i = 0; i < 20; ++i) throughput.sample(sample, 16, 0.01);
  EXPECT_EQ(throughput.wanted(), 16U);
}

TEST(Throughput, WaitsForRoundTrips) {
  Throughput throughput(4);
  for (int i = 0; i < 5; ++i) throughput.sample(sample_of(40e6, 1e12, 4, 0.1), 16, 0.3);
  EXPECT_EQ(throughput.wanted(), 4U);
  for (int i = 0; i < 2; ++i) throughput.sample(sample_of(40e6, 1e12, 4, 0.1), 16, 0.3);
  EXPECT_EQ(throughput.wanted(), 8U);
}

TEST(Throughput, HalvesWhenTheServerPushesBack) {
  Throughput throughput(8);
  throughput.back_off();
  EXPECT_EQ(throughput.wanted(), 4U);
  for (int i = 0; i < 10; ++i) throughput.back_off();
  EXPECT_EQ(throughput.wanted(), 1U);
}

TEST(RateMeter, CountsOnlyWhatCameInTheWindow) {
  RateMeter meter;
  const RateMeter::Time start{};
  EXPECT_EQ(meter.update(start, 1000), 0);
  EXPECT_DOUBLE_EQ(meter.update(start + std::chrono::seconds(2), 3000), 1000);
  EXPECT_DOUBLE_EQ(meter.update(start + std::chrono::seconds(10), 3000), 0);
  EXPECT_EQ(meter.update(start + std::chrono::seconds(11), 10), 0);
}

class PartialFiles : public ::testing::Test {
 protected:
  PartialFiles() { fs::create_directories(paths_.blobs()); }

  static std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }
  std::string record() const { return read(paths_.partial_record(etag_)); }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::string etag_ = std::string(64, 'a');
  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
  const RepoPaths paths_{root_, "org/name"};
};

TEST_F(PartialFiles, RemembersWhatWasWritten) {
  {
    PartialFile file(paths_, etag_, 100);
    EXPECT_EQ(file.resumed().total(), 0U);
    file.write(50, bytes("hello"));
    file.write(0, bytes("abc"));
  }
  PartialFile again(paths_, etag_, 100);
  EXPECT_EQ(again.resumed().total(), 8U);
  EXPECT_TRUE(again.resumed().contains(50, 55));
  EXPECT_TRUE(again.resumed().contains(0, 3));
  std::string text(5, '\0');
  again.read(50, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "hello");
}

// Killed at any byte of the record: what is still believed was written.
TEST_F(PartialFiles, ARecordCutAnywhereClaimsNothingThatWasNotWritten) {
  {
    PartialFile file(paths_, etag_, 100);
    file.write(10, bytes("0123456789"));
    file.write(30, bytes("0123456789"));
  }
  const std::string whole = record();
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    std::ofstream(paths_.partial_record(etag_), std::ios::binary) << whole.substr(0, cut);
    const fs::path copy = root_ / "copy";
    fs::copy_file(paths_.partial(etag_), copy, fs::copy_options::overwrite_existing);
    const PartialFile file(paths_, etag_, 100);
    const std::uint64_t total = file.resumed().total();
    EXPECT_TRUE(total == 0 || total == 10 || total == 20) << cut;
    EXPECT_TRUE(total < 10 || file.resumed().contains(10, 20));
    if (total == 0) break;  // a fresh file has another inode: the old record cannot be put back
  }
  EXPECT_EQ(whole.back(), '\n');
}

TEST_F(PartialFiles, DamageOtherSizesAndOtherFilesAreNotBelieved) {
  const auto write_one = [&] {
    PartialFile file(paths_, etag_, 100);
    file.write(10, bytes("0123456789"));
  };
  write_one();
  EXPECT_EQ(PartialFile(paths_, etag_, 101).resumed().total(), 0U);
  write_one();
  std::string text = record();
  text.replace(text.find("10 20"), 5, "10 90");
  std::ofstream(paths_.partial_record(etag_), std::ios::binary) << text;
  EXPECT_EQ(PartialFile(paths_, etag_, 100).resumed().total(), 0U);
  write_one();
  fs::copy_file(paths_.partial(etag_), root_ / "other");
  fs::rename(root_ / "other", paths_.partial(etag_));
  EXPECT_EQ(PartialFile(paths_, etag_, 100).resumed().total(), 0U);
}

TEST_F(PartialFiles, LinksAndSharedFilesAreReplacedNotWritten) {
  const fs::path victim = root_ / "victim";
  std::ofstream(victim) << std::string(100, 'v');
  for (const bool hard : {false, true}) {
    fs::remove(paths_.partial(etag_));
    hard ? fs::create_hard_link(victim, paths_.partial(etag_)) : fs::create_symlink(victim, paths_.partial(etag_));
    fs::remove(paths_.partial_record(etag_));
    fs::create_symlink(victim, paths_.partial_record(etag_));
    PartialFile file(paths_, etag_, 100);
    file.write(0, bytes("evil"));
    EXPECT_EQ(read(victim), std::string(100, 'v'));
  }
}

TEST_F(PartialFiles, PublishesAlsoWhatWasPrunedMeanwhile) {
  for (const bool prune : {false, true}) {
    PartialFile file(paths_, etag_, 5);
    file.write(0, bytes("hello"));
    if (prune) {
      fs::remove(paths_.partial(etag_));
      fs::remove(paths_.partial_record(etag_));
    }
    file.publish(paths_.blob(etag_));
    EXPECT_EQ(read(paths_.blob(etag_)), "hello");
    EXPECT_FALSE(fs::exists(paths_.partial(etag_)));
    EXPECT_FALSE(fs::exists(paths_.partial_record(etag_)));
    fs::remove(paths_.blob(etag_));
  }
}

TEST_F(PartialFiles, AnImpossibleSizeIsAnError) {
  EXPECT_THROW(PartialFile(paths_, etag_, UINT64_MAX), Error);
}

}  // namespace
}  // namespace stella::hub
