#include "driver/export.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "air/air.h"

namespace airloom::driver {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// relu(x @ first.weight.T + first.bias) @ second.weight.T: 2x2 identities, biases 1 and 2.
constexpr std::string_view kTwoLinears = R"json({
  "version": 1, "name": "export",
  "symbols": {"s0": {"lower": 2, "upper": 64}},
  "weights": [
    {"name": "first.weight", "dtype": "float32", "shape": [2, 2], "storage": 0, "offset": 0, "data": "0000803f00000000000000000000803f"},
    {"name": "first.bias", "dtype": "float32", "shape": [2], "storage": 1, "offset": 0, "data": "0000803f00000040"},
    {"name": "second.weight", "dtype": "float32", "shape": [2, 2], "storage": 2, "offset": 0, "data": "00000040000000000000000000000040"}],
  "inputs": [
    {"name": "p_first_weight", "kind": "weight", "weight": 0},
    {"name": "p_first_bias", "kind": "weight", "weight": 1},
    {"name": "p_second_weight", "kind": "weight", "weight": 2},
    {"name": "x", "kind": "user", "label": "x", "dtype": "float32", "shape": ["s0", 2]}],
  "nodes": [
    {"name": "linear", "target": "aten.linear.default", "args": [{"v": "x"}, {"v": "p_first_weight"}, {"v": "p_first_bias"}],
     "outputs": [{"dtype": "float32", "shape": ["s0", 2]}], "module": "first", "source": "m.py:6: x = self.first(x)", "stack": "{'first'}"},
    {"name": "relu", "target": "aten.relu.default", "args": [{"v": "linear"}],
     "outputs": [{"dtype": "float32", "shape": ["s0", 2]}], "module": "", "source": "m.py:7: x = x.relu()", "stack": ""},
    {"name": "linear_1", "target": "aten.linear.default", "args": [{"v": "relu"}, {"v": "p_second_weight"}, null],
     "outputs": [{"dtype": "float32", "shape": ["s0", 2]}], "module": "second", "source": "m.py:8: return self.second(x)", "stack": "{'second'}"}],
  "outputs": [{"v": "linear_1", "label": "output0", "dtype": "float32", "shape": ["s0", 2]}]
})json";

constexpr std::string_view kAllReduce = R"json({
  "version": 1, "name": "mp", "rank": 0, "world_size": 2,
  "groups": [{"name": "group_0_1", "ranks": [0, 1]}, {"name": "group_0", "ranks": [0]}],
  "inputs": [{"name": "x", "kind": "user", "label": "x", "dtype": "float32", "shape": [2]}],
  "nodes": [
    {"name": "all_reduce", "target": "_c10d_functional.all_reduce.default", "args": [{"v": "x"}, {"str": "sum"}, {"str": "group_0_1"}],
     "outputs": [{"dtype": "float32", "shape": [2]}]},
    {"name": "wait_tensor", "target": "_c10d_functional.wait_tensor.default", "args": [{"v": "all_reduce"}],
     "outputs": [{"dtype": "float32", "shape": [2]}]}],
  "outputs": [{"v": "wait_tensor", "label": "output0", "dtype": "float32", "shape": [2]}]
})json";

constexpr std::string_view kUnknownOps = R"json({
  "version": 1, "name": "export",
  "inputs": [{"name": "x", "kind": "user", "label": "x", "dtype": "float32", "shape": [2]}],
  "nodes": [
    {"name": "a", "target": "my.first.default", "args": [{"v": "x"}], "outputs": [{"dtype": "float32", "shape": [2]}], "module": "one", "source": "m.py:1: a"},
    {"name": "b", "target": "my.second.default", "args": [{"v": "a"}], "outputs": [{"dtype": "float32", "shape": [2]}]},
    {"name": "c", "target": "my.first.default", "args": [{"v": "b"}], "outputs": [{"dtype": "float32", "shape": [2]}]}],
  "outputs": [{"v": "c", "label": "output0", "dtype": "float32", "shape": [2]}]
})json";

class DriverExport : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("airloom_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directory(folder_);
    options_.directory = options_.recorded_dir = folder_.string();
    options_.air_path = path("export.air");
    options_.pbtxt_path = path("dynamo.pbtxt");
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder_)) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
  static std::string content(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  ExportOptions options_;

 private:
  fs::path folder_;
};

