#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include <nlohmann/json.hpp>

#include "air/air.h"
#include "ir/graph.h"
#include "sample.h"

namespace airloom::air {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

ir::Module model() {
  auto module = ir::parse(R"(module "net"
graph "g" {
  %n = Data(x = none) {index = 1} : i64[] host
  %x = Data(x = none) {index = 0} : bf16[?, 3]
  %w = Const() {value = f32[2] [0.1, -2]} : f32[2]
  %big = Const() {value = f16[32] absent} : f16[32]
  %f = FileConstant() {shape = [4], dtype = dtype.f32, file_path = "export_file/f"} : f32[4]
  %op = Op(a = %x, b = none, c0 = %w) {f = 1e-05, flags = [true, false], dt = dtype.f32, lists = [[1], [2, 3]], s = "text"} : (y = f32[*], z = f32[1]) after(%n)
  %out = NetOutput(input0 = %op:1 {_origin_output_tensor_name = "logits"}, input1 = %x {_origin_output_tensor_name = "echo"})
})");
  if (!module) {
    ADD_FAILURE() << module.error().text();
    return {};
  }
  return std::move(*module);
}

Json node_named(const Json& all, const std::string& name) {
  for (const Json& node : all["nodes"]) {
    if (node["name"] == name) return node;
  }
  ADD_FAILURE() << "no node " << name;
  return {};
}

TEST(Inspect, JsonHasTheWholeModel) {
  const Json all = Json::parse(inspect_json(model()));
  EXPECT_EQ(all["inputs"], Json::parse(R"([{"name": "x", "dtype": "bfloat16", "shape": [-1, 3], "index": 0},
                                           {"name": "n", "dtype": "int64", "shape": [], "index": 1}])"));
  EXPECT_EQ(all["outputs"], Json::parse(R"([{"name": "logits", "source": "op:1", "dtype": "float32", "shape": [1]},
                                            {"name": "echo", "source": "x:0", "dtype": "bfloat16", "shape": [-1, 3]}])"));
  EXPECT_EQ(all["op_counts"], Json::parse(R"({"Const": 2, "Data": 2, "FileConstant": 1, "NetOutput": 1, "Op": 1})"));
  EXPECT_EQ(all["weight_bytes"], 8 + 64 + 16);
  EXPECT_EQ(all["external_files"], Json::parse(R"(["export_file/f"])"));
  EXPECT_EQ(all["nodes"].size(), 7U);
  EXPECT_EQ(node_named(all, "op"), Json::parse(R"({"name": "op", "type": "Op", "inputs": ["x:0", "", "w:0", "n:-1"],
      "attrs": {"dt": "float32", "f": 1e-05, "flags": [true, false], "lists": [[1], [2, 3]], "s": "text"}})"));
  EXPECT_EQ(node_named(all, "w")["attrs"]["value"], Json::parse(R"({"dtype": "float32", "shape": [2], "data": [0.1, -2.0]})"));
  EXPECT_EQ(node_named(all, "big")["attrs"]["value"], Json::parse(R"({"dtype": "float16", "shape": [32]})"));
  EXPECT_EQ(node_named(all, "x")["inputs"], Json::array());
}

TEST(Inspect, JsonKeepsItsKeysInOrderAndIsDeterministic) {
  const std::string text = inspect_json(model());
  EXPECT_EQ(text, inspect_json(model()));
  std::vector<std::string> keys;
  const Json all = Json::parse(text);
  for (const auto& [key, value] : all.items()) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::ElementsAre("inputs", "outputs", "nodes", "op_counts", "weight_bytes", "external_files"));
  EXPECT_THAT(text, HasSubstr("{\n  \"inputs\": ["));
}

TEST(Inspect, JsonHoldsNumbersThatJsonLacks) {
  ir::Module module = model();
  ir::Attrs& attrs = module.root().node(module.root().find("op")).attrs;
  attrs["f"] = std::numeric_limits<double>::infinity();
  attrs["s"] = std::string("\xff");
  attrs["c"] = std::make_shared<const ir::Tensor>(ir::Tensor::from_floats(ir::DType::kComplex64, {1}, std::vector<double>{1.5}));
  attrs["u"] = std::make_shared<const ir::Tensor>(ir::Tensor::from_ints(ir::DType::kUInt64, {1}, std::vector<std::int64_t>{-1}));
  attrs["nan"] = testing::floats({1}, {std::numeric_limits<double>::quiet_NaN()});
  const Json got = node_named(Json::parse(inspect_json(module)), "op")["attrs"];
  EXPECT_EQ(got["f"], "inf");
  EXPECT_EQ(got["c"]["data"], Json::parse("[[1.5, 0.0]]"));
  EXPECT_EQ(got["u"]["data"][0], UINT64_MAX);
  EXPECT_EQ(got["nan"]["data"][0], "nan");
  EXPECT_TRUE(got["s"].is_string());
}

TEST(Inspect, SubgraphsAreNamed) {
  const Json all = Json::parse(inspect_json(testing::sample()));
  EXPECT_EQ(node_named(all, "op")["subgraphs"], Json::parse(R"(["body"])"));
  EXPECT_EQ(node_named(all, "op")["graph"], "root");
  EXPECT_EQ(node_named(all, "body_out")["graph"], "body");
  EXPECT_EQ(all["inputs"].size(), 2U);
}

TEST(Inspect, AnEmptyModuleIsNothing) {
  EXPECT_EQ(Json::parse(inspect_json({}))["nodes"], Json::array());
  EXPECT_THAT(inspect_text({}), HasSubstr("0 nodes"));
}

TEST(Inspect, TextIsATable) {
  EXPECT_EQ(inspect_text(model()), R"(net: 7 nodes in 1 graph

Inputs (2)
  x  bfloat16[-1, 3]
  n  int64[]

Outputs (2)
  logits  float32[1]       from op:1
  echo    bfloat16[-1, 3]  from x:0

Operators (5)
       2  Const
       2  Data
       1  FileConstant
       1  NetOutput
       1  Op

Constants: 3 of 88 bytes
  in export_file/f
)");
}

}  // namespace
}  // namespace airloom::air
