// The rules that every graph keeps between passes.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "ir/graph.h"

namespace airloom::ir {

namespace {

tl::unexpected<Error> broken(const Node& node, std::string message) { return fail(Errc::kInvalidGraph, std::move(message), node.name); }

template <class Slots>
Status check_names(const Node& node, const Slots& slots, std::string_view kind) {
  std::set<std::string_view> seen;
  for (const auto& slot : slots) {
    if (slot.name.empty()) return broken(node, fmt::format("an {} has no name", kind));
    if (!seen.insert(slot.name).second) return broken(node, fmt::format("two {}s are named '{}'", kind, slot.name));
  }
  return {};
}

Status check_edges(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto alive = [&graph](NodeId other) { return other < graph.arena_size() && !graph.node(other).erased; };
  for (const Input& input : node.inputs) {
    if (!input.value) {
      if (node.type == "NetOutput") return broken(node, fmt::format("graph output '{}' is not fed", input.name));
      continue;
    }
    if (!alive(input.value.node)) return broken(node, fmt::format("input '{}' comes from a node that does not exist", input.name));
    const Node& source = graph.node(input.value.node);
    if (input.value.index >= source.outputs.size()) {
      return broken(node, fmt::format("input '{}' is output {} of '{}', which has {}", input.name, input.value.index, source.name,
                                      source.outputs.size()));
    }
  }
  for (const NodeId before : node.control) {
    if (!alive(before)) return broken(node, "a control edge comes from a node that does not exist");
  }
  return {};
}

Status check_types(const Node& node) {
  for (const Output& output : node.outputs) {
    if (output.type.unknown_rank && !output.type.shape.empty())
      return broken(node, fmt::format("output '{}' has dims though its rank is unknown", output.name));
    for (const sym::Expr& dim : output.type.shape) {
      if (dim.value().value_or(0) < 0) return broken(node, fmt::format("output '{}' has the dim {}", output.name, *dim.value()));
    }
  }
  return {};
}

const Attr* attribute(const Node& node, std::string_view key) {
  const auto it = node.attrs.find(key);
  return it == node.attrs.end() ? nullptr : &it->second;
}

Status check_const(const Node& node) {
  if (node.outputs.size() != 1) return broken(node, fmt::format("a {} has one output, not {}", node.type, node.outputs.size()));
  const TensorType& type = node.outputs[0].type;
  if (node.type == "FileConstant") {
    const auto* shape_attr = attribute(node, "shape");
    const auto* dtype_attr = attribute(node, "dtype");
    const auto* shape = shape_attr == nullptr ? nullptr : std::get_if<Ints>(shape_attr);
    const auto* dtype = dtype_attr == nullptr ? nullptr : std::get_if<DType>(dtype_attr);
    if (shape == nullptr || dtype == nullptr) return broken(node, "a FileConstant needs the attributes 'shape' (ints) and 'dtype'");
    if (*dtype != type.dtype)
      return broken(node, fmt::format("the attribute 'dtype' is {}, the output's type {}", info(*dtype).text, info(type.dtype).text));
    if (*shape != type.dims()) {
      return broken(node, fmt::format("the attribute 'shape' is [{}], the output's shape [{}]", fmt::join(*shape, ", "),
                                      fmt::join(type.dims(), ", ")));
    }
    return {};
  }
  const auto* value_attr = attribute(node, "value");
  const auto* value = value_attr == nullptr ? nullptr : std::get_if<TensorRef>(value_attr);
  // Elements in another file: a `value` without data, or none, as air::read() leaves it.
  if (value_attr == nullptr && attribute(node, "location") != nullptr) return {};
  if (value == nullptr || *value == nullptr) return broken(node, "the attribute 'value' with the elements is missing");
  const Tensor& tensor = **value;
  if (tensor.dtype != type.dtype)
    return broken(node, fmt::format("the elements are {}, the output {}", info(tensor.dtype).text, info(type.dtype).text));
  if (tensor.shape != type.dims()) {
    return broken(
        node, fmt::format("the elements have shape [{}], the output [{}]", fmt::join(tensor.shape, ", "), fmt::join(type.dims(), ", ")));
  }
  if (!tensor.stride.empty() && tensor.stride.size() != tensor.shape.size()) return broken(node, "the strides do not fit the shape");
  if (tensor.nbytes() < 0) return broken(node, "the number of elements is negative or does not fit 64 bits");
  if (tensor.data == nullptr && tensor.nbytes() != 0 && attribute(node, "location") == nullptr)
    return broken(node, "there are no elements and no 'location' of them");
  return {};
}

/// Index attributes of the graph's inputs are 0..n-1. In a subgraph, where inputs are bound by the parent's slots, all may lack it.
Status check_inputs(const Graph& graph, bool is_root) {
  std::map<std::int64_t, const Node*> seen;
  const std::vector<NodeId> inputs = graph.inputs();
  std::size_t without = 0;
  for (const NodeId id : inputs) {
    const Node& node = graph.node(id);
    if (node.outputs.size() != 1) return broken(node, fmt::format("a {} has one output, not {}", node.type, node.outputs.size()));
    const Attr* found = attribute(node, "index");
    const auto* index = found == nullptr ? nullptr : std::get_if<std::int64_t>(found);
    if (index == nullptr) {
      if (is_root || found != nullptr) return broken(node, "the attribute 'index' (an int) is missing");
      ++without;
      continue;
    }
    if (*index < 0 || *index >= static_cast<std::int64_t>(inputs.size())) {
      return broken(node, fmt::format("the index {} is not one of the graph's {} inputs", *index, inputs.size()));
    }
    const auto [at, fresh] = seen.emplace(*index, &node);
    if (!fresh) return broken(node, fmt::format("'{}' has the index {} too", at->second->name, *index));
  }
  if (without != 0 && without != inputs.size())
    return broken(graph.node(inputs.back()), "the attribute 'index' is missing though other inputs have it");
  return {};
}

Status check_graph(const Graph& graph, bool is_root) {
  NodeId net_output = kNoNode;
  for (NodeId id = 0; id < graph.arena_size(); ++id) {
    const Node& node = graph.node(id);
    if (node.erased) continue;
    if (graph.find(node.name) != id) return broken(node, "the name is another node's, or was not set by Graph::rename");
    if (node.type.empty()) return broken(node, "the operator type is empty");
    if (node.type == "NetOutput") {
      if (net_output != kNoNode) return broken(node, fmt::format("'{}' is a NetOutput too", graph.node(net_output).name));
      net_output = id;
    }
    if (auto status = check_names(node, node.inputs, "input"); !status) return status;
    if (auto status = check_names(node, node.outputs, "output"); !status) return status;
    if (auto status = check_edges(graph, id); !status) return status;
    if (auto status = check_types(node); !status) return status;
    if (is_const_type(node.type)) {
      if (auto status = check_const(node); !status) return status;
    }
  }
  if (net_output == kNoNode) return fail(Errc::kInvalidGraph, "the graph has no NetOutput", graph.name);
  if (auto status = check_inputs(graph, is_root); !status) return status;
  if (!graph.topological()) return fail(Errc::kInvalidGraph, "the graph has a cycle", graph.name);
  return {};
}

/// Each graph but the root is named by exactly one node, and all hang together: a tree.
Status check_subgraphs(const Module& module) {
  std::map<std::string_view, std::size_t> by_name;
  for (std::size_t i = 0; i < module.graphs.size(); ++i) {
    const Graph& graph = module.graphs[i];
    if (graph.name.empty()) return fail(Errc::kInvalidGraph, "a graph has no name", module.name);
    if (!by_name.emplace(graph.name, i).second) return fail(Errc::kInvalidGraph, "two graphs have this name", graph.name);
  }
  std::vector<bool> reached(module.graphs.size(), false);
  reached[0] = true;
  std::vector<std::size_t> open{0};
  while (!open.empty()) {
    const Graph& graph = module.graphs[open.back()];
    open.pop_back();
    for (NodeId id = 0; id < graph.arena_size(); ++id) {
      const Node& node = graph.node(id);
      if (node.erased) continue;
      for (const std::string& wanted : node.subgraphs) {
        const auto it = by_name.find(wanted);
        if (it == by_name.end()) return broken(node, fmt::format("no graph is named '{}'", wanted));
        if (reached[it->second]) return broken(node, fmt::format("the graph '{}' is the root or has a parent already", wanted));
        reached[it->second] = true;
        open.push_back(it->second);
      }
    }
  }
  for (std::size_t i = 0; i < reached.size(); ++i) {
    if (!reached[i]) return fail(Errc::kInvalidGraph, "the graph is not reached from the root", module.graphs[i].name);
  }
  return {};
}

}  // namespace

Status verify(const Module& module) {
  if (module.graphs.empty()) return fail(Errc::kInvalidGraph, "the module has no graph", module.name);
  for (std::size_t i = 0; i < module.graphs.size(); ++i) {
    if (auto status = check_graph(module.graphs[i], i == 0); !status) return status;
  }
  return check_subgraphs(module);
}

}  // namespace airloom::ir
