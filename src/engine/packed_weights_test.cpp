#include "engine/packed_store.hpp"
#include "engine/test_support.hpp"
#include "stella/error.hpp"
#include "stella/log.hpp"
#include "stella/packed_weights.hpp"
#include "support/temporary_folder.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::packed_weights {
namespace {

namespace fs = std::filesystem;
using engine::PackedKey;
using engine::PackedStore;
using engine::SourceIdentity;
using testing::HasSubstr;

class PackedWeightsTest : public ::testing::Test {
 protected:
  static PackedKey key(const std::string& source, Precision precision) {
    return {of(source, "content of " + source), precision, "layout"};
  }
  static SourceIdentity of(const std::string& source, const std::string& content) {
    SourceIdentity identity;
    identity.name = engine::source_name(source);
    identity.content = content;
    return identity;
  }
  std::unique_ptr<models::PackedFileWriter> start(const PackedKey& key) {
    auto writer = store_.writer(key);
    const std::string weights(10'000, 'w');
    writer->add("weights", std::as_bytes(std::span(weights)));
    return writer;
  }
  fs::path pack(const std::string& source, Precision precision = Precision::int16) {
    return pack(key(source, precision));
  }
  fs::path pack(const PackedKey& key) {
    EXPECT_TRUE(store_.commit(*start(key), key, models::Agreement{1, 1}));
    store_.keep_choice(key.source, "kernels", {key.precision, "because"});
    return store_.path_of(key);
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static void damage(const fs::path& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5'000);
    file.write("\x7f", 1);
  }
  static fs::path write_old(const fs::path& path) {
    std::ofstream(path) << "half";
    make_old(path);
    return path;
  }
  static void make_old(const fs::path& path) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(2));
  }

