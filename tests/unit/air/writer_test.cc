#include <algorithm>
#include <cstring>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "sample.h"

namespace airloom {
namespace {

using testing::find_op;
namespace pb = ::ge::proto;
using List = pb::AttrDef::ListValue;

TEST(AirWriter, SizeIsExactAndOutputDeterministic) {
  const ir::Module module = testing::sample();
  const auto bytes = testing::to_bytes(module);
  ASSERT_TRUE(bytes) << bytes.error().text();
  const auto size = air::byte_size(module);
  ASSERT_TRUE(size);
  EXPECT_EQ(*size, static_cast<std::int64_t>(bytes->size()));
  EXPECT_EQ(*bytes, *testing::to_bytes(testing::sample()));
}

TEST(AirWriter, DescriptorsAreCanonical) {
  const pb::ModelDef model = testing::to_proto(testing::sample());
  ASSERT_EQ(model.graph_size(), 2);
  EXPECT_EQ(model.attr().at("target_type").s(), "MINI");
  for (const auto& graph : model.graph()) {
    for (const auto& op : graph.op()) {
      for (const auto* descs : {&op.input_desc(), &op.output_desc()}) {
        for (const auto& desc : *descs) {
          ASSERT_TRUE(desc.attr().contains("format_for_int")) << op.name() << " " << desc.name();
          ASSERT_TRUE(desc.attr().contains("origin_shape_initialized"));
          EXPECT_FALSE(desc.name().empty());
          if (desc.attr().contains("_is_unfed_optional")) continue;
          EXPECT_TRUE(desc.attr().at("origin_shape_initialized").b());
          const List& origin = desc.attr().at("origin_shape").list();
          EXPECT_EQ(origin.val_type(), List::VT_LIST_INT);
          EXPECT_TRUE(std::equal(origin.i().begin(), origin.i().end(), desc.shape().dim().begin(), desc.shape().dim().end()));
          EXPECT_EQ(desc.attr().at("origin_format").s(), desc.layout());
          EXPECT_EQ(desc.attr().at("format_for_int").i(), ir::ge_number(ir::format_from_string(desc.layout())));
          EXPECT_EQ(desc.attr().at("origin_format_for_int").i(), desc.attr().at("format_for_int").i());
        }
      }
    }
  }
  const pb::OpDef* op = find_op(model.graph(0), "op");
  ASSERT_NE(op, nullptr);
  EXPECT_EQ(op->input_desc(0).layout(), "NCHW");
  EXPECT_EQ(op->input_desc(0).attr().at("mark").i(), 7);
  EXPECT_EQ(op->input_desc(0).device_type(), "NPU");
  EXPECT_EQ(op->input_desc(3).device_type(), "CPU");
  EXPECT_EQ(op->output_desc(0).dtype(), pb::DT_FLOAT16);
  EXPECT_EQ(op->output_desc(1).dtype(), pb::DT_BF16);
  EXPECT_TRUE(op->output_desc(1).attr().at("origin_shape").has_list());
}

TEST(AirWriter, EdgesNamesAndOrder) {
  const pb::ModelDef model = testing::to_proto(testing::sample());
  const pb::GraphDef& graph = model.graph(0);
  for (int i = 0; i < graph.op_size(); ++i) EXPECT_EQ(graph.op(i).id(), i);
  const pb::OpDef* op = find_op(graph, "op");
  ASSERT_NE(op, nullptr);
  EXPECT_EQ(std::vector<std::string>(op->input().begin(), op->input().end()),
            (std::vector<std::string>{"x:0", "", "w:0", "n:0", "empty:0", "scalar:-1"}));
  ASSERT_EQ(op->input_desc_size(), 5);
  EXPECT_EQ(op->input_desc(1).dtype(), pb::DT_UNDEFINED);
  EXPECT_EQ(op->input_desc(1).layout(), "");
  EXPECT_EQ(op->input_desc(1).attr().at("_is_unfed_optional").i(), 1);
  const List& key = op->attr().at("_input_name_key").list();
  EXPECT_EQ(key.val_type(), List::VT_LIST_STRING);
  EXPECT_EQ(ir::Strings(key.s().begin(), key.s().end()), (ir::Strings{"a", "b", "c0", "c1", "c2"}));
  const List& value = op->attr().at("_input_name_value").list();
  EXPECT_EQ(value.val_type(), List::VT_LIST_INT);
  EXPECT_EQ(ir::Ints(value.i().begin(), value.i().end()), (ir::Ints{0, 1, 2, 3, 4}));
  EXPECT_EQ(op->subgraph_name(0), "body");
  // graph inputs in index order, outputs by producer
  EXPECT_EQ(ir::Strings(graph.input().begin(), graph.input().end()), (ir::Strings{"x:0", "n:0"}));
  EXPECT_EQ(ir::Strings(graph.output().begin(), graph.output().end()), (ir::Strings{"op:1", "x:0"}));
  const pb::OpDef* data = find_op(graph, "x");
  ASSERT_NE(data, nullptr);
  pb::TensorDescriptor in = data->input_desc(0);
  pb::TensorDescriptor out = data->output_desc(0);
  EXPECT_EQ(in.name(), "x");
  EXPECT_EQ(out.name(), "y");
  in.clear_name();
  out.clear_name();
  std::string in_text;
  std::string out_text;
  google::protobuf::TextFormat::PrintToString(in, &in_text);
  google::protobuf::TextFormat::PrintToString(out, &out_text);
  EXPECT_EQ(in_text, out_text);
}

TEST(AirWriter, AttributesHaveTheirKind) {
  const pb::ModelDef model = testing::to_proto(testing::sample());
  const pb::OpDef* op = find_op(model.graph(0), "op");
  ASSERT_NE(op, nullptr);
  const auto& attr = op->attr();
  EXPECT_EQ(attr.at("dt").dt(), 9);
  EXPECT_EQ(attr.at("f").f(), 0.5F);
  EXPECT_EQ(attr.at("ls0").list().val_type(), List::VT_LIST_STRING);
  EXPECT_EQ(attr.at("li0").list().val_type(), List::VT_LIST_INT);
  EXPECT_EQ(attr.at("lf0").list().val_type(), List::VT_LIST_FLOAT);
  EXPECT_EQ(attr.at("lb0").list().val_type(), List::VT_LIST_BOOL);
  EXPECT_EQ(attr.at("ld0").list().val_type(), List::VT_LIST_DATA_TYPE);
  EXPECT_EQ(attr.at("ld").list().dt(1), 27);
  EXPECT_EQ(attr.at("ll").list_list_int().list_list_i(0).list_i(1), 2);
  const pb::TensorDef& weight = find_op(model.graph(0), "w")->attr().at("value").t();
  EXPECT_EQ(weight.data().size(), 24U);
  EXPECT_EQ(weight.desc().dtype(), pb::DT_FLOAT);
  EXPECT_EQ(weight.desc().shape().dim(1), 3);
  EXPECT_EQ(weight.desc().layout(), "ND");
  EXPECT_EQ(find_op(model.graph(0), "empty")->attr().at("value").t().data().size(), 0U);
  EXPECT_EQ(find_op(model.graph(0), "scalar")->attr().at("value").t().data().size(), 4U);
}

TEST(AirWriter, FileConstantHasNoOriginShape) {
  ir::Module module;
  ir::Graph& graph = module.graphs.emplace_back();
  ir::Node node;
  node.name = "w";
  node.type = "FileConstant";
  node.outputs.push_back({"y", testing::type(ir::DType::kBFloat16, {4, 5}), ir::Format::kND, false, {}});
  node.attrs["shape"] = ir::Ints{4, 5};
  node.attrs["dtype"] = ir::DType::kBFloat16;
  node.attrs["file_path"] = std::string("d/w");
  graph.add(std::move(node));
  const pb::ModelDef model = testing::to_proto(module);
  const auto& desc = model.graph(0).op(0).output_desc(0);
  EXPECT_EQ(desc.dtype(), pb::DT_BF16);
  EXPECT_FALSE(desc.attr().at("origin_shape_initialized").b());
  EXPECT_FALSE(desc.attr().contains("origin_shape"));
  EXPECT_EQ(model.graph(0).op(0).attr().at("dtype").dt(), 27);
}

TEST(AirWriter, TrailingUnfedInputsAreLeftOut) {
  ir::Module module = testing::sample();
  ir::Graph& graph = module.root();
  graph.node(graph.find("op")).inputs.push_back({"d", {}, ir::Format::kND, {}});
  const pb::ModelDef model = testing::to_proto(module);
  EXPECT_EQ(find_op(model.graph(0), "op")->input_desc_size(), 5);
}

TEST(AirWriter, StridedTensorIsGathered) {
  const std::vector<float> memory = {0, 1, 2, 3, 4, 5};
  auto view = std::make_shared<ir::Tensor>();
  view->shape = {3, 2};
  view->stride = {1, 3};
  view->data = reinterpret_cast<const std::byte*>(memory.data());
  ir::Module module;
  testing::add_const(module.graphs.emplace_back(), "w", view);
  const pb::ModelDef model = testing::to_proto(module);
  const std::string& data = model.graph(0).op(0).attr().at("value").t().data();
  ASSERT_EQ(data.size(), 24U);
  std::vector<float> read(6);
  std::memcpy(read.data(), data.data(), data.size());
  EXPECT_EQ(read, (std::vector<float>{0, 3, 1, 4, 2, 5}));
}

TEST(AirWriter, RefusesWhatCannotBeWritten) {
  ir::Module cycle = testing::sample();
  ir::Graph& graph = cycle.root();
  graph.node(graph.find("op")).control.push_back(graph.find("NetOutput"));
  EXPECT_EQ(testing::to_bytes(cycle).error().code, Errc::kInvalidGraph);

  ir::Module dangling = testing::sample();
  dangling.root().node(dangling.root().find("op")).inputs[0].value.index = 4;
  EXPECT_EQ(testing::to_bytes(dangling).error().code, Errc::kInvalidGraph);

  ir::Module text = testing::sample();
  text.root().rename(text.root().find("op"), "bad\xff");
  EXPECT_EQ(testing::to_bytes(text).error().code, Errc::kInvalidGraph);

  EXPECT_EQ(testing::to_bytes(ir::Module{}).error().code, Errc::kInvalidGraph);
}

TEST(AirWriter, TooLargeFailsBeforeTheFirstByte) {
  // 2^31 bytes that are never touched: the size rule looks at shapes only.
  const std::byte nothing{};
  auto huge = std::make_shared<ir::Tensor>();
  huge->dtype = ir::DType::kInt8;
  huge->shape = {std::int64_t{1} << 31};
  huge->data = &nothing;
  ir::Module module;
  testing::add_const(module.graphs.emplace_back(), "w", huge);
  EXPECT_GT(air::byte_size(module).value_or(0), std::int64_t{1} << 31);
  int calls = 0;
  const Status status = air::write(module, [&](const void*, std::size_t) -> Status {
    ++calls;
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kTooLarge);
  EXPECT_EQ(calls, 0);
}

TEST(AirWriter, SinkErrorStopsTheWrite) {
  const ir::Module module = testing::sample();
  const auto total = air::byte_size(module);
  ASSERT_TRUE(total);
  for (std::int64_t room = 0; room < *total; room += 97) {
    std::int64_t taken = 0;
    const Status status = air::write(module, [&](const void*, std::size_t size) -> Status {
      taken += static_cast<std::int64_t>(size);
      if (taken > room) return fail(Errc::kIo, "full");
      return {};
    });
    ASSERT_FALSE(status) << room;
    EXPECT_EQ(status.error().message, "full");
  }
}

std::string pbtxt(const ir::Module& module) {
  std::string out;
  const Status status = air::write_pbtxt(module, [&](const void* data, std::size_t size) -> Status {
    out.append(static_cast<const char*>(data), size);
    return {};
  });
  EXPECT_TRUE(status) << status.error().text();
  return out;
}

TEST(AirPbtxt, Layout) {
  ir::Module module;
  ir::Graph& graph = module.graphs.emplace_back();
  const ir::NodeId x = testing::add_data(graph, "x", 0, testing::type(ir::DType::kFloat, {2, 2}));
  const ir::NodeId p = testing::add_const(graph, "p1", testing::floats({2, 2}, {1, 0.1, 3, 4}));
  ir::Node add;
  add.name = "add";
  add.type = "Add";
  add.inputs.push_back({"x1", {x, 0}, ir::Format::kND, {}});
  add.inputs.push_back({"x2", {p, 0}, ir::Format::kND, {}});
  add.outputs.push_back({"y", testing::type(ir::DType::kFloat, {2, 2}), ir::Format::kND, false, {}});
  add.control = {x};
  graph.add(std::move(add));
  const std::string text = pbtxt(module);
  const std::string expected_head = R"(node {
    name: "add"
    op: "Add"
    input: "x:0"
    input: "p1:0"
    input: "^x"
    attr {
        key: "_input_name_key"
        value {
            s: 'list {\n  s: "x1"\n  s: "x2"\n  val_type: VT_LIST_STRING\n}\n'
        }
    }
)";
  EXPECT_NE(text.find(expected_head), std::string::npos) << text;
  const std::string expected_desc = R"(    attr {
        key: "[i]x1"
        value {
            s: 'name: "x1"\ndtype: DT_FLOAT\nshape {\n  dim: 2\n  dim: 2\n}\nlayout: "ND"\n'
        }
    }
)";
  EXPECT_NE(text.find(expected_desc), std::string::npos) << text;
  EXPECT_NE(text.find(R"(s: 's: "[1.0, 0.1, 3.0, 4.0]"\n')"), std::string::npos) << text;
  EXPECT_EQ(text.find("data:"), std::string::npos);
  EXPECT_LT(text.find("[i]x2"), text.find("[o]y", text.find("[i]x2")));
  EXPECT_EQ(text.find("input: \"\""), std::string::npos);
}

