#include "ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace airloom::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Node make(std::string name, std::string type, std::vector<Value> inputs, int outputs = 1) {
  Node n;
  n.name = std::move(name);
  n.type = std::move(type);
  for (std::size_t i = 0; i < inputs.size(); ++i) n.inputs.push_back({"x" + std::to_string(i), inputs[i], Format::kND, {}});
  for (int i = 0; i < outputs; ++i) n.outputs.push_back({"y" + std::to_string(i), {DType::kFloat, {2}}, Format::kND, false, {}});
  return n;
}

TEST(GraphNames, TakenNamesGetASuffix) {
  Graph g;
  EXPECT_EQ(g.node(g.add(make("add", "Add", {}))).name, "add");
  EXPECT_EQ(g.node(g.add(make("add_1", "Add", {}))).name, "add_1");
  EXPECT_EQ(g.node(g.add(make("add", "Add", {}))).name, "add_2");
  const NodeId last = g.add(make("add", "Add", {}));
  EXPECT_EQ(g.node(last).name, "add_3");
  EXPECT_EQ(g.find("add_3"), last);
  g.rename(last, "add_1");
  EXPECT_EQ(g.node(last).name, "add_1_1");
  EXPECT_EQ(g.find("add_3"), kNoNode);
  g.rename(last, "add_1_1");
  EXPECT_EQ(g.find("add_1_1"), last);
  g.erase(last);
  EXPECT_EQ(g.find("add_1_1"), kNoNode);
  EXPECT_EQ(g.node(g.add(make("", "Add", {}))).name, "node");
}

TEST(GraphNames, ManyEqualNamesStayCheap) {
  Graph g;
  for (int i = 0; i < 50000; ++i) g.add(make("add", "Add", {}, 0));
  EXPECT_NE(g.find("add_49999"), kNoNode);
}

TEST(GraphOrder, KeepsArenaOrderWhereItCan) {
  Graph g;
  const NodeId late = g.add(make("late", "Relu", {}));
  const NodeId a = g.add(make("a", "Data", {}));
  const NodeId b = g.add(make("b", "Data", {}));
  const NodeId c = g.add(make("c", "Relu", {{a, 0}, {a, 0}}));
  g.node(late).inputs.push_back({"x", {c, 0}, Format::kND, {}});
  g.node(a).control.push_back(b);
  EXPECT_THAT(*g.topological(), ElementsAre(b, a, c, late));
  g.erase(late);
  EXPECT_THAT(*g.topological(), ElementsAre(b, a, c));
  g.node(b).control.push_back(c);
  EXPECT_EQ(g.topological(), std::nullopt);
}

TEST(GraphUses, ReplaceAndList) {
  Graph g;
  const NodeId a = g.add(make("a", "Split", {}, 2));
  const NodeId b = g.add(make("b", "Add", {{a, 1}, {a, 0}}));
  const NodeId c = g.add(make("c", "Add", {{a, 1}, Value{}}));
  auto uses = g.uses();
  ASSERT_EQ(uses[a].size(), 3U);
  EXPECT_EQ(uses[a][0].user, b);
  EXPECT_EQ(uses[a][0].output, 1U);
  EXPECT_EQ(uses[a][1].slot, 1U);
  EXPECT_EQ(uses[a][2].user, c);
  g.replace_uses({a, 1}, {b, 0});
  EXPECT_EQ(g.node(c).inputs[0].value, (Value{b, 0}));
  EXPECT_EQ(g.node(b).inputs[1].value, (Value{a, 0}));
  g.erase(c);
  EXPECT_TRUE(g.uses()[a].size() == 1 && g.uses()[b].size() == 1);  // b itself now reads b: the caller's affair
}