  const test::TemporaryFolder temporary_;
  const fs::path root_ = temporary_.path();
  const fs::path folder_ = root_ / "stella";
  PackedStore store_{folder_};
};

TEST_F(PackedWeightsTest, TheFolderLiesInTheHubsHomeAndNeverInItsCache) {
  HubOptions hub;
  hub.cache_dir = "/tmp/x";
  EXPECT_EQ(default_directory(hub), "") << "beside a folder that somebody named, who knows whose it is";
  hub.home = "/home/a/.cache/huggingface";
  EXPECT_EQ(default_directory(hub), "/home/a/.cache/huggingface/stella");
  hub.home = "/data/";
  hub.cache_dir = "/data/./hub/..";
  EXPECT_EQ(default_directory(hub), "") << "Python's scan of the cache warns of what it does not know";
  hub.cache_dir = "/data/hub";
  EXPECT_EQ(default_directory(hub), "/data/stella");
}

TEST_F(PackedWeightsTest, ListSaysWhatTheFilesAre) {
  EXPECT_TRUE(list(folder_).files.empty());
  const fs::path whole = pack("org/name");
  std::ofstream(folder_ / "name-f32-0123456789abcdef.packed") << "damaged";
  std::ofstream(folder_ / "name-f32-0123456789abcdef.packed.tmp-1-0") << "half";
  std::ofstream(folder_ / "unrelated.txt") << "x";
  fs::create_symlink("/etc/passwd", folder_ / "link.packed");
  const Contents contents = list(folder_);
  ASSERT_EQ(contents.files.size(), 3U);
  EXPECT_FALSE(contents.files[0].readable);
  EXPECT_FALSE(contents.files[0].unfinished);
  EXPECT_TRUE(contents.files[1].unfinished);
  const File& file = contents.files[2];
  EXPECT_EQ(file.path, whole);
  EXPECT_EQ(file.source, "org/name");
  EXPECT_EQ(file.precision, Precision::int16);
  EXPECT_EQ(file.bytes, fs::file_size(whole));
  EXPECT_TRUE(file.readable);
  EXPECT_EQ(contents.bytes, file.bytes + 7 + 4);
}

TEST_F(PackedWeightsTest, RemovesWhatBelongsToOneSource) {
  const fs::path other = pack("other/name");
  const auto bytes = fs::file_size(pack("org/name")) + fs::file_size(pack("org/name", Precision::f32));
  write_old(folder_ / "name-int8-0123456789abcdef.packed.tmp-1-0");
  const Removed removed = packed_weights::remove(folder_, "org/name");
  EXPECT_EQ(removed.files, 3U);
  EXPECT_EQ(removed.bytes, bytes + 4);
  EXPECT_EQ(removed.busy, 0U);
  ASSERT_EQ(list(folder_).files.size(), 1U);
  EXPECT_EQ(list(folder_).files[0].path, other);
  EXPECT_TRUE(store_.choice(key("other/name", Precision::int16).source, "kernels").has_value());
  EXPECT_FALSE(store_.choice(key("org/name", Precision::int16).source, "kernels").has_value());
  EXPECT_EQ(packed_weights::remove(folder_, "org/name").files, 0U);
}

TEST_F(PackedWeightsTest, RemovesAllButOtherFiles) {
  pack("org/name");
  pack("another");
  std::ofstream(folder_ / "unrelated.txt") << "x";
  EXPECT_EQ(packed_weights::remove(folder_).files, 2U);
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(packed_weights::remove(root_ / "nowhere").files, 0U);
}

TEST_F(PackedWeightsTest, ADirectoryIsTheSameUnderAllItsNames) {
  fs::create_directories(root_ / "models/mine");
  fs::create_directory_symlink(root_ / "models", root_ / "link");
  pack((root_ / "link/mine/").string());
  EXPECT_EQ(list(folder_).files.at(0).source, (root_ / "models/mine").string());
  EXPECT_EQ(packed_weights::remove(folder_, (root_ / "models/../link/mine").string()).files, 1U);
}

TEST_F(PackedWeightsTest, WhatIsBeingWrittenIsKeptAndWhatWasLeftIsNot) {
  const PackedKey key = this->key("org/name", Precision::int16);
  auto writer = start(key);
  const fs::path temporary = list(folder_).files.at(0).path;
  make_old(temporary);
  write_old(folder_ / "name-f32-0123456789abcdef.packed.tmp-1-0");
  write_old(folder_ / "name-auto-0123456789abcdef.choice.tmp-1");
  std::ofstream(folder_ / "name-f32-0123456789abcdef.packed.tmp-1-1") << "just left";
  std::ofstream(folder_ / "name-0123456789abcdef.lock") << "";
  const Removed removed = packed_weights::remove(folder_);
  EXPECT_EQ(removed.busy, 1U);
  EXPECT_EQ(removed.files, 2U);
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(store_.commit(*writer, key, {}));
  EXPECT_TRUE(store_.find(key).has_value());
}

TEST_F(PackedWeightsTest, AModelKeepsWhatItHasMapped) {
  pack("org/name");
  const auto stored = store_.find(key("org/name", Precision::int16));
  EXPECT_EQ(packed_weights::remove(folder_).files, 1U);
  EXPECT_EQ(stored->file->part("weights")[9'999], std::byte{'w'});
}

TEST_F(PackedWeightsTest, VerifyFindsADamagedByteAndRepairRemovesTheFile) {
  const fs::path sound = pack("org/sound");
  const fs::path bad = pack("org/name");
  EXPECT_TRUE(verify(folder_).problems.empty());
  damage(bad);
  EXPECT_TRUE(store_.find(key("org/name", Precision::int16)).has_value()) << "mapping reads no content";
  EXPECT_TRUE(verify(folder_, "org/sound").problems.empty());
  const Report report = verify(folder_);
  EXPECT_EQ(report.files, 2U);
  EXPECT_EQ(report.bytes, fs::file_size(sound) + fs::file_size(bad));
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].path, bad);
  EXPECT_EQ(report.problems[0].source, "org/name");
  EXPECT_THAT(report.problems[0].what, HasSubstr("checksums"));
  EXPECT_FALSE(report.problems[0].removed);
  EXPECT_TRUE(verify(folder_, {}, true).problems.at(0).removed);
  EXPECT_FALSE(fs::exists(bad));
  EXPECT_TRUE(fs::exists(sound));
  EXPECT_TRUE(verify(folder_).problems.empty());
}

TEST_F(PackedWeightsTest, VerifyTakesAFileThatWasCutShortForTheSourceInItsName) {
  fs::resize_file(pack("org/name"), 5'000);
  pack("org/sound");
  EXPECT_TRUE(verify(folder_, "org/sound").problems.empty());
  const Report report = verify(folder_, "org/name", true);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].source, "");
  EXPECT_TRUE(report.problems[0].removed);
  EXPECT_EQ(list(folder_).files.size(), 1U);
}

