#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <fstream>
#include <set>

#include <fmt/format.h>

#include "air/air.h"
#include "ir/graph.h"
#include "sample.h"

namespace airloom::air {
namespace {

using ::testing::ElementsAre;
using testing::from_bytes;
using ::testing::IsEmpty;
using testing::TemporaryFolder;
using testing::to_bytes;
using testing::to_proto;
namespace pb = ::ge::proto;

std::vector<std::string> rules_of(const std::vector<Violation>& found) {
  std::vector<std::string> out;
  for (const Violation& violation : found) out.push_back(violation.rule);
  return out;
}

std::string text_of(const std::vector<Violation>& found) {
  std::string out;
  for (const Violation& violation : found) out += fmt::format("{}: {} [{}]\n", violation.node, violation.message, violation.rule);
  return out;
}

ir::Module parse(const std::string& text) {
  auto module = ir::parse(text);
  if (!module) {
    ADD_FAILURE() << module.error().text() << "\n" << text;
    return {};
  }
  return std::move(*module);
}

/// A module of one graph with the input %x of f32[2, 3].
ir::Module graph(const std::string& body) {
  return parse("module \"m\"\ngraph \"g\" {\n  %x = Data(x = none) {index = 0} : f32[2, 3]\n" + body + "\n}\n");
}

/// The same whose NetOutput takes %y.
ir::Module to_y(const std::string& body) { return graph(body + "\n  %out = NetOutput(input0 = %y)"); }

std::vector<Violation> check(const ir::Module& module) { return validate(module, {}); }

constexpr const char* kRelu = "  %y = Relu(x = %x) : f32[2, 3]";

struct Case {
  const char* rule;
  const char* node;
  ir::Module (*make)();
};

// Each breaks one rule, once, at one node.
constexpr Case kCases[] = {
    {"no-graph", "", [] { return ir::Module{}; }},
    {"bad-shape", "y", [] { return to_y("  %y = Relu(x = %x) : f32[2, -3]"); }},
    {"origin-shape", "y", [] { return to_y("  %y = Relu(x = %x) : f32[2, 3] {origin_shape = [3, 2]}"); }},
    {"duplicate-node-name", "y",
     [] {
       return parse(R"(module "m"
graph "g" {
  %x = Data(x = none) {index = 0} : f32[2]
  %y = PartitionedCall(args0 = %x) : (output0 = f32[2]) graphs("sub")
  %out = NetOutput(input0 = %y)
}
graph "sub" {
  %y = Data(x = none) {_parent_node_index = 0} : f32[2]
  %sub_out = NetOutput(input0 = %y {_parent_node_index = 0})
})");
     }},
    {"duplicate-graph-name", "",
     [] {
       ir::Module module = parse(R"(module "m"
graph "g" {
  %x = Data(x = none) {index = 0} : f32[2]
  %c = Const() {value = bool[] [true]} : bool[]
  %y = If(cond = %c, input0 = %x) : (output0 = f32[2]) graphs("a", "b")
  %out = NetOutput(input0 = %y)
}
graph "a" {
  %a_x = Data(x = none) {_parent_node_index = 1} : f32[2]
  %a_out = NetOutput(input0 = %a_x {_parent_node_index = 0})
}
graph "b" {
  %b_x = Data(x = none) {_parent_node_index = 1} : f32[2]
  %b_out = NetOutput(input0 = %b_x {_parent_node_index = 0})
}
graph "other" {
  %o_x = Const() {value = f32[] [1]} : f32[]
  %o_out = NetOutput(input0 = %o_x)
})");
       module.graphs[3].name = "b";
       return module;
     }},
    {"node-name", "a b", [] { return to_y("  %\"a b\" = Relu(x = %x) : f32[2, 3]\n  %y = Relu(x = %\"a b\") : f32[2, 3]"); }},
    {"unknown-input-source", "y",
     [] {
       ir::Module module = to_y(kRelu);
       module.root().node(1).control.push_back(77);
       return module;
     }},
    {"bad-index", "y",
     [] {
       ir::Module module = to_y(kRelu);
       module.root().node(1).inputs[0].value.index = 1;
       return module;
     }},
    {"cycle", "a", [] { return to_y("  %a = Add(x1 = %x, x2 = %y) : f32[2, 3]\n  %y = Relu(x = %a) : f32[2, 3]"); }},
    {"node-order", "y", [] { return to_y("  %y = Relu(x = %a) : f32[2, 3]\n  %a = Relu(x = %x) : f32[2, 3]"); }},
    {"data-desc", "x",
     [] {
       ir::Module module = to_y(kRelu);
       module.root().node(0).outputs[0].name = "z";
       return module;
     }},
    {"input-index", "z", [] { return to_y("  %z = Data(x = none) {index = 0} : f32[2, 3]\n  %y = Add(x1 = %x, x2 = %z) : f32[2, 3]"); }},
    {"net-output-count", "", [] { return graph(kRelu); }},
    {"net-output-last", "out",
     [] { return graph(std::string(kRelu) + "\n  %out = NetOutput(input0 = %y)\n  %late = Relu(x = %y) : f32[2, 3]"); }},
    {"net-output-inputs", "out", [] { return graph(std::string(kRelu) + "\n  %out = NetOutput(input1 = %y)"); }},
    {"output-tensor-names", "out",
     [] { return graph(std::string(kRelu) + "\n  %out = NetOutput(input0 = %y {_origin_output_tensor_name = \"a\"}, input1 = %x)"); }},
    {"const-value", "y", [] { return to_y("  %y = Const() : f32[2]"); }},
    {"const-byte-size", "y", [] { return to_y("  %y = Const() {value = str[2] absent} : str[2]"); }},
    {"const-desc", "y", [] { return to_y("  %y = Const() {value = f32[2] [1, 2]} : f32[3]"); }},
    {"location-path", "y", [] { return to_y("  %y = Const() {location = \"/w\", length = 4} : f32[]"); }},
    {"location-size", "y", [] { return to_y("  %y = Const() {location = \"w\", length = 0} : f32[]"); }},
    {"file-constant-attrs", "y", [] { return to_y("  %y = FileConstant() {shape = [2], dtype = dtype.f32} : f32[2]"); }},
    {"file-constant-path", "y",
     [] { return to_y("  %y = FileConstant() {shape = [2], dtype = dtype.f32, file_path = \"no/such/file\"} : f32[2]"); }},
    {"unknown-op-type", "y", [] { return to_y("  %y = ReLU(x = %x) : f32[2, 3]"); }},
    {"forbidden-op", "y", [] { return to_y("  %y = ConstPlaceHolder() {addr = 4096} : f32[2]"); }},
    {"input-name", "y", [] { return to_y("  %y = Add(x1 = %x, other = %x) : f32[2, 3]"); }},
    {"input-order", "y", [] { return to_y("  %y = Add(x2 = %x, x1 = %x) : f32[2, 3]"); }},
    {"input-missing", "y", [] { return to_y("  %y = Add(x1 = %x) : f32[2, 3]"); }},
    {"input-unfed", "y", [] { return to_y("  %y = Add(x1 = %x, x2 = none) : f32[2, 3]"); }},
    {"input-hole", "y",
     [] {
       return to_y(
           "  %y = Conv2D(x = %x@NCHW, filter = %x@NCHW, offset_w = %x) {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0]} : f32[1, 1, 1, "
           "1]@NCHW");
     }},
    {"input-numbering", "y", [] { return to_y("  %y = Pack(x0 = %x, x2 = %x) {N = 2} : f32[2, 2, 3]"); }},
    {"output-name", "y", [] { return to_y("  %y = Relu(x = %x) : (z = f32[2, 3])"); }},
    {"output-order", "y",
     [] { return to_y("  %y = LayerNormV3(x = %x, gamma = %x, beta = %x) : (y = f32[2, 3], rstd = f32[2, 1], mean = f32[2, 1])"); }},
    {"output-missing", "y", [] { return to_y("  %y = LayerNormV3(x = %x, gamma = %x, beta = %x) : (y = f32[2, 3], mean = f32[2, 1])"); }},
    {"output-numbering", "y",
     [] {
       return to_y(
           "  %d = Const() {value = i32[] [0]} : i32[]\n  %y = Split(split_dim = %d, x = %x) {num_split = 2} : (y1 = f32[1, 3], y2 = "
           "f32[1, 3])");
     }},
    {"slot-count", "y", [] { return to_y("  %y = Pack(x0 = %x, x1 = %x) : f32[2, 2, 3]"); }},
    {"attr-name", "y", [] { return to_y("  %y = Relu(x = %x) {alpha = 1} : f32[2, 3]"); }},
    {"attr-kind", "y", [] { return to_y("  %y = LeakyRelu(x = %x) {negative_slope = 1} : f32[2, 3]"); }},
    {"attr-missing", "y", [] { return to_y("  %y = Cast(x = %x) : f16[2, 3]"); }},
    {"attr-dtype", "y", [] { return to_y("  %y = Cast(x = %x) {dst_type = 99} : f16[2, 3]"); }},
    {"cast-dtype", "y", [] { return to_y("  %y = Cast(x = %x) {dst_type = 10} : f16[2, 3]"); }},
    {"ir-names", "y", [] { return to_y("  %y = Add(x1 = %x, x2 = %x) {_ir_inputs_key = [\"x2\", \"x1\"]} : f32[2, 3]"); }},
    {"ref-output", "y", [] { return to_y("  %y = Relu(x = %x) : (x = f32[2, 3])"); }},
    {"ref-const", "y",
     [] { return to_y("  %c = Const() {value = f32[1] [1]} : f32[1]\n  %y = Assign(ref = %c, value = %x) : (ref = f32[1])"); }},
    {"layout", "y", [] { return to_y("  %y = AvgPoolV2(x = %x@NCHW) {ksize = [1, 1, 1, 1], strides = [1, 1, 1, 1]} : f32[1, 1, 1, 1]"); }},
    {"side-effect-pruned", "set",
     [] {
       return to_y("  %r = RefData(x = none) {index = 1} : f32[2, 3]\n  %set = Assign(ref = %r, value = %x) : (ref = f32[2, 3])\n" +
                   std::string(kRelu));
     }},
    {"skip-prune", "send",
     [] {
       return graph(
           std::string(kRelu) +
           "\n  %send = HcomSend(x = %y) {group = \"g\", sr_tag = 0, dest_rank = 1}\n  %out = NetOutput(input0 = %y) after(%send)");
     }},
    {"unknown-shape-mark", "n",
     [] {
       return graph(R"(  %d = Data(x = none) {index = 1} : f32[?, 3]
  %s = Shape(x = %d) {dtype = 9} : i64[2]
  %i = Const() {value = i64[] [0]} : i64[]
  %n = Gather(x = %s, indices = %i) : i64[]
  %two = Mul(x1 = %n, x2 = %n) : i64[]
  %p = Pack(x0 = %two, x1 = %i) {N = 2, _force_unknown_shape = true} : i64[2]
  %out = NetOutput(input0 = %p, input1 = %x))");
     }},
    {"hcom-group", "y",
     [] { return to_y("  %y = HcomAllReduce(x = %x) {reduction = \"sum\", group = \"\", fusion = 0, fusion_id = -1} : f32[2, 3]"); }},
    {"hcom-reduction", "y",
     [] { return to_y("  %y = HcomAllReduce(x = %x) {reduction = \"avg\", group = \"g\", fusion = 0, fusion_id = -1} : f32[2, 3]"); }},
    {"hcom-fusion", "y",
     [] { return to_y("  %y = HcomAllReduce(x = %x) {reduction = \"sum\", group = \"g\", fusion = 1, fusion_id = 4} : f32[2, 3]"); }},
    {"hcom-rank-size", "y",
     [] { return to_y("  %y = HcomAllGather(x = %x) {rank_size = 0, group = \"g\", fusion = 0, fusion_id = -1} : f32[4, 3]"); }},
    {"subgraph-missing", "y", [] { return to_y("  %y = PartitionedCall(args0 = %x) : (output0 = f32[2, 3]) graphs(\"nowhere\")"); }},
    {"subgraph-unused", "",
     [] {
       ir::Module module = to_y(kRelu);
       module.graphs.push_back(
           parse("module \"n\"\ngraph \"lost\" {\n  %c = Const() {value = f32[] [1]} : f32[]\n  %lost_out = NetOutput(input0 = %c)\n}")
               .root());
       return module;
     }},
    {"subgraph-shared", "y", [] { return to_y("  %y = PartitionedCall(args0 = %x) : (output0 = f32[2, 3]) graphs(\"g\")"); }},
    {"subgraph-count", "y", [] { return to_y("  %y = PartitionedCall(args0 = %x) : (output0 = f32[2, 3])"); }},
    {"parent-index", "sub_x",
     [] {
       return parse(R"(module "m"
graph "g" {
  %x = Data(x = none) {index = 0} : f32[2]
  %y = PartitionedCall(args0 = %x) : (output0 = f32[2]) graphs("sub")
  %out = NetOutput(input0 = %y)
}
graph "sub" {
  %sub_x = Data(x = none) {_parent_node_index = 1} : f32[2]
  %sub_out = NetOutput(input0 = %sub_x {_parent_node_index = 0})
})");
     }},
};

class ValidateRule : public ::testing::TestWithParam<Case> {};

TEST_P(ValidateRule, IsReportedAloneAndAtItsNode) {
  const auto found = check(GetParam().make());
  ASSERT_THAT(rules_of(found), ElementsAre(GetParam().rule)) << text_of(found);
  EXPECT_EQ(found[0].node, GetParam().node) << text_of(found);
  EXPECT_FALSE(found[0].message.empty());
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.rule;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Rules, ValidateRule, ::testing::ValuesIn(kCases), case_name);

/// Rules that only bytes or files can break, each with a test below.
constexpr const char* kFileRules[] = {"file-size",          "not-writable",        "unsupported-attr",    "unknown-dtype",
                                      "list-val-type",      "empty-attr",          "unknown-layout",      "name-map-size",
                                      "missing-name",       "missing-input-desc",  "input-desc-mismatch", "file-constant-desc",
                                      "file-constant-size", "file-constant-shared"};

TEST(Validate, EveryRuleHasACaseAndAText) {
  std::set<std::string> tested(std::begin(kFileRules), std::end(kFileRules));
  for (const Case& c : kCases) EXPECT_TRUE(tested.insert(c.rule).second) << c.rule;
  std::set<std::string> listed;
  for (const Rule& rule : rules()) {
    EXPECT_TRUE(listed.insert(std::string(rule.id)).second) << rule.id;
    EXPECT_FALSE(rule.text.empty()) << rule.id;
  }
  EXPECT_EQ(tested, listed);
}

TEST(Validate, AcceptsWhatIsLegal) {
  const ir::Module module = parse(R"(module "m"
graph "g" {
  %image = Data(x = none) {index = 1} : f32[?, 3, 8, 8]
  %state = RefData(x = none) {index = 0} : f32[1, 4]
  %w = Const() {value = f16[2, 3, 1, 1] [1, 2, 3, 4, 5, 6], nn_module_stack = "{}"} : f16[2, 3, 1, 1]
  %none = Const() {value = f32[0, 4] []} : f32[0, 4]
  %half = Cast(x = %image) {dst_type = 1} : f16[?, 3, 8, 8]
  %conv = Conv2D(x = %half@NCHW, filter = %w@NCHW) {strides = [1, 1, 1, 1], pads = [0, 0, 0, 0], data_format = "NCHW"} : f16[?, 2, 8, 8]@NCHW
  %s = Shape(x = %image) {dtype = 9} : i64[4]
  %i = Const() {value = i64[] [0]} : i64[]
  %n = Gather(x = %s, indices = %i) {_force_unknown_shape = true} : i64[]
  %size = Pack(x0 = %n, x1 = %i) {axis = 0, N = 2, _force_unknown_shape = true} : i64[2]
  %cat = ConcatV2(x0 = %state, x1 = %none, concat_dim = %i) {N = 2} : f32[1, 4]
  %set = Assign(ref = %state, value = %cat) : (ref = f32[1, 4])
  %clamped = ClipByValueV2(x = %state, clip_value_min = %state, clip_value_max = %state) : f32[1, 4]
  %flag = Const() {value = bool[] [true]} : bool[]
  %if = If(cond = %flag, input0 = %clamped) : (output0 = f32[1, 4]) graphs("then", "else")
  %loop = While(input0 = %if) : (output0 = f32[1, 4]) graphs("again", "body")
  %send = HcomSend(x = %loop) {group = "pair", sr_tag = 0, dest_rank = 1, _force_skip_prune = true}
  %out = NetOutput(input0 = %conv {_origin_output_tensor_name = "a"}, input1 = %size {_origin_output_tensor_name = "b"}) after(%set, %send)
}
graph "then" {
  %t_x = Data(x = none) {_parent_node_index = 1} : f32[1, 4]
  %t_out = NetOutput(input0 = %t_x {_parent_node_index = 0})
}
graph "else" {
  %e_x = Data(x = none) {_parent_node_index = 1} : f32[1, 4]
  %e_y = Neg(x = %e_x) : f32[1, 4]
  %e_out = NetOutput(input0 = %e_y {_parent_node_index = 0})
}
graph "again" {
  %a_x = Data(x = none) {_parent_node_index = 0} : f32[1, 4]
  %a_y = Const() {value = bool[] [false]} : bool[]
  %a_out = NetOutput(input0 = %a_y)
}
graph "body" {
  %b_x = Data(x = none) {_parent_node_index = 0} : f32[1, 4]
  %b_out = NetOutput(input0 = %b_x {_parent_node_index = 0})
})");
  EXPECT_THAT(check(module), IsEmpty()) << text_of(check(module));

  // The same from a file.
  const TemporaryFolder folder;
  const auto bytes = to_bytes(module);
  ASSERT_TRUE(bytes) << bytes.error().text();
  std::ofstream(folder / "m.air", std::ios::binary) << *bytes;
  const auto found = validate_file(folder / "m.air");
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_THAT(*found, IsEmpty()) << text_of(*found);
}

TEST(Validate, ListsEveryViolationInOrderOfNodes) {
  const ir::Module module = parse(R"(module "m"
graph "g" {
  %"x y" = Data(x = none) {index = 3} : f32[2]
  %a = Nothing(x = %"x y") : f32[2]
  %b = Relu(x = none) {alpha = 1} : f32[2]
  %out = NetOutput(input1 = %a)
})");
  const auto found = check(module);
  std::vector<std::string> seen;
  for (const Violation& violation : found) seen.push_back(violation.node + "/" + violation.rule);
  EXPECT_THAT(
      seen, ElementsAre("x y/node-name", "x y/input-index", "a/unknown-op-type", "b/input-unfed", "b/attr-name", "out/net-output-inputs"));
}

TEST(Validate, SaysWhereACycleIs) {
  const auto found =
      check(to_y("  %a = Add(x1 = %x, x2 = %b) : f32[2, 3]\n  %b = Relu(x = %a) : f32[2, 3]\n  %y = Neg(x = %b) : f32[2, 3]"));
  ASSERT_THAT(rules_of(found), ElementsAre("cycle"));
  EXPECT_EQ(found[0].node, "a");
  EXPECT_EQ(found[0].message, "a -> b -> a");
}

TEST(Validate, TellsWhatCannotBeEncoded) {
  ir::Module module = to_y(kRelu);
  module.root().node(1).attrs["_note\xff"] = true;
  EXPECT_THAT(rules_of(check(module)), ElementsAre("not-writable"));
}

TEST(Validate, RefusesMoreThanAFileHolds) {
  ir::Module module = to_y(kRelu);
  auto huge = std::make_shared<ir::Tensor>();
  huge->dtype = ir::DType::kInt8;
  huge->shape = {INT_MAX};
  static const std::byte memory{};
  huge->data = &memory;  // the size is taken from the shape, nothing is read
  module.root().node(1).attrs["_table"] = ir::TensorRef(huge);
  const auto found = check(module);
  ASSERT_THAT(rules_of(found), ElementsAre("file-size"));
}

TEST(Validate, ChecksTheNamesOfDynamicInputs) {
  EXPECT_THAT(check(to_y("  %y = Pack(x0 = %x, x1 = %x) {N = 2} : f32[2, 2, 3]")), IsEmpty());
  EXPECT_THAT(rules_of(check(to_y("  %y = Pack(x0 = %x, x01 = %x) {N = 2} : f32[2, 2, 3]"))), ElementsAre("input-name", "slot-count"));
  EXPECT_THAT(rules_of(check(to_y("  %y = Pack(x1 = %x, x2 = %x) {N = 2} : f32[2, 2, 3]"))), ElementsAre("input-numbering"));
  EXPECT_THAT(rules_of(check(to_y("  %y = Relu(x = %x, x = %x) : f32[2, 3]"))), ElementsAre("input-name"));
}

TEST(Validate, AsksForAMarkWhereSizesBecomeAShape) {
  const auto reshape = [](const char* mark, const char* user) {
    return graph(fmt::format(R"(  %d = Data(x = none) {{index = 1}} : f32[?, 3]
  %s = Shape(x = %d) {{dtype = 9}} : i64[2]
  %i = Const() {{value = i64[] [0]}} : i64[]
  %n = Gather(x = %s, indices = %i) {{_force_unknown_shape = true}} : i64[]
  %m = Mul(x1 = %n, x2 = %n) : i64[]
  %p = Pack(x0 = %m) {{N = 1{}}} : i64[1]
  {}
  %out = NetOutput(input0 = %y, input1 = %x))",
                             mark, user));
  };
  const char* shape = "%y = Reshape(x = %d, shape = %p) : f32[?]";
  EXPECT_THAT(check(reshape(", _force_unknown_shape = true", shape)), IsEmpty());
  EXPECT_THAT(rules_of(check(reshape("", shape))), ElementsAre("unknown-shape-mark"));
  EXPECT_THAT(check(reshape("", "%y = Neg(x = %p) : i64[1]")), IsEmpty());  // plain data
}

TEST(Validate, ChecksLayoutsByRank) {
  const auto norm = [](const char* layout, const char* dims) {
    return to_y(fmt::format(
        "  %m = RefData(x = none) {{index = 1}} : f32[2]\n  %y = BatchNormV3(x = %x@{0}, weight = %m, bias = %m, running_mean = %m, "
        "running_var = %m) : (y = f32{1}@{0}, running_mean = f32[2], running_var = f32[2], save_mean = f32[2], save_rstd = f32[2])",
        layout, dims));
  };
  EXPECT_THAT(check(norm("NCHW", "[1, 2, 1, 1]")), IsEmpty());
  EXPECT_THAT(check(norm("NCDHW", "[1, 2, 1, 1, 1]")), IsEmpty());
  EXPECT_THAT(rules_of(check(norm("NCHW", "[1, 2, 1, 1, 1]"))), ElementsAre("layout", "layout"));
}

TEST(Validate, SurvivesGraphsThatAreBrokenInManyWays) {
  ir::Module module = testing::sample();
  ir::Graph& root = module.root();
  for (ir::NodeId id = 0; id < root.arena_size(); ++id) {
    ir::Node& node = root.node(id);
    for (ir::Input& input : node.inputs) input.value = {id + 3, 9};
    node.outputs.clear();
    node.control = {1000, id};
    node.attrs["value"] = ir::TensorRef();
    node.attrs["location"] = std::int64_t{3};
    node.subgraphs = {"body", "nowhere", "root"};
  }
  EXPECT_GT(check(module).size(), root.arena_size());
}

/// A file's violations after a change of its message.
template <class Change>
std::vector<Violation> changed(const Change& change, const ir::Module& module = to_y(kRelu)) {
  const TemporaryFolder folder;
  pb::ModelDef model = to_proto(module);
  change(*model.mutable_graph(0));
  std::ofstream(folder / "m.air", std::ios::binary) << model.SerializeAsString();
  auto found = validate_file(folder / "m.air", folder / "");
  if (!found) {
    ADD_FAILURE() << found.error().text();
    return {};
  }
  return std::move(*found);
}

pb::OpDef& op(pb::GraphDef& graph, std::string_view name) {
  for (pb::OpDef& candidate : *graph.mutable_op()) {
    if (candidate.name() == name) return candidate;
  }
  ADD_FAILURE() << "no node " << name;
  return *graph.add_op();
}

TEST(ValidateFile, ReportsWhatTheReaderRepaired) {
  EXPECT_THAT(changed([](pb::GraphDef&) {}), IsEmpty());
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { (*op(g, "y").mutable_attr())["_note"].mutable_list()->add_s("a"); })),
              ElementsAre("list-val-type"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { (*op(g, "y").mutable_attr())["_note"]; })), ElementsAre("empty-attr"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { (*op(g, "y").mutable_attr())["_note"].mutable_func(); })),
              ElementsAre("unsupported-attr"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { (*op(g, "y").mutable_attr())["_note"].set_dt(1000); })), ElementsAre("unknown-dtype"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "y").mutable_output_desc(0)->set_layout("nd"); })),
              ElementsAre("unknown-layout"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "y").mutable_output_desc(0)->mutable_shape()->set_dim(0, -7); })),
              ElementsAre("bad-shape", "input-desc-mismatch"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "y").mutable_input_desc(0)->mutable_shape()->set_dim(0, 7); })),
              ElementsAre("input-desc-mismatch"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "y").mutable_input_desc()->Clear(); })), ElementsAre("missing-input-desc"));
}

