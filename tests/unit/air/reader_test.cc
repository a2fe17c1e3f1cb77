#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sample.h"

namespace airloom {
namespace {

namespace pb = ::ge::proto;
using List = pb::AttrDef::ListValue;

std::vector<std::string> rules(const std::vector<air::Violation>& notes) {
  std::vector<std::string> out;
  for (const auto& note : notes) out.push_back(note.rule);
  std::sort(out.begin(), out.end());
  return out;
}

pb::TensorDescriptor desc(const std::string& name, pb::DataType dtype, const std::vector<std::int64_t>& dims,
                          const std::string& layout = "ND") {
  pb::TensorDescriptor out;
  out.set_name(name);
  out.set_dtype(dtype);
  out.mutable_shape()->mutable_dim()->Add(dims.begin(), dims.end());
  out.set_layout(layout);
  return out;
}

/// x -> Relu -> NetOutput as another tool might write it: no name lists, no canonical attributes.
pb::ModelDef foreign() {
  pb::ModelDef model;
  model.set_name("m");
  pb::GraphDef& graph = *model.add_graph();
  graph.set_name("g");
  graph.add_input("x:0");
  graph.add_output("relu:0");
  pb::OpDef& x = *graph.add_op();
  x.set_name("x");
  x.set_type("Data");
  (*x.mutable_attr())["index"].set_i(0);
  *x.add_input_desc() = desc("x", pb::DT_FLOAT, {2, -1});
  *x.add_output_desc() = desc("y", pb::DT_FLOAT, {2, -1});
  pb::OpDef& relu = *graph.add_op();
  relu.set_name("relu");
  relu.set_type("Relu");
  relu.add_input("x:0");
  *relu.add_input_desc() = desc("x", pb::DT_FLOAT, {});
  *relu.add_output_desc() = desc("y", pb::DT_FLOAT, {});
  pb::OpDef& net = *graph.add_op();
  net.set_name("out");
  net.set_type("NetOutput");
  net.add_input("relu:0");
  *net.add_input_desc() = desc("input0", pb::DT_FLOAT, {2, -1});
  return model;
}

TEST(AirReader, RoundTrip) {
  const ir::Module module = testing::sample();
  const auto bytes = testing::to_bytes(module);
  ASSERT_TRUE(bytes);
  std::vector<air::Violation> notes;
  const auto again = testing::from_bytes(*bytes, &notes);
  ASSERT_TRUE(again) << again.error().text();
  const Status same = ir::same(module, *again);
  EXPECT_TRUE(same) << same.error().text();
  EXPECT_TRUE(notes.empty()) << notes[0].rule << ": " << notes[0].message;
  EXPECT_EQ(*testing::to_bytes(*again), *bytes);
  // without notes nothing is lost either
  EXPECT_TRUE(testing::from_bytes(*bytes));
}

TEST(AirReader, UnknownDimsAndRank) {
  ir::Module module = testing::sample();
  ir::Graph& graph = module.root();
  graph.node(graph.find("x")).outputs[0].type = testing::type(ir::DType::kFloat, {-1, 3});
  graph.node(graph.find("op")).outputs[0].type = {ir::DType::kFloat, {}, true};
  const auto bytes = testing::to_bytes(module);
  ASSERT_TRUE(bytes);
  const auto again = testing::from_bytes(*bytes);
  ASSERT_TRUE(again) << again.error().text();
  const ir::Graph& read = again->root();
  EXPECT_EQ(read.node(read.find("x")).outputs[0].type.dims(), (ir::Ints{-1, 3}));
  EXPECT_TRUE(read.node(read.find("op")).outputs[0].type.unknown_rank);
  EXPECT_TRUE(read.node(read.find("op")).outputs[1].type.is_static());
  EXPECT_EQ(*testing::to_bytes(*again), *bytes);
}

TEST(AirReader, TensorsStayInTheMapping) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "m.air";
  std::vector<double> values(100000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  ir::TensorRef kept;
  {
    ir::Module module;
    testing::add_const(module.graphs.emplace_back(), "w", testing::floats({1000, 100}, values));
    auto file = air::AtomicFile::create(path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(air::write(module, [&](const void* data, std::size_t size) { return file->write(data, size); }));
    ASSERT_TRUE(file->commit());
    const auto read = air::read(path);
    ASSERT_TRUE(read) << read.error().text();
    kept = ir::const_value(read->root(), read->root().find("w"));
  }
  ASSERT_NE(kept, nullptr);
  EXPECT_NE(kept->owner, nullptr);
  EXPECT_EQ(kept->shape, (ir::Ints{1000, 100}));
  EXPECT_EQ(kept->float_at(99999), 99999.0);
}

TEST(AirReader, FilesThatCannotBeRead) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(air::read(folder / "absent.air").error().code, Errc::kNotFound);
  EXPECT_EQ(air::read(folder / "").error().code, Errc::kIo);
  std::ofstream(folder / "empty.air").flush();
  EXPECT_EQ(air::read(folder / "empty.air").error().code, Errc::kParse);
  std::ofstream(folder / "text.air") << "#!/bin/sh\necho not a graph\n";
  const auto text = air::read(folder / "text.air");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Errc::kParse);
  EXPECT_NE(text.error().where.find("text.air"), std::string::npos);
}

TEST(AirReader, ForeignFile) {
  std::vector<air::Violation> notes;
  const auto module = testing::from_bytes(foreign().SerializeAsString(), &notes);
  ASSERT_TRUE(module) << module.error().text();
  const ir::Graph& graph = module->root();
  const ir::Node& relu = graph.node(graph.find("relu"));
  EXPECT_EQ(relu.inputs[0].name, "x");
  EXPECT_EQ(graph.node(relu.inputs[0].value.node).name, "x");
  // the shape that only NetOutput's descriptor tells
  EXPECT_EQ(relu.outputs[0].type.dims(), (ir::Ints{2, -1}));
  EXPECT_FALSE(relu.outputs[0].type.unknown_rank);
  for (const auto& note : notes) EXPECT_EQ(note.rule, "missing-name");
  EXPECT_FALSE(notes.empty());
}

TEST(AirReader, UnnamedSlotsGetNames) {
  pb::ModelDef model = foreign();
  model.mutable_graph(0)->mutable_op(1)->mutable_input_desc(0)->clear_name();
  model.mutable_graph(0)->mutable_op(1)->mutable_output_desc(0)->clear_name();
  const auto module = testing::from_bytes(model.SerializeAsString());
  ASSERT_TRUE(module);
  const ir::Node& relu = module->root().node(1);
  EXPECT_EQ(relu.inputs[0].name, "input0");
  EXPECT_EQ(relu.outputs[0].name, "output0");
}

TEST(AirReader, NameListsWithoutValType) {
  pb::ModelDef model = foreign();
  auto& attrs = *model.mutable_graph(0)->mutable_op(1)->mutable_attr();
  attrs["_input_name_key"].mutable_list()->add_s("features");
  attrs["_input_name_value"].mutable_list()->add_i(0);
  std::vector<air::Violation> notes;
  auto module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->root().node(1).inputs[0].name, "features");
  EXPECT_TRUE(module->root().node(1).attrs.empty());
  for (const auto& note : notes) EXPECT_NE(note.rule, "list-val-type");

