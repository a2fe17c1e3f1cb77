#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace airloom::convert {
namespace {

using ::testing::HasSubstr;

Converted converted(const std::string& json) {
  auto program = program::read(json, {});
  if (!program) throw Exception(program.error());
  auto out = convert(*program, Registry::builtin());
  if (!out) throw Exception(out.error());
  return std::move(*out);
}

std::string message(const std::string& inputs, const std::string& nodes, const std::string& outputs) {
  return R"({"version":1,"name":"m","inputs":[)" + inputs + R"(],"nodes":[)" + nodes + R"(],"outputs":[)" + outputs + "]}";
}

constexpr const char* kX = R"({"name":"x","kind":"user","label":"x","dtype":"float32","shape":["s0",3]})";

TEST(Convert, ListsEveryUnsupportedOperatorOnce) {
  const std::string nodes =
      R"({"name":"a","target":"aten.nope.default","args":[{"v":"x"}],"outputs":[{"dtype":"float32","shape":["s0",3]}],"module":"enc.0","source":"m.py:3: nope x"},
         {"name":"b","target":"aten.relu.default","args":[{"v":"a"}],"outputs":[{"dtype":"float32","shape":["s0",3]}]},
         {"name":"c","target":"aten.nope.default","args":[{"v":"b"}],"outputs":[{"dtype":"float32","shape":["s0",3]}]},
         {"name":"d","target":"aten.gone.default","args":[{"v":"c"}],"outputs":[{"dtype":"float32","shape":["s0",3]}]})";
  const Converted out = converted(message(kX, nodes, R"({"v":"d","label":"out","dtype":"float32","shape":["s0",3]})"));
  ASSERT_EQ(out.unsupported.size(), 2U);
  EXPECT_EQ(out.unsupported[0].target, "aten.nope.default");
  EXPECT_EQ(out.unsupported[0].count, 2);
  EXPECT_EQ(out.unsupported[0].module, "enc.0");
  EXPECT_EQ(out.unsupported[0].source, "m.py:3: nope x");
  EXPECT_EQ(out.unsupported[1].target, "aten.gone.default");
}

TEST(Convert, EmitsSymbolicSizesFromTheInputThatHasThem) {
  const std::string nodes =
      R"({"name":"f","target":"aten.full.default","args":[[{"e":"2*s0"},3],1.0,null,null,null,null],"outputs":[{"dtype":"float32","shape":["2*s0",3]}]})";
  const Converted out = converted(message(kX, nodes, R"({"v":"f","label":"out","dtype":"float32","shape":["2*s0",3]})"));
  ASSERT_TRUE(out.unsupported.empty());
  const std::string text = ir::print(out.module);
  EXPECT_THAT(text, HasSubstr("Shape(x = %x)"));
  EXPECT_THAT(text, HasSubstr("_force_unknown_shape = true"));
  EXPECT_THAT(text, HasSubstr("Mul("));
  EXPECT_THAT(text, HasSubstr("%f = Fill("));
  EXPECT_TRUE(ir::verify(out.module).has_value());
}

TEST(Convert, SolvesALinearSizeForItsSymbol) {
  const std::string input = R"({"name":"x","kind":"user","label":"x","dtype":"float32","shape":["2*s0 + 1"]})";
  const std::string nodes =
      R"({"name":"f","target":"aten.full.default","args":[[{"e":"s0"}],1.0,null,null,null,null],"outputs":[{"dtype":"float32","shape":["s0"]}]})";
  const Converted out = converted(message(input, nodes, R"({"v":"f","label":"out","dtype":"float32","shape":["s0"]})"));
  ASSERT_TRUE(out.unsupported.empty());
  const std::string text = ir::print(out.module);
  EXPECT_THAT(text, HasSubstr("Sub("));
  EXPECT_THAT(text, HasSubstr("FloorDiv("));
}

TEST(Convert, ASymbolThatNothingHasIsReported) {
  const std::string nodes =
      R"({"name":"f","target":"aten.full.default","args":[[{"e":"s9"}],1.0,null,null,null,null],"outputs":[{"dtype":"float32","shape":["s9"]}]})";
  const Converted out = converted(message(kX, nodes, R"({"v":"f","label":"out","dtype":"float32","shape":["s9"]})"));
  ASSERT_EQ(out.unsupported.size(), 1U);
  EXPECT_THAT(out.unsupported[0].reason, HasSubstr("s9"));
}

