// Operator semantics with literal numbers, in the plugin and in the exact evaluator.
#include <cmath>

#include "run.h"

namespace airloom::runtime::testing {
namespace {

using Want = std::vector<std::pair<Dims, std::vector<double>>>;

std::string unary(const std::string& op, const std::string& attrs, const std::string& shape) {
  return fmt::format("%x = Data() {{index = 0}} : f32[{1}]\n%y = {0}(x = %x) {{{2}}} : f32[{1}]\n%NetOutput = NetOutput(input0 = %y)", op,
                     shape, attrs);
}
void check_unary(const std::string& op, const std::string& attrs, const std::vector<double>& in, const std::vector<double>& want,
                 double tolerance = 1e-5) {
  SCOPED_TRACE(op + " " + attrs);
  const auto n = static_cast<std::int64_t>(in.size());
  expect(unary(op, attrs, std::to_string(n)), {f32({n}, in)}, {{{n}, want}}, tolerance);
}

TEST(RuntimeOps, Unary) {
  check_unary("Abs", "", {-2, 0, 3}, {2, 0, 3});
  check_unary("Neg", "", {-2, 0, 3}, {2, 0, -3});
  check_unary("Sign", "", {-2, 0, 3}, {-1, 0, 1});
  check_unary("Sqrt", "", {4, 2}, {2, 1.41421356});
  check_unary("Rsqrt", "", {4, 0.25}, {0.5, 2});
  check_unary("Reciprocal", "", {4, -0.5}, {0.25, -2});
  check_unary("Exp", "", {0, 1}, {1, 2.71828183});
  check_unary("Exp", "base = 2.0, scale = 2.0, shift = 1.0", {0, 1}, {2, 8});
  check_unary("Log", "", {1, 10}, {0, 2.30258509});
  check_unary("Log", "base = 2.0", {8, 0.5}, {3, -1});
  check_unary("Log1p", "", {0, 1e-3}, {0, 0.0009995003}, 1e-9);
  check_unary("Expm1", "", {0, 1e-3}, {0, 0.0010005002}, 1e-9);
  check_unary("Sin", "", {0, 1}, {0, 0.84147098});
  check_unary("Acosh", "", {1, 2}, {0, 1.31695790});
  check_unary("Erf", "", {0.5, -1}, {0.52049988, -0.84270079});
  check_unary("Erfc", "", {0.5, -1}, {0.47950012, 1.84270079});
  check_unary("Floor", "", {-1.5, 1.5}, {-2, 1});
  check_unary("Ceil", "", {-1.5, 1.5}, {-1, 2});
  check_unary("Round", "", {0.5, 1.5, 2.5, -0.5}, {0, 2, 2, 0});
  check_unary("Round", "decimals = 1", {0.25, 1.26}, {0.2, 1.3});
  check_unary("Relu", "", {-1, 2}, {0, 2});
  check_unary("Relu6", "", {-1, 2, 9}, {0, 2, 6});
  check_unary("LeakyRelu", "negative_slope = 0.1", {-1, 2}, {-0.1, 2});
  check_unary("LeakyRelu", "", {-1, 2}, {0, 2});
  check_unary("Elu", "alpha = 2.0", {-1, 2}, {-1.26424112, 2});
  check_unary("Elu", "alpha = 2.0, scale = 3.0, input_scale = 0.5", {-1, 2}, {-2.36081604, 6});
  check_unary("Selu", "", {-1, 2}, {-1.11133072, 2.1014019});
  check_unary("CeluV2", "alpha = 2.0", {-1, 2}, {-0.78693868, 2});
  check_unary("Gelu", "", {-1, 2}, {-0.15880801, 1.95459769}, 2e-6);
  check_unary("GeluV2", "", {-1, 2}, {-0.15865525, 1.95449974}, 2e-6);
  check_unary("GeluV2", "approximate = \"tanh\"", {-1, 2}, {-0.15880801, 1.95459769}, 2e-6);
  check_unary("Swish", "", {-1, 2}, {-0.26894142, 1.76159416});
  check_unary("Swish", "scale = 2.0", {-1, 2}, {-0.11920292, 1.96402758});
  check_unary("Softplus", "", {-1, 2}, {0.31326169, 2.12692801});
  check_unary("SoftplusV2", "beta = 2.0, threshold = 3.0", {-1, 2}, {0.06346401, 2});
  check_unary("Mish", "", {-1, 2}, {-0.30340146, 1.94395896});
  check_unary("HardSwish", "", {-1, 2, 4}, {-0.33333333, 1.66666667, 4});
  check_unary("LogSigmoid", "", {-1, 2}, {-1.31326169, -0.12692801});
  check_unary("Softsign", "", {-1, 3}, {-0.5, 0.75});
  check_unary("Muls", "value = 1.5", {2, -4}, {3, -6});
  check_unary("NanToNum", "nan = 1.0, posinf = 2.0, neginf = 3.0", {NAN, INFINITY, -INFINITY, 5}, {1, 2, 3, 5});
}

TEST(RuntimeOps, UnaryWithOtherSlotNames) {
  const auto named = [](const std::string& op, const std::string& attrs, const std::vector<double>& in, const std::vector<double>& want) {
    SCOPED_TRACE(op);
    const auto n = static_cast<std::int64_t>(in.size());
    expect(fmt::format("%x = Data() {{index = 0}} : f32[{1}]\n%y = {0}(input_x = %x) {{{2}}} : (output_y = f32[{1}])\n%NetOutput = "
                       "NetOutput(input0 = %y)",
                       op, n, attrs),
           {f32({n}, in)}, {{{n}, want}});
  };
  named("HardSigmoid", "", {-4, 0, 1}, {0, 0.5, 0.66666666});
  named("HardShrink", "lambd = 1.0", {-2, 1, 0.5}, {-2, 0, 0});
  named("SoftShrink", "lambd = 1.0", {-2, 1, 3}, {-1, 0, 2});
  named("Trunc", "", {-1.5, 1.5}, {-1, 1});
  named("Erfinv", "", {0.5, -1}, {0.47693628, -INFINITY});
}

void check_binary(const std::string& op, const std::vector<double>& a, const std::vector<double>& b, const std::vector<double>& want,
                  const char* out = "f32") {
  SCOPED_TRACE(op);
  const auto n = static_cast<std::int64_t>(a.size());
  expect(fmt::format("%a = Data() {{index = 0}} : f32[{1}]\n%b = Data() {{index = 1}} : f32[{1}]\n%y = {0}(x1 = %a, x2 = %b) : "
                     "{2}[{1}]\n%NetOutput = NetOutput(input0 = %y)",
                     op, n, out),
         {f32({n}, a), f32({n}, b)}, {{{n}, want}});
}
TEST(RuntimeOps, Binary) {
  check_binary("Add", {1, 2}, {3, -4}, {4, -2});
  check_binary("Sub", {1, 2}, {3, -4}, {-2, 6});
  check_binary("Mul", {1, 2}, {3, -4}, {3, -8});
  check_binary("RealDiv", {1, -7}, {4, 2}, {0.25, -3.5});
  check_binary("Div", {1, -7}, {4, 2}, {0.25, -3.5});
  check_binary("FloorDiv", {7, -7}, {2, 2}, {3, -4});
  check_binary("FloorMod", {7, -7, 5.5}, {3, 3, -2}, {1, 2, -0.5});
  check_binary("Mod", {7, -7, 5.5}, {3, 3, -2}, {1, -1, 1.5});
  check_binary("TruncateDiv", {7, -7}, {2, 2}, {3, -3});
  check_binary("DivNoNan", {1, 7}, {0, 2}, {0, 3.5});
  check_binary("Pow", {2, 9}, {3, 0.5}, {8, 3});
  check_binary("Atan2", {1, -1}, {1, -1}, {0.78539816, -2.35619449});
  check_binary("Maximum", {1, 5}, {3, -4}, {3, 5});
  check_binary("Minimum", {1, 5}, {3, -4}, {1, -4});
  check_binary("SquaredDifference", {1, 5}, {3, -4}, {4, 81});
  check_binary("Xlogy", {0, 2}, {0, 3}, {0, 2.19722458});
  check_binary("Equal", {1, 2, NAN}, {1, 3, NAN}, {1, 0, 0}, "bool");
  check_binary("NotEqual", {1, 2, NAN}, {1, 3, NAN}, {0, 1, 1}, "bool");
  check_binary("Less", {1, 2}, {1, 3}, {0, 1}, "bool");
  check_binary("GreaterEqual", {1, 2}, {1, 3}, {1, 0}, "bool");
}

TEST(RuntimeOps, IntegerDivisionRules) {
  for (const auto& [op, want] : std::vector<std::pair<std::string, std::vector<double>>>{{"Div", {3, -4, -4, 3}},
                                                                                         {"RealDiv", {3, -3, -3, 3}},
                                                                                         {"FloorDiv", {3, -4, -4, 3}},
                                                                                         {"TruncateDiv", {3, -3, -3, 3}},
                                                                                         {"FloorMod", {1, 1, -1, -1}},
                                                                                         {"Mod", {1, -1, 1, -1}}}) {
    SCOPED_TRACE(op);
    expect(fmt::format("%a = Data() {{index = 0}} : i32[4]\n%b = Data() {{index = 1}} : i32[4]\n%y = {}(x1 = %a, x2 = %b) : "
                       "i32[4]\n%NetOutput = NetOutput(input0 = %y)",
                       op),
           {i32({4}, {7, -7, 7, -7}), i32({4}, {2, 2, -2, -2})}, {{{4}, want}});
  }
  EXPECT_NE(error_of("%a = Data() {index = 0} : i32[1]\n%y = FloorDiv(x1 = %a, x2 = %b) : i32[1]\n%b = Const() {value = i32[1] [0]} : "
                     "i32[1]\n%NetOutput = NetOutput(input0 = %y)",
                     {i32({1}, {3})})
                .find("division by zero"),
            std::string::npos);
}

TEST(RuntimeOps, MixedTypesAreRefused) {
  const std::string text = error_of(
      "%a = Data() {index = 0} : f32[1]\n%b = Data() {index = 1} : i64[1]\n%y = Add(x1 = %a, x2 = %b) : f32[1]\n%NetOutput = "
      "NetOutput(input0 = %y)",
      {f32({1}, {1}), i64({1}, {1})});
  EXPECT_NE(text.find("one element type"), std::string::npos) << text;
}

TEST(RuntimeOps, SelectsAndClips) {
  expect(R"(
    %c = Data() {index = 0} : bool[2, 1]
    %a = Data() {index = 1} : f32[2]
    %b = Data() {index = 2} : f32[]
    %y = SelectV2(condition = %c, then = %a, else = %b) : (result = f32[2, 2])
    %m = MaskedFill(x = %a, mask = %c, value = %b) : f32[2, 2]
    %lo = Const() {value = f32[] [1.5]} : f32[]
    %hi = Const() {value = f32[] [1.75]} : f32[]
    %k = ClipByValueV2(x = %a, clip_value_min = %lo, clip_value_max = %hi) : f32[2]
    %NetOutput = NetOutput(input0 = %y, input1 = %m, input2 = %k)
  )",
         {b8({2, 1}, {1, 0}), f32({2}, {1, 2}), f32({}, {9})}, {{{2, 2}, {1, 2, 9, 9}}, {{2, 2}, {9, 9, 1, 2}}, {{2}, {1.5, 1.75}}});
}

TEST(RuntimeOps, Reductions) {
  const auto check = [](const std::string& op, const std::string& attrs, const Dims& shape, const std::vector<double>& want) {
    SCOPED_TRACE(op + attrs);
    expect(fmt::format("%x = Data() {{index = 0}} : f32[2, 3]\n%a = Const() {{value = i64[1] [-1]}} : i64[1]\n%y = {}(x = %x, axes = %a) "
                       "{{{}}} : f32[*]\n%NetOutput = NetOutput(input0 = %y)",
                       op, attrs),
           {f32({2, 3}, {1, 2, 3, -4, 5, -6})}, {{shape, want}});
  };
  check("ReduceSum", "", {2}, {6, -5});
  check("ReduceMean", "keep_dims = true", {2, 1}, {2, -1.66666667});
  check("ReduceMax", "", {2}, {3, 5});
  check("ReduceMin", "", {2}, {1, -6});
  check("ReduceProd", "", {2}, {6, 120});
  const std::string empty =
      "%x = Data() {index = 0} : f32[2]\n%a = Const() {value = i64[0] []} : i64[0]\n%y = ReduceSum(x = %x, axes = %a) "
      "{noop_with_empty_axes = NOOP} : f32[*]\n%NetOutput = NetOutput(input0 = %y)";
  for (const bool noop : {false, true}) {
    std::string body = empty;
    body.replace(body.find("NOOP"), 4, noop ? "true" : "false");
    expect(body, {f32({2}, {1, 2})}, noop ? Want{{{2}, {1, 2}}} : Want{{{}, {3}}});
  }
  expect(R"(
    %x = Data() {index = 0} : f32[2, 2]
    %v = ReduceVar(x = %x) {dim = [1], correction = 1, keepdim = false} : (var = f32[2], mean = f32[2])
    %n = LpNormV2(x = %x) {p = 2.0, axes = [0], keepdim = true, epsilon = 0.0} : f32[1, 2]
    %d = Const() {value = i64[] [1]} : i64[]
    %i = ArgMaxV2(x = %x, dimension = %d) {dtype = dtype.i64} : i64[2]
    %NetOutput = NetOutput(input0 = %v, input1 = %v:1, input2 = %n, input3 = %i)
  )",
         {f32({2, 2}, {3, 5, 4, 12})}, {{{2}, {2, 32}}, {{2}, {4, 8}}, {{1, 2}, {5, 13}}, {{2}, {1, 1}}});
}

