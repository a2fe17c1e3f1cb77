#include "passes/passes.h"

#include <string>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "passes/pass.h"

namespace airloom::passes {
namespace {

using Run = bool (*)(ir::Module&);

std::string wrap(const std::string& body) { return "module \"m\"\ngraph \"g\" {\n" + body + "}\n"; }

ir::Module parsed(const std::string& text) {
  auto module = ir::parse(text);
  EXPECT_TRUE(module) << module.error().text();
  if (!module) return {};
  const auto status = ir::verify(*module);
  EXPECT_TRUE(status) << status.error().text();
  return std::move(*module);
}

/// The graph becomes `after`, is valid, and a second run finds nothing to do.
void rewrites(Run pass, const std::string& before, const std::string& after) {
  ir::Module module = parsed(wrap(before));
  EXPECT_TRUE(pass(module));
  EXPECT_EQ(ir::print(module), wrap(after));
  const auto status = ir::verify(module);
  EXPECT_TRUE(status) << status.error().text();
  EXPECT_FALSE(pass(module));
}

void keeps(Run pass, const std::string& body) {
  ir::Module module = parsed(wrap(body));
  EXPECT_FALSE(pass(module));
  EXPECT_EQ(ir::print(module), wrap(body));
}

TEST(PassesDeadCode, RemovesUnreachedAndKeepsInputsControlAndEffects) {
  rewrites(dead_code, R"(  %x = Data() {index = 0} : f32[2]
  %unused = Data() {index = 1} : f32[2]
  %r = RefData() {index = 2} : f32[2]
  %before = Relu(x = %x) : f32[2]
  %dead = Relu(x = %before) : f32[2]
  %dead2 = Abs(x = %dead) : f32[2]
  %new = Neg(x = %x) : f32[2]
  %assign = Assign(ref = %r, value = %new) : (ref = f32[2])
  %send = HcomSend(x = %x)
  %sum = HcomAllReduce(x = %x) {group = "tp"} : f32[2]
  %y = Exp(x = %x) : f32[2] after(%before)
  %NetOutput = NetOutput(input0 = %y)
)",
           R"(  %x = Data() {index = 0} : f32[2]
  %unused = Data() {index = 1} : f32[2]
  %r = RefData() {index = 2} : f32[2]
  %before = Relu(x = %x) : f32[2]
  %new = Neg(x = %x) : f32[2]
  %assign = Assign(ref = %r, value = %new) : (ref = f32[2])
  %send = HcomSend(x = %x)
  %sum = HcomAllReduce(x = %x) {group = "tp"} : f32[2]
  %y = Exp(x = %x) : f32[2] after(%before)
  %NetOutput = NetOutput(input0 = %y)
)");
}

TEST(PassesDeadCode, ADeadCallTakesItsGraphsAlongUnlessTheyHaveEffects) {
  const char* text = R"(module "m"
graph "g" {{
  %x = Data() {{index = 0}} : f32[2]
  %c = Data() {{index = 1}} : bool[]
  %if = If(cond = %c, input0 = %x) : (output0 = f32[2]) graphs("then", "else")
  %y = Exp(x = %x) : f32[2]
  %NetOutput = NetOutput(input0 = %y)
}}
graph "then" {{
  %x = Data() {{index = 0}} : f32[2]
  %NetOutput = NetOutput(input0 = %x)
}}
graph "else" {{
  %x = Data() {{index = 0}} : f32[2]
  %t = {}(x = %x) {{group = "tp"}} : f32[2]
  %NetOutput = NetOutput(input0 = %t)
}}
)";
  ir::Module pure = parsed(fmt::format(fmt::runtime(text), "Relu"));
  pure.graphs[2].node(1).attrs.clear();
  EXPECT_TRUE(dead_code(pure));
  EXPECT_EQ(ir::print(pure), wrap(R"(  %x = Data() {index = 0} : f32[2]
  %c = Data() {index = 1} : bool[]
  %y = Exp(x = %x) : f32[2]
  %NetOutput = NetOutput(input0 = %y)
)"));
  EXPECT_TRUE(ir::verify(pure));
  ir::Module talks = parsed(fmt::format(fmt::runtime(text), "HcomAllReduce"));
  EXPECT_FALSE(dead_code(talks));
  EXPECT_EQ(talks.graphs.size(), 3U);
}

TEST(PassesConstantDedup, EqualContentIsOneConstant) {
  rewrites(constant_dedup, R"(  %x = Data() {index = 0} : i64[2]
  %a = Const() {value = i64[2] [1, 2]} : i64[2]
  %b = Const() {value = i64[2] [1, 2]} : i64[2]
  %s = Add(x1 = %x, x2 = %a) : i64[2]
  %t = Add(x1 = %s, x2 = %b) : i64[2]
  %NetOutput = NetOutput(input0 = %t)
)",
           R"(  %x = Data() {index = 0} : i64[2]
  %a = Const() {value = i64[2] [1, 2]} : i64[2]
  %s = Add(x1 = %x, x2 = %a) : i64[2]
  %t = Add(x1 = %s, x2 = %a) : i64[2]
  %NetOutput = NetOutput(input0 = %t)
)");
}