  attrs["_input_name_value"].mutable_list()->add_i(1);
  notes.clear();
  module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->root().node(1).inputs[0].name, "x");
  const auto found = rules(notes);
  EXPECT_TRUE(std::binary_search(found.begin(), found.end(), "name-map-size"));
}

struct LossyCase {
  const char* rule;
  void (*change)(pb::GraphDef&);
  Errc strict;
};

class AirReaderLossy : public ::testing::TestWithParam<LossyCase> {};

TEST_P(AirReaderLossy, NotedOrRefused) {
  pb::ModelDef model = foreign();
  GetParam().change(*model.mutable_graph(0));
  const std::string bytes = model.SerializeAsString();
  std::vector<air::Violation> notes;
  const auto lenient = testing::from_bytes(bytes, &notes);
  ASSERT_TRUE(lenient) << lenient.error().text();
  const auto found = rules(notes);
  EXPECT_TRUE(std::binary_search(found.begin(), found.end(), std::string(GetParam().rule)));
  const auto strict = testing::from_bytes(bytes);
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, GetParam().strict) << strict.error().text();
  EXPECT_NE(strict.error().message.find(GetParam().rule), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AirReaderLossy,
    ::testing::Values(
        LossyCase{"duplicate-node-name", [](pb::GraphDef& g) { *g.add_op() = g.op(1); }, Errc::kInvalidGraph},
        LossyCase{"unknown-input-source", [](pb::GraphDef& g) { g.mutable_op(1)->set_input(0, "nobody:0"); }, Errc::kInvalidGraph},
        LossyCase{"unknown-input-source", [](pb::GraphDef& g) { g.mutable_op(1)->add_input("nobody:-1"); }, Errc::kInvalidGraph},
        LossyCase{"unknown-input-source", [](pb::GraphDef& g) { g.add_output("nobody:0"); }, Errc::kInvalidGraph},
        LossyCase{"bad-index", [](pb::GraphDef& g) { g.mutable_op(1)->set_input(0, "x:1"); }, Errc::kInvalidGraph},
        LossyCase{"bad-index", [](pb::GraphDef& g) { g.mutable_op(1)->set_input(0, "x:abc"); }, Errc::kInvalidGraph},
        LossyCase{"bad-index", [](pb::GraphDef& g) { g.mutable_op(1)->set_input(0, "x:99999999999999999999"); }, Errc::kInvalidGraph},
        LossyCase{"bad-index", [](pb::GraphDef& g) { g.mutable_op(1)->set_input(0, "x:-2"); }, Errc::kInvalidGraph},
        LossyCase{"missing-input-desc", [](pb::GraphDef& g) { g.mutable_op(1)->add_input("x:0"); }, Errc::kInvalidGraph},
        LossyCase{"unsupported-attr", [](pb::GraphDef& g) { (*g.mutable_op(1)->mutable_attr())["e"].set_expression("s0"); },
                  Errc::kUnsupported},
        LossyCase{"unsupported-attr", [](pb::GraphDef& g) { (*g.mutable_op(1)->mutable_attr())["e"].mutable_func()->set_name("f"); },
                  Errc::kUnsupported},
        LossyCase{"unknown-dtype", [](pb::GraphDef& g) { (*g.mutable_op(1)->mutable_attr())["e"].set_dt(777); }, Errc::kUnsupported},
        LossyCase{"unknown-dtype",
                  [](pb::GraphDef& g) { g.mutable_op(1)->mutable_output_desc(0)->set_dtype(static_cast<pb::DataType>(777)); },
                  Errc::kUnsupported},
        LossyCase{"const-byte-size",
                  [](pb::GraphDef& g) {
                    pb::OpDef& op = *g.add_op();
                    op.set_name("c");
                    op.set_type("Const");
                    *op.add_output_desc() = desc("y", pb::DT_FLOAT, {2});
                    pb::TensorDef& tensor = *(*op.mutable_attr())["value"].mutable_t();
                    *tensor.mutable_desc() = desc("", pb::DT_FLOAT, {2});
                    tensor.set_data("1234567");
                  },
                  Errc::kInvalidGraph},
        LossyCase{"const-byte-size",
                  [](pb::GraphDef& g) {
                    pb::OpDef& op = *g.add_op();
                    op.set_name("c");
                    op.set_type("Const");
                    pb::TensorDef& tensor = *(*op.mutable_attr())["value"].mutable_t();
                    *tensor.mutable_desc() = desc("", pb::DT_FLOAT, {INT64_MAX, INT64_MAX});
                    tensor.set_data("1234");
                  },
                  Errc::kInvalidGraph}));

