#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sample.h"

namespace airloom {
namespace {

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(AirAtomicFile, AppearsOnlyOnCommit) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "out.air";
  std::ofstream(path) << "old";
  std::string expected;
  {
    auto file = air::AtomicFile::create(path);
    ASSERT_TRUE(file) << file.error().text();
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20, (std::size_t{1} << 20) - 1, std::size_t{3} << 20, std::size_t{0}}) {
      const std::string piece(size, static_cast<char>('a' + size % 26));
      ASSERT_TRUE(file->write(piece.data(), piece.size()));
      expected += piece;
    }
    ASSERT_TRUE(file->flush());
    EXPECT_EQ(slurp(path), "old");
    ASSERT_TRUE(file->commit());
    EXPECT_FALSE(file->commit());
    EXPECT_FALSE(file->write("x", 1));
  }
  EXPECT_EQ(slurp(path), expected);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"out.air"});
}

TEST(AirAtomicFile, LeavesNothingWithoutCommit) {
  const testing::TemporaryFolder folder;
  {
    auto first = air::AtomicFile::create(folder / "out.air");
    auto second = air::AtomicFile::create(folder / "out.air");
    ASSERT_TRUE(first && second);
    EXPECT_EQ(folder.names().size(), 2U);
    ASSERT_TRUE(first->write("abc", 3));
    const air::AtomicFile moved(std::move(*first));
    EXPECT_EQ(folder.names().size(), 2U);
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(AirAtomicFile, RefusesBadTargets) {
  const testing::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "dir");
  ASSERT_EQ(::symlink("elsewhere", (folder / "link").c_str()), 0);
  for (const std::string name : {"dir", "link", "missing/out.air"}) {
    const auto file = air::AtomicFile::create(folder / name);
    ASSERT_FALSE(file) << name;
    EXPECT_EQ(file.error().code, Errc::kIo);
    EXPECT_EQ(file.error().where, folder / name);
  }
  EXPECT_NE(air::AtomicFile::create(folder / "link").error().message.find("symbolic link"), std::string::npos);
  EXPECT_NE(air::AtomicFile::create(folder / "dir").error().message.find("directory"), std::string::npos);
  EXPECT_FALSE(air::AtomicFile::create(""));
  EXPECT_FALSE(air::AtomicFile::create(folder / ""));
  const std::string longest(255, 'n');
  EXPECT_TRUE(air::AtomicFile::create(folder / longest));
}

TEST(AirAtomicFile, FullDeviceIsAnError) {
  const testing::TemporaryFolder folder;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // reports by exit status: 0 is what the test wants
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 16, 1 << 16};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    int status = 3;
    {
      auto file = air::AtomicFile::create(folder / "out.air");
      if (!file) ::_exit(4);
      const std::string piece(1 << 18, 'x');
      const Status written = file->write(piece.data(), piece.size());  // fits the buffer
      const Status flushed = file->flush();
      const Status committed = file->commit();
      if (written && !flushed && !committed && flushed.error().code == Errc::kIo &&
          flushed.error().message.find(std::strerror(EFBIG)) != std::string::npos && flushed.error().where == folder / "out.air") {
        status = 0;
      }
    }
    ::_exit(folder.names().empty() ? status : 5);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace airloom