TEST(PassesConstantDedup, OtherTypesShapesFormatsAndWrittenOnesStay) {
  keeps(constant_dedup, R"(  %a = Const() {value = i64[2] [1, 2]} : i64[2]
  %b = Const() {value = i32[2] [1, 2]} : i32[2]
  %c = Const() {value = i64[2, 1] [1, 2]} : i64[2, 1]
  %d = Const() {value = i64[2] [1, 3]} : i64[2]
  %e = Const() {value = i64[2] [1, 2]} : i64[2]@NCHW
  %v = Const() {value = i64[2] [1, 2]} : i64[2]
  %w = Const() {value = i64[2] weight("w") [1, 2]} : i64[2]
  %u = Const() {value = i64[2] weight("u") [1, 2]} : i64[2]
  %s = ScatterUpdate(var = %v, indices = %b, updates = %a) : (var = i64[2])
  %NetOutput = NetOutput(input0 = %c, input1 = %d, input2 = %e, input3 = %s, input4 = %w, input5 = %u)
)");
}

TEST(PassesConstantDedup, WeightsOfOneAddressAreOne) {
  ir::Module module = parsed(wrap(R"(  %a = Const() {value = f32[2, 2] weight("a") [1, 2, 3, 4]} : f32[2, 2]
  %b = Const() {value = f32[2, 2] weight("b") [1, 2, 3, 4]} : f32[2, 2]
  %c = Const() {value = f32[2, 2] weight("c") [1, 2, 3, 4]} : f32[2, 2]
  %NetOutput = NetOutput(input0 = %a, input1 = %b, input2 = %c)
)"));
  ir::Graph& g = module.root();
  const auto set = [&g](ir::NodeId id, std::vector<std::int64_t> stride) {
    ir::Tensor tensor = *ir::const_value(g, id);
    tensor.data = ir::const_value(g, 0)->data;
    tensor.stride = std::move(stride);
    g.node(id).attrs["value"] = std::make_shared<const ir::Tensor>(tensor);
  };
  const ir::TensorRef owner = ir::const_value(g, 0);
  set(1, {2, 1});  // dense, written out
  set(2, {1, 2});  // the transposed view
  EXPECT_TRUE(constant_dedup(module));
  const ir::Node& out = g.node(g.net_output());
  EXPECT_EQ(out.inputs[1].value.node, g.find("a"));
  EXPECT_EQ(out.inputs[2].value.node, g.find("c"));
  EXPECT_EQ(g.find("b"), ir::kNoNode);
}

TEST(PassesConstantDedup, LargeContentIsComparedToo) {
  ir::Module module;
  module.graphs.emplace_back();
  ir::Graph& g = module.root();
  ir::Node out{"NetOutput", "NetOutput", {}, {}, {}, {}, {}, nullptr, false};
  for (int i = 0; i < 3; ++i) {
    std::vector<std::byte> bytes(100003);
    bytes.back() = static_cast<std::byte>(i == 2);
    ir::Node node{
        fmt::format("c{}", i), "Const", {}, {{"y", {ir::DType::kInt8, {100003}}, ir::Format::kND, false, {}}}, {}, {}, {}, nullptr, false};
    node.attrs["value"] = std::make_shared<const ir::Tensor>(ir::Tensor::from_bytes(ir::DType::kInt8, {100003}, std::move(bytes)));
    out.inputs.push_back({fmt::format("input{}", i), {g.add(std::move(node)), 0}, ir::Format::kND, {}});
  }
  const ir::NodeId end = g.add(std::move(out));
  EXPECT_TRUE(constant_dedup(module));
  EXPECT_EQ(g.node(end).inputs[1].value.node, g.find("c0"));
  EXPECT_EQ(g.node(end).inputs[2].value.node, g.find("c2"));
}

TEST(PassesCommonSubexpressions, EqualPureNodesAreOneThroughChains) {
  rewrites(common_subexpressions, R"(  %x = Data() {index = 0} : f32[s0, 4]
  %a = SoftmaxV2(x = %x) {axes = [-1], half_to_float = false} : f32[s0, 4]
  %b = SoftmaxV2(x = %x) {axes = [-1], half_to_float = false} : f32[s0, 4]
  %sa = SplitD(x = %a) {num_split = 2} : (y0 = f32[s0, 2], y1 = f32[s0, 2])
  %sb = SplitD(x = %b) {num_split = 2} : (y0 = f32[s0, 2], y1 = f32[s0, 2])
  %t = Mul(x1 = %sa, x2 = %sb:1) : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %t)
)",
           R"(  %x = Data() {index = 0} : f32[s0, 4]
  %a = SoftmaxV2(x = %x) {axes = [-1], half_to_float = false} : f32[s0, 4]
  %sa = SplitD(x = %a) {num_split = 2} : (y0 = f32[s0, 2], y1 = f32[s0, 2])
  %t = Mul(x1 = %sa, x2 = %sa:1) : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %t)
)");
}