TEST(AirReader, EdgesGoToTheLastOfEqualNames) {
  pb::ModelDef model = foreign();
  pb::GraphDef& graph = *model.mutable_graph(0);
  *graph.add_op() = graph.op(1);
  graph.mutable_op(3)->set_type("Relu6");
  std::vector<air::Violation> notes;
  const auto module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  const ir::Graph& read = module->root();
  const ir::Node& out = read.node(read.find("out"));
  EXPECT_EQ(read.node(out.inputs[0].value.node).type, "Relu6");
  EXPECT_EQ(read.arena_size(), 4U);
}

TEST(AirReader, ListsAreRepairedAndNoted) {
  pb::ModelDef model = foreign();
  auto& attrs = *model.mutable_graph(0)->mutable_op(1)->mutable_attr();
  attrs["none"].mutable_list()->add_s("a");
  attrs["other"].mutable_list()->add_f(1.5F);
  attrs["other"].mutable_list()->set_val_type(List::VT_LIST_INT);
  attrs["nothing"];
  std::vector<air::Violation> notes;
  const auto module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  const ir::Attrs& read = module->root().node(1).attrs;
  EXPECT_EQ(read.at("none"), ir::Attr(ir::Strings{"a"}));
  EXPECT_EQ(read.at("other"), ir::Attr(ir::Floats{1.5}));
  EXPECT_FALSE(read.contains("nothing"));
  EXPECT_EQ(std::count_if(notes.begin(), notes.end(), [](const auto& n) { return n.rule == "list-val-type" && n.node == "relu"; }), 2);
  EXPECT_EQ(std::count_if(notes.begin(), notes.end(), [](const auto& n) { return n.rule == "empty-attr"; }), 1);
}