TEST(RuntimeOps, ScansSortsAndSoftmax) {
  expect(R"(
    %x = Data() {index = 0} : f32[2, 3]
    %a = Const() {value = i64[] [1]} : i64[]
    %c = Cumsum(x = %x, axis = %a) {exclusive = true, reverse = true} : f32[2, 3]
    %k = Const() {value = i32[] [2]} : i32[]
    %t = TopKV2(x = %x, k = %k) {largest = true, dim = -1} : (values = f32[2, 2], indices = i32[2, 2])
    %s = Sort(x = %x) {axis = 0, descending = true} : (y1 = f32[2, 3], y2 = i32[2, 3])
    %p = SoftmaxV2(x = %x) {axes = [1]} : f32[2, 3]
    %l = LogSoftmaxV2(logits = %x) {axes = [1]} : (logsoftmax = f32[2, 3])
    %NetOutput = NetOutput(input0 = %c, input1 = %t, input2 = %t:1, input3 = %s, input4 = %s:1, input5 = %p, input6 = %l)
  )",
         {f32({2, 3}, {1, 3, 2, 2, 2, 5})},
         {{{2, 3}, {5, 2, 0, 7, 5, 0}},
          {{2, 2}, {3, 2, 5, 2}},
          {{2, 2}, {1, 2, 2, 0}},
          {{2, 3}, {2, 3, 5, 1, 2, 2}},
          {{2, 3}, {1, 0, 1, 0, 1, 0}},
          {{2, 3}, {0.09003057, 0.66524096, 0.24472847, 0.04527862, 0.04527862, 0.90944275}},
          {{2, 3}, {-2.40760596, -0.40760596, -1.40760596, -3.09492000, -3.09492000, -0.09492000}}});
}

