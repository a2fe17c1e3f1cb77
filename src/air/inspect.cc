// What a file holds, as JSON for programs and as a table for people.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "air/air.h"

namespace airloom::air {

namespace {

using Json = nlohmann::ordered_json;

/// Elements of a tensor attribute that are worth printing.
constexpr std::int64_t kMaxElements = 16;

std::string dtype_name(ir::DType dtype) {
  const ir::DTypeInfo& info = ir::info(dtype);
  return std::string(info.torch.empty() ? info.text : info.torch);
}

/// JSON has no infinities and NaNs: these become strings.
Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

/// The shortest decimal of a value that is a float32 in the file: 1e-05 rather than 9.999999747378752e-06.
Json short_float(double value) {
  if (!std::isfinite(value)) return number(value);
  const auto narrow = static_cast<float>(value);
  return std::isfinite(narrow) ? number(std::strtod(fmt::format("{}", narrow).c_str(), nullptr)) : number(value);
}

Json element(ir::DType dtype, const ir::Tensor& tensor, std::int64_t i) {
  if (dtype == ir::DType::kBool) return tensor.int_at(i) != 0;
  if (dtype == ir::DType::kUInt64) return static_cast<std::uint64_t>(tensor.int_at(i));
  if (dtype == ir::DType::kDouble) return number(tensor.float_at(i));
  if (ir::is_floating(dtype)) return short_float(tensor.float_at(i));
  return tensor.int_at(i);
}

/// Real and imaginary parts as a tensor of twice the size.
ir::Tensor parts_of(const ir::Tensor& tensor) {
  ir::Tensor parts;
  parts.dtype = tensor.dtype == ir::DType::kComplex128  ? ir::DType::kDouble
                : tensor.dtype == ir::DType::kComplex64 ? ir::DType::kFloat
                                                        : ir::DType::kFloat16;
  parts.shape = {2 * tensor.numel()};
  auto bytes = std::make_shared<std::vector<std::byte>>(tensor.bytes());
  parts.data = bytes->data();
  parts.owner = std::move(bytes);
  return parts;
}

Json tensor_json(const ir::Tensor& tensor) {
  Json out;
  out["dtype"] = dtype_name(tensor.dtype);
  out["shape"] = tensor.shape;
  const std::int64_t count = tensor.numel();
  if (count < 0 || count > kMaxElements || !ir::Tensor::has_numbers(tensor.dtype) || (tensor.data == nullptr && count > 0)) return out;
  Json data = Json::array();
  if (ir::is_complex(tensor.dtype)) {
    const ir::Tensor parts = parts_of(tensor);
    for (std::int64_t i = 0; i < count; ++i) data.push_back({element(parts.dtype, parts, 2 * i), element(parts.dtype, parts, 2 * i + 1)});
  } else {
    for (std::int64_t i = 0; i < count; ++i) data.push_back(element(tensor.dtype, tensor, i));
  }
  out["data"] = std::move(data);
  return out;
}

struct AttrJson {
  Json operator()(std::int64_t v) const { return v; }
  Json operator()(double v) const { return short_float(v); }
  Json operator()(bool v) const { return v; }
  Json operator()(const std::string& v) const { return v; }
  Json operator()(ir::DType v) const { return dtype_name(v); }
  Json operator()(const ir::TensorRef& v) const { return v == nullptr ? Json() : tensor_json(*v); }
  Json operator()(const ir::Ints& v) const { return v; }
  Json operator()(const ir::Floats& v) const {
    Json out = Json::array();
    for (const double x : v) out.push_back(short_float(x));
    return out;
  }
  Json operator()(const ir::Bools& v) const { return v; }
  Json operator()(const ir::Strings& v) const { return v; }
  Json operator()(const ir::DTypes& v) const {
    Json out = Json::array();
    for (const ir::DType x : v) out.push_back(dtype_name(x));
    return out;
  }
  Json operator()(const ir::IntLists& v) const { return v; }
};

/// "node:output", empty for an unfed slot.
std::string source_text(const ir::Graph& graph, ir::Value value) {
  if (!value || value.node >= graph.arena_size()) return {};
  return fmt::format("{}:{}", graph.node(value.node).name, value.index);
}

const ir::TensorType* type_of(const ir::Graph& graph, ir::Value value) {
  if (!value || value.node >= graph.arena_size() || value.index >= graph.node(value.node).outputs.size()) return nullptr;
  return &graph.type(value);
}

template <class T>
const T* get(const ir::Attrs& attrs, std::string_view key) {
  const auto at = attrs.find(key);
  return at == attrs.end() ? nullptr : std::get_if<T>(&at->second);
}

/// A graph's input or output as users see it.
struct Port {
  std::string name, source, dtype;
  ir::Ints shape;
  std::optional<std::int64_t> index;  // an input's
};

/// What both forms tell.
struct Summary {
  std::vector<Port> inputs, outputs;
  std::map<std::string, std::int64_t> op_counts;
  std::int64_t nodes = 0;
  std::int64_t weights = 0;       // constants
  std::int64_t weight_bytes = 0;  // of all constants, those in other files included
  std::vector<std::string> external_files;
};

void add_constant(const ir::Node& node, Summary& out, std::set<std::string>& files) {
  const auto* value = get<ir::TensorRef>(node.attrs, "value");
  ir::Tensor shaped;  // of constants whose elements are elsewhere
  if (node.outputs.size() == 1) {
    shaped.dtype = node.outputs[0].type.dtype;
    shaped.shape = node.outputs[0].type.dims();
  }
  const ir::Tensor& tensor = value != nullptr && *value != nullptr ? **value : shaped;
  ++out.weights;
  out.weight_bytes += std::max<std::int64_t>(0, tensor.nbytes());
  for (const std::string_view key : {"location", "file_path"}) {
    const auto* file = get<std::string>(node.attrs, key);
    if (file == nullptr || file->empty()) continue;
    if (files.insert(*file).second) out.external_files.push_back(*file);
    return;  // a location wins
  }
}

Summary summarise(const ir::Module& module) {
  Summary out;
  std::set<std::string> files;
  for (const ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      const ir::Node& node = graph.node(id);
      if (node.erased) continue;
      ++out.nodes;
      ++out.op_counts[node.type];
      if (ir::is_const_type(node.type)) add_constant(node, out, files);
    }
  }
  if (module.graphs.empty()) return out;
  const ir::Graph& root = module.root();
  for (const ir::NodeId id : root.inputs()) {
    const ir::Node& node = root.node(id);
    Port port{node.name, {}, {}, {}, {}};
    if (const auto* index = get<std::int64_t>(node.attrs, "index")) port.index = *index;
    if (const ir::TensorType* type = type_of(root, {id, 0})) {
      port.dtype = dtype_name(type->dtype);
      port.shape = type->dims();
    }
    out.inputs.push_back(std::move(port));
  }
  const ir::NodeId net = root.net_output();
  if (net == ir::kNoNode) return out;
  for (const ir::Input& input : root.node(net).inputs) {
    Port port{{}, source_text(root, input.value), {}, {}, {}};
    const auto* label = get<std::string>(input.attrs, "_origin_output_tensor_name");
    port.name = label != nullptr ? *label : port.source;
    if (const ir::TensorType* type = type_of(root, input.value)) {
      port.dtype = dtype_name(type->dtype);
      port.shape = type->dims();
    }
    out.outputs.push_back(std::move(port));
  }
  return out;
}

Json node_json(const ir::Graph& graph, const ir::Node& node, bool only_graph) {
  Json out;
  out["name"] = node.name;
  out["type"] = node.type;
  if (!only_graph) out["graph"] = graph.name;
  Json inputs = Json::array();
  // A graph input's own slot is fed by the caller.
  const std::size_t slots = ir::is_input_type(node.type) ? 0 : node.inputs.size();
  for (std::size_t i = 0; i < slots; ++i) inputs.push_back(source_text(graph, node.inputs[i].value));
  for (const ir::NodeId before : node.control) {
    if (before < graph.arena_size()) inputs.push_back(graph.node(before).name + ":-1");
  }
  out["inputs"] = std::move(inputs);
  Json attrs = Json::object();
  for (const auto& [key, value] : node.attrs) attrs[key] = std::visit(AttrJson{}, value);
  out["attrs"] = std::move(attrs);
  if (!node.subgraphs.empty()) out["subgraphs"] = node.subgraphs;
  return out;
}

std::string shape_text(const ir::Ints& shape) {
  if (shape == ir::Ints{-2}) return "[*]";
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

/// "1,234,567".
std::string grouped(std::int64_t value) {
  std::string digits = fmt::to_string(value);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

void append_ports(std::string& out, std::string_view title, const std::vector<Port>& ports) {
  fmt::format_to(std::back_inserter(out), "{} ({})\n", title, ports.size());
  std::size_t names = 0;
  std::size_t types = 0;
  for (const Port& port : ports) {
    names = std::max(names, port.name.size());
    types = std::max(types, port.dtype.size() + shape_text(port.shape).size());
  }
  for (const Port& port : ports) {
    const std::string type = port.dtype + shape_text(port.shape);
    const bool tell = !port.source.empty() && port.source != port.name;
    fmt::format_to(std::back_inserter(out), "  {:<{}}  {:<{}}", port.name, names, type, tell ? types : 0);
    if (tell) out += "  from " + port.source;
    out += '\n';
  }
}

}  // namespace

std::string inspect_json(const ir::Module& module) {
  const Summary summary = summarise(module);
  Json out;
  out["inputs"] = Json::array();
  for (const Port& port : summary.inputs) {
    Json row;
    row["name"] = port.name;
    row["dtype"] = port.dtype;
    row["shape"] = port.shape;
    row["index"] = port.index ? Json(*port.index) : Json();
    out["inputs"].push_back(std::move(row));
  }
  out["outputs"] = Json::array();
  for (const Port& port : summary.outputs) {
    Json row;
    row["name"] = port.name;
    row["source"] = port.source;
    row["dtype"] = port.dtype;
    row["shape"] = port.shape;
    out["outputs"].push_back(std::move(row));
  }
  out["nodes"] = Json::array();
  for (const ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      if (!graph.node(id).erased) out["nodes"].push_back(node_json(graph, graph.node(id), module.graphs.size() == 1));
    }
  }
  out["op_counts"] = Json::object();
  for (const auto& [type, count] : summary.op_counts) out["op_counts"][type] = count;
  out["weight_bytes"] = summary.weight_bytes;
  out["external_files"] = summary.external_files;
  return out.dump(2, ' ', false, Json::error_handler_t::replace);  // a string attribute may hold any bytes
}

std::string inspect_text(const ir::Module& module) {
  const Summary summary = summarise(module);
  std::string out =
      fmt::format("{}: {} nodes in {} graph{}\n\n", module.name, summary.nodes, module.graphs.size(), module.graphs.size() == 1 ? "" : "s");
  append_ports(out, "Inputs", summary.inputs);
  out += '\n';
  append_ports(out, "Outputs", summary.outputs);
  fmt::format_to(std::back_inserter(out), "\nOperators ({})\n", summary.op_counts.size());
  std::vector<std::pair<std::string, std::int64_t>> ops(summary.op_counts.begin(), summary.op_counts.end());
  std::stable_sort(ops.begin(), ops.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [type, count] : ops) fmt::format_to(std::back_inserter(out), "  {:>6}  {}\n", count, type);
  fmt::format_to(std::back_inserter(out), "\nConstants: {} of {} bytes\n", summary.weights, grouped(summary.weight_bytes));
  for (const std::string& file : summary.external_files) fmt::format_to(std::back_inserter(out), "  in {}\n", file);
  return out;
}

}  // namespace airloom::air
