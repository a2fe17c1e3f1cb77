#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace airloom::passes {

namespace {

/// Names of the graphs in which, or in whose subgraphs, some node has an effect.
std::set<std::string, std::less<>> graphs_with_effects(const ir::Module& module) {
  std::set<std::string, std::less<>> out;
  std::map<std::string_view, std::vector<std::string_view>> parents;  // the graphs that call a graph
  std::vector<std::string_view> open;
  for (const ir::Graph& graph : module.graphs) {
    bool effect = false;
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      const ir::Node& node = graph.node(id);
      if (node.erased) continue;
      effect = effect || (node.type != "NetOutput" && has_effect(node));
      for (const std::string& callee : node.subgraphs) parents[callee].push_back(graph.name);
    }
    if (effect && out.insert(graph.name).second) open.push_back(graph.name);
  }
  while (!open.empty()) {
    const auto it = parents.find(open.back());
    open.pop_back();
    if (it == parents.end()) continue;
    for (const std::string_view parent : it->second) {
      if (out.emplace(parent).second) open.push_back(parent);
    }
  }
  return out;
}

bool sweep(ir::Graph& graph, const std::set<std::string, std::less<>>& effects) {
  if (graph.net_output() == ir::kNoNode) return false;
  std::vector<bool> live(graph.arena_size(), false);
  std::vector<ir::NodeId> open;
  const auto reach = [&](ir::NodeId id) {
    if (id >= live.size() || live[id] || graph.node(id).erased) return;
    live[id] = true;
    open.push_back(id);
  };
  for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
    const ir::Node& node = graph.node(id);
    const bool calls_effect = std::any_of(node.subgraphs.begin(), node.subgraphs.end(),
                                          [&](const std::string& callee) { return effects.find(callee) != effects.end(); });
    // NetOutput has no outputs: has_effect() holds for it.
    if (ir::is_input_type(node.type) || has_effect(node) || calls_effect) reach(id);
  }
  while (!open.empty()) {
    const ir::Node& node = graph.node(open.back());
    open.pop_back();
    for (const ir::Input& input : node.inputs) reach(input.value.node);
    for (const ir::NodeId before : node.control) reach(before);
  }
  bool changed = false;
  for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
    if (live[id] || graph.node(id).erased) continue;
    graph.erase(id);
    changed = true;
  }
  return changed;
}

/// Removes the graphs that no node reached from the root calls.
void drop_uncalled(ir::Module& module) {
  std::map<std::string_view, std::size_t> by_name;
  for (std::size_t i = 0; i < module.graphs.size(); ++i) by_name.emplace(module.graphs[i].name, i);
  std::vector<bool> reached(module.graphs.size(), false);
  std::vector<std::size_t> open{0};
  reached[0] = true;
  while (!open.empty()) {
    const ir::Graph& graph = module.graphs[open.back()];
    open.pop_back();
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      for (const std::string& callee : graph.node(id).subgraphs) {
        const auto it = by_name.find(callee);
        if (it == by_name.end() || reached[it->second]) continue;
        reached[it->second] = true;
        open.push_back(it->second);
      }
    }
  }
  std::vector<ir::Graph> kept;
  for (std::size_t i = 0; i < reached.size(); ++i) {
    if (reached[i]) kept.push_back(std::move(module.graphs[i]));
  }
  module.graphs = std::move(kept);
}

}  // namespace

bool dead_code(ir::Module& module) {
  const auto effects = graphs_with_effects(module);
  bool changed = false;
  for (ir::Graph& graph : module.graphs) changed = sweep(graph, effects) || changed;
  if (changed && module.graphs.size() > 1) drop_uncalled(module);
  return changed;
}

}  // namespace airloom::passes