TEST(PassesCommonSubexpressions, RandomWrittenOrderedAndDifferentNodesStay) {
  keeps(common_subexpressions, R"(  %x = Data() {index = 0} : f32[4]
  %r = RefData() {index = 1} : f32[4]
  %s = Const() {value = i64[1] [4]} : i64[1]
  %r1 = RandomUniform(shape = %s) {dtype = 0} : f32[4]
  %r2 = RandomUniform(shape = %s) {dtype = 0} : f32[4]
  %g1 = HcomAllReduce(x = %x) {group = "tp"} : f32[4]
  %g2 = HcomAllReduce(x = %x) {group = "tp"} : f32[4]
  %old = Relu(x = %r) : f32[4]
  %assign = Assign(ref = %r, value = %x) : (ref = f32[4])
  %new = Relu(x = %r) : f32[4] after(%assign)
  %l1 = LeakyRelu(x = %x) {negative_slope = 0.1} : f32[4]
  %l2 = LeakyRelu(x = %x) {negative_slope = 0.2} : f32[4]
  %f1 = Exp(x = %x) : f32[4]
  %f2 = Exp(x = %x) : f32[4]@NCHW
  %u1 = NonZero(x = %x) : i64[u0, 1]
  %u2 = NonZero(x = %x) : i64[u1, 1]
  %w1 = Neg(x = %x) : f32[4]
  %w2 = Neg(x = %x) : f32[4]
  %wu = ScatterUpdate(var = %w2, indices = %s, updates = %x) : (var = f32[4])
  %NetOutput = NetOutput(input0 = %r1, input1 = %r2, input2 = %g1, input3 = %g2, input4 = %old, input5 = %new, input6 = %l1, input7 = %l2, input8 = %f1, input9 = %f2, input10 = %u1, input11 = %u2, input12 = %w1, input13 = %wu)
)");
}

TEST(PassesCastOfCast, WideningMiddleIsSkipped) {
  rewrites(cast_of_cast, R"(  %x = Data() {index = 0} : f16[4]
  %h = Relu(x = %x) : f16[4]
  %a = Cast(x = %h) {dst_type = 0} : f32[4]
  %same = Cast(x = %a) {dst_type = 0} : f32[4]
  %back = Cast(x = %same) {dst_type = 1} : f16[4]
  %b = Cast(x = %a) {dst_type = 27} : bf16[4]
  %NetOutput = NetOutput(input0 = %back, input1 = %b, input2 = %same)
)",
           R"(  %x = Data() {index = 0} : f16[4]
  %h = Relu(x = %x) : f16[4]
  %a = Cast(x = %h) {dst_type = 0} : f32[4]
  %b = Cast(x = %h) {dst_type = 27} : bf16[4]
  %NetOutput = NetOutput(input0 = %h, input1 = %b, input2 = %a)
)");
}

