// What an operator mapping sees: its node's attributes and inputs, on the host or while an ov::Model is built.
// Each family file ends in one constexpr table of Op rows; registry.cc joins them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "runtime/tensor.h"

namespace ov {
template <class T>
class Output;
class Node;  // NOLINT(bugprone-forward-declaration-namespace): OpenVINO's, not ir::Node
}  // namespace ov

namespace airloom::runtime {

/// Attributes and slots of a node, with GE's defaults given by the caller.
class NodeView {
 public:
  explicit NodeView(const ir::Node& node) : node_(&node) {}
  [[nodiscard]] const ir::Node& node() const { return *node_; }
  [[nodiscard]] bool has_attr(std::string_view name) const { return node_->attrs.find(name) != node_->attrs.end(); }
  /// Dtype attributes too, as GE numbers.
  [[nodiscard]] std::int64_t attr_int(std::string_view name, std::optional<std::int64_t> fallback = {}) const;
  [[nodiscard]] double attr_float(std::string_view name, std::optional<double> fallback = {}) const;
  [[nodiscard]] bool attr_bool(std::string_view name, bool fallback) const;
  [[nodiscard]] std::string attr_string(std::string_view name, std::string_view fallback) const;
  [[nodiscard]] Dims attr_ints(std::string_view name, std::optional<Dims> fallback = {}) const;
  [[nodiscard]] std::vector<double> attr_floats(std::string_view name) const;
  [[nodiscard]] DType attr_dtype(std::string_view name, std::optional<DType> fallback = {}) const;
  /// Input slot called `name`, else `position` when that slot has no name; SIZE_MAX when there is none.
  [[nodiscard]] std::size_t slot(std::string_view name, std::size_t position) const;
  /// Slots of a dynamic input, in order: `name`0, `name`1, ... or, without names, [first, size - after).
  [[nodiscard]] std::vector<std::size_t> slots(std::string_view name, std::size_t first, std::size_t after) const;
  /// Declared element type of an output.
  [[nodiscard]] DType out_dtype(std::size_t index) const;
  [[nodiscard]] std::size_t out_count() const { return node_->outputs.size(); }
  [[nodiscard]] bool channels_last(std::size_t input_slot) const;  // by the descriptor's layout: NHWC, NDHWC

 private:
  const ir::Node* node_;
};

struct Scope;  // the session's services for nodes that need more than values (subgraphs, collectives); runtime/exec.h

/// Shape that Reshape makes of `from` by its attributes and the values of its input `shape`; throws Exception where it makes none.
Dims resolve_reshape(const NodeView& n, const Dims& from, Dims to);

class HostCtx : public NodeView {
 public:
  HostCtx(const ir::Node& node, std::vector<Tensor> inputs, Scope* scope)
      : NodeView(node), inputs_(std::move(inputs)), scope_(scope), outputs_(node.outputs.size()) {}
  /// Throws when the slot is not fed.
  [[nodiscard]] const Tensor& in(std::size_t slot) const;
  [[nodiscard]] const Tensor& in(std::string_view name, std::size_t position) const { return in(NodeView::slot(name, position)); }
  [[nodiscard]] bool fed(std::size_t slot) const { return slot < inputs_.size() && inputs_[slot].present(); }
  [[nodiscard]] Tensor maybe(std::string_view name, std::size_t position) const;  // not present when unfed
  [[nodiscard]] std::vector<Tensor> list(std::string_view name, std::size_t first, std::size_t after) const;
  [[nodiscard]] std::size_t in_count() const { return inputs_.size(); }
  void out(std::size_t index, Tensor value);
  [[nodiscard]] std::vector<Tensor>& outputs() { return outputs_; }
  [[nodiscard]] Scope* scope() const { return scope_; }

 private:
  std::vector<Tensor> inputs_;
  Scope* scope_;
  std::vector<Tensor> outputs_;
};

/// Thrown by a plugin builder when this node, with these attributes and types, has to run on the host.
struct NeedsHost {};

class OvCtx;     // runtime/ov.h: only files that build plugin graphs see OpenVINO
class CheckCtx;  // runtime/check.h
using HostFn = void (*)(HostCtx&);
using OvFn = void (*)(OvCtx&);
using CheckFn = void (*)(CheckCtx&);

/// How integers go through an operator when it runs in the plugin, which computes them in 32 bits and partly in float32.
enum class Ints : std::uint8_t {
  kHost,   // integer results, and integer operands that are not small, need the host
  kMove,   // values pass through unchanged
  kArith,  // integer arithmetic and comparisons: plugin only while operands and result are provably small
  kShape,  // integer results are sizes or positions of a tensor; data operands are not read, or only moved
  kIndex,  // integer results are positions; integer data operands must be small
};

struct Op {
  std::string_view type;
  HostFn host;  // null: plugin only
  OvFn plugin;  // null: host only
  Ints ints = Ints::kHost;
  std::int16_t ref_slot = -1;  // in-place operators: the input whose memory output 0 is
  bool stateful = false;       // random, collective or control: never folded
  bool collective = false;     // runs once per call, in the same order on every rank
  CheckFn check = nullptr;     // refuses what the mapping does not compute; null: it computes all of the prototype
};

constexpr Op checked(Op op, CheckFn check) {
  op.check = check;
  return op;
}

/// The operator's row, null when the type is unknown.
const Op* find_op(std::string_view type);
std::vector<std::string_view> op_types();

}  // namespace airloom::runtime
