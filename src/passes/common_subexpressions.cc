#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

namespace {

/// Parts of the names of operators whose results differ from run to run, or that keep a state.
constexpr std::array<std::string_view, 12> kImpure = {
    "Random", "Dropout", "DropOut", "Multinomial", "Bernoulli", "Stateful", "Normal", "Poisson", "Stack", "Queue", "Iterator", "Variable",
};
bool is_pure(const ir::Graph& graph, const ir::Node& node) {
  const std::string_view type = node.type;
  if (!node.subgraphs.empty() || node.outputs.empty() || has_effect(node)) return false;
  if (ir::is_input_type(type) || ir::is_const_type(type)) return false;
  if (std::any_of(kImpure.begin(), kImpure.end(), [&](std::string_view part) { return type.find(part) != std::string_view::npos; }))
    return false;
  bool fed = false;  // what reads nothing may make a new state each time
  for (const ir::Input& input : node.inputs) {
    if (!input.value) continue;
    fed = true;
    if (graph.type(input.value).dtype == ir::DType::kResource) return false;
  }
  return fed;
}

/// Writes what must be equal besides tensor attributes, which are compared.
class KeyWriter {
 public:
  std::string key(const ir::Node& node) {
    text(node.type);
    for (const ir::Input& input : node.inputs) {
      text(input.name);
      write("{}.{}.{};", input.value.node, input.value.index, static_cast<int>(input.format));
      attrs(input.attrs);
    }
    out_ += '|';
    for (const ir::Output& output : node.outputs) {
      text(output.name);
      write("{}.{}.{}[", static_cast<int>(output.type.dtype), static_cast<int>(output.format), static_cast<int>(output.on_host));
      if (output.type.unknown_rank) out_ += '*';
      for (const sym::Expr& dim : output.type.shape) write("{},", dim.str());
      out_ += ']';
      attrs(output.attrs);
    }
    out_ += '|';
    attrs(node.attrs);
    return std::move(out_);
  }

 private:
  void attrs(const ir::Attrs& values) {
    write("{}{{", values.size());
    for (const auto& [name, value] : values) {
      text(name);
      write("{}=", value.index());
      std::visit([this](const auto& v) { put(v); }, value);
    }
    out_ += '}';
  }
  void put(std::int64_t v) { write("{},", v); }
  void put(double v) { write("{},", std::bit_cast<std::uint32_t>(static_cast<float>(v))); }
  void put(bool v) { out_ += v ? '1' : '0'; }
  void put(const std::string& v) { text(v); }
  void put(ir::DType v) { write("{},", static_cast<int>(v)); }
  void put(const ir::TensorRef& v) { out_ += v ? 't' : 'n'; }
  template <class Item>
  void put(const std::vector<Item>& list) {
    write("{}[", list.size());
    for (const Item& item : list) put(item);
    out_ += ']';
  }
  void put(const ir::Bools& list) {
    write("{}[", list.size());
    for (const bool item : list) put(item);
    out_ += ']';
  }
  void text(std::string_view v) { write("{}:{}", v.size(), v); }
  template <class... Args>
  void write(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  std::string out_;
};

bool same_attrs(const ir::Attrs& a, const ir::Attrs& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && ir::equal(x.second, y.second); });
}

bool same_attrs(const ir::Node& a, const ir::Node& b) {
  if (!same_attrs(a.attrs, b.attrs)) return false;
  return std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(),
                    [](const ir::Input& x, const ir::Input& y) { return same_attrs(x.attrs, y.attrs); });
}

bool number(ir::Graph& graph) {
  Rewriter rewriter(graph);
  std::map<std::string, std::vector<ir::NodeId>> seen;  // by key; more than one only where tensor attributes differ
  return rewriter.sweep([&](ir::NodeId id) {
    const ir::Node& node = graph.node(id);
    if (!is_pure(graph, node) || !rewriter.control_free(id) || !rewriter.stable({id, 0})) return;
    const bool stable = std::all_of(node.inputs.begin(), node.inputs.end(),
                                    [&](const ir::Input& input) { return !input.value || rewriter.stable(input.value); });
    if (!stable) return;
    std::vector<ir::NodeId>& candidates = seen[KeyWriter().key(node)];
    for (const ir::NodeId other : candidates) {
      if (same_attrs(graph.node(other), node) && rewriter.merge(id, other)) return;
    }
    candidates.push_back(id);
  });
}

}  // namespace

bool common_subexpressions(ir::Module& module) {
  bool changed = false;
  for (ir::Graph& graph : module.graphs) changed = number(graph) || changed;
  return changed;
}

}  // namespace airloom::passes