TEST(PassesCastOfCast, ExactlyTheHoldingPairs) {
  struct Case {
    ir::DType from, middle;
    bool holds;
  };
  using ir::DType;
  const Case cases[] = {
      {DType::kBool, DType::kInt8, true},      {DType::kBool, DType::kUInt8, true},        {DType::kBool, DType::kBFloat16, true},
      {DType::kInt8, DType::kBool, false},     {DType::kInt8, DType::kInt16, true},        {DType::kInt8, DType::kUInt16, false},
      {DType::kUInt8, DType::kInt16, true},    {DType::kUInt8, DType::kInt8, false},       {DType::kUInt8, DType::kUInt32, true},
      {DType::kInt8, DType::kBFloat16, true},  {DType::kUInt8, DType::kFloat16, true},     {DType::kInt16, DType::kFloat, true},
      {DType::kInt16, DType::kFloat16, false}, {DType::kInt32, DType::kInt64, true},       {DType::kInt32, DType::kFloat, false},
      {DType::kInt32, DType::kDouble, true},   {DType::kInt64, DType::kDouble, false},     {DType::kInt64, DType::kInt32, false},
      {DType::kUInt32, DType::kInt64, true},   {DType::kUInt64, DType::kInt64, false},     {DType::kFloat16, DType::kFloat, true},
      {DType::kBFloat16, DType::kFloat, true}, {DType::kFloat16, DType::kBFloat16, false}, {DType::kBFloat16, DType::kFloat16, false},
      {DType::kFloat, DType::kFloat16, false}, {DType::kFloat, DType::kDouble, true},      {DType::kDouble, DType::kFloat, false},
      {DType::kFloat, DType::kInt64, false},   {DType::kFloat, DType::kComplex64, false},
  };
  for (const Case& c : cases) {
    const auto text = fmt::format(R"(  %x = Data() {{index = 0}} : {0}[4]
  %h = Abs(x = %x) : {0}[4]
  %a = Cast(x = %h) {{dst_type = {2}}} : {1}[4]
  %b = Cast(x = %a) {{dst_type = {3}}} : {0}[4]
  %NetOutput = NetOutput(input0 = %b)
)",
                                  ir::info(c.from).text, ir::info(c.middle).text, static_cast<int>(c.middle), static_cast<int>(c.from));
    ir::Module module = parsed(wrap(text));
    EXPECT_EQ(cast_of_cast(module), c.holds) << text;
    const ir::Graph& g = module.root();
    EXPECT_EQ(g.node(g.node(g.net_output()).inputs[0].value.node).name, c.holds ? "h" : "b") << text;
  }
}

TEST(PassesCastOfCast, ReadsOfAWrittenBufferAndInputsAsResultsStay) {
  keeps(cast_of_cast, R"(  %x = Data() {index = 0} : f16[4]
  %r = RefData() {index = 1} : f16[4]
  %a = Cast(x = %r) {dst_type = 0} : f32[4]
  %b = Cast(x = %a) {dst_type = 27} : bf16[4]
  %assign = Assign(ref = %r, value = %x) : (ref = f16[4])
  %c = Cast(x = %x) {dst_type = 1} : f16[4]
  %NetOutput = NetOutput(input0 = %b, input1 = %c) after(%assign)
)");
}

TEST(PassesIdentity, ChainsVanish) {
  rewrites(identity, R"(  %x = Data() {index = 0} : f32[?, 2]
  %a = Identity(x = %x) : f32[?, 2]
  %b = Identity(x = %a) : f32[?, 2]
  %y = Relu(x = %b) : f32[?, 2]
  %c = Identity(x = %y) : f32[?, 2]
  %NetOutput = NetOutput(input0 = %c {_origin_output_tensor_name = "c"})
)",
           R"(  %x = Data() {index = 0} : f32[?, 2]
  %y = Relu(x = %x) : f32[?, 2]
  %NetOutput = NetOutput(input0 = %y {_origin_output_tensor_name = "c"})
)");
}

