#include "convert/convert.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace airloom::convert {

namespace {

using program::InputKind;
using program::Program;

/// Where the names of the current FX node's results go.
void name_results(ir::Graph& graph, const program::Node& fx, const std::vector<Value>& results, std::size_t first_new) {
  if (results.size() != 1 &&
      !(results.size() > 1 && std::all_of(results.begin(), results.end(), [&](Value v) { return v.node == results[0].node; }))) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i] && results[i].node >= first_new && graph.node(results[i].node).type != "Const")
        graph.rename(results[i].node, fmt::format("{}.{}", fx.name, i));
    }
    return;
  }
  const Value result = results[0];
  if (result && result.node >= first_new && graph.node(result.node).type != "Const") graph.rename(result.node, fx.name);
}

class Conversion {
 public:
  Conversion(const Program& program, const Registry& registry)
      : program_(program), registry_(registry), context_(program, module_.graphs.emplace_back()) {
    module_.name = program.name;
    graph().name = program.name;
  }

  Result<Converted> run() {
    if (auto ok = add_inputs(); !ok) return tl::unexpected(ok.error());
    for (const program::Node& node : program_.nodes) convert_node(node);
    if (unsupported_.empty()) {
      if (auto ok = add_outputs(); !ok) return tl::unexpected(ok.error());
    }
    Converted out;
    out.module = std::move(module_);
    out.unsupported = std::move(unsupported_);
    out.warnings = std::move(warnings_);
    return out;
  }

 private:
  ir::Graph& graph() { return module_.root(); }

  static ir::Node data_node(const std::string& name, const TensorType& type, std::int64_t index, bool on_host, bool ref) {
    ir::Node node;
    node.name = name;
    node.type = ref ? "RefData" : "Data";
    node.inputs.push_back({"x", {}, Format::kND, {}});
    node.outputs.push_back({"y", type, Format::kND, on_host, {}});
    node.attrs["index"] = index;
    return node;
  }

  Status add_inputs() {
    std::set<std::string> mutated;
    for (const program::Output& output : program_.outputs) {
      if (!output.mutates.empty()) mutated.insert(output.mutates);
    }
    std::set<std::string> symbols_used;
    for (const program::Input& input : program_.inputs) {
      for (const Expr& dim : input.type.shape) symbols_used.merge(dim.symbols());
    }
    std::int64_t index = 0;
    for (const program::Input& input : program_.inputs) {
      if (input.kind == InputKind::kWeight) continue;
      const bool symint = input.kind == InputKind::kSymInt;
      const TensorType type = symint ? TensorType{DType::kInt64, {}, false} : input.type;
      const ir::NodeId id = graph().add(data_node(input.label, type, index++, symint, mutated.contains(input.name)));
      if (graph().node(id).name != input.label) return fail(Errc::kInvalidArgument, "two inputs have this name", input.label);
      context_.bind(input.name, {{id, 0}});
      if (symint && input.symint) context_.learn_scalar({id, 0}, *input.symint);
      if (!symint) context_.learn_dims({id, 0});
    }
    // A buffer that the model writes is state: it becomes an in-place input after the user's own.
    for (const program::Input& input : program_.inputs) {
      if (input.kind != InputKind::kWeight || !mutated.contains(input.name)) continue;
      const ir::NodeId id = graph().add(data_node(input.label, input.type, index++, false, true));
      context_.bind(input.name, {{id, 0}});
      warnings_.push_back(
          fmt::format("buffer \"{}\" is written by the model: it is the extra in-place input {} of the graph", input.label, index - 1));
    }
    return {};
  }

  void convert_node(const program::Node& node) {
    context_.origin = node.origin;
    const std::size_t first_new = graph().arena_size();
    std::string reason;
    const Bound* bound = registry_.find(node.target);
    if (bound == nullptr) {
      reason = "no converter";
    } else {
      try {
        Build build(context_, node);
        std::vector<Value> results = bound->convert(build, node.args);
        check_results(node, results);
        name_results(graph(), node, results, first_new);
        learn(node, results);
        context_.bind(node.name, std::move(results));
        return;
      } catch (const Unsupported& error) {
        reason = error.what();
      }
    }
    // Placeholders of the promised types keep the nodes after this one convertible, so that one run lists every failure.
    std::vector<Value> stand_ins;
    for (const program::Node::Output& output : node.outputs) {
      const auto* type = std::get_if<TensorType>(&output.type);
      if (type == nullptr && !std::holds_alternative<Expr>(output.type)) {
        stand_ins.emplace_back();
        continue;
      }
      ir::Node stand_in;
      stand_in.name = node.name;
      stand_in.type = "Unsupported";
      stand_in.outputs.push_back({"y", type != nullptr ? *type : TensorType{DType::kInt64, {}, false}, Format::kND, false, {}});
      stand_ins.push_back({graph().add(std::move(stand_in)), 0});
    }
    learn(node, stand_ins);
    context_.bind(node.name, std::move(stand_ins));
    report(node, reason);
  }

