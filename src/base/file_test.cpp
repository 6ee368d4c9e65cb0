#include "base/file.hpp"

#include "support/temporary_folder.hpp"

#include <fstream>
#include <functional>
#include <string>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stella {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {Errc::invalid_argument, ""};
}

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

class FileTest : public testing::Test {
 protected:
  const test::TemporaryFolder folder_;
  const fs::path path_ = folder_.path() / "file";
};

TEST_F(FileTest, ReadsARegularFileUpToItsLimit) {
  std::ofstream(path_) << "twelve bytes";
  EXPECT_EQ(read_text_file(path_, 12), "twelve bytes");
  const Error error = error_of([&] { read_text_file(path_, 11); });
  EXPECT_EQ(error.errc(), Errc::limit_exceeded);
  EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(path_.string()), HasSubstr("11 bytes")));
}

TEST_F(FileTest, ReadsFilesThatTheSystemMakesUpAndSaysNoSizeOf) {
  EXPECT_FALSE(read_text_file("/proc/self/status", 1 << 20).empty());
}

TEST_F(FileTest, NeverWaitsForAFifo) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { open_regular(path_); }).what(), HasSubstr("is a FIFO"));
  EXPECT_THAT(error_of([&] { open_regular(folder_.path()); }).what(), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([&] { open_regular("/dev/null"); }).what(), HasSubstr("is a device"));
}

TEST_F(FileTest, ANewFileReplacesALinkAndLeavesItsTargetAlone) {
  const fs::path victim = folder_.path() / "victim";
  std::ofstream(victim) << "precious";
  fs::create_symlink(victim, path_);
  {
    NewFile file(path_);
    file.write(std::string_view("new"));
    file.commit();
  }
  EXPECT_FALSE(fs::is_symlink(path_));
  EXPECT_EQ(read_text_file(path_, 100), "new");
  EXPECT_EQ(read_text_file(victim, 100), "precious");
}

TEST_F(FileTest, ANewFileThatIsNotCommittedLeavesNothing) {
  std::ofstream(path_) << "old";
  {
    NewFile file(path_);
    file.write(std::string_view("half"));
  }
  EXPECT_EQ(read_text_file(path_, 100), "old");
  EXPECT_EQ(files_in(folder_.path()), 1U);
}

TEST_F(FileTest, NamesInAFolderAreSorted) {
  EXPECT_THAT(names_in(folder_.path()), testing::IsEmpty());
  std::ofstream(folder_.path() / "b") << "";
  std::ofstream(folder_.path() / "a") << "";
  fs::create_directory(folder_.path() / ".hidden");
  EXPECT_THAT(names_in(folder_.path()), testing::ElementsAre(".hidden", "a", "b"));
  EXPECT_THAT(error_of([&] { names_in(path_); }).what(), HasSubstr(path_.string()));
}

TEST(IoError, TellsALackOfDescriptorsFromABrokenFile) {
  EXPECT_EQ(io_error("open", "x", EMFILE).errc(), Errc::resource_limit);
  EXPECT_EQ(io_error("map", "x", ENOMEM).errc(), Errc::out_of_memory);
  EXPECT_EQ(io_error("read", "x", EIO).errc(), Errc::io_error);
  EXPECT_STREQ(io_error("open", "some/where", ENOENT).what(), "cannot open some/where: No such file or directory");
}

TEST_F(FileTest, NamesBelowAFolder) {
  fs::create_directories(folder_.path() / "b" / "empty");
  fs::create_directories(folder_.path() / "b" / "c");
  for (const char* name : {"z", "b/c/.hidden", "b/a"}) std::ofstream(folder_.path() / name) << name;
  fs::create_directory_symlink(folder_.path(), folder_.path() / "b" / "link");
  EXPECT_THAT(names_below(folder_.path()), testing::ElementsAre("b/a", "b/c/.hidden", "b/link", "z"));
  EXPECT_EQ(error_of([&] { names_below(path_); }).errc(), Errc::io_error);
}

}  // namespace
}  // namespace stella
