#include "weights/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "air/air.h"

namespace airloom::weights {

namespace {

constexpr std::size_t kMaxName = 255;  // bytes, of common file systems

std::uint32_t fnv1a(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

bool is_safe(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// What makes two tensors the same elements: memory and the way it is read.
using Memory = std::tuple<const void*, ir::DType, std::vector<std::int64_t>, std::vector<std::int64_t>>;

Memory memory_of(const ir::Tensor& tensor) {
  return {tensor.data, tensor.dtype, tensor.shape, tensor.dense() ? std::vector<std::int64_t>() : tensor.stride};
}

struct Constant {
  std::size_t graph = 0;
  ir::NodeId node = ir::kNoNode;
  ir::TensorRef tensor;
};

bool is_weight(const Constant& constant) { return !constant.tensor->weight.empty(); }

/// Const nodes with elements, in node order.
std::vector<Constant> constants(const ir::Module& module) {
  std::vector<Constant> out;
  for (std::size_t g = 0; g < module.graphs.size(); ++g) {
    const ir::Graph& graph = module.graphs[g];
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      if (graph.node(id).erased || !ir::is_const_type(graph.node(id).type)) continue;
      if (const ir::TensorRef tensor = ir::const_value(graph, id); tensor != nullptr && tensor->nbytes() > 0)
        out.push_back({g, id, tensor});
    }
  }
  return out;
}

/// Two nodes can be one when a user could not tell them apart.
bool interchangeable(const ir::Node& a, const ir::Node& b) {
  if (a.outputs.size() != 1 || b.outputs.size() != 1 || !a.control.empty() || !b.control.empty()) return false;
  const ir::Output& x = a.outputs[0];
  const ir::Output& y = b.outputs[0];
  return a.type == b.type && x.format == y.format && x.on_host == y.on_host && x.type.dims() == y.type.dims() && x.attrs == y.attrs;
}

void deduplicate(ir::Module& module) {
  std::map<std::pair<std::size_t, Memory>, ir::NodeId> first;
  std::vector<std::map<ir::NodeId, ir::NodeId>> merged(module.graphs.size());
  for (const Constant& constant : constants(module)) {
    if (!is_weight(constant)) continue;
    const ir::Graph& graph = module.graphs[constant.graph];
    const auto [at, is_new] = first.try_emplace({constant.graph, memory_of(*constant.tensor)}, constant.node);
    if (!is_new && interchangeable(graph.node(at->second), graph.node(constant.node))) merged[constant.graph][constant.node] = at->second;
  }
  for (std::size_t g = 0; g < module.graphs.size(); ++g) {
    if (merged[g].empty()) continue;
    ir::Graph& graph = module.graphs[g];
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      ir::Node& node = graph.node(id);
      if (node.erased) continue;
      for (ir::Input& input : node.inputs) {
        if (const auto to = merged[g].find(input.value.node); to != merged[g].end()) input.value.node = to->second;
      }
      for (ir::NodeId& before : node.control) {
        if (const auto to = merged[g].find(before); to != merged[g].end()) before = to->second;
      }
    }
    for (const auto& [from, to] : merged[g]) graph.erase(from);
  }
}

/// Turns constants into FileConstant nodes and names their files.
class Externaliser {
 public:
  Externaliser(ir::Module& module, const std::string& directory) : module_(module), directory_(directory) {}

  void move_out(const Constant& constant) {
    ir::Graph& graph = module_.graphs[constant.graph];
    ir::Node& node = graph.node(constant.node);
    const std::string name = file_of(constant, node.name);
    node.type = "FileConstant";
    node.attrs.erase("value");
    node.attrs["file_path"] = directory_.empty() ? name : (directory_.back() == '/' ? directory_ + name : directory_ + "/" + name);
    node.attrs["file_id"] = std::string();
    node.attrs["shape"] = ir::Ints(constant.tensor->shape);
    node.attrs["dtype"] = constant.tensor->dtype;
    if (!node.outputs.empty()) node.outputs[0].name = "y";
    used_[{constant.graph, constant.node}] = files_.at(memory_of(*constant.tensor));
  }

