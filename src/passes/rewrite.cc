#include "passes/rewrite.h"

#include <algorithm>
#include <variant>

namespace airloom::passes {

namespace {

bool is_reference(const ir::Node& node, const ir::Input& input) {
  return std::any_of(node.outputs.begin(), node.outputs.end(), [&](const ir::Output& output) { return output.name == input.name; });
}

/// Also the fused products with a collective inside (MatmulAllReduce, ...): they name their group.
bool communicates(const ir::Node& node) {
  const std::string_view type = node.type;
  if (type.starts_with("Hcom") || type.starts_with("Send") || type.starts_with("Recv") || type.starts_with("Receive")) return true;
  return std::any_of(node.attrs.begin(), node.attrs.end(), [](const auto& item) {
    return std::string_view(item.first).starts_with("group") && std::holds_alternative<std::string>(item.second);
  });
}

bool same_descriptor(const ir::Output& a, const ir::Output& b) {
  return a.format == b.format && a.on_host == b.on_host &&
         std::equal(a.attrs.begin(), a.attrs.end(), b.attrs.begin(), b.attrs.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && ir::equal(x.second, y.second); });
}

}  // namespace

bool writes_in_place(const ir::Node& node) {
  return std::any_of(node.inputs.begin(), node.inputs.end(),
                     [&](const ir::Input& input) { return input.value && is_reference(node, input); });
}

bool has_effect(const ir::Node& node) {
  if (node.outputs.empty()) return node.type != "NoOp";
  return node.type.starts_with("Assign") || communicates(node) || writes_in_place(node);
}

bool same_type(const ir::TensorType& a, const ir::TensorType& b) {
  if (a.dtype != b.dtype || a.unknown_rank != b.unknown_rank) return false;
  return std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end(), [](const sym::Expr& x, const sym::Expr& y) {
    return x == y || (x.op() == sym::Op::kUnknown && y.op() == sym::Op::kUnknown);
  });
}

Rewriter::Rewriter(ir::Graph& graph)
    : graph_(graph), written_(graph.arena_size(), false), awaited_(graph.arena_size(), false), feeds_output_(graph.arena_size(), false) {
  for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
    const ir::Node& node = graph.node(id);
    if (node.erased) continue;
    for (const ir::NodeId before : node.control) {
      if (before < awaited_.size()) awaited_[before] = true;
    }
    for (const ir::Input& input : node.inputs) {
      const ir::NodeId source = input.value.node;
      if (source >= graph.arena_size()) continue;
      if (node.type == "NetOutput") feeds_output_[source] = true;
      // A subgraph may write to the inputs it is given.
      if (!node.subgraphs.empty() && ir::is_input_type(graph.node(source).type)) written_[source] = true;
      if (is_reference(node, input)) written_[source] = written_[id] = true;
    }
    if (node.type.starts_with("Assign")) {
      written_[id] = true;
      if (!node.inputs.empty() && node.inputs[0].value.node < graph.arena_size()) written_[node.inputs[0].value.node] = true;
    }
  }
}

bool Rewriter::control_free(ir::NodeId id) const { return graph_.node(id).control.empty() && (id >= awaited_.size() || !awaited_[id]); }

const ir::Node* Rewriter::match(ir::NodeId id, std::string_view type, std::size_t inputs) const {
  if (id >= graph_.arena_size()) return nullptr;
  const ir::Node& node = graph_.node(id);
  if (node.erased || node.type != type || node.inputs.size() < inputs || node.outputs.size() != 1 || !control_free(id)) return nullptr;
  if (!stable({id, 0})) return nullptr;
  for (std::size_t i = 0; i < inputs; ++i) {
    if (!node.inputs[i].value || !stable(node.inputs[i].value)) return nullptr;
  }
  return &node;
}

bool Rewriter::may_forward(ir::Value from, ir::Value to) const {
  if (!stable(from) || !stable(to)) return false;
  const ir::Node& target = graph_.node(to.node);
  // A result must have a buffer of its own: neither the caller's input nor a constant.
  const bool borrowed = ir::is_input_type(target.type) || ir::is_const_type(target.type);
  if (borrowed && feeds_output_[from.node] && !ir::is_const_type(graph_.node(from.node).type)) return false;
  const ir::Output& output = graph_.node(from.node).outputs[from.index];
  return same_descriptor(output, target.outputs[to.index]) && same_type(output.type, target.outputs[to.index].type);
}

bool Rewriter::forward(ir::NodeId id, ir::Value to) {
  if (!control_free(id) || graph_.node(id).outputs.size() != 1 || !may_forward({id, 0}, to)) return false;
  forwarded_[{id, 0}] = to;
  if (feeds_output_[id] && to.node < feeds_output_.size()) feeds_output_[to.node] = true;
  graph_.erase(id);
  changed_ = true;
  return true;
}

bool Rewriter::merge(ir::NodeId id, ir::NodeId other) {
  const auto count = static_cast<std::uint32_t>(graph_.node(id).outputs.size());
  if (!control_free(id) || graph_.node(other).outputs.size() != count) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!may_forward({id, i}, {other, i})) return false;
  }
  for (std::uint32_t i = 0; i < count; ++i) forwarded_[{id, i}] = {other, i};
  if (feeds_output_[id] && other < feeds_output_.size()) feeds_output_[other] = true;
  graph_.erase(id);
  changed_ = true;
  return true;
}

bool Rewriter::redirect(ir::NodeId user, std::size_t slot, ir::Value to) {
  ir::Input& input = graph_.node(user).inputs[slot];
  if (!stable(input.value) || !stable(to)) return false;
  const ir::Output& before = graph_.node(input.value.node).outputs[input.value.index];
  const ir::Output& after = graph_.node(to.node).outputs[to.index];
  if (before.format != after.format || before.on_host != after.on_host) return false;
  input.value = to;
  changed_ = true;
  return true;
}

std::optional<ir::Ints> Rewriter::ints(ir::Value value) const {
  if (!value || value.index != 0 || !stable(value)) return std::nullopt;
  const ir::TensorRef tensor = ir::const_value(graph_, value.node);
  if (!tensor || tensor->shape.size() > 1 || (tensor->dtype != ir::DType::kInt32 && tensor->dtype != ir::DType::kInt64))
    return std::nullopt;
  const std::int64_t count = tensor->numel();
  constexpr std::int64_t kMaxRank = 64;  // longer vectors are no shapes, axes or permutations
  if (count < 0 || count > kMaxRank || (count > 0 && tensor->data == nullptr)) return std::nullopt;
  ir::Ints out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back(tensor->int_at(i));
  return out;
}

void Rewriter::update_inputs(ir::NodeId id) {
  if (forwarded_.empty()) return;
  for (ir::Input& input : graph_.node(id).inputs) {
    const auto it = forwarded_.find(input.value);
    if (it != forwarded_.end()) input.value = it->second;
  }
}

}  // namespace airloom::passes