TEST_F(DriverExport, BuildGivesTheGraph) {
  const auto built = build(kTwoLinears, {}, {});
  ASSERT_TRUE(built.has_value()) << built.error().text();
  EXPECT_EQ(
      ir::print(built->module),
      R"ir(module "export" {event_num = 0, label_num = 0, memory_size = 0, p2p_memory_size = 0, stream_num = 0, target_type = "MINI", weight_size = 0}
graph "export" {
  %x = Data(x = none) {index = 0} : f32[s0, 2]
  %first.weight = Const() {value = f32[2, 2] weight("first.weight") [1, 0, 0, 1]} : f32[2, 2]
  %first.bias = Const() {value = f32[2] weight("first.bias") [1, 2]} : f32[2]
  %linear = MatMulV2(x1 = %x, x2 = %first.weight, bias = %first.bias) {transpose_x2 = true} : f32[s0, 2]  // first m.py:6: x = self.first(x)
  %relu = Relu(x = %linear) : f32[s0, 2]  // m.py:7: x = x.relu()
  %second.weight = Const() {value = f32[2, 2] weight("second.weight") [2, 0, 0, 2]} : f32[2, 2]
  %linear_1 = MatMulV2(x1 = %relu, x2 = %second.weight) {transpose_x2 = true} : f32[s0, 2]  // second m.py:8: return self.second(x)
  %NetOutput = NetOutput(input0 = %linear_1 {_origin_output_tensor_name = "output0"})
}
)ir");
}

TEST_F(DriverExport, WritesFilesThatReadBack) {
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_TRUE(done.has_value()) << done.error().text();
  EXPECT_THAT(names(), ElementsAre("dynamo.pbtxt", "export.air"));
  EXPECT_EQ(done->air, options_.air_path);
  EXPECT_EQ(done->nodes, 8);
  EXPECT_EQ(done->op_counts.at("Const"), 3);
  EXPECT_EQ(done->weight_bytes, 40);
  EXPECT_TRUE(done->weight_files.empty());
  std::vector<std::string> stages;
  for (const auto& [stage, seconds] : done->timings) stages.push_back(stage);
  EXPECT_THAT(stages, ElementsAre("read", "convert", "passes", "plan", "write", "pbtxt", "check", "commit"));

  const auto built = build(kTwoLinears, {}, {});
  ASSERT_TRUE(built.has_value());
  const auto again = air::read(options_.air_path);
  ASSERT_TRUE(again.has_value()) << again.error().text();
  const auto same = ir::same(built->module, *again);
  EXPECT_TRUE(same.has_value()) << same.error().text();
  EXPECT_THAT(content(options_.pbtxt_path), HasSubstr("name: \"linear_1\""));
}

TEST_F(DriverExport, ExternalWeightsAreFilesThatValidate) {
  options_.external = weights::External::kAlways;
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_TRUE(done.has_value()) << done.error().text();
  EXPECT_THAT(names(), ElementsAre("dynamo.pbtxt", "export.air", "first_bias", "first_weight", "second_weight"));
  EXPECT_EQ(content(path("first_bias")), std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8));
  EXPECT_EQ(done->weight_files.size(), 3U);
  const auto violations = air::validate_file(options_.air_path);
  ASSERT_TRUE(violations.has_value()) << violations.error().text();
  EXPECT_TRUE(violations->empty()) << violations->front().node << ": " << violations->front().message;
}

TEST_F(DriverExport, TheInlineLimitMovesWeightsOut) {
  options_.inline_limit = 16;
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_TRUE(done.has_value()) << done.error().text();
  EXPECT_EQ(done->op_counts.at("FileConstant"), 3);
}

TEST_F(DriverExport, TwoExportsGiveTheSameBytes) {
  ASSERT_TRUE(export_program(kTwoLinears, {}, options_).has_value());
  const std::string air = content(options_.air_path);
  const std::string pbtxt = content(options_.pbtxt_path);
  ASSERT_TRUE(export_program(kTwoLinears, {}, options_).has_value());
  EXPECT_EQ(content(options_.air_path), air);
  EXPECT_EQ(content(options_.pbtxt_path), pbtxt);
}

TEST_F(DriverExport, ModuleStacksAreRecordedOnRequestOnly) {
  const auto recorded = [](const Built& built, std::string_view node) {
    const ir::Graph& graph = built.module.root();
    const auto id = graph.find(node);
    const auto it = graph.node(id).attrs.find("nn_module_stack");
    return it == graph.node(id).attrs.end() ? std::string() : std::get<std::string>(it->second);
  };
  const auto plain = build(kTwoLinears, {}, {});
  const auto with = build(kTwoLinears, {}, {.record_module_stack = true, .disabled_passes = {}});
  ASSERT_TRUE(plain.has_value() && with.has_value());
  EXPECT_EQ(recorded(*plain, "linear"), "");
  EXPECT_EQ(recorded(*with, "linear"), "{'first'}");
  EXPECT_EQ(recorded(*with, "relu"), "");
  options_.record_module_stack = true;
  const auto done = export_program(kTwoLinears, {}, options_);
  EXPECT_TRUE(done.has_value()) << done.error().text();
}