TEST(RuntimeOps, Movement) {
  expect(R"(
    %x = Data() {index = 0} : f32[2, 3]
    %ax = Const() {value = i64[] [1]} : i64[]
    %cat = ConcatV2(x0 = %x, x1 = %x, concat_dim = %ax) {N = 2} : f32[2, 6]
    %sz = Const() {value = i64[2] [1, -1]} : i64[2]
    %sd = Const() {value = i32[] [1]} : i32[]
    %sp = SplitV(x = %x, size_splits = %sz, split_dim = %sd) {num_split = 2} : (y0 = f32[2, 1], y1 = f32[2, 2])
    %b = Const() {value = i64[1] [-2]} : i64[1]
    %e = Const() {value = i64[1] [2147483647]} : i64[1]
    %a1 = Const() {value = i64[1] [1]} : i64[1]
    %st = Const() {value = i64[1] [1]} : i64[1]
    %sl = StridedSliceV2(x = %x, begin = %b, end = %e, axes = %a1, strides = %st) : f32[2, 2]
    %pd = Const() {value = i64[4] [0, 1, 1, 0]} : i64[4]
    %pv = Const() {value = f32[] [7.0]} : f32[]
    %p = PadV3(x = %x, paddings = %pd, constant_values = %pv) : f32[3, 4]
    %m = Const() {value = i64[3] [1, 1, 2]} : i64[3]
    %tile = Tile(x = %x, multiples = %m) : f32[1, 2, 6]
    %rev = ReverseV2(x = %x, axis = %a1) : f32[2, 3]
    %roll = Roll(x = %x) {shifts = [1], dims = [1]} : f32[2, 3]
    %tri = Tril(x = %x) {diagonal = 0} : f32[2, 3]
    %NetOutput = NetOutput(input0 = %cat, input1 = %sp, input2 = %sp:1, input3 = %sl, input4 = %p, input5 = %tile, input6 = %rev, input7 = %roll, input8 = %tri)
  )",
         {f32({2, 3}, {1, 2, 3, 4, 5, 6})},
         {{{2, 6}, {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}},
          {{2, 1}, {1, 4}},
          {{2, 2}, {2, 3, 5, 6}},
          {{2, 2}, {2, 3, 5, 6}},
          {{3, 4}, {7, 1, 2, 3, 7, 4, 5, 6, 7, 7, 7, 7}},
          {{1, 2, 6}, {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}},
          {{2, 3}, {3, 2, 1, 6, 5, 4}},
          {{2, 3}, {3, 1, 2, 6, 4, 5}},
          {{2, 3}, {1, 0, 0, 4, 5, 0}}});
}

