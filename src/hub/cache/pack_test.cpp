#include "hub/cache/scan.hpp"
#include "hub/cache/tar.hpp"
#include "hub/cache/test_support.hpp"
#include "hub/cache/verify.hpp"
#include "stella/cache.hpp"
#include "stella/error.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

const std::string kRoot = "models--org--name/";
const std::string kLong =
    "a-folder-with-a-rather-long-name/and-another-below-it/and-a-third/model-of-many-parts.safetensors";

/// Entries with their contents, in the order in which pack() writes them.
struct Piece {
  TarEntry entry;
  std::string content{};
};

Piece file(const std::string& name, const std::string& content) {
  return {{TarEntry::Kind::file, name, {}, content.size()}, content};
}

Piece link(const std::string& name, const std::string& target) {
  return {{TarEntry::Kind::link, name, target}, {}};
}

std::vector<Piece> good() {
  return {file(kRoot + "blobs/" + kGit, "hello\n"), link(kRoot + "snapshots/" + kCommit + "/a", "../../blobs/" + kGit),
          file(kRoot + "refs/main", kCommit)};
}

std::string archive_of(const std::vector<Piece>& pieces) {
  std::string bytes;
  for (const Piece& piece : pieces) {
    bytes += tar_header(piece.entry) + piece.content + tar_padding(piece.content.size());
  }
  return bytes + tar_end();
}

class CacheBundle : public CacheTest {
 protected:
  CacheBundle() {
    other_.cache_dir = root_ / "other";
    archive_ = root_ / "out.tar";
  }

  void write(const std::string& bytes) const { std::ofstream(archive_, std::ios::binary) << bytes; }

  std::string bytes() const {
    std::ifstream in(archive_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  /// The archive is refused and the cache's folder has not even been made.
  void expect_refused(const std::string& what, Errc code = Errc::malformed_file) const {
    try {
      cache::unpack(other_, archive_);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.errc(), code) << what << ": " << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
    EXPECT_FALSE(fs::exists(other_.cache_dir)) << what;
  }

  void expect_refused_with(const std::string& what, const Piece& piece, Errc code = Errc::malformed_file) const {
    auto pieces = good();
    pieces.push_back(piece);
    write(archive_of(pieces));
    expect_refused(what, code);
  }

  HubOptions other_;
  fs::path archive_;
};

TEST_F(CacheBundle, GoesThereAndBack) {
  add(kCommit, "config.json", kGit, "hello\n");
  add(kCommit, kLong, kSha256, "abc");
  add(kCommit, "copy", kGit, "hello\n");
  add(std::string(40, 'd'), "of-another-revision", kUnused, "x");
  write_ref(paths_, "pr/1", kCommit);
  cache::pack(hub_, "org/name", "pr/1", archive_);
  const std::string first = bytes();
  EXPECT_EQ(first.size() % kTarBlock, 0U);
  EXPECT_EQ(first.find(kUnused), std::string::npos);
  cache::pack(hub_, "org/name", "pr/1", archive_);
  EXPECT_EQ(first, bytes());

  const auto unpacked = cache::unpack(other_, archive_);
  ASSERT_EQ(unpacked.size(), 1U);
  EXPECT_EQ(unpacked[0].repo, "org/name");
  EXPECT_EQ(unpacked[0].commit, kCommit);
  const RepoPaths there(other_.cache_dir, "org/name");
  EXPECT_EQ(unpacked[0].directory, there.snapshot(kCommit));
  for (const char* name : {"config.json", kLong.c_str(), "copy"}) {
    const auto path = cached_file(there, "pr/1", name);
    ASSERT_TRUE(path) << name;
    EXPECT_EQ(fs::read_symlink(*path), fs::read_symlink(paths_.pointer(kCommit, name)));
  }
  EXPECT_TRUE(check_cache(other_.cache_dir, "", false, {}, {}).problems.empty());
  EXPECT_EQ(cache::list(other_).repositories[0].unfinished.size(), 0U);
  cache::unpack(other_, archive_);  // once more does no harm
}

TEST_F(CacheBundle, WithoutSymlinksTheFilesLieInTheSnapshot) {
  write(archive_of(good()));
  other_.symlinks = false;
  cache::unpack(other_, archive_);
  const auto path = cached_file(RepoPaths(other_.cache_dir, "org/name"), "main", "a");
  ASSERT_TRUE(path);
  EXPECT_FALSE(fs::is_symlink(*path));
}

TEST_F(CacheBundle, PackRefusesWhatItCannotVouchFor) {
  EXPECT_THROW(cache::pack(hub_, "org/name", "main", archive_), Error);
  add(kCommit, "config.json", kGit, "hellO\n");
  try {
    cache::pack(hub_, "org/name", kCommit, archive_);
    FAIL() << "packed a damaged blob";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::integrity);
  }
  EXPECT_FALSE(fs::exists(archive_));
  for (const auto& entry : fs::directory_iterator(root_)) EXPECT_NE(entry.path().extension(), ".tmp");
}

TEST_F(CacheBundle, PackReplacesFilesOnly) {
  add(kCommit, "config.json", kGit, "hello\n");
  const fs::path pipe = root_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, root_ / "to-pipe");
  fs::create_directory(root_ / "folder");
  for (const char* name : {"pipe", "to-pipe", "folder"}) {
    EXPECT_THROW(cache::pack(hub_, "org/name", kCommit, root_ / name), Error) << name;
  }
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_TRUE(fs::is_symlink(root_ / "to-pipe"));
  write("old");
  cache::pack(hub_, "org/name", kCommit, archive_);
  EXPECT_EQ(cache::unpack(other_, archive_).size(), 1U);
  EXPECT_THROW(cache::unpack(other_, pipe), Error);
}

