// Loading, calling, states, bad input.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "run.h"

namespace airloom::runtime::testing {
namespace {

TEST(RuntimeSession, LinearReluIsOnePluginPart) {
  const std::string body = R"(
    %x = Data() {index = 0} : f32[s0, 3]
    %w = Const() {value = f32[2, 3] [1.0, 2.0, 3.0, -1.0, -2.0, -3.0]} : f32[2, 3]
    %b = Const() {value = f32[2] [0.5, 0.25]} : f32[2]
    %mm = MatMulV2(x1 = %x, x2 = %w, bias = %b) {transpose_x2 = true} : f32[s0, 2]
    %relu = Relu(x = %mm) : f32[s0, 2]
    %NetOutput = NetOutput(input0 = %relu)
  )";
  Result<Session> session = open(body);
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_EQ(session->layout().plugin_parts, 1);
  EXPECT_EQ(session->layout().host_nodes, 0);
  EXPECT_EQ(session->inputs()[0].name, "x");
  EXPECT_EQ(session->inputs()[0].shape, (Dims{-1, 3}));
  for (const std::int64_t batch : {1, 2, 5, 0}) {
    const auto out = call(*session, {f32({batch, 3}, std::vector<double>(static_cast<std::size_t>(3 * batch), 1.0))});
    ASSERT_TRUE(out) << out.error().text();
    EXPECT_EQ((*out)[0].shape, (Dims{batch, 2}));
    for (std::int64_t i = 0; i < batch; ++i) {
      EXPECT_EQ(floats((*out)[0])[static_cast<std::size_t>(2 * i)], 6.5);
      EXPECT_EQ(floats((*out)[0])[static_cast<std::size_t>(2 * i + 1)], 0);
    }
  }
}

TEST(RuntimeSession, TransformerBlockStaysInOnePart) {
  // Embedding of int64 ids, shape arithmetic, layer norm, attention, mask from an int64 input.
  const std::string body = R"(
    %ids = Data() {index = 0} : i64[s0, s1]
    %mask = Data() {index = 1} : i64[s0, s1]
    %table = Const() {value = f32[4, 2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]} : f32[4, 2]
    %axis = Const() {value = i64[] [0]} : i64[]
    %emb = GatherV2(x = %table, indices = %ids, axis = %axis) : f32[s0, s1, 2]
    %dims = Shape(x = %ids) {dtype = dtype.i64} : i64[2]
    %i0 = Const() {value = i64[] [0]} : i64[]
    %i1 = Const() {value = i64[] [1]} : i64[]
    %d0 = Gather(x = %dims, indices = %i0) : i64[]
    %d1 = Gather(x = %dims, indices = %i1) : i64[]
    %one = Const() {value = i64[] [1]} : i64[]
    %two = Const() {value = i64[] [2]} : i64[]
    %target = Pack(x0 = %d0, x1 = %d1, x2 = %one, x3 = %two) {axis = 0, N = 4} : i64[4]
    %heads = Reshape(x = %emb, shape = %target) : f32[s0, s1, 1, 2]
    %perm = Const() {value = i64[4] [0, 2, 1, 3]} : i64[4]
    %q = Transpose(x = %heads, perm = %perm) : f32[s0, 1, s1, 2]
    %score = BatchMatMulV2(x1 = %q, x2 = %q) {adj_x2 = true} : f32[s0, 1, s1, s1]
    %fmask = Cast(x = %mask) {dst_type = 0} : f32[s0, s1]
    %lifted = Unsqueeze(x = %fmask) {axes = [1, 2]} : f32[s0, 1, 1, s1]
    %uno = Const() {value = f32[] [1.0]} : f32[]
    %inv = Sub(x1 = %uno, x2 = %lifted) : f32[s0, 1, 1, s1]
    %low = Const() {value = f32[] [-10000.0]} : f32[]
    %bias = Mul(x1 = %inv, x2 = %low) : f32[s0, 1, 1, s1]
    %masked = Add(x1 = %score, x2 = %bias) : f32[s0, 1, s1, s1]
    %p = SoftmaxV2(x = %masked) {axes = [-1]} : f32[s0, 1, s1, s1]
    %ctx = BatchMatMulV2(x1 = %p, x2 = %q) : f32[s0, 1, s1, 2]
    %ns = Const() {value = i64[1] [2]} : i64[1]
    %gamma = Const() {value = f32[2] [1.0, 1.0]} : f32[2]
    %beta = Const() {value = f32[2] [0.0, 0.5]} : f32[2]
    %norm = LayerNormV4(x = %ctx, normalized_shape = %ns, gamma = %gamma, beta = %beta) {epsilon = 1e-5} : (y = f32[s0, 1, s1, 2], mean = f32[s0, 1, s1, 1], rstd = f32[s0, 1, s1, 1])
    %NetOutput = NetOutput(input0 = %norm, input1 = %ctx)
  )";
  Result<Session> session = open(body);
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_EQ(session->layout().plugin_parts, 1);
  EXPECT_EQ(session->layout().host_nodes, 0);
  expect(body, {i64({1, 2}, {3, 0}), i64({1, 2}, {0, 1})},
         {{{1, 1, 2, 2}, {-0.99998, 1.49998, -0.99998, 1.49998}}, {{1, 1, 2, 2}, {1, 2, 1, 2}}}, 1e-4);
}

