#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program/program.h"

namespace airloom::program {
namespace {

using ::testing::HasSubstr;

constexpr const char* kMessage = R"({
  "version": 1, "name": "m", "rank": 1, "world_size": 2,
  "groups": [{"name": "g", "ranks": [0, 1]}],
  "symbols": {"s0": {"lower": 2, "upper": 512}},
  "weights": [{"name": "lin.weight", "dtype": "float32", "shape": [1, 2], "data": "0000803f00000040"}],
  "inputs": [{"name": "p", "kind": "weight", "weight": 0}, {"name": "x", "kind": "user", "label": "x", "dtype": "bfloat16", "shape": ["s0", 2]},
             {"name": "n", "kind": "symint", "label": "n", "symbol": "s1"}],
  "nodes": [{"name": "y", "target": "t.a.b", "args": [{"v": "x"}, null, true, 3, 2.0, {"f": "-inf"}, {"e": "s0*2"}, {"str": "add"}, {"dtype": "int8"}, {"memory_format": "c"}, [1, {"v": "p"}]],
             "outputs": [{"dtype": "bfloat16", "shape": ["s0", 2]}, null, {"e": "u0"}], "module": "a.b", "source": "f.py:1: x"}],
  "outputs": [{"v": "y", "label": "out", "dtype": "bfloat16", "shape": ["s0", 2]}, {"e": "s0", "label": "n"}, {"c": true, "label": "flag"}, {"v": "y", "mutates": "x", "dtype": "bfloat16", "shape": ["s0", 2]}]
})";

TEST(ProgramRead, KeepsEverythingTheMessageSays) {
  const auto read_back = read(kMessage, {});
  ASSERT_TRUE(read_back) << read_back.error().text();
  const Program& program = *read_back;
  EXPECT_EQ(program.rank, 1);
  EXPECT_EQ(program.groups.at(0).ranks, (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(program.symbols.at("s0").upper, 512);
  EXPECT_EQ(program.inputs[0].tensor->float_at(1), 2.0);
  EXPECT_EQ(program.inputs[0].label, "lin.weight");
  EXPECT_EQ(program.inputs[1].type.dtype, DType::kBFloat16);
  EXPECT_EQ(program.inputs[2].kind, InputKind::kSymInt);
  const Node& node = program.nodes.at(0);
  ASSERT_EQ(node.args.size(), 11U);
  EXPECT_TRUE(std::holds_alternative<Ref>(node.args[0].value));
  EXPECT_TRUE(std::holds_alternative<None>(node.args[1].value));
  EXPECT_TRUE(std::get<bool>(node.args[2].value));
  EXPECT_EQ(std::get<Expr>(node.args[3].value), Expr(3));
  EXPECT_EQ(std::get<double>(node.args[4].value), 2.0);
  EXPECT_LT(std::get<double>(node.args[5].value), -1e308);
  EXPECT_EQ(std::get<Expr>(node.args[6].value).str(), "2*s0");
  EXPECT_EQ(std::get<std::string>(node.args[7].value), "add");
  EXPECT_EQ(std::get<DType>(node.args[8].value), DType::kInt8);
  EXPECT_EQ(std::get<Word>(node.args[9].value).kind, "memory_format");
  EXPECT_EQ(std::get<ArgList>(node.args[10].value).size(), 2U);
  EXPECT_TRUE(std::holds_alternative<Expr>(node.outputs[2].type));
  EXPECT_EQ(node.origin->module, "a.b");
  EXPECT_EQ(program.outputs[3].mutates, "x");
}

TEST(ProgramRead, SaysWhereAMessageIsMalformed) {
  const std::pair<const char*, const char*> rows[] = {
      {"", "program message"},
      {"[]", "not a JSON object"},
      {R"({"version": 2, "name": "m"})", "/version"},
      {R"({"version": 1})", "\"name\" is missing"},
      {R"({"version": 1, "name": "m"})", "/inputs"},
      {R"({"version": 1, "name": "m", "inputs": [{"name": "x", "kind": "odd"}], "nodes": [], "outputs": []})", "/inputs/0/kind"},
      {R"({"version": 1, "name": "m", "inputs": [{"name": "x", "kind": "user", "dtype": "float7", "shape": []}], "nodes": [], "outputs": []})",
       "float7"},
      {R"({"version": 1, "name": "m", "inputs": [{"name": "x", "kind": "user", "dtype": "int8", "shape": [-1]}], "nodes": [], "outputs": []})",
       "negative size"},
      {R"({"version": 1, "name": "m", "inputs": [{"name": "x", "kind": "user", "dtype": "int8", "shape": ["s0 +"]}], "nodes": [], "outputs": []})",
       "/inputs/0/shape"},
      {R"({"version": 1, "name": "m", "inputs": [{"name": "x", "kind": "weight", "weight": 0}], "nodes": [], "outputs": []})",
       "no such row"},
      {R"({"version": 1, "name": "m", "inputs": [], "nodes": [{"name": "a", "target": "t", "args": [{"v": "q"}], "outputs": []}], "outputs": []})",
       "not defined before its use"},
      {R"({"version": 1, "name": "m", "weights": [{"name": "w", "dtype": "float32", "shape": [9223372036854775807, 9], "data": ""}], "inputs": [], "nodes": [], "outputs": []})",
       "not the shape"},
      {R"({"version": 1, "name": "m", "weights": [{"name": "w", "dtype": "float32", "shape": [2], "data": "00"}], "inputs": [], "nodes": [], "outputs": []})",
       "1 bytes"},
      {R"({"version": 1, "name": "m", "weights": [{"name": "w", "dtype": "float32", "shape": [2]}], "inputs": [], "nodes": [], "outputs": []})",
       "no memory"},
  };
  for (const auto& [text, part] : rows) {
    const auto out = read(text, {});
    ASSERT_FALSE(out) << text;
    EXPECT_EQ(out.error().code, Errc::kParse) << text;
    EXPECT_THAT(out.error().text(), HasSubstr(part)) << text;
  }
}

TEST(ProgramRead, SurvivesEveryCut) {
  const std::string whole = kMessage;
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) EXPECT_FALSE(read(whole.substr(0, size), {})) << size;
}

TEST(ProgramRead, RefusesNestingThatWouldExhaustTheStack) {
  const std::string deep(200, '[');
  const std::string text = R"({"version":1,"name":"m","inputs":[],"outputs":[],"nodes":[{"name":"a","target":"t","outputs":[],"args":[)" +
                           deep + std::string(200, ']') + "]}]}";
  const auto out = read(text, {});
  ASSERT_FALSE(out);
  EXPECT_THAT(out.error().text(), HasSubstr("nested too deeply"));
}

}  // namespace
}  // namespace airloom::program