TEST(Convert, OutputsKeepTheUsersOrderWithInputsDuplicatesAndNumbers) {
  const std::string outputs =
      R"({"v":"r","label":"a","dtype":"float32","shape":["s0",3]},{"v":"x","label":"b","dtype":"float32","shape":["s0",3]},
                                 {"v":"r","label":"c","dtype":"float32","shape":["s0",3]},{"e":"s0","label":"d"},{"c":2.5,"label":"e"})";
  const std::string nodes =
      R"({"name":"r","target":"aten.relu.default","args":[{"v":"x"}],"outputs":[{"dtype":"float32","shape":["s0",3]}]})";
  const Converted out = converted(message(kX, nodes, outputs));
  const ir::Graph& graph = out.module.root();
  const ir::Node& net = graph.node(graph.net_output());
  ASSERT_EQ(net.inputs.size(), 5U);
  EXPECT_EQ(net.inputs[0].value, net.inputs[2].value);
  EXPECT_EQ(graph.node(net.inputs[1].value.node).type, "Data");
  EXPECT_EQ(graph.node(net.inputs[3].value.node).type, "Gather");
  EXPECT_EQ(graph.node(net.inputs[4].value.node).type, "Const");
  EXPECT_EQ(std::get<std::string>(net.inputs[4].attrs.at("_origin_output_tensor_name")), "e");
}

TEST(Convert, AWrittenInputBecomesRefDataAndAnAssignBeforeTheEnd) {
  const std::string nodes =
      R"({"name":"r","target":"aten.relu.default","args":[{"v":"x"}],"outputs":[{"dtype":"float32","shape":["s0",3]}]})";
  const std::string outputs =
      R"({"v":"r","label":"a","dtype":"float32","shape":["s0",3]},{"v":"r","mutates":"x","dtype":"float32","shape":["s0",3]})";
  const Converted out = converted(message(kX, nodes, outputs));
  const ir::Graph& graph = out.module.root();
  EXPECT_EQ(graph.node(graph.find("x")).type, "RefData");
  const ir::NodeId assign = graph.find("x.assign");
  ASSERT_NE(assign, ir::kNoNode);
  EXPECT_EQ(graph.node(assign).outputs.at(0).name, "ref");
  EXPECT_THAT(graph.node(graph.net_output()).control, ::testing::ElementsAre(assign));
}

struct PromotionRow {
  std::vector<Operand> operands;
  DType want;
};
TEST(Convert, ResultTypeFollowsTorch) {
  using enum Operand::Rank;
  // torch.result_type of the same operands
  const PromotionRow rows[] = {
      {{{DType::kInt64, kTensor}, {DType::kFloat, kNumber}}, DType::kFloat},
      {{{DType::kFloat16, kTensor}, {DType::kFloat, kNumber}}, DType::kFloat16},
      {{{DType::kFloat16, kTensor}, {DType::kFloat, kZeroDim}}, DType::kFloat16},
      {{{DType::kInt32, kTensor}, {DType::kInt64, kTensor}}, DType::kInt64},
      {{{DType::kInt32, kTensor}, {DType::kInt64, kZeroDim}}, DType::kInt32},
      {{{DType::kInt32, kTensor}, {DType::kFloat16, kZeroDim}}, DType::kFloat16},
      {{{DType::kFloat16, kTensor}, {DType::kBFloat16, kTensor}}, DType::kFloat},
      {{{DType::kUInt8, kTensor}, {DType::kInt8, kTensor}}, DType::kInt16},
      {{{DType::kBool, kTensor}, {DType::kInt64, kNumber}}, DType::kInt64},
      {{{DType::kBool, kTensor}, {DType::kBool, kNumber}}, DType::kBool},
      {{{DType::kFloat, kTensor}, {DType::kComplex64, kTensor}}, DType::kComplex64},
  };
  for (const PromotionRow& row : rows) EXPECT_EQ(result_type(row.operands), row.want);
}

}  // namespace
}  // namespace airloom::convert