TEST_F(PackedWeightsTest, VerifyShowsItsProgressAndStops) {
  const fs::path path = pack("org/name");
  std::vector<Progress> seen;
  verify(folder_, {}, false, [&](const Progress& progress) { seen.push_back(progress); });
  ASSERT_GE(seen.size(), 2U);
  EXPECT_EQ(seen.back().file, path.filename());
  EXPECT_EQ(seen.back().bytes, fs::file_size(path));
  EXPECT_EQ(seen.back().total, fs::file_size(path));
  EXPECT_TRUE(seen.back().finished);
  std::stop_source stop;
  const auto stop_it = [&](const Progress&) { stop.request_stop(); };
  pack("org/zzz");
  EXPECT_THAT(engine::test::error_of([&] { verify(folder_, {}, false, stop_it, stop.get_token()); }, Errc::cancelled),
              HasSubstr("cancelled"));
}

TEST_F(PackedWeightsTest, WhatWasMadeFromDamagedBlobsIsRemovedWithItsChoice) {
  const std::string damaged(64, 'd');
  const std::string sound(64, 'a');
  const fs::path poisoned = pack({of("org/sharded", sound + "|" + damaged), Precision::int16, "layout"});
  pack({of("org/sound", sound), Precision::int16, "layout"});
  EXPECT_EQ(remove_made_from(folder_, {}).files, 0U);
  const Removed removed = remove_made_from(folder_, {damaged, std::string(64, 'e')});
  EXPECT_EQ(removed.files, 1U);
  EXPECT_FALSE(fs::exists(poisoned));
  EXPECT_EQ(files(), 2U) << "another model's packed weights and choice";
  EXPECT_EQ(remove_made_from(root_ / "nowhere", {damaged}).files, 0U);
}

TEST_F(PackedWeightsTest, AWriterSweepsWhatWasLeftAndItsOwnSourcesOldVersions) {
  fs::create_directories(root_ / "one/same");
  fs::create_directories(root_ / "two/same");
  const std::string mine = root_ / "one/same";
  for (const char* content : {"first", "second", "third"}) pack({of(mine, content), Precision::int16, "layout"});
  EXPECT_EQ(files(), 2U) << "one of packed weights, one choice";
  pack({of(mine, "third"), Precision::bf16, "another layout"});
  pack({of(root_ / "two/same", "other"), Precision::int16, "layout"});
  write_old(folder_ / "same-int16-0123456789abcdef.packed.tmp-1-0");
  std::ofstream(folder_ / "another-0123456789abcdef.lock") << "";
  const PackedKey busy = key("org/busy", Precision::int16);
  const auto writer = start(busy);
  const auto before = files();
  pack({of(mine, "fourth"), Precision::int16, "layout"});
  EXPECT_EQ(files(), before) << "of the others nothing is touched, nor what is just being written";
  EXPECT_TRUE(store_.commit(*writer, busy, {}));
}

TEST_F(PackedWeightsTest, AnotherRevisionThatIsStillInTheHubsCacheKeepsItsPackedWeights) {
  const fs::path blobs = root_ / "models--a--b/blobs";
  fs::create_directories(blobs);
  const auto revision = [&](char digit) {
    std::ofstream(blobs / std::string(64, digit)) << digit;
    SourceIdentity identity = of("a/b", std::string(64, digit));
    identity.blobs = blobs;
    return PackedKey{identity, Precision::int16, "layout"};
  };
  const fs::path first = pack(revision('1'));
  const fs::path second = pack(revision('2'));
  EXPECT_TRUE(fs::exists(first));
  fs::remove(blobs / std::string(64, '1'));
  pack(revision('3'));
  EXPECT_FALSE(fs::exists(first));
  EXPECT_TRUE(fs::exists(second));
}

