#include <algorithm>

#include <fmt/format.h>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

namespace {

/// Absent or an int of this value.
bool is_int_or_absent(const ir::Node& node, std::string_view key, std::int64_t expected) {
  const auto it = node.attrs.find(key);
  if (it == node.attrs.end()) return true;
  const auto* value = std::get_if<std::int64_t>(&it->second);
  return value != nullptr && *value == expected;
}

/// A Reshape of all dims, not of a part of them.
const ir::Node* whole_reshape(const Rewriter& rewriter, ir::NodeId id) {
  const ir::Node* node = rewriter.match(id, "Reshape", 2);
  return node != nullptr && is_int_or_absent(*node, "axis", 0) && is_int_or_absent(*node, "num_axes", -1) ? node : nullptr;
}

/// A node that gives its input's elements another shape.
const ir::Node* match_view(const Rewriter& rewriter, ir::NodeId id) {
  for (const std::string_view type : {"Unsqueeze", "Squeeze"}) {
    if (const ir::Node* node = rewriter.match(id, type, 1)) return node;
  }
  return whole_reshape(rewriter, id);
}

/// The target means the same for both inputs: entries that copy a dim (0) find the same dim.
bool same_target(const ir::Ints& target, const ir::TensorType& a, const ir::TensorType& b) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] != 0) continue;
    if (a.unknown_rank || b.unknown_rank || i >= a.shape.size() || i >= b.shape.size() || !(a.shape[i] == b.shape[i])) return false;
  }
  return true;
}

void reshape(Rewriter& rewriter, ir::NodeId id) {
  const ir::Node* node = whole_reshape(rewriter, id);
  if (node == nullptr) return;
  const ir::Graph& graph = rewriter.graph();
  const auto target = rewriter.ints(node->inputs[1].value);
  if (target) {
    // The inner node was rewritten before; it may still be a view when another reader's target did not fit, so follow the chain.
    while (const ir::Node* inner = match_view(rewriter, node->inputs[0].value.node)) {
      const ir::Value source = inner->inputs[0].value;
      if (!same_target(*target, graph.type(node->inputs[0].value), graph.type(source))) break;
      if (!rewriter.redirect(id, 0, source)) break;
    }
  }
  // Strict: unknown dims are not known to be equal.
  if (graph.type(node->inputs[0].value) == node->outputs[0].type) rewriter.forward(id, node->inputs[0].value);
}

/// The permutation of a Transpose, with axes counted from the front; nullopt unless it is a constant permutation of its input's dims.
std::optional<ir::Ints> permutation(const Rewriter& rewriter, const ir::Node& node, const ir::TensorType& input) {
  auto perm = rewriter.ints(node.inputs[1].value);
  if (!perm || input.unknown_rank || perm->size() != input.shape.size()) return std::nullopt;
  const auto rank = static_cast<std::int64_t>(perm->size());
  std::vector<bool> seen(perm->size(), false);
  for (std::int64_t& axis : *perm) {
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || seen[static_cast<std::size_t>(axis)]) return std::nullopt;
    seen[static_cast<std::size_t>(axis)] = true;
  }
  return perm;
}

bool is_sorted_permutation(const ir::Ints& perm) { return std::is_sorted(perm.begin(), perm.end()); }

void compose(Rewriter& rewriter, ir::NodeId id, const ir::Ints& outer) {
  ir::Graph& graph = rewriter.graph();
  const ir::Value middle = graph.node(id).inputs[0].value;
  const ir::Node* inner = rewriter.match(middle.node, "Transpose", 2);
  if (inner == nullptr) return;
  const ir::Value source = inner->inputs[0].value;
  const auto first = permutation(rewriter, *inner, graph.type(source));
  if (!first || first->size() != outer.size()) return;
  ir::Ints perm;
  for (const std::int64_t axis : outer) perm.push_back((*first)[static_cast<std::size_t>(axis)]);
  if (is_sorted_permutation(perm)) {
    rewriter.forward(id, source);
    return;
  }
  const ir::Value old = graph.node(id).inputs[1].value;
  ir::Node constant;
  constant.name = fmt::format("{}.perm", graph.node(id).name);
  constant.type = graph.node(old.node).type;
  constant.outputs = graph.node(old.node).outputs;
  constant.attrs["value"] =
      std::make_shared<const ir::Tensor>(ir::Tensor::from_ints(graph.type(old).dtype, {static_cast<std::int64_t>(perm.size())}, perm));
  if (!rewriter.redirect(id, 0, source)) return;
  const ir::NodeId added = graph.add(std::move(constant));
  graph.node(id).inputs[1].value = {added, 0};
}

void transpose(Rewriter& rewriter, ir::NodeId id) {
  const ir::Node* node = rewriter.match(id, "Transpose", 2);
  if (node == nullptr) return;
  const ir::Value source = node->inputs[0].value;
  const auto perm = permutation(rewriter, *node, rewriter.graph().type(source));
  if (!perm) return;
  if (is_sorted_permutation(*perm)) {
    rewriter.forward(id, source);
  } else {
    compose(rewriter, id, *perm);
  }
}

/// The dims of size 1 that a Squeeze or Unsqueeze removes or adds, counted in the type that has them, in order.
std::optional<ir::Ints> unit_axes(const ir::Node& node, const ir::TensorType& wide) {
  const auto it = node.attrs.find(node.type == "Squeeze" ? "axis" : "axes");
  const auto* axes = it == node.attrs.end() ? nullptr : std::get_if<ir::Ints>(&it->second);
  if (axes == nullptr || axes->empty() || wide.unknown_rank) return std::nullopt;
  ir::Ints out = *axes;
  for (std::int64_t& axis : out) {
    if (axis < 0) axis += wide.rank();
    if (axis < 0 || axis >= wide.rank()) return std::nullopt;
  }
  std::sort(out.begin(), out.end());
  return out;
}

void cancel(Rewriter& rewriter, ir::NodeId id) {
  const ir::Graph& graph = rewriter.graph();
  const bool squeeze = graph.node(id).type == "Squeeze";
  const ir::Node* outer = rewriter.match(id, squeeze ? "Squeeze" : "Unsqueeze", 1);
  if (outer == nullptr) return;
  const ir::Value middle = outer->inputs[0].value;
  const ir::Node* inner = rewriter.match(middle.node, squeeze ? "Unsqueeze" : "Squeeze", 1);
  if (inner == nullptr) return;
  const ir::Value source = inner->inputs[0].value;
  const ir::TensorType& wide = squeeze ? graph.type(middle) : graph.type(source);
  const auto axes = unit_axes(*outer, squeeze ? wide : outer->outputs[0].type);
  if (axes && axes == unit_axes(*inner, wide)) rewriter.forward(id, source);
}

void rewrite(Rewriter& rewriter, ir::NodeId id) {
  const std::string_view type = rewriter.graph().node(id).type;
  if (type == "Reshape") {
    reshape(rewriter, id);
  } else if (type == "Transpose") {
    transpose(rewriter, id);
  } else if (type == "Squeeze" || type == "Unsqueeze") {
    cancel(rewriter, id);
  }
}

}  // namespace

bool reshape_of_reshape(ir::Module& module) { return rewrite_all(module, rewrite); }

}  // namespace airloom::passes