TEST(AirReader, ForeignLayoutsAndContradictingAttributesStay) {
  pb::ModelDef model = foreign();
  pb::OpDef& relu = *model.mutable_graph(0)->mutable_op(1);
  *relu.mutable_output_desc(0) = desc("y", pb::DT_FLOAT, {2, 3}, "FRACTAL_NZ");
  (*relu.mutable_output_desc(0)->mutable_attr())["format_for_int"].set_i(29);
  *relu.mutable_input_desc(0) = desc("x", pb::DT_FLOAT, {2, -1}, "nchw");
  auto& attrs = *model.mutable_graph(0)->mutable_op(0)->mutable_output_desc(0)->mutable_attr();
  attrs["origin_format"].set_s("NHWC");
  std::vector<air::Violation> notes;
  const auto module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  EXPECT_EQ(std::count_if(notes.begin(), notes.end(), [](const auto& n) { return n.rule == "unknown-layout"; }), 1);
  const pb::ModelDef again = testing::to_proto(*module);
  const pb::OpDef* written = testing::find_op(again.graph(0), "relu");
  ASSERT_NE(written, nullptr);
  EXPECT_EQ(written->output_desc(0).layout(), "FRACTAL_NZ");
  EXPECT_EQ(written->output_desc(0).attr().at("format_for_int").i(), 29);
  EXPECT_EQ(written->input_desc(0).layout(), "nchw");
  EXPECT_EQ(testing::find_op(again.graph(0), "x")->output_desc(0).attr().at("origin_format").s(), "NHWC");
}

TEST(AirReader, ConstWithLocation) {
  pb::ModelDef model = foreign();
  pb::OpDef& op = *model.mutable_graph(0)->add_op();
  op.set_name("w");
  op.set_type("Const");
  *op.add_output_desc() = desc("y", pb::DT_FLOAT, {2, 3});
  *(*op.mutable_attr())["value"].mutable_t()->mutable_desc() = desc("", pb::DT_FLOAT, {2, 3});
  (*op.mutable_attr())["location"].set_s("air_weight/w");
  (*op.mutable_attr())["length"].set_i(24);
  const auto module = testing::from_bytes(model.SerializeAsString());
  ASSERT_TRUE(module) << module.error().text();
  const ir::Node& node = module->root().node(3);
  EXPECT_EQ(node.attrs.at("location"), ir::Attr(std::string("air_weight/w")));
  EXPECT_FALSE(node.attrs.contains("value"));
  EXPECT_EQ(node.outputs[0].type.dims(), (ir::Ints{2, 3}));
  const pb::ModelDef again = testing::to_proto(*module);
  const pb::TensorDef& value = testing::find_op(again.graph(0), "w")->attr().at("value").t();
  EXPECT_EQ(value.desc().shape().dim_size(), 2);
  EXPECT_TRUE(value.data().empty());
}