TEST(RuntimeOps, PaddingModesAndStridedMasks) {
  const auto pad = [](const std::string& mode, const std::vector<double>& want) {
    SCOPED_TRACE(mode);
    expect(fmt::format("%x = Data() {{index = 0}} : f32[3]\n%p = Const() {{value = i64[2] [2, 1]}} : i64[2]\n%y = PadV3(x = %x, paddings = "
                       "%p) {{mode = \"{}\"}} : f32[6]\n%NetOutput = NetOutput(input0 = %y)",
                       mode),
           {f32({3}, {1, 2, 3})}, {{{6}, want}});
  };
  pad("constant", {0, 0, 1, 2, 3, 0});
  pad("edge", {1, 1, 1, 2, 3, 3});
  pad("reflect", {3, 2, 1, 2, 3, 2});
  pad("symmetric", {2, 1, 1, 2, 3, 3});
  pad("circular", {2, 3, 1, 2, 3, 1});
  expect(R"(
    %x = Data() {index = 0} : f32[2, 2, 3]
    %b = Const() {value = i64[3] [1, 0, 2]} : i64[3]
    %e = Const() {value = i64[3] [2, 0, 0]} : i64[3]
    %s = Const() {value = i64[3] [1, 1, -1]} : i64[3]
    %y = StridedSlice(x = %x, begin = %b, end = %e, strides = %s) {shrink_axis_mask = 1, ellipsis_mask = 2, end_mask = 4} : f32[2, 3]
    %NetOutput = NetOutput(input0 = %y)
  )",
         {f32({2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})}, {{{2, 3}, {8, 7, 6, 11, 10, 9}}});
}

