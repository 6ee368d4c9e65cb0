// What lies in refs/ is a ref, at every moment: Python's client calls a repository corrupted for one that is torn.
#include "hub/cache/test_support.hpp"
#include "stella/cache.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <sys/inotify.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace stella::hub {
namespace {

namespace fs = std::filesystem;

/// Names that appear in a folder, "+" before those that were made there and did not come by a rename.
class Watch {
 public:
  explicit Watch(const fs::path& folder) {
    fs::create_directories(folder);
    EXPECT_GE(::inotify_add_watch(fd_, folder.c_str(), IN_CREATE | IN_MOVED_TO), 0) << std::strerror(errno);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { ::close(fd_); }

  std::vector<std::string> names() const {
    alignas(inotify_event) std::array<char, 4096> buffer{};
    std::vector<std::string> names;
    const ssize_t size = ::read(fd_, buffer.data(), buffer.size());
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      std::string name = (event->mask & IN_CREATE) != 0 ? "+" : "";
      names.push_back(name.append(event->name));
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    return names;
  }

 private:
  const int fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
};

using CacheRefs = CacheTest;

TEST_F(CacheRefs, AreWholeWhenTheyAppear) {
  make_folders(paths_, kCommit, "a");
  const Watch below(paths_.folder() / "refs/refs/pr");
  const Watch refs(paths_.folder() / "refs");
  write_ref(paths_, "main", kCommit);
  write_ref(paths_, "v1", kCommit);
  write_ref(paths_, "main", std::string(40, 'd'));  // one event would be told once, if it came twice in a row
  write_ref(paths_, "refs/pr/1", kCommit);
  EXPECT_EQ(refs.names(), (std::vector<std::string>{"main", "v1", "main"}));
  EXPECT_EQ(below.names(), std::vector<std::string>{"1"});
}

TEST_F(CacheRefs, AreWholeWhenTheyAreUnpacked) {
  add(kCommit, "a", kGit, "hello\n");
  write_ref(paths_, "main", kCommit);
  cache::pack(hub_, "org/name", "main", root_ / "out.tar");
  HubOptions other;
  other.cache_dir = root_ / "other";
  const Watch refs(RepoPaths(other.cache_dir, "org/name").folder() / "refs");
  cache::unpack(other, root_ / "out.tar");
  EXPECT_EQ(refs.names(), std::vector<std::string>{"main"});
}

}  // namespace
}  // namespace stella::hub