TEST(ValidateFile, ReportsACauseWithoutItsConsequences) {
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "y").set_input(0, "nobody:0"); })), ElementsAre("unknown-input-source"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "y").set_input(0, "x:5"); })), ElementsAre("bad-index"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { op(g, "x").mutable_input_desc()->Clear(); })), ElementsAre("data-desc"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) {
                op(g, "y").mutable_attr()->erase("_output_name_key");
                op(g, "y").mutable_attr()->erase("_output_name_value");
                op(g, "y").mutable_output_desc(0)->clear_name();
              })),
              ElementsAre("missing-name"));
  EXPECT_THAT(rules_of(changed([](pb::GraphDef& g) { (*op(g, "y").mutable_attr())["_output_name_value"].mutable_list()->add_i(1); })),
              ElementsAre("name-map-size"));
  const ir::Module constant = to_y("  %y = Const() {value = f32[2] [1, 2]} : f32[2]");
  EXPECT_THAT(
      rules_of(changed([](pb::GraphDef& g) { op(g, "y").mutable_attr()->at("value").mutable_t()->mutable_data()->resize(3); }, constant)),
      ElementsAre("const-byte-size"));
  EXPECT_THAT(
      rules_of(changed([](pb::GraphDef& g) { op(g, "y").mutable_attr()->at("value").mutable_t()->mutable_data()->resize(12); }, constant)),
      ElementsAre("const-byte-size"));
}