TEST(RuntimeOps, GathersAndScatters) {
  expect(R"(
    %x = Data() {index = 0} : f32[3, 2]
    %i = Data() {index = 1} : i64[2]
    %a = Const() {value = i64[1] [0]} : i64[1]
    %g = GatherV2(x = %x, indices = %i, axis = %a) : f32[2, 2]
    %n = GatherV2(x = %x, indices = %i, axis = %a) {negative_index_support = true} : f32[2, 2]
    %ie = Const() {value = i64[1, 2] [2, 0]} : i64[1, 2]
    %ge = GatherElements(x = %x, index = %ie) {dim = 0} : f32[1, 2]
    %u = Const() {value = f32[1, 2] [10.0, 20.0]} : f32[1, 2]
    %se = ScatterElements(data = %x, indices = %ie, updates = %u) {axis = 0, reduction = "add"} : f32[3, 2]
    %nd = Const() {value = i64[2, 2] [0, 1, 2, 0]} : i64[2, 2]
    %gn = GatherNd(x = %x, indices = %nd) : f32[2]
    %tu = Const() {value = f32[2] [-1.0, -2.0]} : f32[2]
    %ts = TensorScatterUpdate(x = %x, indices = %nd, updates = %tu) : f32[3, 2]
    %NetOutput = NetOutput(input0 = %g, input1 = %n, input2 = %ge, input3 = %se, input4 = %gn, input5 = %ts)
  )",
         {f32({3, 2}, {1, 2, 3, 4, 5, 6}), i64({2}, {1, -1})},
         {{{2, 2}, {3, 4, 0, 0}},
          {{2, 2}, {3, 4, 5, 6}},
          {{1, 2}, {5, 2}},
          {{3, 2}, {1, 22, 3, 4, 15, 6}},
          {{2}, {2, 5}},
          {{3, 2}, {1, -1, 3, 4, -2, 6}}});
}

TEST(RuntimeOps, AdvancedIndexing) {
  expect(R"(
    %x = Data() {index = 0} : f32[2, 3, 2]
    %i = Data() {index = 1} : i64[2]
    %m = Const() {value = i64[3] [1, 0, 1]} : i64[3]
    %y = Index(x = %x, indexed_sizes = %m, indexed_strides = %m, indices0 = %i, indices1 = %i) : f32[2, 3]
    %m2 = Const() {value = i64[2] [0, 1]} : i64[2]
    %z = Index(x = %x, indexed_sizes = %m2, indexed_strides = %m2, indices0 = %i) : f32[2, 2, 2]
    %v = Const() {value = f32[] [9.0]} : f32[]
    %c = TensorMove(x = %x) : f32[2, 3, 2]
    %p = IndexPutV2(x = %c, value = %v, indexed_sizes = %m, indexed_strides = %m, indices0 = %i, indices1 = %i) {accumulate = true} : (x = f32[2, 3, 2])
    %NetOutput = NetOutput(input0 = %y, input1 = %z, input2 = %p)
  )",
         {f32({2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), i64({2}, {0, -1})},
         {{{2, 3}, {0, 2, 4, 7, 9, 11}}, {{2, 2, 2}, {0, 1, 4, 5, 6, 7, 10, 11}}, {{2, 3, 2}, {9, 1, 11, 3, 13, 5, 6, 16, 8, 18, 10, 20}}});
}

TEST(RuntimeOps, DataDependentShapes) {
  expect(R"(
    %x = Data() {index = 0} : f32[4]
    %n = NonZero(x = %x) {dtype = dtype.i64} : i64[?, 1]
    %z = Const() {value = f32[] [0.0]} : f32[]
    %k = Greater(x1 = %x, x2 = %z) : bool[4]
    %s = MaskedSelect(x = %x, mask = %k) : f32[?]
    %e = Exp(x = %s) : f32[?]
    %u = UniqueWithCountsAndSorting(x = %x) {sorted = true, return_inverse = true, return_counts = true} : (y = f32[?], indices = i64[4], counts = i64[?])
    %NetOutput = NetOutput(input0 = %n, input1 = %s, input2 = %e, input3 = %u, input4 = %u:1, input5 = %u:2)
  )",
         {f32({4}, {2, 0, -1, 2})},
         {{{3, 1}, {0, 2, 3}}, {{2}, {2, 2}}, {{2}, {7.38905610, 7.38905610}}, {{3}, {-1, 0, 2}}, {{4}, {2, 1, 0, 2}}, {{3}, {1, 1, 2}}});
}

TEST(RuntimeOps, MatrixProducts) {
  expect(R"(
    %a = Data() {index = 0} : f32[2, 1, 2]
    %b = Data() {index = 1} : f32[2, 2]
    %y = BatchMatMul(x1 = %a, x2 = %b) {adj_x2 = true} : f32[2, 1, 2]
    %v = Data() {index = 2} : f32[2]
    %d = MatMul(x1 = %v, x2 = %v) : f32[1, 1]
    %i = MatrixInverse(x = %b) : f32[2, 2]
    %NetOutput = NetOutput(input0 = %y, input1 = %d, input2 = %i)
  )",
         {f32({2, 1, 2}, {1, 2, 3, 4}), f32({2, 2}, {1, 2, 3, 5}), f32({2}, {3, 4})},
         {{{2, 1, 2}, {5, 13, 11, 29}}, {{1, 1}, {25}}, {{2, 2}, {-5, 2, 3, -1}}});
}