TEST_F(CacheBundle, HostileNamesAreRefused) {
  const std::string snapshot = kRoot + "snapshots/" + kCommit;
  for (const std::string& name :
       {std::string("/etc/passwd"), std::string("../x"), kRoot + "../../x", kRoot + "blobs/../../x", std::string("x"),
        std::string("datasets--org--name/blobs/") + kSha256, std::string("models--../blobs/") + kSha256,
        kRoot + "other/" + kSha256, kRoot + "blobs/x", kRoot + "blobs/x/" + kSha256, kRoot + "refs", kRoot + "blobs",
        kRoot + "refs/../../x", snapshot + "/plain", kRoot + "blobs//" + kSha256, kRoot + "blobs\\" + kSha256}) {
    expect_refused_with(name, file(name, "abc"));
  }
  // Harmless but for the name.
  expect_refused_with("a ref outside", file(kRoot + "refs/../../x", kCommit));
  expect_refused_with("a link outside", link(snapshot + "/../../../x", RepoPaths::link_target("../../../x", kGit)));
  expect_refused_with("another folder", {{TarEntry::Kind::folder, kRoot + "other/"}, {}});
  expect_refused_with("a ref that is a commit", file(kRoot + "refs/" + kCommit, kCommit));
  expect_refused_with("a ref with a newline", file(kRoot + "refs/v1", kCommit + "\n"));
  expect_refused_with("a ref to a commit that is not there", file(kRoot + "refs/v1", std::string(40, 'd')));
  expect_refused_with("a ref below another", file(kRoot + "refs/main/x", kCommit));
  expect_refused_with("a folder outside", {{TarEntry::Kind::folder, "../x/"}, {}});
  expect_refused_with("the same twice", good()[0]);
  expect_refused_with("a blob of nothing", file(kRoot + "blobs/" + kSha256, "abc"));
}

TEST_F(CacheBundle, NamesThatATerminalWouldObeyAreRefusedAndNotShown) {
  const std::string folder = kRoot + "snapshots/" + kCommit + "/";
  std::string many;
  for (int i = 0; i < 33; ++i) many += "d/";
  for (const std::string& name :
       {std::string("\x1b[2J"), std::string("a\nb"), std::string("a\tb"), std::string("a\rb"), std::string("\x7f"),
        std::string("\xc2\x9b"
                    "31m"),
        std::string("\xe2\x80\xae"
                    "txt"),
        std::string("\xff"), std::string("\xed\xa0\x80"), std::string(120, 'n') + std::string("\0b", 2),
        std::string(256, 'n'), "x/" + std::string(256, 'n') + "/y", many + "x"}) {
    std::string levels;
    for (const char c : name) levels += c == '/' ? "../" : "";
    const Piece piece = link(folder + name, "../../" + levels + "blobs/" + kGit);
    expect_refused_with(name, piece);
    expect_refused_with("ref " + name, file(kRoot + "refs/" + name, kCommit));
    try {
      cache::unpack(other_, archive_);
    } catch (const Error& error) {
      for (const char c : std::string(error.what())) EXPECT_GE(static_cast<unsigned char>(c), 0x20U);
      EXPECT_EQ(std::string(error.what()).find("\xc2\x9b"), std::string::npos);
    }
  }
  auto pieces = good();
  pieces.push_back(link(folder + "\xe6\xa8\xa1\xe5\x9e\x8b", "../../blobs/" + kGit));  // any language will do
  pieces.push_back(link(folder + std::string(255, 'n'), "../../blobs/" + kGit));
  write(archive_of(pieces));
  EXPECT_EQ(cache::unpack(other_, archive_).size(), 1U);
}