TEST(ValidateFile, ReportsEqualNames) {
  const auto found = changed([](pb::GraphDef& g) {
    pb::OpDef copy = op(g, "x");
    (*copy.mutable_attr())["index"].set_i(1);
    g.mutable_op()->Add(std::move(copy));
    g.mutable_op()->SwapElements(1, g.op_size() - 1);
    g.mutable_op()->SwapElements(2, g.op_size() - 1);
  });
  EXPECT_THAT(rules_of(found), ElementsAre("duplicate-node-name")) << text_of(found);
}

TEST(ValidateFile, LeavesAloneWhatIsLegalButUnused) {
  EXPECT_THAT(changed([](pb::GraphDef& g) {
                (*g.mutable_attr())["note"].set_i(1);
                op(g, "y").mutable_attr_groups();
              }),
              IsEmpty());
}

TEST(ValidateFile, FailsWhereThereIsNoGraphFile) {
  const TemporaryFolder folder;
  const auto missing = validate_file(folder / "none.air");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  std::ofstream(folder / "text.air") << "not a graph";
  const auto text = validate_file(folder / "text.air");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Errc::kParse);
}

class ValidateWeights : public ::testing::Test {
 protected:
  void file(const std::string& name, std::size_t size) const { std::ofstream(folder_ / name, std::ios::binary) << std::string(size, 'w'); }
  [[nodiscard]] std::vector<std::string> rules_for(const std::string& node) const {
    ValidateOptions options;
    options.directory = folder_ / "";
    options.working_dir = folder_ / "";
    return rules_of(validate(to_y(node), options));
  }
  static std::string constant(const std::string& attrs) {
    return "  %y = FileConstant() {shape = [2], dtype = dtype.f32, " + attrs + "} : f32[2]";
  }