TEST(PassesIdentity, OneStaysBetweenAnInputAndTheOutput) {
  rewrites(identity, R"(  %x = Data() {index = 0} : f32[2]
  %a = Identity(x = %x) : f32[2]
  %b = Identity(x = %a) : f32[2]
  %c = Identity(x = %b) : f32[2]
  %NetOutput = NetOutput(input0 = %c)
)",
           R"(  %x = Data() {index = 0} : f32[2]
  %c = Identity(x = %x) : f32[2]
  %NetOutput = NetOutput(input0 = %c)
)");
}

TEST(PassesIdentity, ConstantsAsResultsFormatsControlAndSnapshotsStay) {
  keeps(identity, R"(  %x = Data() {index = 0} : f32[2]
  %r = RefData() {index = 1} : f32[2]
  %k = Const() {value = f32[2] [1, 2]} : f32[2]
  %a = Identity(x = %k) : f32[2]
  %y = Relu(x = %x) : f32[2]
  %b = Identity(x = %y) : f32[2]@NCHW
  %c = Identity(x = %y) : f32[2] after(%a)
  %d = Identity(x = %y) : f32[2]
  %old = Identity(x = %r) : f32[2]
  %assign = Assign(ref = %r, value = %x) : (ref = f32[2])
  %copy = Identity(x = %y) : f32[2]
  %into = Assign(ref = %copy, value = %x) : (ref = f32[2])
  %NetOutput = NetOutput(input0 = %a, input1 = %b, input2 = %c, input3 = %old, input4 = %into) after(%assign, %d)
)");
}

TEST(PassesTransposeIntoMatmul, SwapsBecomeFlags) {
  rewrites(transpose_into_matmul, R"(  %x = Data() {index = 0} : f32[b, 2, 3]
  %w = Data() {index = 1} : f32[3, 4]
  %p = Const() {value = i64[3] [0, 2, 1]} : i64[3]
  %q = Const() {value = i32[2] [-1, 0]} : i32[2]
  %t = Transpose(x = %x, perm = %p) : f32[b, 3, 2]
  %mm = BatchMatMulV2(x1 = %t, x2 = %t) {adj_x2 = true} : f32[b, 3, 3]
  %u = Transpose(x = %w, perm = %q) : f32[4, 3]
  %nn = MatMulV2(x1 = %w, x2 = %u) : f32[3, 3]
  %NetOutput = NetOutput(input0 = %mm, input1 = %nn)
)",
           R"(  %x = Data() {index = 0} : f32[b, 2, 3]
  %w = Data() {index = 1} : f32[3, 4]
  %p = Const() {value = i64[3] [0, 2, 1]} : i64[3]
  %q = Const() {value = i32[2] [-1, 0]} : i32[2]
  %t = Transpose(x = %x, perm = %p) : f32[b, 3, 2]
  %mm = BatchMatMulV2(x1 = %x, x2 = %x) {adj_x1 = true, adj_x2 = false} : f32[b, 3, 3]
  %u = Transpose(x = %w, perm = %q) : f32[4, 3]
  %nn = MatMulV2(x1 = %w, x2 = %w) {transpose_x2 = true} : f32[3, 3]
  %NetOutput = NetOutput(input0 = %mm, input1 = %nn)
)");
}

TEST(PassesTransposeIntoMatmul, OtherPermutationsAndBiasStay) {
  keeps(transpose_into_matmul, R"(  %x = Data() {index = 0} : f32[2, 2, 2]
  %d = Data() {index = 1} : i64[3]
  %p = Const() {value = i64[3] [1, 0, 2]} : i64[3]
  %q = Const() {value = i64[3] [0, 2, 1]} : i64[3]
  %t = Transpose(x = %x, perm = %p) : f32[2, 2, 2]
  %u = Transpose(x = %x, perm = %d) : f32[2, 2, 2]
  %v = Transpose(x = %x, perm = %q) : f32[2, 2, 2]
  %mm = BatchMatMulV2(x1 = %t, x2 = %u, bias = %v) : f32[2, 2, 2]
  %NetOutput = NetOutput(input0 = %mm)
)");
}

