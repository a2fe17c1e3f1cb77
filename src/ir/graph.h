// The graph of GE operators: what converters build, passes rewrite, and files hold.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "airloom/dtype.h"
#include "airloom/error.h"
#include "ir/attr.h"
#include "symbolic/expr.h"

namespace airloom::ir {

using Shape = std::vector<sym::Expr>;

/// Static type of a value. Dims are constants, expressions over the program's symbols, or sym::Expr::unknown() (-1 read from a file).
struct TensorType {
  DType dtype = DType::kUndefined;
  Shape shape;
  bool unknown_rank = false;  // -2 in a file

  [[nodiscard]] std::int64_t rank() const { return static_cast<std::int64_t>(shape.size()); }
  [[nodiscard]] TensorType with(DType other) const { return {other, shape, unknown_rank}; }
  [[nodiscard]] TensorType with(Shape other) const { return {dtype, std::move(other), false}; }
  /// Dims as a file holds them: -1 for everything not constant; {-2} for unknown rank.
  [[nodiscard]] Ints dims() const;
  [[nodiscard]] bool is_static() const;
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = UINT32_MAX;

/// Output `index` of node `node`; kNoNode for an unfed optional input.
struct Value {
  NodeId node = kNoNode;
  std::uint32_t index = 0;
  explicit operator bool() const { return node != kNoNode; }
  friend auto operator<=>(const Value&, const Value&) = default;
};

/// A data input slot in prototype order. Dynamic inputs are numbered slots x0, x1, ...
struct Input {
  std::string name;
  Value value;
  Format format = Format::kND;
  Attrs attrs;  // of its descriptor, beyond what the writer derives
};

struct Output {
  std::string name;
  TensorType type;
  Format format = Format::kND;
  bool on_host = false;  // device_type CPU instead of NPU
  Attrs attrs;           // of its descriptor, beyond what the writer derives
};

/// Where a node comes from in the user's program.
struct Origin {
  std::string fx;            // FX node name
  std::string target;        // ATen overload
  std::string module;        // module path ("encoder.layer.0.attention")
  std::string source;        // "file.py:12: the line's text"
  std::string module_stack;  // str(node.meta["nn_module_stack"])
};

struct Node {
  std::string name;
  std::string type;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<NodeId> control;  // must run before this node
  Attrs attrs;
  std::vector<std::string> subgraphs;  // names of graphs in Module, in prototype slot order
  std::shared_ptr<const Origin> origin;
  bool erased = false;
};

/// Nodes live in an arena; ids stay valid, erased nodes keep their slot. Node names are unique among live nodes.
class Graph {
 public:
  std::string name = "graph";

  /// Adds a node; makes its name unique by a "_<k>" suffix if it is taken.
  NodeId add(Node node);
  [[nodiscard]] Node& node(NodeId id) { return nodes_[id]; }
  [[nodiscard]] const Node& node(NodeId id) const { return nodes_[id]; }
  [[nodiscard]] std::size_t arena_size() const { return nodes_.size(); }
  [[nodiscard]] const TensorType& type(Value value) const { return nodes_[value.node].outputs[value.index].type; }
  [[nodiscard]] NodeId find(std::string_view node_name) const;  // kNoNode when absent
  void rename(NodeId id, std::string_view new_name);            // made unique like add()

  /// Frees the name, inputs, control edges, attributes and subgraph names; outputs stay readable. The caller has moved the users away:
  /// data or control edges that still come from an erased node are errors of verify().
  void erase(NodeId id);
  void replace_uses(Value from, Value to);  // data inputs only
  /// Live nodes in a topological order that keeps arena order where it can; nullopt on a cycle.
  [[nodiscard]] std::optional<std::vector<NodeId>> topological() const;
  /// Users of each node's outputs as (user, input slot), indexed by NodeId; a snapshot, deterministic.
  struct Use {
    NodeId user;
    std::uint32_t slot;
    std::uint32_t output;
  };
  [[nodiscard]] std::vector<std::vector<Use>> uses() const;
  /// Nodes of the is_input_type() types by their "index" attribute (those without one last).
  [[nodiscard]] std::vector<NodeId> inputs() const;
  [[nodiscard]] NodeId net_output() const;  // kNoNode when absent

 private:
  std::deque<Node> nodes_;  // a deque: references to nodes and types stay valid while nodes are added
  std::map<std::string, NodeId, std::less<>> names_;
  std::map<std::string, std::uint32_t, std::less<>> suffixes_;  // last "_<k>" given to a name

  std::string unique(std::string_view wanted);
};

/// A file's content: graphs[0] is the root; others are named by some node's `subgraphs`.
struct Module {
  std::string name = "export";
  Attrs attrs;
  std::vector<Graph> graphs;
  [[nodiscard]] Graph& root() { return graphs.front(); }
  [[nodiscard]] const Graph& root() const { return graphs.front(); }
};

bool is_input_type(std::string_view op_type);  // Data, RefData, AippData, AnnData
bool is_const_type(std::string_view op_type);  // Const, Constant, FileConstant
/// The elements of a Const node, null when `id` is another kind of node.
TensorRef const_value(const Graph& graph, NodeId id);

/// IR invariants (unique names, inputs exist, acyclic, one NetOutput, index permutation, shapes of Const equal to their types). First
/// violation, with the node's name.
Status verify(const Module& module);

/// Text form; parse(print(m)) equals m when `elide` is 0. Constants of more than `elide` elements print "..." (0: never).
std::string print(const Module& module, std::int64_t elide = 16);
Result<Module> parse(std::string_view text);
/// Structural equality: same nodes by name, types, wiring, attributes, tensor bytes. On difference the first one is described.
Status same(const Module& a, const Module& b);

}  // namespace airloom::ir