  TemporaryFolder folder_;
};

TEST_F(ValidateWeights, FileConstants) {
  file("w", 8);
  EXPECT_THAT(rules_for(constant("file_path = \"w\"")), IsEmpty());
  EXPECT_THAT(rules_for(constant("file_path = \"w\", offset = 1")), ElementsAre("file-constant-size"));
  EXPECT_THAT(rules_for(constant("file_path = \"w\", offset = -1")), ElementsAre("file-constant-size"));
  EXPECT_THAT(rules_for(constant("location = \"w\", length = 4")), ElementsAre("file-constant-size"));
  EXPECT_THAT(rules_for(constant("file_path = \"v\"")), ElementsAre("file-constant-path"));
  EXPECT_THAT(rules_for("  %y = FileConstant() {shape = [2], dtype = dtype.f16, file_path = \"w\"} : f32[2]"),
              ElementsAre("file-constant-desc"));
  EXPECT_THAT(
      rules_for("  %v = FileConstant() {shape = [1], dtype = dtype.f32, file_path = \"w\"} : f32[1]\n" + constant("file_path = \"w\"")),
      ElementsAre("file-constant-shared"));
}

TEST_F(ValidateWeights, ConstantsBesideTheModel) {
  file("w", 8);
  EXPECT_THAT(rules_for("  %y = Const() {location = \"w\", length = 8} : f32[2]"), IsEmpty());
  EXPECT_THAT(rules_for("  %y = Const() {location = \"w\", length = 4} : f32[1]"), ElementsAre("location-size"));
  EXPECT_THAT(rules_for("  %y = Const() {location = \"w\", length = 8} : f32[3]"), ElementsAre("location-size"));
  EXPECT_THAT(rules_for("  %y = Const() {location = \"v\", length = 8} : f32[2]"), ElementsAre("location-path"));
}

TEST_F(ValidateWeights, ArePackedBelowAByte) {
  file("w", 2);
  EXPECT_THAT(rules_for("  %y = FileConstant() {shape = [3], dtype = dtype.i4, file_path = \"w\"} : i4[3]"), IsEmpty());
}

}  // namespace
}  // namespace airloom::air