  void check_results(const program::Node& node, const std::vector<Value>& results) {
    for (std::size_t i = 0; i < results.size() && i < node.outputs.size(); ++i) {
      const auto* want = std::get_if<TensorType>(&node.outputs[i].type);
      if (want == nullptr || !results[i]) continue;
      const TensorType& got = graph().type(results[i]);
      if (got.dtype != want->dtype || got.shape.size() != want->shape.size()) {
        throw std::logic_error(fmt::format("{}: the converter's output {} is {} of rank {}, torch's {} of rank {}", node.target, i,
                                           ir::info(got.dtype).text, got.shape.size(), ir::info(want->dtype).text, want->shape.size()));
      }
    }
  }

  void learn(const program::Node& node, const std::vector<Value>& results) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (!results[i]) continue;
      if (i < node.outputs.size() && std::holds_alternative<Expr>(node.outputs[i].type)) {
        context_.learn_scalar(results[i], std::get<Expr>(node.outputs[i].type));
      } else {
        context_.learn_dims(results[i]);
      }
    }
  }

  void report(const program::Node& node, const std::string& reason) {
    const auto same = std::find_if(unsupported_.begin(), unsupported_.end(),
                                   [&](const UnsupportedOp& row) { return row.target == node.target && row.reason == reason; });
    if (same != unsupported_.end()) {
      ++same->count;
      return;
    }
    UnsupportedOp row{node.target, 1, "", "", reason};
    if (node.origin) {
      row.module = node.origin->module;
      row.source = node.origin->source;
    }
    unsupported_.push_back(std::move(row));
  }

  Status add_outputs() {
    ir::Node net;
    net.name = "NetOutput";
    net.type = "NetOutput";
    std::set<ir::NodeId> control;
    context_.origin = nullptr;
    const program::Node here{"output", "output", {}, {}, nullptr};
    try {
      Build b(context_, here);
      int k = 0;
      for (const program::Output& output : program_.outputs) {
        if (!output.mutates.empty()) {
          if (auto ok = add_mutation(b, output, control); !ok) return ok;
          continue;
        }
        const auto value = output_value(b, output);
        if (!value) return tl::unexpected(value.error());
        ir::Input slot{fmt::format("input{}", k++), *value, Format::kND, {}};
        slot.attrs["_origin_output_tensor_name"] = output.label;
        net.inputs.push_back(std::move(slot));
      }
    } catch (const Unsupported& error) {
      return fail(Errc::kUnsupported, error.what(), "output");
    }
    order_assigns();
    for (ir::NodeId id : context_.kept) control.insert(id);
    net.control.assign(control.begin(), control.end());
    graph().add(std::move(net));
    return {};
  }

  Status add_mutation(Build& b, const program::Output& output, std::set<ir::NodeId>& control) {
    const auto* ref = std::get_if<program::Ref>(&output.value);
    const Value target = context_.lookup({output.mutates, 0});
    const Value value = ref != nullptr ? context_.lookup(*ref) : Value{};
    if (!target || !value) return fail(Errc::kInvalidArgument, "a mutated input has no value", output.mutates);
    if (value == target) return {};
    const Value assigned = b.op<ge::Assign>(graph().type(target), {target, b.cast(value, graph().type(target).dtype)});
    graph().rename(assigned.node, output.mutates + ".assign");
    control.insert(assigned.node);
    assigns_.emplace_back(assigned.node, target.node);
    return {};
  }

  /// Everything that reads an input's old value runs before the Assign that overwrites it.
  void order_assigns() {
    if (assigns_.empty()) return;
    const auto uses = graph().uses();
    for (const auto& [assign, target] : assigns_) {
      std::set<ir::NodeId> readers;
      for (const ir::Graph::Use& use : uses[target]) {
        if (use.user != assign) readers.insert(use.user);
      }
      graph().node(assign).control.assign(readers.begin(), readers.end());
    }
  }

  Result<Value> output_value(Build& b, const program::Output& output) {
    if (const auto* ref = std::get_if<program::Ref>(&output.value)) {
      const Value value = context_.lookup(*ref);
      if (!value) return fail(Errc::kInvalidArgument, fmt::format("output names the unknown value {}", ref->name), output.label);
      return value;
    }
    if (const auto* e = std::get_if<Expr>(&output.value)) return b.size(*e);
    if (const auto* d = std::get_if<double>(&output.value)) return b.scalar(Scalar(*d), DType::kFloat);
    if (const auto* f = std::get_if<bool>(&output.value)) return b.scalar(Scalar(*f), DType::kBool);
    return fail(Errc::kInvalidArgument, "a None output has no place in a graph", output.label);
  }

  const Program& program_;
  const Registry& registry_;
  ir::Module module_;
  Context context_;
  std::vector<std::pair<ir::NodeId, ir::NodeId>> assigns_;  // (Assign, the RefData it writes)
  std::vector<UnsupportedOp> unsupported_;
  std::vector<std::string> warnings_;
};

}  // namespace

Result<Converted> convert(const Program& program, const Registry& registry) { return Conversion(program, registry).run(); }

}  // namespace airloom::convert