TEST(AirReader, DataDescriptorsAreCompared) {
  pb::ModelDef model = foreign();
  model.mutable_graph(0)->mutable_op(0)->mutable_output_desc(0)->mutable_shape()->set_dim(0, 9);
  std::vector<air::Violation> notes;
  auto module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->root().node(0).outputs[0].type.dims(), (ir::Ints{2, -1}));  // the input descriptor's, as a loader takes it
  auto found = rules(notes);
  EXPECT_TRUE(std::binary_search(found.begin(), found.end(), "data-desc"));

  model = foreign();
  model.mutable_graph(0)->mutable_op(0)->clear_input_desc();
  notes.clear();
  module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->root().node(0).outputs[0].type.dims(), (ir::Ints{2, -1}));
  found = rules(notes);
  EXPECT_TRUE(std::binary_search(found.begin(), found.end(), "data-desc"));
}

/// Reads in both modes; a module must be safe to write again, whatever it says.
void survive(const std::string& bytes) {
  std::vector<air::Violation> notes;
  const auto lenient = testing::from_bytes(bytes, &notes);
  const auto strict = testing::from_bytes(bytes);
  if (!lenient) {
    EXPECT_FALSE(lenient.error().message.empty());
    EXPECT_FALSE(strict);
    return;
  }
  const auto again = testing::to_bytes(*lenient);
  if (again) {
    EXPECT_EQ(air::byte_size(*lenient).value_or(-1), static_cast<std::int64_t>(again->size()));
    std::vector<air::Violation> more;
    const auto third = testing::from_bytes(*again, &more);
    EXPECT_TRUE(third) << third.error().text();
  }
}

TEST(AirReaderHostile, Truncated) {
  const std::string bytes = *testing::to_bytes(testing::sample());
  for (std::size_t k = 1; k < 64; ++k) {
    const std::string cut = bytes.substr(0, bytes.size() * k / 64);
    const auto module = testing::from_bytes(cut);
    ASSERT_FALSE(module) << k;
    EXPECT_EQ(module.error().code, Errc::kParse);
  }
}

TEST(AirReaderHostile, FlippedBytes) {
  const std::string bytes = *testing::to_bytes(testing::sample());
  std::mt19937 random(7);  // fixed: a failure must be repeatable
  for (int k = 0; k < 2000; ++k) {
    std::string copy = bytes;
    const std::size_t flips = 1 + random() % 3;
    for (std::size_t f = 0; f < flips; ++f) copy[random() % copy.size()] = static_cast<char>(random());
    survive(copy);
  }
}

TEST(AirReaderHostile, RandomBytesAndDeepNesting) {
  std::mt19937 random(11);
  for (int k = 0; k < 500; ++k) {
    std::string noise(random() % 200, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    survive(noise);
  }
  // graphs within attributes within graphs: protobuf's recursion limit must stop it
  pb::ModelDef model = foreign();
  pb::AttrDef attr;
  attr.set_i(1);
  for (int depth = 0; depth < 300; ++depth) {
    pb::AttrDef outer;
    (*outer.mutable_func()->mutable_attr())["a"].Swap(&attr);
    attr.Swap(&outer);
  }
  (*model.mutable_graph(0)->mutable_op(1)->mutable_attr())["deep"].Swap(&attr);
  std::vector<air::Violation> notes;
  const auto module = testing::from_bytes(model.SerializeAsString(), &notes);
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code, Errc::kParse);
}

TEST(AirReaderHostile, WireErrors) {
  using namespace std::string_literals;
  for (const std::string& bytes : {"\x3a\xff\xff\xff\xff\x0f"s, "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"s, "\x00\x00"s, "\x3b\x3c"s,
                                   "\x80"s, "\x3a\x02\x32\x00"s}) {
    const auto module = testing::from_bytes(bytes);
    ASSERT_FALSE(module);
    EXPECT_EQ(module.error().code, Errc::kParse);
  }
}

}  // namespace
}  // namespace airloom
