#include "runtime/npz.h"

#include <filesystem>
#include <fstream>

#include "run.h"

namespace airloom::runtime::testing {
namespace {

class NpzTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() / ("airloom_npz_" + std::to_string(::getpid()) + ".npz")).string();
  }
  void TearDown() override { std::filesystem::remove(path_); }
  static TensorBuf buf(const Tensor& tensor) {
    return {tensor.dtype, tensor.shape, std::const_pointer_cast<void>(tensor.owner), static_cast<std::size_t>(tensor.nbytes())};
  }
  std::string path_;
};

TEST_F(NpzTest, RoundTrip) {
  std::vector<std::pair<std::string, TensorBuf>> arrays;
  for (const DType dtype : {DType::kFloat, DType::kDouble, DType::kFloat16, DType::kInt8, DType::kInt64, DType::kUInt16, DType::kBool}) {
    arrays.emplace_back("a_" + std::string(ir::info(dtype).torch), buf(make(dtype, {2, 3}, std::vector<double>{0, 1, 1, 0, 1, 0})));
  }
  arrays.emplace_back("scalar", buf(make(DType::kFloat, {}, std::vector<double>{2.5})));
  arrays.emplace_back("vector", buf(make(DType::kInt32, {1}, Dims{-7})));
  arrays.emplace_back("empty", buf(zeros(DType::kFloat, {0, 4})));
  const Status written = write_npz(path_, arrays);
  ASSERT_TRUE(written) << written.error().text();
  const auto read = read_npz(path_);
  ASSERT_TRUE(read) << read.error().text();
  ASSERT_EQ(read->size(), arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ((*read)[i].first, arrays[i].first);
    EXPECT_EQ((*read)[i].second.dtype, arrays[i].second.dtype);
    EXPECT_EQ((*read)[i].second.shape, arrays[i].second.shape);
    EXPECT_EQ(floats((*read)[i].second), floats(arrays[i].second));
  }
}

TEST_F(NpzTest, DamageIsAnErrorEverywhere) {
  ASSERT_TRUE(write_npz(path_, {{"x", buf(make(DType::kFloat, {4}, std::vector<double>{1, 2, 3, 4}))}}));
  std::ifstream file(path_, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const bool cut : {true, false}) {
      std::string bad_bytes = cut ? good.substr(0, i) : good;
      if (!cut) bad_bytes[i] = static_cast<char>(bad_bytes[i] ^ 0xFF);
      std::ofstream(path_, std::ios::binary | std::ios::trunc).write(bad_bytes.data(), static_cast<std::streamsize>(bad_bytes.size()));
      const auto read = read_npz(path_);
      if (!read) {
        ++refused;
        EXPECT_FALSE(read.error().message.empty());
      }
      if (cut) {
        EXPECT_FALSE(read) << "cut at " << i;
      }
    }
  }
  EXPECT_GT(refused, static_cast<int>(good.size()));
  EXPECT_EQ(read_npz("/nonexistent/x.npz").error().code, Errc::kNotFound);
}

}  // namespace
}  // namespace airloom::runtime::testing