  /// Files in node order, each once.
  std::vector<File> files() const {
    std::vector<File> out;
    std::set<std::string> listed;
    for (const auto& [place, file] : used_) {
      if (listed.insert(file.name).second) out.push_back(file);
    }
    return out;
  }

 private:
  std::string file_of(const Constant& constant, const std::string& node_name) {
    Memory memory = memory_of(*constant.tensor);
    if (const auto found = files_.find(memory); found != files_.end()) return found->second.name;
    std::string name = file_name(is_weight(constant) ? constant.tensor->weight : node_name,
                                 [this](std::string_view candidate) { return taken_.contains(lower(candidate)); });
    taken_.insert(lower(name));
    files_[std::move(memory)] = {name, constant.tensor};
    return name;
  }

  ir::Module& module_;
  const std::string& directory_;
  std::map<Memory, File> files_;
  std::set<std::string> taken_;  // in lower case: some file systems ignore case
  std::map<std::pair<std::size_t, ir::NodeId>, File> used_;
};

}  // namespace

std::string file_name(std::string_view weight, const std::function<bool(std::string_view)>& taken) {
  std::string base;
  bool changed = weight.empty();
  for (const char c : weight) {
    base += is_safe(c) ? c : '_';
    changed = changed || (!is_safe(c) && c != '.');
  }
  if (base.empty()) base = "weight";
  if (base.size() <= kMaxName && !changed && !taken(base)) return base;
  for (int k = 0;; ++k) {
    // k > 0 only when two names meet in the hash as well.
    const std::uint32_t hash = k == 0 ? fnv1a(weight) : fnv1a(fmt::format("{}#{}", weight, k));
    const std::string suffix = fmt::format("_{:08x}", hash);
    std::string candidate = base.substr(0, kMaxName - suffix.size()) + suffix;
    if (!taken(candidate)) return candidate;
  }
}

Result<Plan> apply(ir::Module& module, const Options& options) {
  for (const ir::Graph& graph : module.graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      if (graph.node(id).erased) continue;
      const ir::TensorRef value = ir::const_value(graph, id);
      if (value != nullptr && value->nbytes() < 0)
        return fail(Errc::kInvalidGraph, "a constant has an impossible shape", graph.node(id).name);
    }
  }
  deduplicate(module);
  auto size = air::byte_size(module);
  if (!size) return tl::unexpected(size.error());

  Externaliser externaliser(module, options.recorded_dir);
  const bool weights_outside =
      options.external == External::kAlways || (options.external == External::kAuto && *size > options.inline_limit);
  if (weights_outside) {
    for (const Constant& constant : constants(module)) {
      if (is_weight(constant)) externaliser.move_out(constant);
    }
    size = air::byte_size(module);
    if (!size) return tl::unexpected(size.error());
  }
  if (*size > options.file_limit && options.external != External::kNever) {
    std::vector<Constant> rest = constants(module);
    std::stable_sort(rest.begin(), rest.end(),
                     [](const Constant& a, const Constant& b) { return a.tensor->nbytes() > b.tensor->nbytes(); });
    std::size_t next = 0;
    while (*size > options.file_limit && next < rest.size()) {
      // A FileConstant's attributes cost a little too: count by bytes, then measure.
      std::int64_t estimate = *size;
      while (estimate > options.file_limit && next < rest.size()) {
        estimate -= rest[next].tensor->nbytes();
        externaliser.move_out(rest[next++]);
      }
      size = air::byte_size(module);
      if (!size) return tl::unexpected(size.error());
    }
  }
  if (*size > options.file_limit) {
    const bool never = options.external == External::kNever;
    return fail(Errc::kTooLarge, fmt::format("the .air would have {} bytes, the limit is {}", *size, options.file_limit), module.name,
                never ? "allow external weights (\"auto\" or \"always\")" : "the graph itself is too large: split the model");
  }
  Plan plan;
  plan.files = externaliser.files();
  for (const File& file : plan.files) plan.external_bytes += file.tensor->nbytes();
  for (const Constant& constant : constants(module)) plan.inline_bytes += constant.tensor->nbytes();
  return plan;
}

}  // namespace airloom::weights