TEST(RuntimeOps, ConvolutionAndPooling) {
  expect(R"(
    %x = Data() {index = 0} : f32[1, 2, 3, 3]
    %w = Const() {value = f32[2, 1, 2, 2] [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]} : f32[2, 1, 2, 2]
    %b = Const() {value = f32[2] [0.5, -1.0]} : f32[2]
    %c = Conv2D(x = %x@NCHW, filter = %w@NCHW, bias = %b) {strides = [1, 1, 2, 2], pads = [1, 0, 1, 0], dilations = [1, 1, 1, 1], groups = 2, data_format = "NCHW"} : f32[1, 2, 2, 2]
    %m = MaxPoolV3(x = %x@NCHW) {ksize = [1, 1, 2, 2], strides = [1, 1, 2, 2], pads = [0, 0, 0, 0], ceil_mode = true} : f32[1, 2, 2, 2]
    %a = AvgPoolV2(x = %x@NCHW) {ksize = [1, 1, 2, 2], strides = [1, 1, 2, 2], pads = [1, 1, 1, 1], exclusive = false} : f32[1, 2, 2, 2]
    %ex = AvgPoolV2(x = %x@NCHW) {ksize = [1, 1, 2, 2], strides = [1, 1, 2, 2], pads = [1, 1, 1, 1], exclusive = true} : f32[1, 2, 2, 2]
    %ad = AdaptiveAvgPool2d(x = %x) {output_size = [2, 1]} : f32[1, 2, 2, 1]
    %am = MaxPoolWithArgmaxV3(x = %x) {ksize = [2, 2], strides = [1, 1], pads = [0, 0], dtype = 9} : (y = f32[1, 2, 2, 2], argmax = i64[1, 2, 2, 2])
    %NetOutput = NetOutput(input0 = %c, input1 = %m, input2 = %a, input3 = %ex, input4 = %ad, input5 = %am, input6 = %am:1)
  )",
         {f32({1, 2, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1})},
         {{{1, 2, 2, 2}, {1.5, 3.5, 7.5, 14.5, 8, 14, 8, 11}},
          {{1, 2, 2, 2}, {5, 6, 8, 9, 9, 7, 3, 1}},
          {{1, 2, 2, 2}, {0.25, 1.25, 2.75, 7, 2.25, 3.75, 2.25, 3}},
          {{1, 2, 2, 2}, {1, 2.5, 5.5, 7, 9, 7.5, 4.5, 3}},
          {{1, 2, 2, 1}, {3.5, 6.5, 6.5, 3.5}},
          {{1, 2, 2, 2}, {5, 6, 8, 9, 9, 8, 6, 5}},
          {{1, 2, 2, 2}, {4, 5, 7, 8, 0, 1, 3, 4}}});
  const std::string text = error_of(
      "%x = Data() {index = 0} : f32[1, 1, 2, 2]\n%w = Const() {value = f32[1, 1, 1, 1] [1.0]} : f32[1, 1, 1, 1]\n%y = Conv2D(x = %x, "
      "filter = %w) {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0]} : f32[1, 1, 2, 2]\n%NetOutput = NetOutput(input0 = %y)",
      {f32({1, 1, 2, 2}, {1, 2, 3, 4})});
  EXPECT_NE(text.find("needs the layout NCHW"), std::string::npos) << text;
}

TEST(RuntimeOps, TransposedConvolution) {
  expect(R"(
    %x = Data() {index = 0} : f32[1, 1, 2, 2]
    %s = Const() {value = i32[4] [1, 1, 4, 4]} : i32[4]
    %w = Const() {value = f32[1, 1, 2, 2] [1.0, 2.0, 3.0, 4.0]} : f32[1, 1, 2, 2]
    %y = Conv2DTranspose(input_size = %s, x = %x@NCHW, filter = %w@NCHW) {strides = [1, 1, 2, 2], pads = [0, 0, 0, 0], data_format = "NCHW"} : f32[1, 1, 4, 4]
    %NetOutput = NetOutput(input0 = %y)
  )",
         {f32({1, 1, 2, 2}, {1, 2, 3, 4})}, {{{1, 1, 4, 4}, {1, 2, 2, 4, 3, 4, 6, 8, 3, 6, 4, 8, 9, 12, 12, 16}}});
}

