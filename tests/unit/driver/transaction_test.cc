#include "driver/transaction.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

namespace airloom::driver {
namespace {

namespace fs = std::filesystem;

class DriverTransaction : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("airloom_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directory(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::ptrdiff_t count() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }
  static std::string content(const std::string& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  static void put(Result<air::AtomicFile*> file, std::string_view text) {
    ASSERT_TRUE(file.has_value()) << file.error().text();
    ASSERT_TRUE((*file)->write(text.data(), text.size()).has_value());
  }

 private:
  fs::path folder_;
};

TEST_F(DriverTransaction, CommitGivesAllFilesTheirNames) {
  Transaction files;
  auto main = files.add_readable(path("main"));
  put(main, "one");
  put(files.add(path("other")), "two");
  const auto staged = files.finish(*main);
  ASSERT_TRUE(staged.has_value()) << staged.error().text();
  EXPECT_EQ(content(*staged), "one");
  EXPECT_FALSE(fs::exists(path("main")));
  ASSERT_TRUE(files.commit().has_value());
  EXPECT_EQ(content(path("main")), "one");
  EXPECT_EQ(content(path("other")), "two");
  EXPECT_EQ(count(), 2);
}

TEST_F(DriverTransaction, WithoutCommitNothingIsLeft) {
  {
    Transaction files;
    auto main = files.add_readable(path("main"));
    put(main, "one");
    put(files.add(path("other")), "two");
    ASSERT_TRUE(files.finish(*main).has_value());
    EXPECT_EQ(count(), 2);
  }
  EXPECT_EQ(count(), 0);
}

TEST_F(DriverTransaction, AFailedRenameTakesTheOthersBack) {
  {
    Transaction old;
    put(old.add(path("kept")), "old");
    ASSERT_TRUE(old.commit().has_value());
  }
  {
    Transaction files;
    put(files.add_readable(path("main")), "one");
    put(files.add(path("kept")), "new");
    put(files.add(path("fresh")), "two");
    fs::create_directories(path("main/in the way"));
    const auto done = files.commit();
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, Errc::kIo);
    EXPECT_EQ(done.error().where, path("main"));
    EXPECT_FALSE(fs::exists(path("fresh")));
    EXPECT_TRUE(fs::exists(path("kept")));
  }
  EXPECT_EQ(count(), 2);  // "kept" and the folder
}

TEST_F(DriverTransaction, OneNameForTwoFilesIsRefused) {
  Transaction files;
  put(files.add(path("a")), "one");
  const auto again = files.add(path("./a"));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Errc::kInvalidArgument);
}

TEST_F(DriverTransaction, AFolderCannotBeReplaced) {
  fs::create_directory(path("main"));
  Transaction files;
  const auto file = files.add_readable(path("main"));
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, Errc::kIo);
  EXPECT_EQ(count(), 1);
}

}  // namespace
}  // namespace airloom::driver