TEST(PassesReshapeOfReshape, ReshapesJoin) {
  rewrites(reshape_of_reshape, R"(  %x = Data() {index = 0} : f32[s0, 6]
  %a = Const() {value = i64[3] [0, 2, 3]} : i64[3]
  %b = Const() {value = i64[2] [0, -1]} : i64[2]
  %c = Const() {value = i64[3] [-1, 3, 2]} : i64[3]
  %r = Reshape(x = %x, shape = %a) : f32[s0, 2, 3]
  %s = Reshape(x = %r, shape = %c) {axis = 0, num_axes = -1} : f32[s0, 3, 2]
  %t = Reshape(x = %r, shape = %b) : f32[s0, 6]
  %y = Relu(x = %t) : f32[s0, 6]
  %NetOutput = NetOutput(input0 = %s, input1 = %y)
)",
           R"(  %x = Data() {index = 0} : f32[s0, 6]
  %a = Const() {value = i64[3] [0, 2, 3]} : i64[3]
  %b = Const() {value = i64[2] [0, -1]} : i64[2]
  %c = Const() {value = i64[3] [-1, 3, 2]} : i64[3]
  %r = Reshape(x = %x, shape = %a) : f32[s0, 2, 3]
  %s = Reshape(x = %x, shape = %c) {axis = 0, num_axes = -1} : f32[s0, 3, 2]
  %y = Relu(x = %x) : f32[s0, 6]
  %NetOutput = NetOutput(input0 = %s, input1 = %y)
)");
}

TEST(PassesReshapeOfReshape, RelativeAndComputedTargetsStay) {
  keeps(reshape_of_reshape, R"(  %x = Data() {index = 0} : f32[4, 6]
  %d = Data() {index = 1} : i64[2]
  %a = Const() {value = i64[2] [6, 4]} : i64[2]
  %b = Const() {value = i64[3] [0, 2, 2]} : i64[3]
  %r = Reshape(x = %x, shape = %a) : f32[6, 4]
  %s = Reshape(x = %r, shape = %b) : f32[6, 2, 2]
  %t = Reshape(x = %r, shape = %d) : f32[?, ?]
  %part = Reshape(x = %r, shape = %a) {axis = 1} : f32[6, 6, 4]
  %same = Reshape(x = %x, shape = %d) : f32[4, 6]
  %NetOutput = NetOutput(input0 = %s, input1 = %t, input2 = %part, input3 = %same)
)");
}

TEST(PassesReshapeOfReshape, TransposesComposeAndVanish) {
  rewrites(reshape_of_reshape, R"(  %x = Data() {index = 0} : f32[2, 3, 4]
  %p = Const() {value = i64[3] [1, 2, 0]} : i64[3]
  %q = Const() {value = i64[3] [2, 0, 1]} : i64[3]
  %id = Const() {value = i64[3] [0, 1, -1]} : i64[3]
  %a = Transpose(x = %x, perm = %p) : f32[3, 4, 2]
  %b = Transpose(x = %a, perm = %p) : f32[4, 2, 3]
  %c = Transpose(x = %a, perm = %q) : f32[2, 3, 4]
  %d = Transpose(x = %c, perm = %id) : f32[2, 3, 4]
  %y = Relu(x = %d) : f32[2, 3, 4]
  %NetOutput = NetOutput(input0 = %b, input1 = %y)
)",
           R"(  %x = Data() {index = 0} : f32[2, 3, 4]
  %p = Const() {value = i64[3] [1, 2, 0]} : i64[3]
  %q = Const() {value = i64[3] [2, 0, 1]} : i64[3]
  %id = Const() {value = i64[3] [0, 1, -1]} : i64[3]
  %a = Transpose(x = %x, perm = %p) : f32[3, 4, 2]
  %y = Relu(x = %x) : f32[2, 3, 4]
  %b.perm = Const() {value = i64[3] [2, 0, 1]} : i64[3]
  %b = Transpose(x = %x, perm = %b.perm) : f32[4, 2, 3]
  %NetOutput = NetOutput(input0 = %b, input1 = %y)
)");
}

