#include "ir/graph.h"

#include <algorithm>
#include <queue>

#include <fmt/format.h>

namespace airloom::ir {

Ints TensorType::dims() const {
  if (unknown_rank) return {-2};
  Ints out;
  out.reserve(shape.size());
  for (const sym::Expr& dim : shape) out.push_back(dim.value().value_or(-1));
  return out;
}

bool TensorType::is_static() const {
  return !unknown_rank && std::all_of(shape.begin(), shape.end(), [](const sym::Expr& dim) { return dim.is_const(); });
}

std::string Graph::unique(std::string_view wanted) {
  std::string base(wanted.empty() ? "node" : wanted);
  if (names_.find(base) == names_.end()) return base;
  // Counts on from the last suffix of this base, so that thousands of equal names stay cheap.
  std::uint32_t& k = suffixes_[base];
  while (true) {
    std::string candidate = fmt::format("{}_{}", base, ++k);
    if (names_.find(candidate) == names_.end()) return candidate;
  }
}

NodeId Graph::add(Node node) {
  const auto id = static_cast<NodeId>(nodes_.size());
  node.name = unique(node.name);
  node.erased = false;
  names_.emplace(node.name, id);
  nodes_.push_back(std::move(node));
  return id;
}

NodeId Graph::find(std::string_view node_name) const {
  const auto it = names_.find(node_name);
  return it == names_.end() ? kNoNode : it->second;
}

void Graph::rename(NodeId id, std::string_view new_name) {
  Node& node = nodes_[id];
  if (node.erased || node.name == new_name) return;
  std::string free_name = unique(new_name);
  names_.erase(node.name);
  names_.emplace(free_name, id);
  node.name = std::move(free_name);
}

void Graph::erase(NodeId id) {
  Node& node = nodes_[id];
  if (node.erased) return;
  names_.erase(node.name);
  node.erased = true;
  node.inputs.clear();
  node.control.clear();
  node.attrs.clear();
  node.subgraphs.clear();
}

void Graph::replace_uses(Value from, Value to) {
  for (Node& node : nodes_) {
    if (node.erased) continue;
    for (Input& input : node.inputs) {
      if (input.value == from) input.value = to;
    }
  }
}

std::optional<std::vector<NodeId>> Graph::topological() const {
  std::vector<std::vector<NodeId>> users(nodes_.size());
  std::vector<std::uint32_t> waiting(nodes_.size(), 0);
  std::size_t live = 0;
  const auto edge = [&](NodeId from, NodeId to) {
    if (from >= nodes_.size() || nodes_[from].erased) return;  // verify() reports these
    users[from].push_back(to);
    ++waiting[to];
  };
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (nodes_[id].erased) continue;
    ++live;
    for (const Input& input : nodes_[id].inputs) edge(input.value.node, id);
    for (const NodeId before : nodes_[id].control) edge(before, id);
  }
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (!nodes_[id].erased && waiting[id] == 0) ready.push(id);
  }
  std::vector<NodeId> order;
  order.reserve(live);
  while (!ready.empty()) {
    const NodeId id = ready.top();
    ready.pop();
    order.push_back(id);
    for (const NodeId user : users[id]) {
      if (--waiting[user] == 0) ready.push(user);
    }
  }
  if (order.size() != live) return std::nullopt;
  return order;
}

std::vector<std::vector<Graph::Use>> Graph::uses() const {
  std::vector<std::vector<Use>> out(nodes_.size());
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    const Node& node = nodes_[id];
    if (node.erased) continue;
    for (std::uint32_t slot = 0; slot < node.inputs.size(); ++slot) {
      const Value value = node.inputs[slot].value;
      if (value && value.node < nodes_.size()) out[value.node].push_back({id, slot, value.index});
    }
  }
  return out;
}

std::vector<NodeId> Graph::inputs() const {
  std::vector<std::pair<std::int64_t, NodeId>> found;
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    const Node& node = nodes_[id];
    if (node.erased || !is_input_type(node.type)) continue;
    const auto it = node.attrs.find("index");
    const auto* index = it == node.attrs.end() ? nullptr : std::get_if<std::int64_t>(&it->second);
    found.emplace_back(index != nullptr ? *index : INT64_MAX, id);
  }
  std::sort(found.begin(), found.end());
  std::vector<NodeId> out;
  out.reserve(found.size());
  for (const auto& [index, id] : found) out.push_back(id);
  return out;
}

NodeId Graph::net_output() const {
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (!nodes_[id].erased && nodes_[id].type == "NetOutput") return id;
  }
  return kNoNode;
}

bool is_input_type(std::string_view op_type) {
  return op_type == "Data" || op_type == "RefData" || op_type == "AippData" || op_type == "AnnData";
}

bool is_const_type(std::string_view op_type) { return op_type == "Const" || op_type == "Constant" || op_type == "FileConstant"; }

TensorRef const_value(const Graph& graph, NodeId id) {
  if (id >= graph.arena_size()) return nullptr;
  const Node& node = graph.node(id);
  if (node.erased || (node.type != "Const" && node.type != "Constant")) return nullptr;
  const auto it = node.attrs.find("value");
  const auto* value = it == node.attrs.end() ? nullptr : std::get_if<TensorRef>(&it->second);
  return value == nullptr ? nullptr : *value;
}

}  // namespace airloom::ir