TEST_F(PackedWeightsTest, AGoodFileSurvivesAPassingError) {
  const PackedKey key = this->key("org/name", Precision::f32);
  const fs::path path = pack(key);
#if !defined(__SANITIZE_ADDRESS__)  // UBSan, which runs beside it, opens pipes to look at an exception
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_THROW(store_.find(key, PackedStore::Damaged::remove), Error);
  EXPECT_THROW(PackedStore(folder_).choice(key.source, "kernels"), Error);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
#endif
  EXPECT_TRUE(store_.find(key, PackedStore::Damaged::remove).has_value());
  // What is damaged is left by who only looks, and goes with who packs again.
  fs::resize_file(path, 100);
  EXPECT_FALSE(store_.find(key).has_value());
  EXPECT_TRUE(fs::exists(path));
  EXPECT_FALSE(store_.find(key, PackedStore::Damaged::remove).has_value());
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(PackedWeightsTest, FilesThatOthersCouldHaveWrittenAreNotUsed) {
  const PackedKey key = this->key("org/name", Precision::int16);
  const fs::path path = pack(key);
  const fs::path choice = *std::find_if(fs::directory_iterator(folder_), fs::directory_iterator(),
                                        [](const auto& file) { return file.path().extension() == ".choice"; });
  for (const fs::path& file : {path, choice}) {
    fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
  }
  EXPECT_FALSE(store_.find(key, PackedStore::Damaged::remove).has_value());
  EXPECT_FALSE(store_.choice(key.source, "kernels").has_value());
  EXPECT_TRUE(fs::exists(path)) << "it is not damaged";
  for (const fs::path& file : {path, choice}) {
    fs::permissions(file, fs::perms::others_write, fs::perm_options::remove);
    fs::rename(file, root_ / "elsewhere");
    fs::create_symlink(root_ / "elsewhere", file);
  }
  EXPECT_FALSE(store_.find(key, PackedStore::Damaged::remove).has_value());
  EXPECT_FALSE(store_.choice(key.source, "kernels").has_value());
  std::ofstream(root_ / "victim") << "untouched";
  for (const fs::path& file : {path, choice}) {
    fs::remove(file);
    fs::create_symlink(root_ / "victim", file);
  }
  pack(key);  // in place of the links
  EXPECT_TRUE(store_.find(key).has_value());
  EXPECT_TRUE(store_.choice(key.source, "kernels").has_value());
  EXPECT_EQ(fs::file_size(root_ / "victim"), 9U);
}

TEST_F(PackedWeightsTest, AHugeChoiceIsNone) {
  const PackedKey key = this->key("org/name", Precision::int16);
  pack(key);
  for (const auto& file : fs::directory_iterator(folder_)) {
    if (file.path().extension() == ".choice") std::ofstream(file.path()) << std::string(1 << 20, ' ') << "{}";
  }
  EXPECT_FALSE(store_.choice(key.source, "kernels").has_value());
}

TEST_F(PackedWeightsTest, AFolderThatOthersCanWriteToKeepsNothingAndSaysSoOnce) {
  const PackedKey key = this->key("org/name", Precision::int16);
  pack(key);
  fs::permissions(folder_, fs::perms::all);
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  PackedStore store(folder_);
  EXPECT_FALSE(store.find(key, PackedStore::Damaged::remove).has_value());
  EXPECT_FALSE(store.choice(key.source, "kernels").has_value());
  EXPECT_TRUE(lines.empty()) << "nothing was to be kept yet";
  EXPECT_EQ(store.lock(key.source, [] {}), nullptr);
  EXPECT_EQ(store.writer(key), nullptr);
  store.keep_choice(key.source, "kernels", {Precision::f32, "because"});
  set_log_sink({});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], HasSubstr("chmod go-w"));
  EXPECT_EQ(files(), 2U);
}

TEST_F(PackedWeightsTest, OneAtATimeMayChooseAndPack) {
  const SourceIdentity source = of("org/name", "content");
  auto lock = store_.lock(source, [] {});
  ASSERT_NE(lock, nullptr);
  EXPECT_NE(store_.lock(of("org/name", "other content"), [] {}), nullptr);
  std::atomic<bool> waited{false};
  std::atomic<bool> got{false};
  std::thread other([&] {
    PackedStore store(folder_);
    const auto next = store.lock(source, [&] { waited = true; });
    got = next != nullptr;
  });
  while (!waited) std::this_thread::yield();
  EXPECT_FALSE(got);
  lock.reset();
  other.join();
  EXPECT_TRUE(got);
  EXPECT_EQ(files(), 0U) << "a lock leaves nothing behind";
  lock = store_.lock(source, [] {});
  PackedStore store(folder_);
  const auto give_up = [] { throw Error(Errc::cancelled, "enough"); };
  EXPECT_THAT(engine::test::error_of([&] { store.lock(source, give_up); }, Errc::cancelled), HasSubstr("enough"));
}

TEST_F(PackedWeightsTest, AFileInPlaceOfTheFolderHoldsNothing) {
  std::ofstream(folder_) << "a file";
  EXPECT_TRUE(list(folder_).files.empty());
  EXPECT_EQ(packed_weights::remove(folder_).files, 0U);
}

}  // namespace
}  // namespace stella::packed_weights