TEST_F(DriverExport, CollectivesGetTheDeploymentFiles) {
  options_.json_dir = options_.directory;
  options_.json_name = "mp_rank";
  const auto done = export_program(kAllReduce, {}, options_);
  ASSERT_TRUE(done.has_value()) << done.error().text();
  EXPECT_THAT(names(), ElementsAre("dynamo.pbtxt", "export.air", "model_relation_config.json", "numa_config.json"));
  const std::string relation = content(path("model_relation_config.json"));
  EXPECT_THAT(relation, HasSubstr("\"mp_rank1.air\""));
  EXPECT_THAT(relation, HasSubstr("\"group_0_1\""));
  EXPECT_EQ(relation.find("\"group_0\""), std::string::npos);
}

TEST_F(DriverExport, WithoutCollectivesThereAreNoDeploymentFiles) {
  options_.json_dir = options_.directory;
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_TRUE(done.has_value()) << done.error().text();
  EXPECT_TRUE(done->json_files.empty());
  EXPECT_THAT(names(), ElementsAre("dynamo.pbtxt", "export.air"));
}

TEST_F(DriverExport, AllUnsupportedOperatorsAreListed) {
  const auto done = export_program(kUnknownOps, {}, options_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Errc::kUnsupported);
  ASSERT_EQ(done.error().unsupported.size(), 2U);
  EXPECT_EQ(done.error().unsupported[0].target, "my.first.default");
  EXPECT_EQ(done.error().unsupported[0].count, 2);
  EXPECT_EQ(done.error().unsupported[0].source, "m.py:1: a");
  EXPECT_THAT(names(), ElementsAre());
  const auto rows = unsupported(kUnknownOps, {});
  ASSERT_TRUE(rows.has_value());
  EXPECT_EQ(rows->size(), 2U);
  EXPECT_TRUE(unsupported(kTwoLinears, {})->empty());
}

TEST_F(DriverExport, BadMessagesAndOptionsAreErrors) {
  EXPECT_EQ(export_program("{", {}, options_).error().code, Errc::kParse);
  options_.disabled_passes = {"no-such-pass"};
  EXPECT_EQ(export_program(kTwoLinears, {}, options_).error().code, Errc::kInvalidArgument);
  options_.disabled_passes.clear();
  options_.air_path.clear();
  EXPECT_EQ(export_program(kTwoLinears, {}, options_).error().code, Errc::kInvalidArgument);
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(DriverExport, AMissingFolderIsAnIoError) {
  options_.air_path = path("missing/export.air");
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Errc::kIo);
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(DriverExport, AnUnwritableFolderIsAnIoError) {
  options_.air_path = "/proc/export.air";  // refuses new files from every user
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Errc::kIo);
  EXPECT_EQ(done.error().where, "/proc/export.air");
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(DriverExport, AFolderInTheWayOfTheGraphIsAnIoError) {
  fs::create_directory(options_.air_path);
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Errc::kIo);
  EXPECT_EQ(done.error().where, options_.air_path);
  EXPECT_THAT(names(), ElementsAre("export.air"));
}

TEST_F(DriverExport, AFailureOfTheLastFileLeavesNothing) {
  options_.external = weights::External::kAlways;
  fs::create_directory(options_.pbtxt_path);
  const auto done = export_program(kTwoLinears, {}, options_);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Errc::kIo);
  EXPECT_THAT(names(), ElementsAre("dynamo.pbtxt"));
}

TEST_F(DriverExport, AnExceptionOfTheListenerLeavesNothing) {
  const auto stop_at = [](std::string_view wanted) {
    return [wanted](std::string_view stage, std::int64_t, std::int64_t) {
      if (stage == wanted) throw std::runtime_error("stop");
    };
  };
  for (const char* stage : {"read", "plan", "write", "pbtxt", "check", "commit"}) {
    EXPECT_THROW((void)export_program(kTwoLinears, {}, options_, stop_at(stage)), std::runtime_error) << stage;
    EXPECT_THAT(names(), ElementsAre()) << stage;
  }
}

TEST_F(DriverExport, AFailureKeepsTheEarlierExport) {
  ASSERT_TRUE(export_program(kTwoLinears, {}, options_).has_value());
  const std::string before = content(options_.air_path);
  EXPECT_FALSE(export_program(kUnknownOps, {}, options_).has_value());
  EXPECT_EQ(content(options_.air_path), before);
}

}  // namespace
}  // namespace airloom::driver