TEST(GraphQueries, InputsByIndexAndConstants) {
  Graph g;
  const auto data = [&g](std::string type, std::int64_t index) {
    Node n = make("in", std::move(type), {});
    n.attrs["index"] = index;
    return g.add(std::move(n));
  };
  const NodeId one = data("RefData", 1);
  const NodeId zero = data("Data", 0);
  EXPECT_THAT(g.inputs(), ElementsAre(zero, one));
  EXPECT_EQ(g.net_output(), kNoNode);
  const NodeId out = g.add(make("NetOutput", "NetOutput", {{zero, 0}}, 0));
  EXPECT_EQ(g.net_output(), out);
  Node c = make("c", "Const", {});
  const std::int64_t value[] = {7};
  c.attrs["value"] = std::make_shared<const Tensor>(Tensor::from_ints(DType::kInt64, {}, value));
  const NodeId id = g.add(std::move(c));
  EXPECT_EQ(const_value(g, id)->int_at(0), 7);
  EXPECT_EQ(const_value(g, zero), nullptr);
  EXPECT_EQ(const_value(g, kNoNode), nullptr);
}

TEST(GraphTypes, DimsAsAFileHoldsThem) {
  TensorType t{DType::kFloat, {sym::Expr::symbol("s0"), 2, sym::Expr::unknown()}};
  EXPECT_THAT(t.dims(), ElementsAre(-1, 2, -1));
  EXPECT_FALSE(t.is_static());
  EXPECT_TRUE(t.with(Shape{1, 2}).is_static());
  t.unknown_rank = true;
  EXPECT_THAT(t.dims(), ElementsAre(-2));
  EXPECT_FALSE((TensorType{DType::kFloat, {}, true}).is_static());
}

constexpr const char* kGood = R"(module "m"
graph "main" {
  %x = Data() {index = 0} : f32[s0, 2]
  %i = Data() {index = 1} : i64[]
  %w = Const() {value = f32[2, 2] [1, 2, 3, 4]} : f32[2, 2]
  %f = FileConstant() {dtype = dtype.f32, file_path = "w", shape = [2]} : f32[2]
  %mm = MatMulV2(x1 = %x, x2 = %w, bias = %f, offset_w = none) : f32[s0, 2]
  %if = If(cond = %i, input0 = %mm) : (output0 = f32[s0, 2]) graphs("then", "else")
  %NetOutput = NetOutput(input0 = %if) after(%mm)
}
graph "then" {
  %x = Data() {_parent_node_index = 0} : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %x)
}
graph "else" {
  %x = Data() {index = 0} : f32[s0, 2]
  %NetOutput = NetOutput(input0 = %x)
}
)";

Module good() {
  auto m = parse(kGood);
  if (!m) {
    ADD_FAILURE() << m.error().text();
    std::abort();
  }
  return std::move(*m);
}

TEST(GraphVerify, AcceptsAGoodModule) {
  const Status status = verify(good());
  EXPECT_TRUE(status) << status.error().text();
}