TEST(RuntimeOps, Normalisations) {
  expect(R"(
    %x = Data() {index = 0} : f32[1, 2, 2]
    %g = Const() {value = f32[2] [1.0, 2.0]} : f32[2]
    %b = Const() {value = f32[2] [0.0, 1.0]} : f32[2]
    %ns = Const() {value = i64[1] [2]} : i64[1]
    %l = LayerNormV4(x = %x, normalized_shape = %ns, gamma = %g, beta = %b) {epsilon = 0.0} : (y = f32[1, 2, 2], mean = f32[1, 2, 1], rstd = f32[1, 2, 1])
    %r = RmsNorm(x = %x, gamma = %g) {epsilon = 0.0} : (y = f32[1, 2, 2], rstd = f32[1, 2, 1])
    %gn = GroupNorm(x = %x@NCHW, gamma = %g, beta = %b) {num_groups = 1, eps = 0.0} : (y = f32[1, 2, 2], mean = f32[1, 1], variance = f32[1, 1])
    %NetOutput = NetOutput(input0 = %l, input1 = %l:1, input2 = %l:2, input3 = %r, input4 = %r:1, input5 = %gn, input6 = %gn:1, input7 = %gn:2)
  )",
         {f32({1, 2, 2}, {1, 3, 6, 8})},
         {{{1, 2, 2}, {-1, 3, -1, 3}},
          {{1, 2, 1}, {2, 7}},
          {{1, 2, 1}, {1, 1}},
          {{1, 2, 2}, {0.44721360, 2.68328157, 0.84852814, 2.26274170}},
          {{1, 2, 1}, {0.44721360, 0.14142136}},
          {{1, 2, 2}, {-1.29986737, -0.55708601, 2.11417202, 3.59973474}},
          {{1, 1}, {4.5}},
          {{1, 1}, {7.25}}},
         2e-5);
}

TEST(RuntimeOps, Resizing) {
  expect(R"(
    %x = Data() {index = 0} : f32[1, 1, 2, 2]
    %s = Const() {value = i32[2] [4, 4]} : i32[2]
    %n = ResizeNearestNeighborV2(x = %x@NCHW, size = %s) : f32[1, 1, 4, 4]
    %h = ResizeBilinearV2(x = %x@NCHW, size = %s) {half_pixel_centers = true} : f32[1, 1, 4, 4]
    %NetOutput = NetOutput(input0 = %n, input1 = %h)
  )",
         {f32({1, 1, 2, 2}, {1, 2, 3, 4})},
         {{{1, 1, 4, 4}, {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4}},
          {{1, 1, 4, 4}, {1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4}}});
}

TEST(RuntimeOps, CreationAndShapes) {
  expect(R"(
    %x = Data() {index = 0} : f32[s0, 2]
    %sh = Shape(x = %x) : i32[2]
    %size = Size(x = %x) {dtype = dtype.i64} : i64[]
    %v = Const() {value = f32[] [3.0]} : f32[]
    %f = Fill(dims = %sh, value = %v) : f32[s0, 2]
    %z = ZerosLike(x = %x) : f32[s0, 2]
    %eye = Eye() {num_rows = 2, num_columns = 3, dtype = 0} : f32[2, 3]
    %d = Const() {value = i64[] [3]} : i64[]
    %on = Const() {value = f32[] [1.0]} : f32[]
    %off = Const() {value = f32[] [0.0]} : f32[]
    %i = Const() {value = i64[2] [2, -1]} : i64[2]
    %oh = OneHot(x = %i, depth = %d, on_value = %on, off_value = %off) {axis = -1} : f32[2, 3]
    %NetOutput = NetOutput(input0 = %sh, input1 = %size, input2 = %f, input3 = %z, input4 = %eye, input5 = %oh)
  )",
         {f32({2, 2}, {1, 2, 3, 4})},
         {{{2}, {2, 2}},
          {{}, {4}},
          {{2, 2}, {3, 3, 3, 3}},
          {{2, 2}, {0, 0, 0, 0}},
          {{2, 3}, {1, 0, 0, 0, 1, 0}},
          {{2, 3}, {0, 0, 1, 0, 0, 0}}});
}

TEST(RuntimeOps, ComplexAndFourier) {
  expect(R"(
    %x = Data() {index = 0} : f32[4]
    %n = Const() {value = i32[1] [4]} : i32[1]
    %f = RFFT(input = %x, fft_length = %n) : c64[3]
    %re = Real(input = %f) : (output = f32[3])
    %im = Imag(input = %f) : (output = f32[3])
    %b = IRFFT(x = %f, fft_length = %n) : f32[4]
    %NetOutput = NetOutput(input0 = %re, input1 = %im, input2 = %b)
  )",
         {f32({4}, {1, 2, 3, 4})}, {{{3}, {10, -2, -2}}, {{3}, {0, 2, 0}}, {{4}, {1, 2, 3, 4}}});
}

TEST(RuntimeOps, FusedAttention) {
  // Weights softmax([0, ln 3]) = [1/4, 3/4]; the second query sees only the first key.
  expect(R"(
    %q = Data() {index = 0} : f32[1, 1, 2, 1]
    %k = Data() {index = 1} : f32[1, 1, 2, 1]
    %v = Data() {index = 2} : f32[1, 1, 2, 1]
    %m = Data() {index = 3} : bool[2, 2]
    %y = PromptFlashAttention(query = %q, key = %k, value = %v, pse_shift = none, atten_mask = %m) {num_heads = 1, num_key_value_heads = 1, scale_value = 1.0, input_layout = "BNSD", sparse_mode = 1} : (attention_out = f32[1, 1, 2, 1])
    %NetOutput = NetOutput(input0 = %y)
  )",
         {f32({1, 1, 2, 1}, {1, 1}), f32({1, 1, 2, 1}, {0, std::log(3.0)}), f32({1, 1, 2, 1}, {4, 8}), b8({2, 2}, {0, 0, 0, 1})},
         {{{1, 1, 2, 1}, {7, 4}}});
}