TEST(PassesReshapeOfReshape, BadPermutationsStay) {
  keeps(reshape_of_reshape, R"(  %x = Data() {index = 0} : f32[2, 2]
  %p = Const() {value = i64[2] [1, 1]} : i64[2]
  %q = Const() {value = i64[3] [0, 1, 2]} : i64[3]
  %r = Const() {value = i64[2] [0, 7]} : i64[2]
  %a = Transpose(x = %x, perm = %p) : f32[2, 2]
  %b = Transpose(x = %a, perm = %q) : f32[2, 2]
  %c = Transpose(x = %b, perm = %r) : f32[2, 2]
  %NetOutput = NetOutput(input0 = %c)
)");
}

TEST(PassesReshapeOfReshape, SqueezeAndUnsqueezeOfOneAxisCancel) {
  rewrites(reshape_of_reshape, R"(  %x = Data() {index = 0} : f32[2, 1, s0]
  %a = Unsqueeze(x = %x) {axes = [1]} : f32[2, 1, 1, s0]
  %b = Squeeze(x = %a) {axis = [-3]} : f32[2, 1, s0]
  %c = Squeeze(x = %b) {axis = [1]} : f32[2, s0]
  %d = Unsqueeze(x = %c) {axes = [-2]} : f32[2, 1, s0]
  %y = Relu(x = %d) : f32[2, 1, s0]
  %NetOutput = NetOutput(input0 = %y)
)",
           R"(  %x = Data() {index = 0} : f32[2, 1, s0]
  %a = Unsqueeze(x = %x) {axes = [1]} : f32[2, 1, 1, s0]
  %c = Squeeze(x = %x) {axis = [1]} : f32[2, s0]
  %y = Relu(x = %x) : f32[2, 1, s0]
  %NetOutput = NetOutput(input0 = %y)
)");
}

TEST(PassesReshapeOfReshape, OtherAxesStay) {
  keeps(reshape_of_reshape, R"(  %x = Data() {index = 0} : f32[1, 2]
  %a = Unsqueeze(x = %x) {axes = [2]} : f32[1, 2, 1]
  %b = Squeeze(x = %a) {axis = [0]} : f32[2, 1]
  %c = Squeeze(x = %a) {axis = ints[]} : f32[2]
  %d = Unsqueeze(x = %x) {axes = [9]} : f32[1, 2, 1]
  %e = Squeeze(x = %d) {axis = [9]} : f32[1, 2]
  %NetOutput = NetOutput(input0 = %b, input1 = %c, input2 = %e)
)");
}

constexpr const char* kPipelineGraph = R"(  %x = Data() {index = 0} : f16[2, 3]
  %w = Const() {value = f16[3, 3] weight("w") [1, 2, 3, 4, 5, 6, 7, 8, 9]} : f16[3, 3]
  %p = Const() {value = i64[2] [1, 0]} : i64[2]
  %q = Const() {value = i64[2] [1, 0]} : i64[2]
  %t = Transpose(x = %w, perm = %p) : f16[3, 3]
  %u = Transpose(x = %w, perm = %q) : f16[3, 3]
  %wide = Cast(x = %x) {dst_type = 0} : f32[2, 3]
  %back = Cast(x = %wide) {dst_type = 1} : f16[2, 3]
  %i = Identity(x = %back) : f16[2, 3]
  %a = MatMulV2(x1 = %i, x2 = %t) : f16[2, 3]
  %b = MatMulV2(x1 = %i, x2 = %u) : f16[2, 3]
  %y = Add(x1 = %a, x2 = %b) : f16[2, 3]
  %NetOutput = NetOutput(input0 = %y)
)";

