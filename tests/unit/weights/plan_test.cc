#include "weights/plan.h"

#include <cctype>
#include <set>

#include <gtest/gtest.h>

#include "air/air.h"

namespace airloom {
namespace {

using weights::External;
using weights::Options;

bool never(std::string_view) { return false; }

ir::Tensor view(const std::vector<float>& memory, std::vector<std::int64_t> shape, std::vector<std::int64_t> stride,
                const std::string& weight) {
  ir::Tensor out;
  out.shape = std::move(shape);
  out.stride = std::move(stride);
  out.data = reinterpret_cast<const std::byte*>(memory.data());
  out.weight = weight;
  return out;
}

ir::NodeId add_const(ir::Graph& graph, const std::string& name, ir::Tensor tensor) {
  ir::Node node;
  node.name = name;
  node.type = "Const";
  ir::TensorType type;
  type.dtype = tensor.dtype;
  type.shape.assign(tensor.shape.begin(), tensor.shape.end());
  node.outputs.push_back({"y", type, ir::Format::kND, false, {}});
  node.attrs["value"] = std::make_shared<const ir::Tensor>(std::move(tensor));
  return graph.add(std::move(node));
}

/// Two tied weights, a transposed view of them, another weight and a computed constant, all used by one node.
struct Model {
  std::vector<float> first = std::vector<float>(64, 1.0F);
  std::vector<float> second = std::vector<float>(32, 2.0F);
  std::vector<float> constant = std::vector<float>(128, 3.0F);
  ir::Module module;

  Model() {
    ir::Graph& graph = module.graphs.emplace_back();
    const std::vector<ir::NodeId> ids = {
        add_const(graph, "embed.weight", view(first, {8, 8}, {}, "embed.weight")),
        add_const(graph, "head.weight", view(first, {8, 8}, {8, 1}, "head.weight")),
        add_const(graph, "embed.t", view(first, {8, 8}, {1, 8}, "embed.t")),
        add_const(graph, "bias", view(second, {32}, {}, "bias")),
        add_const(graph, "table", view(constant, {128}, {}, "")),
    };
    ir::Node user;
    user.name = "user";
    user.type = "AddN";
    int k = 0;
    for (ir::NodeId id : ids) user.inputs.push_back({"x" + std::to_string(k++), {id, 0}, ir::Format::kND, {}});
    user.control = {ids[1]};
    graph.add(std::move(user));
  }
  ir::Graph& graph() { return module.root(); }
};

TEST(WeightsFileName, PlainNames) {
  EXPECT_EQ(weights::file_name("encoder.layer.0.weight", never), "encoder_layer_0_weight");
  EXPECT_EQ(weights::file_name("w", never), "w");
}

TEST(WeightsFileName, UnsafeLongAndClashingNames) {
  const std::set<std::string, std::less<>> taken = {"a_b_c"};
  const auto is_taken = [&](std::string_view name) { return taken.contains(name); };
  const std::string clash = weights::file_name("a_b.c", is_taken);
  EXPECT_EQ(clash.substr(0, 6), "a_b_c_");
  EXPECT_EQ(clash.size(), 14U);
  EXPECT_NE(clash, weights::file_name("a.b_c", is_taken));

  const std::string hostile[] = {"../../etc/passwd",         "a/b", "..", "", "weiß", "nul\0byte", "a b", "层.权重", std::string(300, 'n'),
                                 std::string(300, '.') + "x"};
  std::set<std::string> seen;
  for (const std::string& name : hostile) {
    const std::string file = weights::file_name(name, never);
    EXPECT_LE(file.size(), 255U);
    EXPECT_FALSE(file.empty());
    EXPECT_EQ(file.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"), std::string::npos) << file;
    EXPECT_TRUE(seen.insert(file).second) << file;
  }
  EXPECT_EQ(weights::file_name(std::string(255, 'n'), never), std::string(255, 'n'));
  EXPECT_NE(weights::file_name(std::string(300, 'n'), never), weights::file_name(std::string(301, 'n'), never));
  // the suffix is FNV-1a of the whole name
  EXPECT_EQ(weights::file_name("a/b", never), weights::file_name("a/b", never));
}

TEST(WeightsPlan, SmallModelStaysInlineAndTiedWeightsMerge) {
  Model model;
  const auto plan = weights::apply(model.module, {});
  ASSERT_TRUE(plan) << plan.error().text();
  EXPECT_TRUE(plan->files.empty());
  EXPECT_EQ(plan->external_bytes, 0);
  EXPECT_EQ(plan->inline_bytes, 256 + 256 + 128 + 512);
  ir::Graph& graph = model.graph();
  EXPECT_EQ(graph.find("head.weight"), ir::kNoNode);
  const ir::Node& user = graph.node(graph.find("user"));
  EXPECT_EQ(user.inputs[0].value, user.inputs[1].value);
  EXPECT_NE(user.inputs[0].value, user.inputs[2].value);
  EXPECT_EQ(user.control, std::vector<ir::NodeId>{graph.find("embed.weight")});
  EXPECT_EQ(graph.node(graph.find("bias")).type, "Const");
}

TEST(WeightsPlan, AlwaysMakesFileConstants) {
  Model model;
  Options options;
  options.external = External::kAlways;
  options.recorded_dir = "mp/rank_0";
  const auto plan = weights::apply(model.module, options);
  ASSERT_TRUE(plan) << plan.error().text();
  ASSERT_EQ(plan->files.size(), 3U);
  EXPECT_EQ(plan->files[0].name, "embed_weight");
  EXPECT_EQ(plan->files[1].name, "embed_t");
  EXPECT_EQ(plan->files[2].name, "bias");
  EXPECT_EQ(plan->external_bytes, 256 + 256 + 128);
  EXPECT_EQ(plan->inline_bytes, 512);
  const ir::Node& node = model.graph().node(model.graph().find("embed.weight"));
  EXPECT_EQ(node.type, "FileConstant");
  EXPECT_EQ(node.attrs.at("file_path"), ir::Attr(std::string("mp/rank_0/embed_weight")));
  EXPECT_EQ(node.attrs.at("file_id"), ir::Attr(std::string()));
  EXPECT_EQ(node.attrs.at("shape"), ir::Attr(ir::Ints{8, 8}));
  EXPECT_EQ(node.attrs.at("dtype"), ir::Attr(ir::DType::kFloat));
  EXPECT_FALSE(node.attrs.contains("value"));
  EXPECT_EQ(node.outputs[0].name, "y");
  EXPECT_EQ(model.graph().node(model.graph().find("table")).type, "Const");
}

TEST(WeightsPlan, AutoFollowsTheInlineLimit) {
  Model model;
  ASSERT_TRUE(weights::apply(model.module, {}));  // merges, stays inline
  const std::int64_t size = air::byte_size(model.module).value_or(0);
  ASSERT_GT(size, 0);
  Options options;
  options.inline_limit = size;
  auto plan = weights::apply(model.module, options);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->files.empty());
  options.inline_limit = size - 1;
  plan = weights::apply(model.module, options);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->files.size(), 3U);
}

TEST(WeightsPlan, LargeConstantsGoOutsideWhenTheFileIsFull) {
  Model model;
  Options options;
  options.external = External::kAlways;
  Model probe;
  ASSERT_TRUE(weights::apply(probe.module, options));
  const std::int64_t size = air::byte_size(probe.module).value_or(0);
  options.file_limit = size - 1;
  const auto plan = weights::apply(model.module, options);
  ASSERT_TRUE(plan) << plan.error().text();
  EXPECT_EQ(plan->files.size(), 4U);
  EXPECT_EQ(plan->files.back().name, "table");
  EXPECT_EQ(plan->inline_bytes, 0);
  EXPECT_LE(air::byte_size(model.module).value_or(INT64_MAX), options.file_limit);
  EXPECT_EQ(model.graph().node(model.graph().find("table")).attrs.at("file_path"), ir::Attr(std::string("table")));
}

TEST(WeightsPlan, TooLargeIsAnError) {
  Model model;
  Options options;
  options.file_limit = 100;
  auto plan = weights::apply(model.module, options);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Errc::kTooLarge);
  Model other;
  options.external = External::kNever;
  options.file_limit = 1000;
  plan = weights::apply(other.module, options);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Errc::kTooLarge);
  EXPECT_FALSE(plan.error().hint.empty());
  EXPECT_EQ(other.graph().node(other.graph().find("bias")).type, "Const");
}