TEST_F(CacheBundle, ALinkInThePlaceOfAFolderIsNotWrittenThrough) {
  auto pieces = good();
  pieces.push_back(link(kRoot + "snapshots/" + kCommit + "/d/e", "../../../blobs/" + kGit));
  pieces.push_back(file(kRoot + "refs/pr/1", kCommit));
  write(archive_of(pieces));
  const fs::path outside = root_ / "outside";
  const RepoPaths there(other_.cache_dir, "org/name");
  for (const fs::path& planted : {there.folder(), there.blobs(), there.folder() / "snapshots", there.snapshot(kCommit),
                                  there.snapshot(kCommit) / "d", there.folder() / "refs", there.folder() / "refs/pr",
                                  other_.cache_dir / ".locks", other_.cache_dir / ".locks/models--org--name"}) {
    for (const char* target : {"outside", "absent", ""}) {  // a file for the last
      fs::remove_all(other_.cache_dir);
      fs::create_directories(planted.parent_path());
      fs::create_directories(outside);
      if (*target == '\0') {
        std::ofstream(planted.native()) << "x";
      } else {
        fs::create_directory_symlink(root_ / target, planted);
      }
      EXPECT_THROW(cache::unpack(other_, archive_), Error) << planted << " → " << target;
      EXPECT_TRUE(fs::is_empty(outside)) << planted;
      EXPECT_FALSE(fs::exists(root_ / "absent"));
      EXPECT_FALSE(fs::exists(there.blob(kGit))) << planted;
    }
  }
  fs::remove_all(other_.cache_dir);
  fs::create_directory_symlink(outside, other_.cache_dir);  // where the cache is, is the user's own choice
  cache::unpack(other_, archive_);
  EXPECT_TRUE(cached_file(there, "pr/1", "d/e"));
}

TEST_F(CacheBundle, ALinkInThePlaceOfAFileIsReplaced) {
  write(archive_of(good()));
  const RepoPaths there(other_.cache_dir, "org/name");
  make_folders(there, kCommit, "a");
  fs::create_directories(there.folder() / "refs");
  const fs::path precious = root_ / "precious";
  std::ofstream(precious) << "text";
  for (const fs::path& planted : {there.blob(kGit), there.pointer(kCommit, "a"), there.ref("main")}) {
    fs::remove(planted);
    fs::create_symlink(precious, planted);
  }
  cache::unpack(other_, archive_);
  EXPECT_EQ(fs::file_size(precious), 4U);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(there.blob(kGit))));
  EXPECT_TRUE(cached_file(there, "main", "a"));
  EXPECT_TRUE(check_cache(other_.cache_dir, "", false, {}, {}).problems.empty());
}

TEST_F(CacheBundle, ADamagedBlobIsReplaced) {
  write(archive_of(good()));
  cache::unpack(other_, archive_);
  std::ofstream(RepoPaths(other_.cache_dir, "org/name").blob(kGit)) << "hellO\n";
  cache::unpack(other_, archive_);
  EXPECT_TRUE(check_cache(other_.cache_dir, "", false, {}, {}).problems.empty());
}

TEST_F(CacheBundle, SizesThatLieAndArchivesBeyondReasonAreRefused) {
  const std::string blob = kRoot + "blobs/" + kSha256;
  for (const std::uint64_t size :
       {std::uint64_t{4}, std::uint64_t{1} << 33U, std::uint64_t{1} << 62U, ~std::uint64_t{0}, ~std::uint64_t{511}}) {
    write(tar_header({TarEntry::Kind::file, blob, {}, size}) + "abc" + tar_padding(3) + tar_end());
    expect_refused("a size of " + std::to_string(size));
  }
  constexpr std::uint64_t kHuge = (std::uint64_t{1} << 40U) + 512;
  write(tar_header({TarEntry::Kind::file, blob, {}, kHuge}));
  std::error_code error;
  fs::resize_file(archive_, kHuge + 8 * kTarBlock, error);  // of holes
  if (!error) expect_refused("a terabyte", Errc::limit_exceeded);
  {
    std::ofstream out(archive_, std::ios::binary);
    for (int i = 0; i <= 100'000; ++i) {
      out << tar_header({TarEntry::Kind::folder, kRoot + "snapshots/" + kCommit + "/" + std::to_string(i), {}});
    }
    out << tar_end();
  }
  expect_refused("100,001 folders", Errc::limit_exceeded);
}

