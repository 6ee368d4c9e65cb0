#include "engine/packed_store.hpp"
#include "engine/test_support.hpp"
#include "stella/error.hpp"
#include "stella/packed_weights.hpp"
#include "support/temporary_folder.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella::packed_weights {
namespace {

namespace fs = std::filesystem;
using engine::PackedKey;
using engine::PackedStore;
using testing::HasSubstr;

class PackedCareTest : public ::testing::Test {
 protected:
  static PackedKey key(const std::string& source, Precision precision) {
    return {{engine::source_name(source), "content of " + source}, precision, "layout"};
  }
  std::unique_ptr<models::PackedFileWriter> start(const PackedKey& key) const {
    auto writer = store().writer(key);
    const std::string weights(10'000, 'w');
    writer->add("weights", std::as_bytes(std::span(weights)));
    return writer;
  }
  fs::path pack(const std::string& source, Precision precision = Precision::int16) const {
    const PackedKey key = this->key(source, precision);
    EXPECT_TRUE(PackedStore::commit(*start(key), key, models::Agreement{1, 1}));
    store().keep_choice(key.source, "kernels", {precision, "because"});
    return store().path_of(key);
  }
  PackedStore store() const { return PackedStore(folder_); }
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
};

TEST_F(PackedCareTest, TheFolderLiesBesideTheHubsCache) {
  HubOptions hub;
  hub.cache_dir = "/home/a/.cache/huggingface/hub";
  EXPECT_EQ(default_directory(hub), "/home/a/.cache/huggingface/stella");
  hub.cache_dir = "/data/hub/";
  EXPECT_EQ(default_directory(hub), "/data/stella");
}

TEST_F(PackedCareTest, ListSaysWhatTheFilesAre) {
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

TEST_F(PackedCareTest, RemovesWhatBelongsToOneSource) {
  const fs::path other = pack("other/name");
  const auto bytes = fs::file_size(pack("org/name")) + fs::file_size(pack("org/name", Precision::f32));
  write_old(folder_ / "name-int8-0123456789abcdef.packed.tmp-1-0");
  const Removed removed = packed_weights::remove(folder_, "org/name");
  EXPECT_EQ(removed.files, 3U);
  EXPECT_EQ(removed.bytes, bytes + 4);
  EXPECT_EQ(removed.busy, 0U);
  ASSERT_EQ(list(folder_).files.size(), 1U);
  EXPECT_EQ(list(folder_).files[0].path, other);
  EXPECT_TRUE(store().choice(key("other/name", Precision::int16).source, "kernels").has_value());
  EXPECT_FALSE(store().choice(key("org/name", Precision::int16).source, "kernels").has_value());
  EXPECT_EQ(packed_weights::remove(folder_, "org/name").files, 0U);
}

TEST_F(PackedCareTest, RemovesAllButOtherFiles) {
  pack("org/name");
  pack("another");
  std::ofstream(folder_ / "unrelated.txt") << "x";
  EXPECT_EQ(packed_weights::remove(folder_).files, 2U);
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(packed_weights::remove(root_ / "nowhere").files, 0U);
}

TEST_F(PackedCareTest, ADirectoryIsTheSameUnderAllItsNames) {
  fs::create_directories(root_ / "models/mine");
  fs::create_directory_symlink(root_ / "models", root_ / "link");
  pack((root_ / "link/mine/").string());
  EXPECT_EQ(list(folder_).files.at(0).source, (root_ / "models/mine").string());
  EXPECT_EQ(packed_weights::remove(folder_, (root_ / "models/../link/mine").string()).files, 1U);
}

TEST_F(PackedCareTest, WhatIsBeingWrittenIsKeptAndWhatWasLeftIsNot) {
  const PackedKey key = this->key("org/name", Precision::int16);
  auto writer = start(key);
  const fs::path temporary = list(folder_).files.at(0).path;
  make_old(temporary);
  write_old(folder_ / "name-f32-0123456789abcdef.packed.tmp-1-0");
  write_old(folder_ / "name-auto-0123456789abcdef.choice.tmp-1");
  std::ofstream(folder_ / "name-f32-0123456789abcdef.packed.tmp-1-1") << "just made";
  const Removed removed = packed_weights::remove(folder_);
  EXPECT_EQ(removed.busy, 2U);
  EXPECT_EQ(removed.files, 1U);
  EXPECT_EQ(files(), 2U);
  EXPECT_TRUE(PackedStore::commit(*writer, key, {}));
  EXPECT_TRUE(store().find(key).has_value());
}

TEST_F(PackedCareTest, AModelKeepsWhatItHasMapped) {
  pack("org/name");
  const auto stored = store().find(key("org/name", Precision::int16));
  EXPECT_EQ(packed_weights::remove(folder_).files, 1U);
  EXPECT_EQ(stored->file->part("weights")[9'999], std::byte{'w'});
}

TEST_F(PackedCareTest, VerifyFindsADamagedByteAndRepairRemovesTheFile) {
  const fs::path sound = pack("org/sound");
  const fs::path bad = pack("org/name");
  EXPECT_TRUE(verify(folder_).problems.empty());
  damage(bad);
  EXPECT_TRUE(store().find(key("org/name", Precision::int16)).has_value()) << "mapping reads no content";
  EXPECT_TRUE(verify(folder_, "org/sound").problems.empty());
  const Report report = verify(folder_);
  EXPECT_EQ(report.files, 2U);
  EXPECT_EQ(report.bytes, fs::file_size(sound) + fs::file_size(bad));
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].path, bad);
  EXPECT_EQ(report.problems[0].source, "org/name");
  EXPECT_THAT(report.problems[0].what, HasSubstr("hash"));
  EXPECT_FALSE(report.problems[0].removed);
  EXPECT_TRUE(verify(folder_, {}, true).problems.at(0).removed);
  EXPECT_FALSE(fs::exists(bad));
  EXPECT_TRUE(fs::exists(sound));
  EXPECT_TRUE(verify(folder_).problems.empty());
}

TEST_F(PackedCareTest, VerifyTakesAFileThatWasCutShortForTheSourceInItsName) {
  fs::resize_file(pack("org/name"), 5'000);
  pack("org/sound");
  EXPECT_TRUE(verify(folder_, "org/sound").problems.empty());
  const Report report = verify(folder_, "org/name", true);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].source, "");
  EXPECT_TRUE(report.problems[0].removed);
  EXPECT_EQ(list(folder_).files.size(), 1U);
}

TEST_F(PackedCareTest, VerifyShowsItsProgressAndStops) {
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

TEST_F(PackedCareTest, AFolderThatIsNoneIsAnError) {
  std::ofstream(folder_) << "a file";
  EXPECT_THAT(engine::test::error_of([&] { list(folder_); }, Errc::io_error), HasSubstr(folder_.string()));
}

}  // namespace
}  // namespace stella::packed_weights