TEST(RuntimeSession, WrongCountTypeAndShapeAreNamed) {
  const std::string body = R"(
    %x = Data() {index = 0} : f32[2, 3]
    %y = Relu(x = %x) : f32[2, 3]
    %NetOutput = NetOutput(input0 = %y)
  )";
  EXPECT_NE(error_of(body, {}).find("0 inputs given, the graph takes 1: x"), std::string::npos);
  EXPECT_NE(error_of(body, {f64({2, 3}, std::vector<double>(6, 0.0))}).find("x: element type is float64, the graph takes float32"),
            std::string::npos);
  EXPECT_NE(error_of(body, {f32({3, 2}, std::vector<double>(6, 0.0))}).find("x: shape is [3, 2], the graph takes [2, 3]"),
            std::string::npos);
  EXPECT_NE(error_of(body, {f32({6}, std::vector<double>(6, 0.0))}).find("x: shape is [6]"), std::string::npos);
}

TEST(RuntimeSession, AllUnknownOperatorsAreListed) {
  const std::string text = error_of(R"(
    %x = Data() {index = 0} : f32[2]
    %a = Frobnicate(x = %x) : f32[2]
    %b = Relu(x = %a) : f32[2]
    %c = Grok(x = %b) : f32[2]
    %NetOutput = NetOutput(input0 = %c)
  )",
                                    {});
  EXPECT_NE(text.find("2 nodes cannot run"), std::string::npos) << text;
  EXPECT_NE(text.find("a: Frobnicate is not known to the runtime"), std::string::npos);
  EXPECT_NE(text.find("c: Grok is not known"), std::string::npos);
}

TEST(RuntimeSession, DeclaredTypesMustBeWhatOperatorsGive) {
  const std::string text = error_of(R"(
    %x = Data() {index = 0} : i64[2]
    %y = Cumsum(x = %x, axis = %k) : f32[2]
    %k = Const() {value = i64[] [0]} : i64[]
    %NetOutput = NetOutput(input0 = %y)
  )",
                                    {i64({2}, {1, 2})});
  EXPECT_NE(text.find("declared float32 but the operator gives int64"), std::string::npos) << text;
}

TEST(RuntimeSession, StateLivesBetweenCalls) {
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : f32[2]
    %cache = RefData() {index = 1} : f32[3, 2]
    %at = Data() {index = 2} : i64[1]
    %deep = Unsqueeze(x = %x) {axes = [0]} : f32[1, 2]
    %put = ScatterUpdate(var = %cache, indices = %at, updates = %deep) : (var = f32[3, 2])
    %axes = Const() {value = i64[1] [0]} : i64[1]
    %sum = ReduceSum(x = %put, axes = %axes) : f32[2]
    %NetOutput = NetOutput(input0 = %sum)
  )");
  ASSERT_TRUE(session) << session.error().text();
  EXPECT_TRUE(session->inputs()[1].state);
  const TensorView keep{DType::kFloat, {}, nullptr};
  const Arg one = f32({2}, {1, 2});
  const Arg two = f32({2}, {10, 20});
  const Arg empty = f32({3, 2}, std::vector<double>(6, 0.0));
  const Arg first = i64({1}, {0});
  const Arg second = i64({1}, {2});
  const std::vector<TensorView> early{view(one), keep, view(first)};
  const auto none = session->run(early);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text().find("cache: this state has no value yet"), std::string::npos) << none.error().text();
  auto out = session->run(std::vector<TensorView>{view(one), view(empty), view(first)});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(floats((*out)[0]), (std::vector<double>{1, 2}));
  out = session->run(std::vector<TensorView>{view(two), keep, view(second)});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(floats((*out)[0]), (std::vector<double>{11, 22}));
  EXPECT_EQ(floats(session->states().at("cache")), (std::vector<double>{1, 2, 0, 0, 10, 20}));
  session->reset();
  EXPECT_TRUE(session->states().empty());
  EXPECT_FALSE(session->run(early));
}