TEST(WeightsPlan, FileNamesNeverMeet) {
  const std::vector<float> memory(64);
  ir::Module module;
  ir::Graph& graph = module.graphs.emplace_back();
  const std::string names[] = {"a.b_c", "a_b.c", "A.b_c", "a/b_c", std::string(300, 'k'), std::string(300, 'k') + "2"};
  std::int64_t offset = 0;
  for (const std::string& name : names) {
    ir::Tensor tensor = view(memory, {4}, {}, name);
    tensor.data += 16 * offset++;
    add_const(graph, "node" + std::to_string(offset), std::move(tensor));
  }
  Options options;
  options.external = External::kAlways;
  const auto plan = weights::apply(module, options);
  ASSERT_TRUE(plan) << plan.error().text();
  ASSERT_EQ(plan->files.size(), 6U);
  EXPECT_EQ(plan->files[0].name, "a_b_c");
  std::set<std::string> lower;
  for (const auto& file : plan->files) {
    std::string key = file.name;
    for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    EXPECT_TRUE(lower.insert(key).second) << file.name;
    EXPECT_LE(file.name.size(), 255U);
  }
}

TEST(WeightsPlan, SameMemoryInTwoGraphsIsOneFile) {
  const std::vector<float> memory(64);
  ir::Module module;
  add_const(module.graphs.emplace_back(), "w", view(memory, {64}, {}, "w"));
  module.graphs.emplace_back().name = "body";
  add_const(module.graphs.back(), "body_w", view(memory, {64}, {}, "w"));
  Options options;
  options.external = External::kAlways;
  const auto plan = weights::apply(module, options);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->files.size(), 1U);
  EXPECT_EQ(module.graphs[0].node(0).attrs.at("file_path"), module.graphs[1].node(0).attrs.at("file_path"));
}

TEST(WeightsPlan, EmptyTensorsStayInline) {
  ir::Module module;
  ir::Tensor empty;
  empty.shape = {0, 4};
  empty.weight = "none";
  add_const(module.graphs.emplace_back(), "none", std::move(empty));
  Options options;
  options.external = External::kAlways;
  const auto plan = weights::apply(module, options);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->files.empty());
  EXPECT_EQ(module.root().node(0).type, "Const");
}

}  // namespace
}  // namespace airloom
