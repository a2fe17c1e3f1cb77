// Files: written, loaded, damaged.
#include <filesystem>
#include <fstream>

#include "air/air.h"
#include "run.h"

namespace airloom::runtime::testing {
namespace {

TEST(RuntimeLoad, WrittenFilesRunAndDamagedOnesAreErrors) {
  Result<ir::Module> module = ir::parse(R"(module "m" {}
graph "m" {
  %x = Data() {index = 0} : f32[s0, 2]
  %w = Const() {value = f32[2] [3.0, 4.0]} : f32[2]
  %y = Mul(x1 = %x, x2 = %w) : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %y)
}
)");
  ASSERT_TRUE(module) << module.error().text();
  std::string bytes;
  const Status written = air::write(*module, [&](const void* data, std::size_t size) -> Status {
    bytes.append(static_cast<const char*>(data), size);
    return {};
  });
  ASSERT_TRUE(written) << written.error().text();
  const std::string path = (std::filesystem::temp_directory_path() / ("airloom_load_" + std::to_string(::getpid()) + ".air")).string();
  const auto save = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(content.data(), static_cast<std::streamsize>(content.size()));
  };
  save(bytes);
  Result<Session> session = Session::load(path);
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_EQ(session->inputs()[0].shape, (Dims{-1, 2}));
  const auto out = call(*session, {f32({1, 2}, {1, 2})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(floats((*out)[0]), (std::vector<double>{3, 8}));
  for (std::size_t i = 0; i < 16; ++i) {
    save(bytes.substr(0, bytes.size() * i / 16));
    const Result<Session> cut = Session::load(path);
    EXPECT_FALSE(cut) << "cut at " << i << "/16";
  }
  for (std::size_t i = 0; i < bytes.size(); i += 5) {  // a flipped bit may leave a legal file; it never crashes
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    save(flipped);
    Result<Session> opened = Session::load(path);
    if (opened && opened->inputs().size() == 1) {
      const auto result = call(*opened, {f32({1, 2}, {1, 2})});
      if (!result) {
        EXPECT_FALSE(result.error().message.empty());
      }
    }
  }
  std::filesystem::remove(path);
  const Result<Session> missing = Session::load(path);
  ASSERT_FALSE(missing);
}

}  // namespace
}  // namespace airloom::runtime::testing