TEST(PassesPipeline, RunsAllInOrder) {
  ir::Module module = parsed(wrap(kPipelineGraph));
  const auto timings = run(module, {});
  ASSERT_TRUE(timings) << timings.error().text();
  EXPECT_EQ(ir::print(module), wrap(R"(  %x = Data() {index = 0} : f16[2, 3]
  %w = Const() {value = f16[3, 3] weight("w") [1, 2, 3, 4, 5, 6, 7, 8, 9]} : f16[3, 3]
  %a = MatMulV2(x1 = %x, x2 = %w) {transpose_x2 = true} : f16[2, 3]
  %y = Add(x1 = %a, x2 = %a) : f16[2, 3]
  %NetOutput = NetOutput(input0 = %y)
)"));
  std::string rows;
  for (const Timing& timing : *timings) {
    rows += fmt::format("{}:{} ", timing.name, timing.changed);
    EXPECT_GE(timing.seconds, 0);
  }
  EXPECT_EQ(rows,
            "dead-code:false constant-dedup:true common-subexpressions:true cast-of-cast:true identity:true "
            "transpose-into-matmul:true reshape-of-reshape:false dead-code:true ");
  EXPECT_EQ(pipeline().size(), timings->size());
}

TEST(PassesPipeline, DisabledPassesDoNotRun) {
  ir::Module module = parsed(wrap(kPipelineGraph));
  const auto timings = run(module, {"dead-code", "constant-dedup", "common-subexpressions", "cast-of-cast", "identity",
                                    "transpose-into-matmul", "reshape-of-reshape"});
  ASSERT_TRUE(timings) << timings.error().text();
  EXPECT_TRUE(timings->empty());
  EXPECT_EQ(ir::print(module), wrap(kPipelineGraph));
}

TEST(PassesPipeline, UnknownNamesAndInvalidGraphsAreErrors) {
  ir::Module module = parsed(wrap(kPipelineGraph));
  const auto unknown = run(module, {"zz", "identity", "fusion", "zz"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::kInvalidArgument);
  EXPECT_EQ(unknown.error().message, "no such pass: 'fusion', 'zz'");
  EXPECT_EQ(unknown.error().hint,
            "known passes: dead-code, constant-dedup, common-subexpressions, cast-of-cast, identity, transpose-into-matmul, "
            "reshape-of-reshape");
  EXPECT_EQ(ir::print(module), wrap(kPipelineGraph));
  ir::Graph& g = module.root();
  g.node(g.find("x")).inputs.push_back({"x", {g.find("y"), 0}, ir::Format::kND, {}});
  const auto cycle = run(module, {});
  ASSERT_FALSE(cycle);
  EXPECT_EQ(cycle.error().code, Errc::kInvalidGraph);
  ir::Module empty;
  EXPECT_FALSE(run(empty, {}));
}

TEST(PassesPipeline, LargeGraphsStayCheap) {
  ir::Module module;
  module.graphs.emplace_back();
  ir::Graph& g = module.root();
  const ir::Output f32{"y", {ir::DType::kFloat, {4}}, ir::Format::kND, false, {}};
  const auto add = [&](std::string type, std::vector<ir::Input> inputs, ir::Attrs attrs, bool has_output) {
    return g.add({type,
                  type,
                  std::move(inputs),
                  has_output ? std::vector<ir::Output>{f32} : std::vector<ir::Output>{},
                  {},
                  std::move(attrs),
                  {},
                  nullptr,
                  false});
  };
  const ir::NodeId x = add("Data", {}, {{"index", std::int64_t{0}}}, true);
  ir::NodeId last = x;
  constexpr int kSteps = 20000;
  for (int i = 0; i < kSteps; ++i) {
    last = add("Identity", {{"x", {last, 0}, ir::Format::kND, {}}}, {}, true);
    const ir::NodeId same = add("Relu", {{"x", {x, 0}, ir::Format::kND, {}}}, {}, true);
    if (i % 2 == 0) last = add("Add", {{"x1", {last, 0}, ir::Format::kND, {}}, {"x2", {same, 0}, ir::Format::kND, {}}}, {}, true);
  }
  add("NetOutput", {{"input0", {last, 0}, ir::Format::kND, {}}}, {}, false);
  const auto timings = run(module, {});
  ASSERT_TRUE(timings) << timings.error().text();
  EXPECT_EQ(g.topological()->size(), static_cast<std::size_t>(kSteps / 2 + 3));  // Data, Relu, the Adds, NetOutput
}

}  // namespace
}  // namespace airloom::passes