TEST(GraphVerify, EveryRuleIsFound) {
  const auto at = [](Module& m, std::string_view name) -> Node& { return m.root().node(m.root().find(name)); };
  const struct {
    const char* message;
    const char* where;
    std::function<void(Module&)> breakit;
  } cases[] = {
      {"no graph", "m", [](Module& m) { m.graphs.clear(); }},
      {"was not set by Graph::rename", "w", [&](Module& m) { at(m, "x").name = "w"; }},
      {"type is empty", "mm", [&](Module& m) { at(m, "mm").type.clear(); }},
      {"is a NetOutput too", "", [](Module& m) { m.root().add(make("second", "NetOutput", {})); }},
      {"no NetOutput", "main", [](Module& m) { m.root().erase(m.root().net_output()); }},
      {"two inputs are named 'x2'", "mm", [&](Module& m) { at(m, "mm").inputs[0].name = "x2"; }},
      {"an input has no name", "mm", [&](Module& m) { at(m, "mm").inputs[0].name = ""; }},
      {"two outputs are named 'y'", "x", [&](Module& m) { at(m, "x").outputs.push_back(at(m, "x").outputs[0]); }},
      {"'input0' is not fed", "NetOutput", [&](Module& m) { at(m, "NetOutput").inputs[0].value = {}; }},
      {"'x2' comes from a node that does not exist", "mm", [](Module& m) { m.root().erase(m.root().find("w")); }},
      {"'x1' comes from a node that does not exist", "mm",
       [&](Module& m) {
         at(m, "mm").inputs[0].value = {1000, 0};
       }},
      {"is output 3 of 'x', which has 1", "mm", [&](Module& m) { at(m, "mm").inputs[0].value.index = 3; }},
      {"control edge", "mm", [&](Module& m) { at(m, "mm").control.push_back(99); }},
      {"has the dim -3", "mm", [&](Module& m) { at(m, "mm").outputs[0].type.shape[0] = -3; }},
      {"though its rank is unknown", "mm", [&](Module& m) { at(m, "mm").outputs[0].type.unknown_rank = true; }},
      {"a cycle", "main", [&](Module& m) { at(m, "mm").control.push_back(m.root().find("if")); }},
      {"'index' (an int) is missing", "i", [&](Module& m) { at(m, "i").attrs.erase("index"); }},
      {"has the index 0 too", "i", [&](Module& m) { at(m, "i").attrs["index"] = std::int64_t{0}; }},
      {"is not one of the graph's 2", "i", [&](Module& m) { at(m, "i").attrs["index"] = std::int64_t{2}; }},
      {"one output, not 0", "i",
       [&](Module& m) {
         at(m, "if").inputs[0].value = {};
         at(m, "i").outputs.clear();
       }},
      {"'value' with the elements is missing", "w", [&](Module& m) { at(m, "w").attrs.clear(); }},
      {"the elements are f32, the output f16", "w", [&](Module& m) { at(m, "w").outputs[0].type.dtype = DType::kFloat16; }},
      {"shape [2, 2], the output [4]", "w", [&](Module& m) { at(m, "w").outputs[0].type.shape = {4}; }},
      {"no elements and no 'location'", "w",
       [&](Module& m) {
         Tensor t;
         t.shape = {2, 2};
         at(m, "w").attrs["value"] = std::make_shared<const Tensor>(t);
       }},
      {"strides do not fit", "w",
       [&](Module& m) {
         Tensor t = *const_value(m.root(), m.root().find("w"));
         t.stride = {1};
         at(m, "w").attrs["value"] = std::make_shared<const Tensor>(t);
       }},
      {"needs the attributes", "f", [&](Module& m) { at(m, "f").attrs.erase("dtype"); }},
      {"'dtype' is i8", "f", [&](Module& m) { at(m, "f").attrs["dtype"] = DType::kInt8; }},
      {"'shape' is [3]", "f", [&](Module& m) { at(m, "f").attrs["shape"] = Ints{3}; }},
      {"no graph is named 'nowhere'", "if", [&](Module& m) { at(m, "if").subgraphs[0] = "nowhere"; }},
      {"has a parent already", "if", [&](Module& m) { at(m, "if").subgraphs[0] = "else"; }},
      {"is the root", "if", [&](Module& m) { at(m, "if").subgraphs[0] = "main"; }},
      {"not reached", "else", [&](Module& m) { at(m, "if").subgraphs.pop_back(); }},
      {"two graphs have this name", "then", [](Module& m) { m.graphs[2].name = "then"; }},
      {"a graph has no name", "m", [](Module& m) { m.graphs[2].name = ""; }},
  };
  for (const auto& c : cases) {
    Module m = good();
    c.breakit(m);
    const Status status = verify(m);
    ASSERT_FALSE(status) << c.message;
    EXPECT_EQ(status.error().code, Errc::kInvalidGraph);
    EXPECT_THAT(status.error().message, HasSubstr(c.message));
    if (*c.where != '\0') {
      EXPECT_EQ(status.error().where, c.where) << c.message;
    }
    EXPECT_FALSE(print(m).empty()) << "a broken module still prints";
  }
}