TEST(RuntimeOps, RandomStreamsAreSeeded) {
  const std::string body = R"(
    %s = Const() {value = i64[1] [1000]} : i64[1]
    %key = Data() {index = 0} : u64[1]
    %c = Const() {value = u64[2] [0, 0]} : u64[2]
    %alg = Const() {value = i32[] [1]} : i32[]
    %y = StatelessRandomUniformV2(shape = %s, key = %key, counter = %c, alg = %alg) {dtype = dtype.f32} : f32[1000]
    %z = StatelessRandomNormalV2(shape = %s, key = %key, counter = %c, alg = %alg) {dtype = dtype.f32} : f32[1000]
    %NetOutput = NetOutput(input0 = %y, input1 = %z)
  )";
  Result<Session> session = open(body);
  ASSERT_TRUE(session) << session.error().text();
  const auto a = call(*session, {arg(DType::kUInt64, {1}, std::vector<std::int64_t>{7})});
  const auto b = call(*session, {arg(DType::kUInt64, {1}, std::vector<std::int64_t>{7})});
  const auto other = call(*session, {arg(DType::kUInt64, {1}, std::vector<std::int64_t>{8})});
  ASSERT_TRUE(a && b && other);
  EXPECT_EQ(floats((*a)[0]), floats((*b)[0]));
  EXPECT_NE(floats((*a)[0]), floats((*other)[0]));
  double mean = 0;
  double square = 0;
  for (const double e : floats((*a)[0])) mean += e / 1000;
  for (const double e : floats((*a)[1])) square += e * e / 1000;
  EXPECT_NEAR(mean, 0.5, 0.05);
  EXPECT_NEAR(square, 1.0, 0.15);
}

TEST(RuntimeOps, ControlFlow) {
  const auto run = [](const std::string& text, const std::vector<Arg>& args) {
    Result<ir::Module> module = ir::parse(text);
    if (!module) return module.error().text();
    Result<Session> session = Session::from_module(std::move(*module));
    if (!session) return session.error().text();
    const auto out = call(*session, args);
    return out ? fmt::format("{}", fmt::join(floats((*out)[0]), " ")) : out.error().text();
  };
  const std::string branches = R"(module "m" {}
graph "root" {
  %c = Data() {index = 0} : bool[]
  %x = Data() {index = 1} : f32[2]
  %y = If(cond = %c, input0 = %x) : (output0 = f32[2]) graphs("yes", "no")
  %NetOutput = NetOutput(input0 = %y)
}
graph "yes" {
  %yes_x = Data() {index = 0, _parent_node_index = 1} : f32[2]
  %yes_y = Neg(x = %yes_x) : f32[2]
  %yes_out = NetOutput(input0 = %yes_y)
}
graph "no" {
  %no_x = Data() {index = 0, _parent_node_index = 1} : f32[2]
  %no_y = Square(x = %no_x) : f32[2]
  %no_out = NetOutput(input0 = %no_y)
}
)";
  EXPECT_EQ(run(branches, {b8({}, {1}), f32({2}, {2, 3})}), "-2 -3");
  EXPECT_EQ(run(branches, {b8({}, {0}), f32({2}, {2, 3})}), "4 9");
  const std::string loop = R"(module "m" {}
graph "root" {
  %i = Data() {index = 0} : i64[]
  %x = Data() {index = 1} : f32[2]
  %w = While(input0 = %i, input1 = %x) : (output0 = i64[], output1 = f32[2]) graphs("cond", "body")
  %NetOutput = NetOutput(input0 = %w:1)
}
graph "cond" {
  %c_i = Data() {index = 0, _parent_node_index = 0} : i64[]
  %c_zero = Const() {value = i64[] [0]} : i64[]
  %c_more = Greater(x1 = %c_i, x2 = %c_zero) : bool[]
  %c_out = NetOutput(input0 = %c_more)
}
graph "body" {
  %b_i = Data() {index = 0, _parent_node_index = 0} : i64[]
  %b_x = Data() {index = 1, _parent_node_index = 1} : f32[2]
  %b_one = Const() {value = i64[] [1]} : i64[]
  %b_next = Sub(x1 = %b_i, x2 = %b_one) : i64[]
  %b_twice = Add(x1 = %b_x, x2 = %b_x) : f32[2]
  %b_out = NetOutput(input0 = %b_next, input1 = %b_twice)
}
)";
  EXPECT_EQ(run(loop, {i64({}, {3}), f32({2}, {1, 2})}), "8 16");
  EXPECT_EQ(run(loop, {i64({}, {0}), f32({2}, {1, 2})}), "1 2");
}

}  // namespace
}  // namespace airloom::runtime::testing