TEST(RuntimeSession, WritesInSequenceSeeEachOther) {
  Result<Session> session = open(R"(
    %v = RefData() {index = 0} : f32[2]
    %x = Data() {index = 1} : f32[2]
    %a = AssignAdd(ref = %v, value = %x) : (ref = f32[2])
    %b = AssignAdd(ref = %v, value = %x) : (ref = f32[2]) after(%a)
    %before = Neg(x = %v) : f32[2]
    %later = Neg(x = %v) : f32[2] after(%b)
    %NetOutput = NetOutput(input0 = %before, input1 = %later, input2 = %b)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {f32({2}, {1, 2}), f32({2}, {10, 20})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(floats((*out)[0]), (std::vector<double>{-1, -2}));
  EXPECT_EQ(floats((*out)[1]), (std::vector<double>{-21, -42}));
  EXPECT_EQ(floats(session->states().at("v")), (std::vector<double>{21, 42}));
}

TEST(RuntimeSession, OutputsAreTheCallersOwn) {
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : f32[2]
    %w = Const() {value = f32[2] [7.0, 8.0]} : f32[2]
    %y = Relu(x = %x) : f32[2]
    %NetOutput = NetOutput(input0 = %x, input1 = %w, input2 = %y, input3 = %y)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const Arg a = f32({2}, {1, 2});
  auto out = call(*session, {a});
  ASSERT_TRUE(out) << out.error().text();
  for (TensorBuf& buf : *out) static_cast<float*>(buf.data.get())[0] = 99;
  EXPECT_EQ(floats((*out)[3])[0], 99);
  auto again = call(*session, {a});
  ASSERT_TRUE(again);
  EXPECT_EQ(floats((*again)[0]), (std::vector<double>{1, 2}));
  EXPECT_EQ(floats((*again)[1]), (std::vector<double>{7, 8}));
}

class FileConstantTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("airloom_runtime_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_ / "export");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, std::size_t floats_in_file) const {
    std::ofstream file(folder_ / "export" / name, std::ios::binary);
    for (std::size_t i = 0; i < floats_in_file; ++i) {
      const auto value = static_cast<float>(i);
      file.write(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  std::string folder() const { return folder_.string(); }
  const std::string body_ = R"(
    %x = Data() {index = 0} : f32[3]
    %w = FileConstant() {shape = [3], dtype = dtype.f32, file_path = "export/w"} : f32[3]
    %y = Add(x1 = %x, x2 = %w) : f32[3]
    %NetOutput = NetOutput(input0 = %y)
  )";
  std::filesystem::path folder_;
};

TEST_F(FileConstantTest, FoundFromTheWorkingDirectoryOrBesideTheFile) {
  write("w", 3);
  for (const bool beside : {false, true}) {
    Options options;
    (beside ? options.directory : options.working_dir) = beside ? folder() + "/export" : folder();
    Result<Session> session = open(body_, options);
    ASSERT_TRUE(session) << session.error().text();
    const auto out = call(*session, {f32({3}, {1, 1, 1})});
    ASSERT_TRUE(out) << out.error().text();
    EXPECT_EQ(floats((*out)[0]), (std::vector<double>{1, 2, 3}));
  }
}

TEST_F(FileConstantTest, MissingAndTruncatedFilesAreErrors) {
  Options options;
  options.working_dir = folder();
  Result<Session> missing = open(body_, options);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  EXPECT_NE(missing.error().text().find("w: weight file export/w is not in"), std::string::npos) << missing.error().text();
  write("w", 2);
  Result<Session> truncated = open(body_, options);
  ASSERT_FALSE(truncated);
  EXPECT_EQ(truncated.error().code, Errc::kIo);
  EXPECT_NE(truncated.error().text().find("has 8 bytes, 12 at offset 0 are needed"), std::string::npos) << truncated.error().text();
}

TEST_F(FileConstantTest, LocationWithOffset) {
  write("all", 8);
  Options options;
  options.working_dir = folder();
  const std::string body = R"(
    %x = Data() {index = 0} : f32[3]
    %w = FileConstant() {shape = [3], dtype = dtype.f32, file_path = "", location = "export/all", offset = 8, length = 12} : f32[3]
    %y = Add(x1 = %x, x2 = %w) : f32[3]
    %NetOutput = NetOutput(input0 = %y)
  )";
  Result<Session> session = open(body, options);
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {f32({3}, {0, 0, 0})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(floats((*out)[0]), (std::vector<double>{2, 3, 4}));
}

TEST(RuntimeSession, ProfileNamesNodes) {
  Options options;
  options.profile = true;
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : f32[64, 64]
    %mm = MatMulV2(x1 = %x, x2 = %x) : f32[64, 64]
    %n = ReverseV2(x = %mm, axis = %a) : f32[64, 64]
    %a = Const() {value = i64[1] [0]} : i64[1]
    %NetOutput = NetOutput(input0 = %n)
  )",
                                 options);
  ASSERT_TRUE(session) << session.error().text();
  ASSERT_TRUE(call(*session, {f32({64, 64}, std::vector<double>(4096, 1.0))}));
  const std::vector<NodeTime> times = session->profile();
  ASSERT_EQ(times.size(), 2U);
  EXPECT_EQ(times[0].name, "mm");
  EXPECT_EQ(times[0].type, "MatMulV2");
  EXPECT_EQ(times[1].name, "n");
  EXPECT_GT(times[1].microseconds, 0);
}

}  // namespace
}  // namespace airloom::runtime::testing