TEST(GraphSame, EveryDifferenceIsFound) {
  const auto at = [](Module& m, std::string_view name) -> Node& { return m.root().node(m.root().find(name)); };
  const struct {
    const char* message;
    std::function<void(Module&)> change;
  } cases[] = {
      {"the module's name: 'm' against 'n'", [](Module& m) { m.name = "n"; }},
      {"number of graphs", [](Module& m) { m.graphs.pop_back(); }},
      {"the graph's name", [](Module& m) { m.graphs[1].name = "z"; }},
      {"module attribute 'a': nothing against 1", [](Module& m) { m.attrs["a"] = std::int64_t{1}; }},
      {"the node: there against missing", [](Module& m) { m.root().rename(m.root().find("mm"), "other"); }},
      {"the node: missing against there", [](Module& m) { m.root().add(make("extra", "Relu", {})); }},
      {"the type: MatMulV2 against Add", [&](Module& m) { at(m, "mm").type = "Add"; }},
      {"number of inputs", [&](Module& m) { at(m, "mm").inputs[2].value = {}; }},
      {"name of input 0", [&](Module& m) { at(m, "mm").inputs[0].name = "q"; }},
      {"input 'x1': x:0 against i:0",
       [&](Module& m) {
         at(m, "mm").inputs[0].value = {m.root().find("i"), 0};
       }},
      {"input 'x1': x:0 against none", [&](Module& m) { at(m, "mm").inputs[0].value = {}; }},
      {"input 'x1', format: ND against NCHW", [&](Module& m) { at(m, "mm").inputs[0].format = Format::kNCHW; }},
      {"input 'x1', attribute 'a'", [&](Module& m) { at(m, "mm").inputs[0].attrs["a"] = true; }},
      {"number of outputs",
       [&](Module& m) {
         at(m, "mm").outputs.push_back({"z", {}, Format::kND, false, {}});
       }},
      {"name of an output", [&](Module& m) { at(m, "mm").outputs[0].name = "z"; }},
      {"output 'y', type: f32 against f16", [&](Module& m) { at(m, "mm").outputs[0].type.dtype = DType::kFloat16; }},
      {"output 'y', shape: [-1, 2] against [2, 2]", [&](Module& m) { at(m, "mm").outputs[0].type.shape[0] = 2; }},
      {"output 'y', format", [&](Module& m) { at(m, "mm").outputs[0].format = Format::kNHWC; }},
      {"output 'y', device: NPU against CPU", [&](Module& m) { at(m, "mm").outputs[0].on_host = true; }},
      {"output 'y', attribute 'a'", [&](Module& m) { at(m, "mm").outputs[0].attrs["a"] = true; }},
      {"control edges from: [mm] against []", [&](Module& m) { at(m, "NetOutput").control.clear(); }},
      {"subgraphs: [then, else] against [else, then]", [&](Module& m) { std::swap(at(m, "if").subgraphs[0], at(m, "if").subgraphs[1]); }},
      {"attribute 'value': f32[2, 2] [1, 2, 3, 4] against",
       [&](Module& m) {
         const double values[] = {1, 2, 3, 5};
         at(m, "w").attrs["value"] = std::make_shared<const Tensor>(Tensor::from_floats(DType::kFloat, {2, 2}, values));
       }},
      {"attribute 'file_path': \"w\" against nothing", [&](Module& m) { at(m, "f").attrs.erase("file_path"); }},
  };
  const Module original = good();
  EXPECT_TRUE(same(original, good()));
  for (const auto& c : cases) {
    Module m = good();
    c.change(m);
    const Status status = same(original, m);
    ASSERT_FALSE(status) << c.message;
    EXPECT_THAT(status.error().message, HasSubstr(c.message));
    EXPECT_FALSE(same(m, original)) << c.message;
  }
}

TEST(GraphSame, WhatAFileCannotHoldIsNoDifference) {
  Module m = good();
  Node& mm = m.root().node(m.root().find("mm"));
  mm.inputs.pop_back();                                // the unfed one at the end
  mm.outputs[0].type.shape[0] = sym::Expr::unknown();  // s0
  mm.origin = std::make_shared<const Origin>(Origin{"mm", "aten.mm", "layer", "a.py:1: x", ""});
  const Status status = same(good(), m);
  EXPECT_TRUE(status) << status.error().text();
}

}  // namespace
}  // namespace airloom::ir
