// What the local rewrites share: one walk in topological order, and the rules for reading one value in place of another.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace airloom::passes {

/// Whether output `output` of a node is the buffer of the input of the same name, written in place (Assign's ref, ScatterUpdate's var).
bool writes_in_place(const ir::Node& node);
/// Whether the node matters though nothing reads it: it writes a buffer, talks to another device, or has no outputs. Not of subgraphs.
bool has_effect(const ir::Node& node);
/// Same element type and dims. An unknown dim matches an unknown dim: only for values that are equal by the operator's meaning.
bool same_type(const ir::TensorType& a, const ir::TensorType& b);

/// Rewrites one graph. Buffers that some node writes in place are never read in place of a copy, nor a copy of them in their place: a
/// read must stay where it is ordered against the writes.
class Rewriter {
 public:
  explicit Rewriter(ir::Graph& graph);

  /// Calls visit(id) for the live nodes in topological order; the inputs of a visited node show all rewrites so far. Returns whether
  /// anything was rewritten.
  template <class Visit>
  bool sweep(const Visit& visit) {
    const auto order = graph_.topological();
    if (!order) return false;
    for (const ir::NodeId id : *order) {
      update_inputs(id);
      visit(id);
    }
    return changed_;
  }

  [[nodiscard]] ir::Graph& graph() { return graph_; }
  /// No node writes into the value's buffer.
  [[nodiscard]] bool stable(ir::Value value) const { return value.node >= written_.size() || !written_[value.node]; }
  /// The node neither waits for others nor do others wait for it, other than by data.
  [[nodiscard]] bool control_free(ir::NodeId id) const;
  /// Node `id` when it is a control-free `type` whose result and inputs no node writes, with `inputs` or more fed inputs and one output.
  [[nodiscard]] const ir::Node* match(ir::NodeId id, std::string_view type, std::size_t inputs) const;

  /// Lets the users of `id`, a visited node with one output, read `to` and erases it. Refused (false) where that could be seen.
  bool forward(ir::NodeId id, ir::Value to);
  /// The same for all outputs of `id`, which become those of `other`.
  bool merge(ir::NodeId id, ir::NodeId other);
  /// Lets one input read another value of the same format. Refused (false) where that could be seen.
  bool redirect(ir::NodeId user, std::size_t slot, ir::Value to);
  void set_changed() { changed_ = true; }

  /// Elements of a constant vector or scalar of i32 or i64.
  [[nodiscard]] std::optional<ir::Ints> ints(ir::Value value) const;

 private:
  void update_inputs(ir::NodeId id);
  [[nodiscard]] bool may_forward(ir::Value from, ir::Value to) const;

  ir::Graph& graph_;
  std::vector<bool> written_;       // by node: some node writes one of its outputs in place, or it is such a node
  std::vector<bool> awaited_;       // by node: the source of a control edge
  std::vector<bool> feeds_output_;  // by node: NetOutput reads it
  std::map<ir::Value, ir::Value> forwarded_;
  bool changed_ = false;
};

/// Runs `rewrite(Rewriter&, NodeId)` over each graph.
template <class Rewrite>
bool rewrite_all(ir::Module& module, const Rewrite& rewrite) {
  bool changed = false;
  for (ir::Graph& graph : module.graphs) {
    Rewriter rewriter(graph);
    changed = rewriter.sweep([&](ir::NodeId id) { rewrite(rewriter, id); }) || changed;
  }
  return changed;
}

}  // namespace airloom::passes
