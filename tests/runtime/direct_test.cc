// Small float32 parts as plain loops: the same numbers as the other ways, and only where they are small.
#include <cmath>
#include <limits>

#include "run.h"

namespace airloom::runtime::testing {
namespace {

struct Case {
  const char* name;
  const char* body;  // from %x (f32[2, 3]) and %z (f32[3]) to %y
};
constexpr Case kCases[] = {
    {"Add", "%y = Add(x1 = %x, x2 = %z) : f32[2, 3]"},
    {"AddV2", "%y = AddV2(x1 = %z, x2 = %x) : f32[2, 3]"},
    {"Sub", "%y = Sub(x1 = %z, x2 = %x) : f32[2, 3]"},
    {"SubSelf", "%y = Sub(x1 = %x, x2 = %x) : f32[2, 3]"},
    {"Mul", "%y = Mul(x1 = %x, x2 = %z) : f32[2, 3]"},
    {"MulScalar", "%c = Const() {value = f32[] [1.5]} : f32[]\n%y = Mul(x1 = %x, x2 = %c) : f32[2, 3]"},
    {"Div", "%y = Div(x1 = %x, x2 = %z) : f32[2, 3]"},
    {"RealDiv", "%y = RealDiv(x1 = %x, x2 = %z) : f32[2, 3]"},
    {"Adds", "%y = Adds(x = %x) {value = 0.5} : f32[2, 3]"},
    {"Muls", "%y = Muls(x = %x) {value = -2.5} : f32[2, 3]"},
    {"Relu", "%y = Relu(x = %x) : f32[2, 3]"},
    {"LeakyRelu", "%y = LeakyRelu(x = %x) {negative_slope = 0.25} : f32[2, 3]"},
    {"Sigmoid", "%y = Sigmoid(x = %x) : f32[2, 3]"},
    {"Tanh", "%y = Tanh(x = %x) : f32[2, 3]"},
    {"Exp", "%y = Exp(x = %x) : f32[2, 3]"},
    {"Gelu", "%y = Gelu(x = %x) : f32[2, 3]"},
    {"GeluV2Erf", "%y = GeluV2(x = %x) {approximate = \"none\"} : f32[2, 3]"},
    {"GeluV2Tanh", "%y = GeluV2(x = %x) {approximate = \"tanh\"} : f32[2, 3]"},
    {"Swish", "%y = Swish(x = %x) {scale = 1.0} : f32[2, 3]"},
    {"SwishScaled", "%y = Swish(x = %x) {scale = 1.75} : f32[2, 3]"},
    {"Softmax", "%y = SoftmaxV2(x = %x) {axes = [-1]} : f32[2, 3]"},
    {"LayerNorm",
     "%g = Const() {value = f32[3] [1.0, 2.0, 0.5]} : f32[3]\n%b = Const() {value = f32[3] [0.5, 0.0, -1.0]} : f32[3]\n"
     "%n = LayerNorm(x = %x, gamma = %g, beta = %b) {begin_norm_axis = 1, begin_params_axis = 1, epsilon = 1e-5} : "
     "(y = f32[2, 3], mean = f32[2, 1], variance = f32[2, 1])\n%y = Identity(x = %n:0) : f32[2, 3]"},
    {"LayerNormV3",
     "%g = Const() {value = f32[3] [1.0, 2.0, 0.5]} : f32[3]\n%b = Const() {value = f32[3] [0.5, 0.0, -1.0]} : f32[3]\n"
     "%n = LayerNormV3(x = %x, gamma = %g, beta = %b) {begin_norm_axis = -1, begin_params_axis = -1} : "
     "(y = f32[2, 3], mean = f32[2, 1], rstd = f32[2, 1])\n%y = Identity(x = %n:0) : f32[2, 3]"},
    {"LayerNormV4Plain",
     "%s = Const() {value = i64[1] [3]} : i64[1]\n"
     "%n = LayerNormV4(x = %x, normalized_shape = %s) {epsilon = 1e-5} : (y = f32[2, 3], mean = f32[2, 1], rstd = f32[2, 1])\n"
     "%y = Identity(x = %n:0) : f32[2, 3]"},
    {"MatMul", "%w = Const() {value = f32[3, 2] [1.0, 2.0, 3.0, -1.0, 0.5, 4.0]} : f32[3, 2]\n%y = MatMul(x1 = %x, x2 = %w) : f32[2, 2]"},
    {"MatMulV2Turned",
     "%w = Const() {value = f32[2, 3] [1.0, 2.0, 3.0, -1.0, 0.5, 4.0]} : f32[2, 3]\n%b = Const() {value = f32[2] [0.5, -0.5]} : f32[2]\n"
     "%y = MatMulV2(x1 = %x, x2 = %w, bias = %b) {transpose_x2 = true} : f32[2, 2]"},
    {"MatMulV3", "%w = Const() {value = f32[3, 1] [1.0, 2.0, 3.0]} : f32[3, 1]\n%y = MatMulV3(x1 = %x, x2 = %w) : f32[2, 1]"},
    {"BatchMatMulV2",
     "%w = Const() {value = f32[1, 3] [1.0, 2.0, 3.0]} : f32[1, 3]\n%y = BatchMatMulV2(x1 = %x, x2 = %w) {adj_x2 = true} : f32[2, 1]"},
    {"Reshape",
     "%s = Const() {value = i64[3] [3, -1, 1]} : i64[3]\n%v = Reshape(x = %x, shape = %s) : f32[3, 2, 1]\n%y = Relu(x = %v) : f32[3, 2, "
     "1]"},
    {"ReshapeKeeps", "%s = Const() {value = i64[3] [0, 1, 3]} : i64[3]\n%y = Reshape(x = %x, shape = %s) : f32[2, 1, 3]"},
    {"Identity", "%y = Identity(x = %x) : f32[2, 3]"},
};

class RuntimeDirect : public ::testing::TestWithParam<Case> {};

TEST_P(RuntimeDirect, EqualsTheExactEvaluator) {
  const std::string body = std::string(R"(
    %x = Data() {index = 0} : f32[2, 3]
    %z = Data() {index = 1} : f32[3]
    )") + GetParam().body + "\n%NetOutput = NetOutput(input0 = %y)";
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& x : {std::vector<double>{0.5, -1.25, 2.0, 0.0, 3.5, -0.75},
                                       {1.0, kInf, -1.0, 2.0, -kInf, 0.25},
                                       {30.0, -30.0, 0.1, std::nan(""), 1.0, -1.0}}) {
    const std::vector<Arg> args = {f32({2, 3}, x), f32({3}, {2.0, -0.5, 4.0})};
    Options exact;
    exact.reference = true;
    Result<Session> direct = open(body);
    Result<Session> reference = open(body, exact);
    ASSERT_TRUE(direct) << direct.error().text();
    ASSERT_TRUE(reference) << reference.error().text();
    const auto got = call(*direct, args);
    const auto want = call(*reference, args);
    ASSERT_TRUE(got) << got.error().text();
    ASSERT_TRUE(want) << want.error().text();
    if (std::string_view(GetParam().name) != "Identity" && std::string_view(GetParam().name) != "ReshapeKeeps") {
      EXPECT_EQ(direct->layout().direct_parts, 1);  // the two are no work for anybody
    }
    EXPECT_EQ(direct->layout().host_nodes, 0);
    EXPECT_EQ((*got)[0].shape, (*want)[0].shape);
    const std::vector<double> a = floats((*got)[0]);
    const std::vector<double> b = floats((*want)[0]);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (std::isnan(b[i])) {
        EXPECT_TRUE(std::isnan(a[i])) << i << ": " << a[i];
      } else if (std::isinf(b[i])) {
        EXPECT_EQ(a[i], b[i]) << i;
      } else {
        EXPECT_NEAR(a[i], b[i], 1e-5 * std::max(1.0, std::fabs(b[i]))) << i;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Forms, RuntimeDirect, ::testing::ValuesIn(kCases), [](const auto& info) { return info.param.name; });

constexpr const char* kLayer = R"(
  %x = Data() {index = 0} : f32[s0, 2]
  %w = Const() {value = f32[2, 2] [1.0, 2.0, 3.0, 4.0]} : f32[2, 2]
  %mm = MatMulV2(x1 = %x, x2 = %w) : f32[s0, 2]
  %y = Relu(x = %mm) : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %y, input1 = %x, input2 = %y)
)";

TEST(RuntimeDirect, LargeCallsGoToThePlugin) {
  Result<Session> session = open(kLayer);
  ASSERT_TRUE(session) << session.error().text();
  for (const std::int64_t rows : {1, 20000, 3, 20000, 1}) {  // 4 * 20000 multiply-adds are not small
    SCOPED_TRACE(rows);
    const auto out = call(*session, {f32({rows, 2}, std::vector<double>(static_cast<std::size_t>(2 * rows), 1.0))});
    ASSERT_TRUE(out) << out.error().text();
    EXPECT_EQ((*out)[0].shape, (Dims{rows, 2}));
    EXPECT_EQ(floats((*out)[0]).back(), 6);
    EXPECT_EQ(floats((*out)[1]).back(), 1);
    EXPECT_EQ(floats((*out)[2]), floats((*out)[0]));
    EXPECT_NE((*out)[0].data, (*out)[2].data);
  }
}

TEST(RuntimeDirect, TimesByNode) {
  Options options;
  options.profile = true;
  Result<Session> session = open(kLayer, options);
  ASSERT_TRUE(session) << session.error().text();
  ASSERT_TRUE(call(*session, {f32({1, 2}, {1, 1})}));
  EXPECT_EQ(session->layout().direct_parts, 1);
  const std::vector<NodeTime> times = session->profile();
  ASSERT_EQ(times.size(), 2U);
  EXPECT_EQ(times[0].name, "mm");
  EXPECT_EQ(times[1].type, "Relu");
  EXPECT_GT(times[0].microseconds, 0);
}

}  // namespace
}  // namespace airloom::runtime::testing
