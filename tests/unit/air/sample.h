// Small modules that the tests of the file format share.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ge_ir.pb.h>

#include "air/air.h"
#include "ir/graph.h"

namespace airloom::testing {

namespace pb = ::ge::proto;

inline ir::TensorRef floats(std::vector<std::int64_t> shape, const std::vector<double>& values) {
  return std::make_shared<const ir::Tensor>(ir::Tensor::from_floats(ir::DType::kFloat, std::move(shape), values));
}

inline ir::TensorType type(ir::DType dtype, const std::vector<std::int64_t>& dims) {
  ir::TensorType out;
  out.dtype = dtype;
  for (std::int64_t dim : dims) out.shape.push_back(dim < 0 ? sym::Expr::unknown() : sym::Expr(dim));
  return out;
}

inline ir::NodeId add_data(ir::Graph& graph, const std::string& name, std::int64_t index, const ir::TensorType& type,
                           bool on_host = false) {
  ir::Node node;
  node.name = name;
  node.type = "Data";
  node.inputs.push_back({"x", {}, ir::Format::kND, {}});
  node.outputs.push_back({"y", type, ir::Format::kND, on_host, {}});
  node.attrs["index"] = index;
  return graph.add(std::move(node));
}

inline ir::NodeId add_const(ir::Graph& graph, const std::string& name, ir::TensorRef value) {
  ir::Node node;
  node.name = name;
  node.type = "Const";
  node.outputs.push_back({"y", type(value->dtype, value->shape), ir::Format::kND, false, {}});
  node.attrs["value"] = std::move(value);
  return graph.add(std::move(node));
}

/// x and a weight into an op with a hole between its inputs and every attribute kind; a control edge; two outputs.
inline ir::Module sample() {
  ir::Module module;
  module.name = "export";
  module.attrs["target_type"] = std::string("MINI");
  module.attrs["memory_size"] = std::int64_t{0};
  ir::Graph& graph = module.graphs.emplace_back();
  graph.name = "root";
  const ir::NodeId n = add_data(graph, "n", 1, type(ir::DType::kInt64, {}), true);
  const ir::NodeId x = add_data(graph, "x", 0, type(ir::DType::kFloat, {2, 3}));
  const ir::NodeId w = add_const(graph, "w", floats({2, 3}, {0.1, 2, -3, 4, 5.5, 1e10}));
  const ir::NodeId s = add_const(graph, "scalar", floats({}, {2}));
  const ir::NodeId e = add_const(graph, "empty", floats({0, 4}, {}));

  ir::Node op;
  op.name = "op";
  op.type = "Everything";
  op.inputs.push_back({"a", {x, 0}, ir::Format::kNCHW, {{"mark", ir::Attr(std::int64_t{7})}}});
  op.inputs.push_back({"b", {}, ir::Format::kND, {}});
  op.inputs.push_back({"c0", {w, 0}, ir::Format::kND, {}});
  op.inputs.push_back({"c1", {n, 0}, ir::Format::kND, {}});
  op.inputs.push_back({"c2", {e, 0}, ir::Format::kND, {}});
  op.outputs.push_back({"y", type(ir::DType::kFloat16, {2, 3}), ir::Format::kNHWC, false, {{"note", ir::Attr(std::string("kept"))}}});
  op.outputs.push_back({"z", type(ir::DType::kBFloat16, {}), ir::Format::kND, false, {}});
  op.control = {s};
  op.attrs["i"] = std::int64_t{-5};
  op.attrs["f"] = 0.5;
  op.attrs["b"] = true;
  op.attrs["s"] = std::string("bytes \xff\x00 too", 11);
  op.attrs["dt"] = ir::DType::kInt64;
  op.attrs["t"] = floats({2}, {1, 2});
  op.attrs["li"] = ir::Ints{1, -1, INT64_MIN};
  op.attrs["li0"] = ir::Ints{};
  op.attrs["lf"] = ir::Floats{1, 0.25};
  op.attrs["lf0"] = ir::Floats{};
  op.attrs["lb"] = ir::Bools{true, false};
  op.attrs["lb0"] = ir::Bools{};
  op.attrs["ls"] = ir::Strings{"a", ""};
  op.attrs["ls0"] = ir::Strings{};
  op.attrs["ld"] = ir::DTypes{ir::DType::kFloat, ir::DType::kBFloat16};
  op.attrs["ld0"] = ir::DTypes{};
  op.attrs["ll"] = ir::IntLists{{1, 2}, {}, {3}};
  op.subgraphs = {"body"};
  const ir::NodeId o = graph.add(std::move(op));

  ir::Node net;
  net.name = "NetOutput";
  net.type = "NetOutput";
  net.inputs.push_back({"input0", {o, 1}, ir::Format::kND, {{"_origin_output_tensor_name", ir::Attr(std::string("first"))}}});
  net.inputs.push_back({"input1", {x, 0}, ir::Format::kND, {{"_origin_output_tensor_name", ir::Attr(std::string("second"))}}});
  graph.add(std::move(net));

  ir::Graph& body = module.graphs.emplace_back();
  body.name = "body";
  const ir::NodeId inner = add_data(body, "body_x", 0, type(ir::DType::kFloat, {4}));
  ir::Node inner_net;
  inner_net.name = "body_out";
  inner_net.type = "NetOutput";
  inner_net.inputs.push_back({"input0", {inner, 0}, ir::Format::kND, {{"_parent_node_index", ir::Attr(std::int64_t{0})}}});
  body.add(std::move(inner_net));
  return module;
}

inline Result<std::string> to_bytes(const ir::Module& module) {
  std::string out;
  auto ok = air::write(module, [&](const void* data, std::size_t size) -> Status {
    out.append(static_cast<const char*>(data), size);
    return {};
  });
  if (!ok) return tl::unexpected(ok.error());
  return out;
}

inline Result<ir::Module> from_bytes(const std::string& bytes, std::vector<air::Violation>* notes = nullptr) {
  const auto memory = std::make_shared<std::string>(bytes);
  return air::read_bytes(memory->data(), memory->size(), memory, notes);
}

inline pb::ModelDef to_proto(const ir::Module& module) {
  pb::ModelDef model;
  const auto bytes = to_bytes(module);
  if (!bytes || !model.ParseFromString(*bytes)) model.Clear();
  return model;
}

inline const pb::OpDef* find_op(const pb::GraphDef& graph, const std::string& name) {
  for (const auto& op : graph.op()) {
    if (op.name() == name) return &op;
  }
  return nullptr;
}

/// A folder that goes away with its content.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::string path_;
};

}  // namespace airloom::testing
