#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "ir/graph.h"

namespace airloom::ir {

namespace {

/// An attribute in a message: what print() writes, shortened.
std::string show(const Attr& value) {
  Module holder;
  holder.attrs.emplace("v", value);
  std::string text = print(holder);
  const std::string_view before = "module \"export\" {v = ";
  text = text.substr(before.size(), text.size() - before.size() - 2);  // without "}\n"
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b) : a_(a), b_(b) {}

  Status run() {
    if (a_.name != b_.name)
      return fail(Errc::kInvalidGraph, fmt::format("the graph's name is '{}' against '{}'", a_.name, b_.name), a_.name);
    for (NodeId id = 0; id < a_.arena_size(); ++id) {
      const Node& node = a_.node(id);
      if (node.erased) continue;
      where_ = node.name;
      const NodeId other = b_.find(node.name);
      if (other == kNoNode) return differ("the node", "there", "missing");
      if (auto status = nodes(node, b_.node(other)); !status) return status;
    }
    for (NodeId id = 0; id < b_.arena_size(); ++id) {
      const Node& node = b_.node(id);
      where_ = node.name;
      if (!node.erased && a_.find(node.name) == kNoNode) return differ("the node", "missing", "there");
    }
    return {};
  }

  Status attrs(const Attrs& x, const Attrs& y, const std::string& what) const {
    for (const auto& [key, value] : x) {
      const std::string item = fmt::format("{} '{}'", what, key);
      const auto it = y.find(key);
      if (it == y.end()) return differ(item, show(value), "nothing");
      if (!equal(value, it->second)) return differ(item, show(value), show(it->second));
    }
    for (const auto& [key, value] : y) {
      if (x.find(key) == x.end()) return differ(fmt::format("{} '{}'", what, key), "nothing", show(value));
    }
    return {};
  }

 private:
  [[nodiscard]] tl::unexpected<Error> differ(std::string_view what, std::string_view a, std::string_view b) const {
    return fail(Errc::kInvalidGraph, fmt::format("{}: {} against {}", what, a, b), where_);
  }

  static std::string source(const Graph& graph, Value value) {
    if (!value) return "none";
    if (value.node >= graph.arena_size()) return "no node";
    return fmt::format("{}:{}", graph.node(value.node).name, value.index);
  }

  static std::vector<std::string> controls(const Graph& graph, const Node& node) {
    std::vector<std::string> out;
    for (const NodeId id : node.control) out.push_back(id < graph.arena_size() ? graph.node(id).name : "no node");
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  /// Unfed inputs at the end say nothing.
  static std::size_t fed(const Node& node) {
    std::size_t count = node.inputs.size();
    while (count > 0 && !node.inputs[count - 1].value) --count;
    return count;
  }

  Status nodes(const Node& x, const Node& y) {
    if (x.type != y.type) return differ("the type", x.type, y.type);
    if (fed(x) != fed(y)) return differ("the number of inputs", std::to_string(fed(x)), std::to_string(fed(y)));
    for (std::size_t i = 0; i < fed(x); ++i) {
      const Input& p = x.inputs[i];
      const Input& q = y.inputs[i];
      if (p.name != q.name) return differ(fmt::format("the name of input {}", i), p.name, q.name);
      const std::string what = fmt::format("input '{}'", p.name);
      if (source(a_, p.value) != source(b_, q.value)) return differ(what, source(a_, p.value), source(b_, q.value));
      if (!p.value) continue;  // a hole has no descriptor of its own
      if (p.format != q.format) return differ(what + ", format", to_string(p.format), to_string(q.format));
      if (auto status = attrs(p.attrs, q.attrs, what + ", attribute"); !status) return status;
    }
    if (x.outputs.size() != y.outputs.size())
      return differ("the number of outputs", std::to_string(x.outputs.size()), std::to_string(y.outputs.size()));
    for (std::size_t i = 0; i < x.outputs.size(); ++i) {
      if (auto status = outputs(x.outputs[i], y.outputs[i]); !status) return status;
    }
    const auto before_x = controls(a_, x);
    const auto before_y = controls(b_, y);
    if (before_x != before_y)
      return differ("control edges from", fmt::format("[{}]", fmt::join(before_x, ", ")), fmt::format("[{}]", fmt::join(before_y, ", ")));
    if (x.subgraphs != y.subgraphs)
      return differ("subgraphs", fmt::format("[{}]", fmt::join(x.subgraphs, ", ")), fmt::format("[{}]", fmt::join(y.subgraphs, ", ")));
    return attrs(x.attrs, y.attrs, "attribute");
  }

  Status outputs(const Output& p, const Output& q) {
    if (p.name != q.name) return differ("the name of an output", p.name, q.name);
    const std::string what = fmt::format("output '{}'", p.name);
    if (p.type.dtype != q.type.dtype) return differ(what + ", type", info(p.type.dtype).text, info(q.type.dtype).text);
    // As files hold them: every dim that is not a number is -1.
    const Ints dims_p = p.type.dims();
    const Ints dims_q = q.type.dims();
    if (dims_p != dims_q)
      return differ(what + ", shape", fmt::format("[{}]", fmt::join(dims_p, ", ")), fmt::format("[{}]", fmt::join(dims_q, ", ")));
    if (p.format != q.format) return differ(what + ", format", to_string(p.format), to_string(q.format));
    if (p.on_host != q.on_host) return differ(what + ", device", p.on_host ? "CPU" : "NPU", q.on_host ? "CPU" : "NPU");
    return attrs(p.attrs, q.attrs, what + ", attribute");
  }

  const Graph& a_;
  const Graph& b_;
  std::string where_;
};

}  // namespace

Status same(const Module& a, const Module& b) {
  if (a.name != b.name) return fail(Errc::kInvalidGraph, fmt::format("the module's name: '{}' against '{}'", a.name, b.name));
  if (a.graphs.size() != b.graphs.size()) {
    return fail(Errc::kInvalidGraph, fmt::format("the number of graphs: {} against {}", a.graphs.size(), b.graphs.size()), a.name);
  }
  const Graph none;
  if (auto status = Comparison(none, none).attrs(a.attrs, b.attrs, "module attribute"); !status) return status;
  for (std::size_t i = 0; i < a.graphs.size(); ++i) {
    if (auto status = Comparison(a.graphs[i], b.graphs[i]).run(); !status) return status;
  }
  return {};
}

}  // namespace airloom::ir