TEST(AirPbtxt, EscapesAndHoles) {
  ir::Module module = testing::sample();
  module.root().node(module.root().find("op")).attrs["q"] = std::string("it's \"a\\b\"\n");
  const std::string text = pbtxt(module);
  EXPECT_NE(text.find(R"(s: 's: "it\\\'s \\"a\\\\b\\"\\n"\n')"), std::string::npos) << text;
  EXPECT_NE(text.find("    input: \"\"\n"), std::string::npos);
  EXPECT_EQ(text.find('\t'), std::string::npos);
  EXPECT_EQ(text.find("origin_shape"), std::string::npos);
}

TEST(AirPbtxt, CostDoesNotFollowTheWeights) {
  const std::vector<float> memory(16);
  auto huge = std::make_shared<ir::Tensor>();  // claims far more memory than there is; only 16 elements may be looked at
  huge->shape = {std::int64_t{1} << 40};
  huge->data = reinterpret_cast<const std::byte*>(memory.data());
  ir::Module module;
  testing::add_const(module.graphs.emplace_back(), "w", huge);
  const std::string text = pbtxt(module);
  EXPECT_LT(text.size(), 2000U);
  EXPECT_NE(text.find("0.0, ...]"), std::string::npos) << text;
}

}  // namespace
}  // namespace airloom