TEST_F(CacheBundle, HostileLinksAreRefused) {
  const std::string snapshot = kRoot + "snapshots/" + kCommit;
  for (const std::string& target :
       {std::string("/etc/passwd"), "../../../blobs/" + kGit, "../../blobs/../blobs/" + kGit,
        std::string("../../refs/main"), "blobs/" + kGit, std::string(), "../../../models--other--x/blobs/" + kGit}) {
    expect_refused_with("target " + target, link(snapshot + "/b", target));
  }
  expect_refused_with("content that is not there", link(snapshot + "/b", "../../blobs/" + kSha256));
  expect_refused_with("a link among blobs", link(kRoot + "blobs/" + kSha256, "../../blobs/ab/" + kSha256));
  expect_refused_with("a link as refs", link(kRoot + "refs/v1", "../../x"));
  expect_refused_with("a snapshot that is a link", link(kRoot + "snapshots/" + std::string(40, 'd'), "../../../x"));
  expect_refused_with("a file as a folder", link(snapshot + "/a/b", "../../../blobs/" + kGit));
}

TEST_F(CacheBundle, WrongBytesAreRefusedBeforeAnythingIsWritten) {
  auto pieces = good();
  pieces[0].content[2] = 'L';
  write(archive_of(pieces));
  expect_refused("a flipped byte", Errc::integrity);
}

TEST_F(CacheBundle, AnArchiveThatChangesWhileItIsReadIsRefused) {
  const std::string whole = archive_of(good());
  write(whole);
  const auto change = [&](const Progress& progress) {
    if (!progress.finished) return;
    std::string changed = whole;
    changed[kTarBlock] = static_cast<char>(changed[kTarBlock] ^ 1);
    write(changed);
  };
  EXPECT_THROW(cache::unpack(other_, archive_, change), Error);
  const RepoPaths there(other_.cache_dir, "org/name");
  for (const auto& entry : fs::directory_iterator(there.blobs())) ADD_FAILURE() << "left " << entry.path();
  EXPECT_FALSE(cached_file(there, "main", "a"));
}

// The checksum of a header is over all its bytes, its own field taken as blanks.
std::string with_type(std::string header, char type) {
  header[156] = type;
  std::fill_n(header.begin() + 148, 8, ' ');
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  std::snprintf(&header[148], 8, "%06o", sum);
  return header;
}

TEST_F(CacheBundle, HardLinksDevicesAndSparseFilesAreRefused) {
  const std::string name = kRoot + "snapshots/" + kCommit + "/b";
  const std::string header = tar_header({TarEntry::Kind::link, name, "../../blobs/" + kGit});
  std::string start = archive_of(good());
  start.resize(start.size() - tar_end().size());
  write(start + with_type(header, '2') + tar_end());
  EXPECT_NO_THROW(cache::unpack(other_, archive_));  // the type alone makes the difference
  fs::remove_all(other_.cache_dir);
  for (const char type : {'1', '3', '4', '6', '7', 'S'}) {
    write(start + with_type(header, type) + tar_end());
    expect_refused(std::string("type ") + type);
  }
  const std::string record = "22 GNU.sparse.major=1\n";
  std::string pax = tar_header({TarEntry::Kind::file, "pax", "", record.size()});
  write(start + with_type(pax, 'x') + record + tar_padding(record.size()) + header + tar_end());
  expect_refused("a sparse file");
}

TEST_F(CacheBundle, BrokenArchivesAreRefusedWhereverTheyEnd) {
  const std::string whole = archive_of(good());
  for (std::size_t size = 0; size < whole.size() - 2 * kTarBlock; size += 64) {
    write(whole.substr(0, size));
    expect_refused("the first " + std::to_string(size) + " bytes");
  }
  for (const std::size_t at : {0U, 100U, 124U, 148U, 156U, 257U}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x11);
    write(changed);
    expect_refused("byte " + std::to_string(at) + " changed");
  }
  write(tar_end());
  expect_refused("an empty archive");
  EXPECT_THROW(cache::unpack(other_, root_ / "absent.tar"), Error);
  EXPECT_THROW(cache::unpack(other_, "/dev/null"), Error);
}

TEST_F(CacheBundle, AStopLeavesNothingBehind) {
  add(kCommit, "config.json", kGit, "hello\n");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(cache::pack(hub_, "org/name", kCommit, archive_, {}, stop.get_token()), Error);
  EXPECT_FALSE(fs::exists(archive_));
  write(archive_of(good()));
  EXPECT_THROW(cache::unpack(other_, archive_, {}, stop.get_token()), Error);
  EXPECT_FALSE(fs::exists(other_.cache_dir));
}

}  // namespace
}  // namespace stella::hub
