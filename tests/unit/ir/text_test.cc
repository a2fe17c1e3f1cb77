#include <array>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/graph.h"

namespace airloom::ir {
namespace {

using ::testing::HasSubstr;

/// The attribute as text, and that text read back.
std::string text_of(const Attr& value) {
  Module m;
  m.attrs["a"] = value;
  m.graphs.emplace_back();
  const std::string text = print(m, 0);
  const auto back = parse(text);
  if (!back) return "unreadable: " + back.error().text() + "\n" + text;
  if (!equal(back->attrs.at("a"), value)) return "changed: " + text;
  if (print(*back, 0) != text) return "printed differently: " + print(*back, 0);
  const std::size_t start = text.find('=') + 2;
  return text.substr(start, text.find("}\n") - start);
}

Attr ints(DType dtype, std::vector<std::int64_t> shape, const std::vector<std::int64_t>& values) {
  return std::make_shared<const Tensor>(Tensor::from_ints(dtype, std::move(shape), values));
}
Attr reals(DType dtype, std::vector<std::int64_t> shape, const std::vector<double>& values) {
  return std::make_shared<const Tensor>(Tensor::from_floats(dtype, std::move(shape), values));
}
Attr raw(DType dtype, std::vector<std::int64_t> shape, const std::vector<unsigned>& values) {
  std::vector<std::byte> bytes;
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return std::make_shared<const Tensor>(Tensor::from_bytes(dtype, std::move(shape), bytes));
}

TEST(TextAttrs, EveryKindSurvives) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(text_of(std::int64_t{-5}), "-5");
  EXPECT_EQ(text_of(std::int64_t{INT64_MIN}), "-9223372036854775808");
  EXPECT_EQ(text_of(1.0), "1.0");
  EXPECT_EQ(text_of(-0.0), "-0.0");
  EXPECT_EQ(text_of(1e-5), "1e-05");
  EXPECT_EQ(text_of(1e20), "1e+20");
  EXPECT_EQ(text_of(-kInf), "-inf");
  EXPECT_EQ(text_of(std::nan("")), "nan");
  EXPECT_EQ(text_of(true), "true");
  EXPECT_EQ(text_of(std::string("a\"b\\c\n\r\t\x01\x7f\xc3\xa4z")), R"("a\"b\\c\n\r\t\x01\x7f\xc3\xa4z")");
  EXPECT_EQ(text_of(std::string("nul\0byte", 8)), R"("nul\x00byte")");
  EXPECT_EQ(text_of(DType::kBFloat16), "dtype.bf16");
  EXPECT_EQ(text_of(TensorRef{}), "null");
  EXPECT_EQ(text_of(Ints{1, -2}), "[1, -2]");
  EXPECT_EQ(text_of(Floats{1, 0.5, kInf}), "[1.0, 0.5, inf]");
  EXPECT_EQ(text_of(Bools{true, false}), "[true, false]");
  EXPECT_EQ(text_of(Strings{"a", ""}), "[\"a\", \"\"]");
  EXPECT_EQ(text_of(DTypes{DType::kFloat, DType::kInt64}), "[dtype.f32, dtype.i64]");
  EXPECT_EQ(text_of(IntLists{{1, 2}, {}}), "[[1, 2], []]");
  EXPECT_EQ(text_of(Ints{}), "ints[]");
  EXPECT_EQ(text_of(Floats{}), "floats[]");
  EXPECT_EQ(text_of(Bools{}), "bools[]");
  EXPECT_EQ(text_of(Strings{}), "strings[]");
  EXPECT_EQ(text_of(DTypes{}), "dtypes[]");
  EXPECT_EQ(text_of(IntLists{}), "intlists[]");
}

TEST(TextAttrs, TensorsOfEveryTypeSurvive) {
  EXPECT_EQ(text_of(reals(DType::kFloat, {2, 2}, {1, 0.1, -0.0, 1e-45})), "f32[2, 2] [1, 0.1, -0, 1e-45]");
  EXPECT_EQ(text_of(reals(DType::kDouble, {}, {0.1})), "f64[] [0.1]");
  EXPECT_EQ(text_of(reals(DType::kFloat16, {2}, {0.1, INFINITY})), "f16[2] [0.099975586, inf]");
  EXPECT_EQ(text_of(reals(DType::kComplex64, {2}, {1, 2})), "c64[2] [(1 0), (2 0)]");
  EXPECT_EQ(text_of(raw(DType::kComplex32, {1}, {0, 0x3C, 0, 0xC0})), "c32[1] [(1 -2)]");
  EXPECT_EQ(text_of(ints(DType::kInt64, {0, 3}, {})), "i64[0, 3] []");
  EXPECT_EQ(text_of(ints(DType::kUInt64, {1}, {-1})), "u64[1] [18446744073709551615]");
  EXPECT_EQ(text_of(ints(DType::kInt64, {1}, {INT64_MIN})), "i64[1] [-9223372036854775808]");
  EXPECT_EQ(text_of(ints(DType::kInt4, {3}, {-8, 7, -1})), "i4[3] [-8, 7, -1]");
  EXPECT_EQ(text_of(ints(DType::kUInt1, {9}, {1, 0, 1, 0, 0, 0, 0, 1, 1})), "u1[9] [1, 0, 1, 0, 0, 0, 0, 1, 1]");
  EXPECT_EQ(text_of(ints(DType::kBool, {2}, {0, 1})), "bool[2] [false, true]");
  EXPECT_EQ(text_of(raw(DType::kBool, {2}, {1, 7})), "bool[2] [true, 7]");
  EXPECT_EQ(text_of(raw(DType::kHiFloat8, {2}, {0x12, 0xEF})), "hif8[2] hex(\"12ef\")");
  EXPECT_EQ(text_of(raw(DType::kFloat, {2}, {0, 0, 0xC0, 0x7F, 1, 0, 0xC0, 0xFF})), "f32[2] [nan, nan(0xffc00001)]");
  EXPECT_EQ(text_of(raw(DType::kFloat8E4M3FN, {2}, {0x7F, 0xFF})), "f8e4m3fn[2] [nan, nan(0xff)]");
  for (unsigned i = 0; i < 4; ++i) {
    const DType dtype = std::array{DType::kFloat8E4M3FN, DType::kFloat8E5M2, DType::kFloat8E8M0, DType::kInt8}[i];
    std::vector<unsigned> all(256);
    for (unsigned code = 0; code < 256; ++code) all[code] = code;
    EXPECT_THAT(text_of(raw(dtype, {256}, all)), HasSubstr("[256] ["));
  }
  std::vector<unsigned> halves;
  for (unsigned code = 0; code < 65536; ++code) halves.insert(halves.end(), {code & 0xFFU, code >> 8U});
  EXPECT_THAT(text_of(raw(DType::kFloat16, {65536}, halves)), HasSubstr("f16[65536] ["));
  EXPECT_THAT(text_of(raw(DType::kBFloat16, {65536}, halves)), HasSubstr("bf16[65536] ["));
}

TEST(TextAttrs, WeightsAndAbsentData) {
  Tensor t;
  t.shape = {2, 2};
  t.weight = "a.\"b\"";
  EXPECT_EQ(text_of(std::make_shared<const Tensor>(t)), "f32[2, 2] weight(\"a.\\\"b\\\"\") absent");
  const auto back = parse("module \"m\" {v = f32[1] weight(\"w.x\") [3]} graph \"g\" {}");
  ASSERT_TRUE(back) << back.error().text();
  const auto& tensor = std::get<TensorRef>(back->attrs.at("v"));
  EXPECT_EQ(tensor->weight, "w.x");
  EXPECT_EQ(tensor->float_at(0), 3);
}

constexpr const char* kModule = R"(module "export" {memory_size = 0, target_type = "MINI"}
graph "export" {
  %x = Data() {index = 0} : f32[s0, 2]
  %w = Const() {value = f32[2, 2] [1, 1, 1, 1]} : f32[2, 2]
  %b = Const() {value = f32[2] weight("linear.bias") [1, 2]} : f32[2]
  %mm = MatMulV2(x1 = %x, x2 = %w, bias = %b, offset_w = none) {transpose_x2 = true} : f32[s0, 2]
  %split = SplitV(x = %mm@NCHW {k = 1}, size_splits = none) : (y0 = f32[1, 2*s0 + 1], y1 = f32[?, (s0//2)]@NHWC host {a = "b"})
  %use = Add(x1 = %split:1, x2 = %mm) : f32[*] after(%w, %mm)
  %"a b" = Log(x = %use@RESERVED) : (x = f32[]@OTHER)
  %if = If(cond = %"a b") : (output0 = f32[1]) graphs("then", "else \x01")
  %NetOutput = NetOutput(input0 = %if)
}
graph "then" {
  %NetOutput = NetOutput()
}
)";

TEST(TextModule, PrintsWhatItReads) {
  const auto m = parse(kModule);
  ASSERT_TRUE(m) << m.error().text();
  EXPECT_EQ(print(*m), kModule);
  const Graph& g = m->root();
  const Node& split = g.node(g.find("split"));
  EXPECT_EQ(split.inputs[0].format, Format::kNCHW);
  EXPECT_FALSE(split.inputs[1].value);
  EXPECT_TRUE(split.outputs[1].on_host);
  EXPECT_EQ(split.outputs[0].type.shape[1], sym::Expr::symbol("s0") * 2 + 1);
  const Node& use = g.node(g.find("use"));
  EXPECT_EQ(use.inputs[0].value, (Value{g.find("split"), 1}));
  EXPECT_TRUE(use.outputs[0].type.unknown_rank);
  EXPECT_EQ(use.control.size(), 2U);
  EXPECT_EQ(g.node(g.find("if")).subgraphs[1], "else \x01");
}

TEST(TextModule, ReadingAndPrintingGivesAnEqualModule) {
  const auto m = parse(kModule);
  ASSERT_TRUE(m) << m.error().text();
  const auto again = parse(print(*m, 0));
  ASSERT_TRUE(again) << again.error().text();
  const Status status = same(*m, *again);
  EXPECT_TRUE(status) << status.error().text();
}

TEST(TextModule, LooseTextIsFine) {
  const auto m = parse(
      "module \"m\"//c\ngraph\"g\"{NetOutput(input0=%b:0 {})//the end\n%b=Relu(x=%a):f32[ s0 , -1 , Max(1, "
      "u0)]\n%a=Data(){index=0,}:(y=f32[1])}");
  ASSERT_FALSE(m) << "a comma at the end of a list is not";
  const auto n = parse(
      "module \"m\"//c\ngraph\"g\"{NetOutput(input0=%b:0 {})//the end\n%b=Relu(x=%a):f32[ s0 , -1 , Max(1, "
      "u0)]\n%a=Data(){index=0}:(y=f32[1])}");
  ASSERT_TRUE(n) << n.error().text();
  EXPECT_EQ(print(*n), R"(module "m"
graph "g" {
  %a = Data() {index = 0} : f32[1]
  %b = Relu(x = %a) : f32[s0, ?, Max(1, u0)]
  %NetOutput = NetOutput(input0 = %b)
}
)");
}

TEST(TextModule, CyclesAndOriginsPrint) {
  const auto m = parse("module \"m\" graph \"g\" { %a = Relu(x = %b) : f32[1] %b = Relu(x = %a) : f32[1] }");
  ASSERT_TRUE(m) << m.error().text();
  Module changed = *m;
  changed.root().node(0).origin = std::make_shared<const Origin>(Origin{"a", "aten.relu", "layer.0", "m.py:3: y =\nx", ""});
  EXPECT_THAT(print(changed), HasSubstr("%a = Relu(x = %b) : f32[1]  // layer.0 m.py:3: y = x\n"));
  const auto back = parse(print(changed));
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_TRUE(same(*m, *back));
}

TEST(TextModule, ElidedConstantsCannotBeReadBack) {
  Module m;
  m.graphs.emplace_back();
  m.attrs["v"] = ints(DType::kInt64, {3}, {1, 2, 3});
  EXPECT_THAT(print(m, 3), HasSubstr("i64[3] [1, 2, 3]"));
  const std::string text = print(m, 2);
  EXPECT_THAT(text, HasSubstr("i64[3] ..."));
  const auto back = parse(text);
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().message, HasSubstr("elided"));
}

TEST(TextModule, StridedConstantsPrintDense) {
  Tensor t = Tensor::from_ints(DType::kInt32, {2, 2}, std::vector<std::int64_t>{1, 2, 3, 4});
  t.stride = {1, 2};
  Module m;
  m.attrs["v"] = std::make_shared<const Tensor>(t);
  EXPECT_THAT(print(m), HasSubstr("[1, 3, 2, 4]"));
  t = Tensor::from_ints(DType::kBool, {2, 2}, std::vector<std::int64_t>{0, 1, 0, 0});
  t.stride = {1, 2};
  m.attrs["v"] = std::make_shared<const Tensor>(t);
  EXPECT_THAT(print(m), HasSubstr("[false, false, true, false]"));
}

TEST(TextErrors, SayWhatAndWhere) {
  const struct {
    std::string body;  // inside: module "m" graph "g" {\n<body>}
    const char* where;
    const char* message;
  } cases[] = {
      {"%a = ", "2:6", "an operator type"},
      {"%a Relu()", "2:4", "expected '=', found 'R'"},
      {"%\"\" = Relu()", "2:1", "name is empty"},
      {"%a = Relu(x = %q)", "2:15", "no node is named 'q'"},
      {"%a = Relu() after(%q)", "2:19", "no node is named 'q'"},
      {"%a = Relu()\n%a = Relu()", "3:1", "a second node is named 'a'"},
      {"%a = Relu() : f32[1] %b = Relu(x = %a:1)", "2:36", "output 1 of 'a', which has 1"},
      {"%a = Relu(x = %a:-1)", "2:15", "out of range"},
      {"%a = Relu(x = %a:b)", "2:18", "not a number"},
      {"%a = Relu(x = q)", "2:15", "or 'none'"},
      {"%a = Relu(x = none", "", "expected ',' or ')'"},
      {"%a = Relu() : f99[1]", "2:15", "unknown element type 'f99'"},
      {"%a = Relu() : f32[1 +]", "2:19", "bad dimension '1 +'"},
      {"%a = Relu() : f32[]@nchw", "2:21", "unknown format 'nchw'"},
      {"%a = Relu() {k}", "2:15", "expected '='"},
      {"%a = Relu() {k = 1, k = 2}", "2:21", "a second attribute is named 'k'"},
      {"%a = Relu() {k = []}", "2:18", "needs its kind"},
      {"%a = Relu() {k = [1, 2.0]}", "2:22", "one kind"},
      {"%a = Relu() {k = [1, true]}", "2:22", "one kind"},
      {"%a = Relu() {k = [null]}", "2:18", "cannot hold"},
      {"%a = Relu() {k = [f32[1] [1]]}", "2:18", "cannot hold"},
      {"%a = Relu() {k = [[1], [2.0]]}", "2:25", "expected an integer"},
      {"%a = Relu() {k = [[[1]]]}", "2:20", "expected an integer"},
      {"%a = Relu() {k = 99999999999999999999}", "2:18", "64 bits"},
      {"%a = Relu() {k = 1.2.3}", "2:18", "not a number"},
      {"%a = Relu() {k = --1}", "2:18", "not a number"},
      {"%a = Relu() {k = 0x10}", "2:18", "not a number"},
      {"%a = Relu() {k = hello}", "2:18", "'hello' is not a value"},
      {"%a = Relu() {k = dtype.f99}", "2:18", "unknown element type 'f99'"},
      {"%a = Relu() {k = f32[2] [1]}", "2:18", "1 elements for a tensor of 2"},
      {"%a = Relu() {k = f32[-1] [1]}", "2:18", "negative or too large"},
      {"%a = Relu() {k = f32[4611686018427387904] []}", "2:18", "negative or too large"},
      {"%a = Relu() {k = f32[1000000000000] []}", "2:18", "0 elements for a tensor of 1000000000000"},
      {"%a = Relu() {k = u8[1] [256]}", "2:25", "not a value of u8"},
      {"%a = Relu() {k = i4[1] [-9]}", "2:25", "not a value of i4"},
      {"%a = Relu() {k = i64[1] [9223372036854775808]}", "2:26", "not a value of i64"},
      {"%a = Relu() {k = i32[1] [1.5]}", "2:26", "not a value of i32"},
      {"%a = Relu() {k = f32[1] [x]}", "2:26", "not a number"},
      {"%a = Relu() {k = f16[1] [nan(0x10000)]}", "2:26", "not the bits of a NaN"},
      {"%a = Relu() {k = c64[1] [1]}", "2:26", "expected '('"},
      {"%a = Relu() {k = hif8[1] [1]}", "2:18", "hex"},
      {"%a = Relu() {k = hif8[1] hex(\"0\")}", "", "pairs"},
      {"%a = Relu() {k = hif8[1] hex(\"zz\")}", "", "not a byte in hex"},
      {"%a = Relu() {k = hif8[2] hex(\"00\")}", "2:18", "1 bytes for a tensor of 2"},
      {"%a = Relu() {k = f32[3] ...}", "2:25", "elided"},
      {"%a = Relu() {k = \"abc", "2:18", "a string does not end"},
      {"%a = Relu() {k = \"\\q\"}", "2:19", "unknown escape"},
      {"%a = Relu() {k = \"\\x1\"}", "2:19", "unknown escape"},
      {"%a = Relu() graphs(then)", "2:20", "a string in quotes"},
      {"\xff", "2:1", "found byte 0xff"},
  };
  for (const auto& c : cases) {
    const auto result = parse("module \"m\" graph \"g\" {\n" + c.body + "}");
    ASSERT_FALSE(result) << c.body;
    EXPECT_EQ(result.error().code, Errc::kParse);
    EXPECT_THAT(result.error().message, HasSubstr(c.message)) << c.body;
    if (*c.where != '\0') {
      EXPECT_EQ(result.error().where, c.where) << c.body;
    }
  }
  for (const auto& [text, message] :
       std::vector<std::pair<std::string, std::string>>{{"", "expected 'module'"},
                                                        {"module", "a string in quotes"},
                                                        {"module \"m\"", "at least one graph"},
                                                        {"module \"m\" graph \"g\" {} x", "the end of the text"},
                                                        {"module \"m\" graph \"g\" {", "a node or '}'"}}) {
    const auto result = parse(text);
    ASSERT_FALSE(result) << text;
    EXPECT_THAT(result.error().message, HasSubstr(message)) << text;
  }
}

TEST(TextErrors, AnyCutOrChangedTextIsAnErrorOrAModule) {
  const std::string text = kModule;
  for (std::size_t i = 0; i < text.size(); ++i) {
    parse(text.substr(0, i)).map([](const Module& m) { return print(m).size(); });
    for (const char c : {'(', ')', '{', '"', '%', ',', '\0', '\xff', '-', '9', '.'}) {
      std::string changed = text;
      changed[i] = c;
      const auto m = parse(changed);
      if (!m) {
        EXPECT_FALSE(m.error().where.empty());
        continue;
      }
      const auto again = parse(print(*m, 0));
      ASSERT_TRUE(again) << changed << again.error().text();
      EXPECT_TRUE(same(*m, *again));
    }
  }
}

TEST(TextModule, SameGraphSameText) {
  const auto build = [](bool reversed) {
    Module m;
    m.graphs.emplace_back();
    const std::vector<std::string> keys = {"alpha", "beta", "gamma"};
    Node n;
    n.name = "n";
    n.type = "Op";
    for (std::size_t i = 0; i < keys.size(); ++i) n.attrs[keys[reversed ? 2 - i : i]] = Ints{1};
    m.root().add(std::move(n));
    return print(m);
  };
  EXPECT_EQ(build(false), build(true));
}

}  // namespace
}  // namespace airloom::ir
