// Integers beyond 2^31 and float64: what the plugin alone would get wrong.
#include <cmath>

#include "run.h"

namespace airloom::runtime::testing {
namespace {

constexpr std::int64_t kBig = 5000000000;  // beyond 2^32

TEST(Exactness, Int64Arithmetic) {
  Result<Session> session = open(R"(
    %a = Data() {index = 0} : i64[2]
    %b = Data() {index = 1} : i64[2]
    %add = Add(x1 = %a, x2 = %b) : i64[2]
    %sub = Sub(x1 = %a, x2 = %b) : i64[2]
    %mul = Mul(x1 = %a, x2 = %b) : i64[2]
    %fdiv = FloorDiv(x1 = %a, x2 = %b) : i64[2]
    %fmod = FloorMod(x1 = %a, x2 = %b) : i64[2]
    %tmod = Mod(x1 = %a, x2 = %b) : i64[2]
    %eq = Equal(x1 = %a, x2 = %b) : bool[2]
    %max = Maximum(x1 = %a, x2 = %b) : i64[2]
    %NetOutput = NetOutput(input0 = %add, input1 = %sub, input2 = %mul, input3 = %fdiv, input4 = %fmod, input5 = %tmod, input6 = %eq, input7 = %max)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {i64({2}, {kBig, -kBig}), i64({2}, {7, 4294967303})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(numbers((*out)[0]), (Dims{kBig + 7, -kBig + 4294967303}));
  EXPECT_EQ(numbers((*out)[1]), (Dims{kBig - 7, -kBig - 4294967303}));
  EXPECT_EQ(numbers((*out)[2])[0], kBig * 7);
  EXPECT_EQ(numbers((*out)[2])[1], static_cast<std::int64_t>(static_cast<std::uint64_t>(-kBig) * 4294967303ULL));  // wraps
  EXPECT_EQ(numbers((*out)[3]), (Dims{714285714, -2}));
  EXPECT_EQ(numbers((*out)[4]), (Dims{2, 2 * 4294967303 - kBig}));
  EXPECT_EQ(numbers((*out)[5]), (Dims{2, 4294967303 - kBig}));
  EXPECT_EQ(numbers((*out)[6]), (Dims{0, 0}));
  EXPECT_EQ(numbers((*out)[7]), (Dims{kBig, 4294967303}));
}

TEST(Exactness, CumsumAndRangeBeyond32Bits) {
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : i64[4]
    %axis = Const() {value = i64[] [0]} : i64[]
    %sum = Cumsum(x = %x, axis = %axis) : i64[4]
    %from = Const() {value = i64[] [5000000000]} : i64[]
    %to = Const() {value = i64[] [5000000009]} : i64[]
    %by = Const() {value = i64[] [4]} : i64[]
    %range = Range(start = %from, limit = %to, delta = %by) : i64[3]
    %small = Const() {value = i64[2] [70000, 80000]} : i64[2]
    %square = Square(x = %small) : i64[2]
    %NetOutput = NetOutput(input0 = %sum, input1 = %range, input2 = %square)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {i64({4}, {2147483647, 1, 2147483647, kBig})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(numbers((*out)[0]), (Dims{2147483647, 2147483648, 4294967295, 4294967295 + kBig}));
  EXPECT_EQ(numbers((*out)[1]), (Dims{kBig, kBig + 4, kBig + 8}));
  EXPECT_EQ(numbers((*out)[2]), (Dims{4900000000, 6400000000}));
}

TEST(Exactness, MovedInt64KeepsItsBits) {
  // Gather, transpose, concat and select of int64 run in the plugin while the values fit 32 bits, exactly otherwise.
  const std::string body = R"(
    %x = Data() {index = 0} : i64[2, 2]
    %f = Data() {index = 1} : f32[2, 2]
    %perm = Const() {value = i64[2] [1, 0]} : i64[2]
    %t = Transpose(x = %x, perm = %perm) : i64[2, 2]
    %ft = Transpose(x = %f, perm = %perm) : f32[2, 2]
    %cast = Cast(x = %t) {dst_type = 0} : f32[2, 2]
    %sum = Add(x1 = %cast, x2 = %ft) : f32[2, 2]
    %NetOutput = NetOutput(input0 = %t, input1 = %sum)
  )";
  for (const std::int64_t big : {std::int64_t{9}, kBig}) {
    Result<Session> session = open(body);
    ASSERT_TRUE(session) << session.error().text();
    const auto out = call(*session, {i64({2, 2}, {1, 2, big, 4}), f32({2, 2}, {0, 0, 0, 1})});
    ASSERT_TRUE(out) << out.error().text();
    EXPECT_EQ(numbers((*out)[0]), (Dims{1, big, 2, 4}));
    EXPECT_EQ(floats((*out)[1]), (std::vector<double>{1, static_cast<double>(static_cast<float>(big)), 2, 5}));
  }
}

TEST(Exactness, IntegersAbove24BitsCompareExactly) {
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : i32[2]
    %y = Data() {index = 1} : i32[2]
    %lt = Less(x1 = %x, x2 = %y) : bool[2]
    %axes = Const() {value = i64[1] [0]} : i64[1]
    %sum = ReduceSum(x = %x, axes = %axes) : i32[]
    %NetOutput = NetOutput(input0 = %lt, input1 = %sum)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {i32({2}, {16777216, 2000000000}), i32({2}, {16777217, 2000000000})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(numbers((*out)[0]), (Dims{1, 0}));
  EXPECT_EQ(numbers((*out)[1]), (Dims{2016777216}));
}

TEST(Exactness, Float64ToTheLastDigits) {
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : f64[2]
    %w = Const() {value = f64[2, 2] [0.1, 0.2, 0.3, 0.4]} : f64[2, 2]
    %shape = Const() {value = i64[2] [1, 2]} : i64[2]
    %row = Reshape(x = %x, shape = %shape) : f64[1, 2]
    %mm = MatMulV2(x1 = %row, x2 = %w) : f64[1, 2]
    %exp = Exp(x = %mm) : f64[1, 2]
    %soft = SoftmaxV2(x = %mm) {axes = [-1]} : f64[1, 2]
    %NetOutput = NetOutput(input0 = %exp, input1 = %soft)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {f64({2}, {1.0 / 3, 2.0 / 7})});
  ASSERT_TRUE(out) << out.error().text();
  const double a = 0.1 / 3 + 0.3 * 2 / 7;
  const double b = 0.2 / 3 + 0.4 * 2 / 7;
  EXPECT_NEAR(floats((*out)[0])[0], std::exp(a), 1e-14);
  EXPECT_NEAR(floats((*out)[0])[1], std::exp(b), 1e-14);
  EXPECT_NEAR(floats((*out)[1])[0], std::exp(a) / (std::exp(a) + std::exp(b)), 1e-14);
}

TEST(Exactness, CastsFollowTheOperator) {
  Result<Session> session = open(R"(
    %x = Data() {index = 0} : f32[5]
    %a = Cast(x = %x) {dst_type = 9} : i64[5]
    %b = Cast(x = %x) {dst_type = 3} : i32[5]
    %c = Cast(x = %x) {dst_type = 4} : u8[5]
    %d = Cast(x = %x) {dst_type = 12} : bool[5]
    %NetOutput = NetOutput(input0 = %a, input1 = %b, input2 = %c, input3 = %d)
  )");
  ASSERT_TRUE(session) << session.error().text();
  const auto out = call(*session, {f32({5}, {-1.9, 300, 5e9, NAN, 1e30})});
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(numbers((*out)[0]), (Dims{-1, 300, kBig, 0, INT64_MAX}));
  EXPECT_EQ(numbers((*out)[1]), (Dims{-1, 300, INT32_MAX, 0, INT32_MAX}));
  EXPECT_EQ(numbers((*out)[2])[1], 44);  // the low bits of 300
  EXPECT_EQ(numbers((*out)[3]), (Dims{1, 1, 1, 1, 1}));
}

TEST(Exactness, HalfTypesRoundOnceAtTheOutput) {
  for (const char* type : {"f16", "bf16"}) {
    const bool half = std::string(type) == "f16";
    const DType dtype = half ? DType::kFloat16 : DType::kBFloat16;
    const std::string body = fmt::format(R"(
      %x = Data() {{index = 0}} : {0}[2]
      %y = Add(x1 = %x, x2 = %x) : {0}[2]
      %z = Mul(x1 = %y, x2 = %x) : {0}[2]
      %NetOutput = NetOutput(input0 = %z)
    )",
                                         type);
    for (const Precision precision : {Precision::kExact, Precision::kFile}) {
      Options options;
      options.precision = precision;
      Result<Session> session = open(body, options);
      ASSERT_TRUE(session) << session.error().text();
      const auto out = call(*session, {arg(dtype, {2}, std::vector<double>{1.5, 3.0})});
      ASSERT_TRUE(out) << out.error().text();
      EXPECT_EQ((*out)[0].dtype, dtype);
      EXPECT_EQ(floats((*out)[0]), (std::vector<double>{4.5, 18}));
    }
  }
}

TEST(Exactness, HalfConversions) {
  // Every float16 and bfloat16 value survives the way to double and back.
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto b = static_cast<std::uint16_t>(bits);
    const float h = half_to_float(b);
    if (!std::isnan(h)) {
      ASSERT_EQ(half_from_double(h), b);
    }
    const float f = bfloat_to_float(b);
    if (!std::isnan(f)) {
      ASSERT_EQ(bfloat_from_double(f), b);
    }
  }
  EXPECT_EQ(half_from_double(65519.99), 0x7BFF);
  EXPECT_EQ(half_from_double(65520.0), 0x7C00);
  EXPECT_EQ(half_from_double(1.0 + 0x1p-11), 0x3C00);  // a tie goes to even
  EXPECT_EQ(half_from_double(1.0 + 3 * 0x1p-11), 0x3C02);
  EXPECT_EQ(bfloat_from_double(1.0 + 0x1p-8), 0x3F80);
  EXPECT_EQ(bfloat_from_double(1.0 + 3 * 0x1p-8), 0x3F82);
}

}  // namespace
}  // namespace airloom::runtime::testing
