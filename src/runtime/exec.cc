#include "runtime/exec.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace airloom::runtime {
namespace {

constexpr double kSmall = 16777216;  // 2^24: exact in float32 and int32 alike

bool is_int(DType dtype) { return dtype == DType::kInt64 || dtype == DType::kInt32 || dtype == DType::kInt8 || dtype == DType::kUInt8; }
bool is_wide(DType dtype) {
  return dtype == DType::kDouble || ir::is_complex(dtype) || dtype == DType::kUInt64 || dtype == DType::kUInt32 ||
         dtype == DType::kUInt16 || dtype == DType::kInt16;
}

/// What is known of an integer value before anything runs.
struct Known {
  enum class Kind : std::uint8_t { kNone, kRange, kShape, kFree };  // not an integer, within [lo, hi], derived from dimensions, anything
  Kind kind = Kind::kNone;
  double lo = 0, hi = 0;
};
Known range(double lo, double hi) {
  if (std::max(std::fabs(lo), std::fabs(hi)) > kSmall) return {Known::Kind::kFree, 0, 0};
  return {Known::Kind::kRange, lo, hi};
}
Known join(const Known& a, const Known& b) {
  if (a.kind == Known::Kind::kNone) return b;
  if (b.kind == Known::Kind::kNone) return a;
  if (a.kind == Known::Kind::kFree || b.kind == Known::Kind::kFree) return {Known::Kind::kFree, 0, 0};
  if (a.kind == Known::Kind::kShape || b.kind == Known::Kind::kShape) return {Known::Kind::kShape, 0, 0};
  return range(std::min(a.lo, b.lo), std::max(a.hi, b.hi));
}
Known known_constant(const Tensor& tensor) {
  if (!is_int(tensor.dtype)) return {};
  double lo = 0;
  double hi = 0;
  for (const std::int64_t v : values<std::int64_t>(tensor)) {
    lo = std::min(lo, static_cast<double>(v));
    hi = std::max(hi, static_cast<double>(v));
  }
  return range(lo, hi);
}
Known known_arith(const std::string& type, const std::vector<Known>& in) {
  Known all;
  for (const Known& k : in) all = join(all, k);
  if (all.kind != Known::Kind::kRange || in.empty()) return all;
  const Known& a = in[0];
  const Known b = in.size() > 1 ? in[1] : Known{};
  if (type == "Add" || type == "AddV2") return range(a.lo + b.lo, a.hi + b.hi);
  if (type == "Sub") return range(a.lo - b.hi, a.hi - b.lo);
  if (type == "Mul") {
    const double p[] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
    return range(*std::min_element(p, p + 4), *std::max_element(p, p + 4));
  }
  if (type == "Square") return range(0, std::max(a.lo * a.lo, a.hi * a.hi));
  if (type == "Neg") return range(-a.hi, -a.lo);
  if (type == "Abs") return range(0, std::max(-a.lo, a.hi));
  if (type == "Maximum" || type == "Minimum" || type == "Range" || type == "Sign")
    return range(std::min(all.lo, -1.0), std::max(all.hi, 1.0));
  return {Known::Kind::kFree, 0, 0};
}

bool is_view(const std::string& type) {
  return type == "Identity" || type == "Reshape" || type == "Squeeze" || type == "Unsqueeze" || type == "ExpandDims";
}

struct Replan {};  // a node turned out to need the host

}  // namespace

ov::element::Type storage_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat: return ov::element::f32;
    case DType::kFloat16: return ov::element::f16;
    case DType::kBFloat16: return ov::element::bf16;
    case DType::kInt8: return ov::element::i8;
    case DType::kUInt8: return ov::element::u8;
    case DType::kInt32: return ov::element::i32;
    case DType::kInt64: return ov::element::i64;
    case DType::kBool: return ov::element::boolean;
    default: throw NeedsHost{};
  }
}
ov::element::Type plugin_type(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 ? ov::element::Type(ov::element::f32) : storage_type(dtype);
}

OvValue OvCtx::in(std::size_t slot) const {
  if (!fed(slot)) bad(Errc::kInvalidGraph, "a required input is not connected", node().name);
  return inputs_[slot];
}
std::vector<OvValue> OvCtx::list(std::string_view name, std::size_t first, std::size_t after) const {
  std::vector<OvValue> out;
  for (const std::size_t at : slots(name, first, after)) out.push_back(in(at));
  return out;
}
std::int64_t OvCtx::rank(const OvValue& value) {
  const ov::Rank rank = value.get_partial_shape().rank();
  if (rank.is_dynamic()) throw NeedsHost{};
  return rank.get_length();
}
Dims OvCtx::constant(const OvValue& value) {
  const auto node = ov::as_type_ptr<op::Constant>(value.get_node_shared_ptr());
  if (!node) throw NeedsHost{};
  return node->cast_vector<std::int64_t>();
}

Executable::Executable(const ir::Graph& graph, Env& env, Scope& scope) : graph_(graph), env_(env), scope_(scope) {
  const auto order = graph.topological();
  if (!order) bad(Errc::kInvalidGraph, "the graph has a cycle", graph.name);
  order_ = *order;
  inputs_ = graph.inputs();
  net_output_ = graph.net_output();
  if (net_output_ == ir::kNoNode) bad(Errc::kInvalidGraph, "the graph has no NetOutput", graph.name);
  base_.assign(graph.arena_size(), 0);
  ops_.assign(graph.arena_size(), nullptr);
  place_.assign(graph.arena_size(), Place::kNone);
  for (const ir::NodeId id : order_) {
    const ir::Node& node = graph.node(id);
    base_[id] = slots_;
    slots_ += node.outputs.size();
    if (ir::is_input_type(node.type)) {
      place_[id] = Place::kInput;
      for (const ir::Output& output : node.outputs) dynamic_ = dynamic_ || !output.type.is_static();
    } else if (ir::is_const_type(node.type)) {
      place_[id] = Place::kConst;
    } else if (id != net_output_) {
      ops_[id] = find_op(node.type);
      if (ops_[id] == nullptr) bad(Errc::kUnsupported, fmt::format("operator {} is not known to the runtime", node.type), node.name);
      place_[id] = Place::kHost;
    }
  }
  constants_.resize(slots_);
  for (const ir::NodeId id : order_) {
    if (place_[id] == Place::kConst && !graph.node(id).outputs.empty()) constants_[base_[id]] = load_constant(graph, id, env.options);
  }

  // In-place operators. The memory written is that of the input reached through views.
  std::map<ir::NodeId, std::vector<ir::NodeId>> writers;  // root input -> writers in order
  std::map<ir::NodeId, ir::NodeId> root_of;
  const auto root = [&](ir::Value value) {
    while (value &&
           (is_view(graph.node(value.node).type) || (ops_[value.node] != nullptr && ops_[value.node]->ref_slot >= 0 && value.index == 0))) {
      const std::int16_t ref = ops_[value.node]->ref_slot;
      value = graph.node(value.node).inputs.at(ref >= 0 ? static_cast<std::size_t>(ref) : 0).value;
    }
    return value ? value.node : ir::kNoNode;
  };
  for (const ir::NodeId id : order_) {
    if (ops_[id] == nullptr || ops_[id]->ref_slot < 0 || graph.node(id).inputs.empty()) continue;
    const ir::NodeId memory = root(graph.node(id).inputs[static_cast<std::size_t>(ops_[id]->ref_slot)].value);
    if (memory == ir::kNoNode || graph.node(memory).type != "RefData") continue;
    writers[memory].push_back(id);
    root_of[id] = memory;
  }
  for (const auto& [memory, list] : writers) {
    // after[w]: nodes that come after writer w along data and control edges.
    std::vector<std::vector<bool>> after;
    for (const ir::NodeId writer : list) {
      std::vector<bool> reach(graph.arena_size(), false);
      reach[writer] = true;
      for (const ir::NodeId id : order_) {
        const ir::Node& node = graph.node(id);
        for (const ir::Input& input : node.inputs) reach[id] = reach[id] || (input.value && reach[input.value.node]);
        for (const ir::NodeId control : node.control) reach[id] = reach[id] || reach[control];
      }
      after.push_back(std::move(reach));
    }
    for (const ir::NodeId id : order_) {
      const ir::Node& node = graph.node(id);
      for (std::uint32_t s = 0; s < node.inputs.size(); ++s) {
        if (!node.inputs[s].value || node.inputs[s].value.node != memory) continue;
        for (std::size_t w = 0; w < list.size(); ++w) {
          if (list[w] == id) break;  // only earlier writers
          const bool writes_too = root_of.count(id) != 0 && root_of[id] == memory && ops_[id]->ref_slot == static_cast<std::int16_t>(s);
          if (after[w][id] || writes_too) redirect_[{id, s}] = {list[w], 0};
        }
      }
    }
    const auto at = std::find(inputs_.begin(), inputs_.end(), memory);
    if (at != inputs_.end()) final_refs_[static_cast<std::size_t>(at - inputs_.begin())] = {list.back(), 0};
  }
  fold_constants();
  plan();
}

ir::Value Executable::read_as(ir::Value value, ir::NodeId reader) const {
  const ir::Node& node = graph_.node(reader);
  for (std::uint32_t s = 0; s < node.inputs.size(); ++s) {
    if (node.inputs[s].value == value) {
      const auto it = redirect_.find({reader, s});
      if (it != redirect_.end()) return it->second;
    }
  }
  return value;
}

void Executable::fold_constants() {
  constexpr std::int64_t kLimit = 1 << 20;
  for (const ir::NodeId id : order_) {
    const Op* op = ops_[id];
    const ir::Node& node = graph_.node(id);
    if (op == nullptr || op->host == nullptr || op->stateful || op->ref_slot >= 0 || !node.subgraphs.empty() || node.outputs.empty())
      continue;
    std::vector<Tensor> in;
    std::int64_t bytes = 0;
    bool constant = true;
    for (const ir::Input& input : node.inputs) {
      in.push_back(input.value ? constants_[slot(input.value)] : Tensor{});
      constant = constant && (!input.value || in.back().present());
      bytes += in.back().present() ? in.back().nbytes() : 0;
    }
    if (!constant || bytes > kLimit) continue;
    HostCtx context(node, std::move(in), nullptr);
    try {
      op->host(context);
    } catch (const std::exception&) {
      continue;  // said again, with the node's name, when it runs
    }
    for (std::size_t i = 0; i < node.outputs.size(); ++i) constants_[base_[id] + i] = context.outputs()[i];
    place_[id] = Place::kConst;
  }
}

bool Executable::plugin_fits(const ir::Node& node, const Op& op) const {
  if (op.plugin == nullptr || env_.options.reference || !node.subgraphs.empty()) return false;
  for (const ir::Input& input : node.inputs) {
    if (input.value && is_wide(graph_.type(input.value).dtype)) return false;
  }
  return std::none_of(node.outputs.begin(), node.outputs.end(), [](const ir::Output& output) { return is_wide(output.type.dtype); });
}

void Executable::plan() {
  std::vector<Known> known(slots_);
  std::vector<bool> early(graph_.arena_size(), false);  // small integer work that depends on inputs only
  const auto value_dtype = [&](ir::Value v) { return constants_[slot(v)].present() ? constants_[slot(v)].dtype : graph_.type(v).dtype; };
  for (const ir::NodeId id : order_) {
    const ir::Node& node = graph_.node(id);
    if (place_[id] == Place::kConst) {
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        if (constants_[base_[id] + i].present()) known[base_[id] + i] = known_constant(constants_[base_[id] + i]);
      }
      early[id] = true;
      continue;
    }
    if (place_[id] == Place::kInput) {
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        if (is_int(node.outputs[i].type.dtype)) known[base_[id] + i] = {Known::Kind::kFree, 0, 0};
      }
      early[id] = true;
      continue;
    }
    const Op* op = ops_[id];
    if (op == nullptr) continue;
    std::vector<Known> in;
    bool free_in = false;
    bool only_small_types = true;
    early[id] = true;
    for (const ir::Input& input : node.inputs) {
      if (!input.value) continue;
      in.push_back(known[slot(input.value)]);
      const DType dtype = value_dtype(input.value);
      free_in = free_in || (is_int(dtype) && in.back().kind == Known::Kind::kFree);
      const bool reads_values = op->ints != Ints::kShape;
      only_small_types = only_small_types && (!reads_values || is_int(dtype) || dtype == DType::kBool);
      early[id] = early[id] && (early[input.value.node] || (!reads_values && place_[input.value.node] == Place::kInput));
    }
    bool int_out = false;
    bool narrow_out = false;
    for (const ir::Output& output : node.outputs) {
      int_out = int_out || is_int(output.type.dtype);
      narrow_out = narrow_out || output.type.dtype == DType::kInt8 || output.type.dtype == DType::kUInt8;
      only_small_types = only_small_types && (is_int(output.type.dtype) || output.type.dtype == DType::kBool);
    }
    early[id] = early[id] && only_small_types && op->host != nullptr;

    bool plugin = plugin_fits(node, *op) && (forced_host_.count(id) == 0);
    Known out;
    switch (op->ints) {
      case Ints::kHost:
        plugin = plugin && !int_out && !free_in;
        out = {Known::Kind::kFree, 0, 0};
        break;
      case Ints::kMove:
        for (const Known& k : in) out = join(out, k);
        if (node.type == "Cast" && int_out && !node.inputs.empty() && node.inputs[0].value) {
          const DType from = value_dtype(node.inputs[0].value);
          if (from == DType::kBool) {
            out = range(0, 1);
          } else if (!is_int(from)) {
            out = {Known::Kind::kFree, 0, 0};
            plugin = false;  // out-of-range floats
          } else if (narrow_out && (out.kind != Known::Kind::kRange || out.lo < (node.outputs[0].type.dtype == DType::kInt8 ? -128 : 0) ||
                                    out.hi > 127)) {
            plugin = false;  // wraps, where the plugin saturates
          }
        } else if (out.kind == Known::Kind::kNone) {
          out = {Known::Kind::kFree, 0, 0};
        }
        if (node.type == "ZerosLike" || node.type == "OnesLike") out = range(0, 1);
        break;
      case Ints::kArith:
        out = known_arith(node.type, in);
        plugin = plugin && !free_in && !narrow_out && (!int_out || out.kind != Known::Kind::kFree);
        break;
      case Ints::kShape: out = {Known::Kind::kShape, 0, 0}; break;
      case Ints::kIndex:
        plugin = plugin && !free_in;
        out = {Known::Kind::kShape, 0, 0};
        break;
    }
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (is_int(node.outputs[i].type.dtype)) known[base_[id] + i] = out.kind == Known::Kind::kNone ? Known{Known::Kind::kFree, 0, 0} : out;
    }
    place_[id] = plugin ? Place::kPlugin : Place::kHost;
    if (!plugin && op->host == nullptr) {
      bad(Errc::kUnsupported, fmt::format("{} cannot be computed with these element types and attributes", node.type), node.name);
    }
  }
  // Integer work between the inputs and a host node goes with it: fewer, larger plugin parts.
  const auto uses = graph_.uses();
  for (std::size_t i = order_.size(); i-- > 0;) {
    const ir::NodeId id = order_[i];
    if (place_[id] != Place::kPlugin || !early[id]) continue;
    for (const ir::Graph::Use& use : uses[id]) {
      if (place_[use.user] == Place::kHost) place_[id] = Place::kHost;
    }
  }

  // Levels: host nodes on even ones, plugin nodes on odd ones.
  std::vector<std::size_t> level(graph_.arena_size(), 0);
  std::size_t top = 1;
  std::size_t last_collective = 0;
  for (const ir::NodeId id : order_) {
    if (place_[id] != Place::kHost && place_[id] != Place::kPlugin) continue;
    const bool host = place_[id] == Place::kHost;
    std::size_t own = host ? 0 : 1;
    // Collectives keep the graph's order whatever else goes to the plugin: other ranks may place nodes differently.
    const bool talks = host && (ops_[id]->collective || !graph_.node(id).subgraphs.empty());
    if (talks) own = last_collective;
    const auto behind = [&](ir::NodeId other) {
      if (place_[other] != Place::kHost && place_[other] != Place::kPlugin) return;
      const bool same = (place_[other] == Place::kHost) == host;
      own = std::max(own, level[other] + (same ? 0 : 1));
    };
    const ir::Node& node = graph_.node(id);
    for (const ir::Input& input : node.inputs) {
      if (input.value) behind(read_as(input.value, id).node);
    }
    for (const ir::NodeId control : node.control) behind(control);
    level[id] = own;
    if (talks) last_collective = own;
    top = std::max(top, own);
  }
  steps_.assign(top + 1, {});
  for (const ir::NodeId id : order_) {
    if (place_[id] == Place::kHost || place_[id] == Place::kPlugin) steps_[level[id]].nodes.push_back(id);
  }
  for (std::size_t i = 0; i < steps_.size(); ++i) steps_[i].host = i % 2 == 0;
  steps_.erase(std::remove_if(steps_.begin(), steps_.end(), [](const Step& s) { return s.nodes.empty(); }), steps_.end());

  // Who reads what last.
  last_use_.assign(slots_, 0);
  std::vector<std::size_t> made(slots_, SIZE_MAX);
  std::vector<bool> escapes(slots_, false);
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    for (const ir::NodeId id : steps_[s].nodes) {
      for (std::size_t i = 0; i < graph_.node(id).outputs.size(); ++i) made[base_[id] + i] = s;
    }
  }
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    for (const ir::NodeId id : steps_[s].nodes) {
      for (const ir::Input& input : graph_.node(id).inputs) {
        if (!input.value) continue;
        const std::size_t at = slot(read_as(input.value, id));
        last_use_[at] = std::max(last_use_[at], s);
        escapes[at] = escapes[at] || made[at] != s;
      }
    }
  }
  const auto keep = [&](ir::Value value) {
    last_use_[slot(value)] = SIZE_MAX;
    escapes[slot(value)] = true;
  };
  for (const ir::Input& input : graph_.node(net_output_).inputs) {
    if (input.value) keep(read_as(input.value, net_output_));
  }
  for (const auto& [position, value] : final_refs_) keep(value);

  segments_.clear();
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    Step& step = steps_[s];
    if (step.host) continue;
    auto segment = std::make_unique<Segment>();
    std::set<std::size_t> taken;
    for (const ir::NodeId id : step.nodes) {
      const ir::Node& node = graph_.node(id);
      segment->host_capable = segment->host_capable && ops_[id]->host != nullptr;
      for (const ir::Input& input : node.inputs) {
        if (!input.value) continue;
        const std::size_t at = slot(read_as(input.value, id));
        if (constants_[at].present() || made[at] == s || !taken.insert(at).second) continue;
        if (graph_.type(input.value).dtype == DType::kInt64 && known[at].kind == Known::Kind::kFree)
          segment->check32.push_back(segment->inputs.size());
        segment->inputs.push_back(at);
      }
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        if (escapes[base_[id] + i]) segment->outputs.push_back(base_[id] + i);
      }
    }
    const auto plain = [&](const ir::Node& node) {
      const bool floats = std::all_of(node.outputs.begin(), node.outputs.end(),
                                      [](const ir::Output& output) { return output.type.dtype == DType::kFloat; });
      return floats && Direct::knows(node);
    };
    segment->direct_capable =
        env_.options.direct && std::all_of(step.nodes.begin(), step.nodes.end(), [&](ir::NodeId id) {
          return plain(graph_.node(id)) &&
                 std::all_of(graph_.node(id).inputs.begin(), graph_.node(id).inputs.end(), [&](const ir::Input& input) {
                   return !input.value || constants_[slot(input.value)].present() || graph_.type(input.value).dtype == DType::kFloat;
                 });
        });
    step.segment = segments_.size();
    segments_.push_back(std::move(segment));
  }
}

void Executable::compile(const Step& step, Segment& segment, const std::vector<Tensor>* now) {
  // Declared shapes of graph inputs; of computed values what they are in this call.
  std::map<std::size_t, const ir::TensorType*> declared;
  for (const ir::NodeId id : inputs_) declared[base_[id]] = &graph_.node(id).outputs.front().type;
  std::map<std::size_t, DType> dtypes;
  for (const ir::NodeId id : order_) {
    for (std::size_t i = 0; i < graph_.node(id).outputs.size(); ++i) dtypes[base_[id] + i] = graph_.node(id).outputs[i].type.dtype;
  }
  const auto uses = graph_.uses();
  std::map<std::size_t, OvValue> made;
  ov::ParameterVector parameters;
  segment.shapes.clear();
  const auto widen = [](OvValue value) {
    const ov::element::Type type = value.get_element_type();
    return type == ov::element::f16 || type == ov::element::bf16 ? mk<op::Convert>(value, ov::element::f32) : value;
  };
  // What goes in and out has a type that the plugin holds, or the whole part goes to the host.
  const auto stored = [&](DType dtype) {
    try {
      return storage_type(dtype);
    } catch (const NeedsHost&) {
      for (const ir::NodeId id : step.nodes) {
        if (ops_[id]->host == nullptr) {
          bad(Errc::kUnsupported, fmt::format("{} with {} elements", graph_.node(id).type, ir::info(dtype).text), graph_.node(id).name);
        }
        forced_host_.insert(id);
      }
      throw Replan{};
    }
  };
  for (const std::size_t at : segment.inputs) {
    ov::PartialShape shape;
    DType dtype = dtypes[at];
    const auto type = declared.find(at);
    if (type != declared.end() && !type->second->unknown_rank) {
      std::vector<ov::Dimension> dims;
      for (const std::int64_t dim : type->second->dims()) dims.emplace_back(dim < 0 ? ov::Dimension::dynamic() : ov::Dimension(dim));
      shape = ov::PartialShape(dims);
    } else {
      const Tensor& tensor = now->at(at);
      dtype = tensor.dtype;
      std::vector<ov::Dimension> dims;
      for (const std::int64_t dim : tensor.shape)
        dims.emplace_back(dynamic_ || loose_.count(at) != 0 ? ov::Dimension::dynamic() : ov::Dimension(dim));
      shape = ov::PartialShape(dims);
    }
    const auto parameter = std::make_shared<op::Parameter>(stored(dtype), shape);
    parameters.push_back(parameter);
    segment.shapes.push_back(shape);
    made[at] = widen(parameter->output(0));
  }
  const auto value_of = [&](std::size_t at) {
    const auto it = made.find(at);
    if (it != made.end()) return it->second;
    const Tensor& tensor = constants_[at];
    ov::Shape shape(tensor.shape.begin(), tensor.shape.end());
    const ov::Tensor view(storage_type(tensor.dtype), shape, const_cast<std::byte*>(tensor.data));
    OvValue value = widen(mk<op::Constant>(view));
    made[at] = value;
    return value;
  };
  for (const ir::NodeId id : step.nodes) {
    const ir::Node& node = graph_.node(id);
    try {
      std::vector<OvValue> in;
      std::vector<DType> in_types;
      std::set<const ov::Node*> stop;
      for (const ir::Input& input : node.inputs) {
        in.push_back(input.value ? value_of(slot(read_as(input.value, id))) : OvValue{});
        in_types.push_back(input.value ? graph_.type(input.value).dtype : DType::kUndefined);
        stop.insert(in.back().get_node());
      }
      std::vector<bool> read(node.outputs.size(), false);
      for (const ir::Graph::Use& use : uses[id]) read[use.output] = true;
      OvCtx context(node, std::move(in), std::move(in_types), std::move(read));
      ops_[id]->plugin(context);
      // Name the nodes made here after the GE node: profiles and plugin errors speak of it.
      std::size_t count_inner = 0;
      std::vector<ov::Node*> stack;
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        const OvValue& out = context.outputs()[i];
        if (out.get_node() == nullptr) continue;
        const DType dtype = node.outputs[i].type.dtype;
        if (dtype != DType::kUndefined && out.get_element_type() != plugin_type(dtype)) {
          bad(Errc::kInvalidGraph,
              fmt::format("output {} is declared {} but the operator gives {}", i, ir::info(dtype).torch,
                          out.get_element_type().get_type_name()),
              node.name);
        }
        made[base_[id] + i] = out;
        stack.push_back(out.get_node());
      }
      while (!stack.empty()) {
        ov::Node* inner = stack.back();
        stack.pop_back();
        if (!stop.insert(inner).second) continue;
        inner->set_friendly_name(count_inner == 0 ? node.name : fmt::format("{}#{}", node.name, count_inner));
        ++count_inner;
        for (const auto& input : inner->inputs()) stack.push_back(input.get_source_output().get_node());
      }
    } catch (const NeedsHost&) {
      if (ops_[id]->host == nullptr) bad(Errc::kUnsupported, fmt::format("{} with these attributes and shapes", node.type), node.name);
      forced_host_.insert(id);
      throw Replan{};
    } catch (const ov::Exception& error) {
      const std::string text = error.what();
      bad(Errc::kInvalidGraph, fmt::format("{} does not accept its inputs: {}", node.type, text.substr(0, 400)), node.name);
    } catch (const Exception& error) {
      if (!error.error().where.empty()) throw;
      Error named = error.error();
      named.where = node.name;
      throw Exception(named);
    } catch (const std::exception& error) {
      bad(Errc::kUnsupported, fmt::format("{} cannot be prepared: {}", node.type, error.what()), node.name);
    }
  }
  ov::ResultVector results;
  segment.computed.clear();
  segment.passed.clear();
  for (const std::size_t at : segment.outputs) {
    const auto it = made.find(at);
    if (it == made.end()) bad(Errc::kUnsupported, "an output of a plugin node that the mapping does not compute is read");
    OvValue value = it->second;
    // The plugin may not copy an input that is a result as it is: such values never go through it.
    const auto same = std::find_if(segment.inputs.begin(), segment.inputs.end(),
                                   [&](std::size_t in) { return made[in] == value && dtypes[in] == dtypes[at]; });
    if (same != segment.inputs.end()) {
      segment.passed.emplace_back(at, *same);
      continue;
    }
    segment.computed.push_back(at);
    const ov::element::Type wanted = stored(dtypes[at] == DType::kUndefined ? DType::kFloat : dtypes[at]);
    if (value.get_element_type() != wanted) value = mk<op::Convert>(value, wanted);
    results.push_back(std::make_shared<op::Result>(value));
  }
  segment.ready = true;
  if (results.empty()) return;
  const auto model = std::make_shared<ov::Model>(results, parameters, graph_.name);
  ov::AnyMap config;
  config.insert(ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));
  config.insert(ov::num_streams(1));
  if (env_.options.threads > 0) config.insert(ov::inference_num_threads(env_.options.threads));
  if (env_.options.profile) config.insert(ov::enable_profiling(true));
  config.insert(ov::hint::inference_precision(ov::element::f32));
  bool half = false;
  if (env_.options.precision == Precision::kFile) {
    for (const std::size_t at : segment.inputs) half = half || dtypes[at] == DType::kFloat16 || dtypes[at] == DType::kBFloat16;
    for (const std::size_t at : segment.computed) half = half || dtypes[at] == DType::kFloat16 || dtypes[at] == DType::kBFloat16;
  }
  segment.ready = false;
  try {
    if (half) {
      // float16 or bfloat16, whichever the processor has; the plugin falls back to float32 by itself when it has neither.
      config[ov::hint::inference_precision.name()] = ov::element::Type(ov::element::dynamic);
    }
    if (!env_.core) env_.core = std::make_unique<ov::Core>();  // not for graphs that stay on the host
    segment.compiled = env_.core->compile_model(model, "CPU", config);
    segment.request = segment.compiled.create_infer_request();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    bad(Errc::kUnsupported, fmt::format("the plugin does not compile this graph: {}", text.substr(0, 600)));
  }
  segment.fixed.clear();
  for (const auto& result : results) segment.fixed.push_back(result->get_output_partial_shape(0).is_static());
  segment.ready = true;
}

void Executable::compile_early() {
  std::map<std::size_t, const ir::TensorType*> known;
  for (const ir::NodeId id : inputs_) {
    const ir::TensorType& type = graph_.node(id).outputs.front().type;
    if (!type.unknown_rank) known.emplace(base_[id], &type);
  }
  for (bool again = true; again;) {
    again = false;
    for (const Step& step : steps_) {
      if (step.host) continue;
      Segment& segment = *segments_[step.segment];
      if (segment.ready || segment.direct ||
          !std::all_of(segment.inputs.begin(), segment.inputs.end(), [&](std::size_t at) { return known.count(at) != 0; }))
        continue;
      std::vector<Dims> shapes;
      for (const std::size_t at : segment.inputs) shapes.push_back(known.at(at)->dims());
      const bool fixed = std::none_of(shapes.begin(), shapes.end(), [](const Dims& shape) {
        return std::any_of(shape.begin(), shape.end(), [](std::int64_t dim) { return dim < 1; });
      });
      if (fixed && make_direct(step, segment, shapes)) continue;
      try {
        compile(step, segment, nullptr);
      } catch (const Replan&) {
        plan();
        again = true;
        break;
      }
    }
  }
}

void Executable::run_host(const ir::Node& node, std::vector<Tensor>& now) {
  const ir::NodeId id = graph_.find(node.name);
  std::vector<Tensor> in;
  for (std::uint32_t s = 0; s < node.inputs.size(); ++s) {
    const ir::Value value = node.inputs[s].value;
    if (!value) {
      in.emplace_back();
      continue;
    }
    const auto redirected = redirect_.find({id, s});
    const std::size_t at = slot(redirected == redirect_.end() ? value : redirected->second);
    in.push_back(constants_[at].present() ? constants_[at] : now[at]);
  }
  HostCtx context(node, std::move(in), &scope_);
  const auto start = std::chrono::steady_clock::now();
  try {
    ops_[id]->host(context);
  } catch (const Exception& error) {
    if (!error.error().where.empty()) throw;
    Error named = error.error();
    named.where = node.name;
    named.message = fmt::format("{}: {}", node.type, named.message);
    throw Exception(named);
  } catch (const std::out_of_range&) {
    bad(Errc::kRuntime, fmt::format("{}: an empty or missing operand", node.type), node.name);
  } catch (const std::length_error&) {
    bad(Errc::kRuntime, fmt::format("{}: a result too large for memory", node.type), node.name);
  } catch (const std::bad_alloc&) {
    bad(Errc::kRuntime, fmt::format("{}: out of memory", node.type), node.name);
  }
  if (env_.options.profile) {
    env_.host_times[node.name] += std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const Tensor& out = context.outputs()[i];
    const DType declared = node.outputs[i].type.dtype;
    if (out.present() && declared != DType::kUndefined && out.dtype != declared) {
      bad(Errc::kInvalidGraph,
          fmt::format("output {} is declared {} but the operator gives {}", i, ir::info(declared).torch, ir::info(out.dtype).torch),
          node.name);
    }
    now[base_[id] + i] = out;
  }
}

bool Executable::make_direct(const Step& step, Segment& segment, const std::vector<Dims>& shapes) {
  if (!segment.direct_capable) return false;
  std::vector<DirectNode> nodes;
  for (const ir::NodeId id : step.nodes) {
    const ir::Node& node = graph_.node(id);
    DirectNode& direct = nodes.emplace_back(DirectNode{&node, {}, base_[id]});
    for (const ir::Input& input : node.inputs) direct.in.push_back(input.value ? slot(read_as(input.value, id)) : SIZE_MAX);
  }
  std::unique_ptr<Direct> made = Direct::build(nodes, constants_, segment.inputs, shapes, segment.outputs);
  if (!made) {
    segment.not_direct = shapes;
    return false;
  }
  segment.direct = std::move(made);
  return true;
}

void Executable::run_direct(Segment& segment, std::vector<Tensor>& now) const {
  std::vector<const float*> in;
  std::vector<float*> out;
  in.reserve(segment.inputs.size());
  out.reserve(segment.outputs.size());
  for (const std::size_t at : segment.inputs) in.push_back(reinterpret_cast<const float*>(now[at].data));
  for (std::size_t i = 0; i < segment.outputs.size(); ++i) {
    Tensor& tensor = now[segment.outputs[i]] = allocate(DType::kFloat, segment.direct->output_shapes()[i]);
    out.push_back(reinterpret_cast<float*>(writable(tensor)));
  }
  if (!env_.options.profile) return segment.direct->run(in, out);
  const Direct::Times add = [&](const std::string& node, double microseconds) { segment.times[node] += microseconds; };
  segment.direct->run(in, out, &add);
}

void Executable::run_segment(const Step& step, Segment& segment, std::vector<Tensor>& now) {
  const auto on_host = [&] {
    for (const ir::NodeId id : step.nodes) run_host(graph_.node(id), now);
  };
  for (const std::size_t at : segment.inputs) {
    if (!now[at].present())
      bad(Errc::kInvalidGraph, "an output that its operator does not compute is read", graph_.node(step.nodes.front()).name);
    try {
      storage_type(now[at].dtype);  // nothing declares the type of what a host operator gave
    } catch (const NeedsHost&) {
      if (!segment.host_capable)
        bad(Errc::kUnsupported, fmt::format("the plugin does not take {} elements", ir::info(now[at].dtype).torch),
            graph_.node(step.nodes.front()).name);
      return on_host();
    }
    now[at] = aligned(std::move(now[at]));
  }
  for (const std::size_t position : segment.check32) {
    const Tensor& tensor = now[segment.inputs[position]];
    const auto* data = reinterpret_cast<const std::int64_t*>(tensor.data);
    const std::int64_t n = tensor.numel();
    bool fits = true;
    for (std::int64_t i = 0; i < n; ++i) fits = fits && data[i] == static_cast<std::int32_t>(data[i]);
    if (fits) continue;
    if (!segment.host_capable) bad(Errc::kRuntime, "an int64 input beyond 32 bits reaches an operator that only the plugin computes");
    return on_host();
  }
  for (const std::size_t at : segment.inputs) {
    if (now[at].numel() == 0 && segment.host_capable) return on_host();
  }
  if (segment.direct_capable) {
    const auto is_now = [&](const std::vector<Dims>& shapes) {
      if (shapes.size() != segment.inputs.size()) return false;
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        if (shapes[i] != now[segment.inputs[i]].shape) return false;
      }
      return true;
    };
    if (segment.direct && is_now(segment.direct->input_shapes())) return run_direct(segment, now);
    if (segment.inputs.empty() ? !segment.ready : !is_now(segment.not_direct)) {
      std::vector<Dims> shapes;
      for (const std::size_t at : segment.inputs) shapes.push_back(now[at].shape);
      if (make_direct(step, segment, shapes)) return run_direct(segment, now);
    }
  }
  const auto accepts = [&](std::size_t i) {
    const Tensor& tensor = now[segment.inputs[i]];
    return segment.shapes[i].compatible(ov::PartialShape(ov::Shape(tensor.shape.begin(), tensor.shape.end())));
  };
  if (segment.ready) {
    for (std::size_t i = 0; i < segment.inputs.size(); ++i) {
      if (accepts(i)) continue;
      loose_.insert(segment.inputs[i]);
      segment.ready = false;
    }
  }
  if (!segment.ready) compile(step, segment, &now);
  for (const auto& [to, from] : segment.passed) now[to] = now[from];
  if (segment.computed.empty()) return;
  std::vector<Tensor> outputs(segment.computed.size());
  try {
    for (std::size_t i = 0; i < segment.inputs.size(); ++i) {
      const Tensor& tensor = now[segment.inputs[i]];
      const ov::Shape shape(tensor.shape.begin(), tensor.shape.end());
      segment.request.set_input_tensor(i, ov::Tensor(storage_type(tensor.dtype), shape, const_cast<std::byte*>(tensor.data)));
    }
    std::vector<DType> dtypes(outputs.size());
    for (const ir::NodeId id : step.nodes) {
      for (std::size_t i = 0; i < segment.computed.size(); ++i) {
        if (segment.computed[i] >= base_[id] && segment.computed[i] < base_[id] + graph_.node(id).outputs.size()) {
          dtypes[i] = graph_.node(id).outputs[segment.computed[i] - base_[id]].type.dtype;
          if (dtypes[i] == DType::kUndefined) dtypes[i] = DType::kFloat;
        }
      }
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!segment.fixed[i]) continue;
      const ov::Shape shape = segment.compiled.output(i).get_shape();
      outputs[i] = allocate(dtypes[i], Dims(shape.begin(), shape.end()));
      segment.request.set_output_tensor(i, ov::Tensor(storage_type(dtypes[i]), shape, writable(outputs[i])));
    }
    segment.request.infer();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (segment.fixed[i]) continue;
      const ov::Tensor result = segment.request.get_output_tensor(i);
      const ov::Shape& shape = result.get_shape();
      outputs[i] = allocate(dtypes[i], Dims(shape.begin(), shape.end()));
      std::memcpy(writable(outputs[i]), result.data(), result.get_byte_size());
    }
  } catch (const ov::Exception& error) {
    const std::string text = error.what();
    bad(Errc::kRuntime, fmt::format("the plugin cannot compute these values: {}", text.substr(0, 600)));
  }
  if (env_.options.profile) {
    for (const ov::ProfilingInfo& info : segment.request.get_profiling_info()) {
      segment.times[info.node_name.substr(0, info.node_name.find('#'))] += static_cast<double>(info.real_time.count());
    }
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) now[segment.computed[i]] = std::move(outputs[i]);
}

std::vector<Tensor> Executable::run(const std::vector<Tensor>& given, std::map<std::size_t, Tensor>* refs) {
  std::map<ir::NodeId, std::vector<Tensor>> said;  // by random, control and collective nodes: once per call, also when it plans again
  for (;;) {
    std::vector<Tensor> now(slots_);
    for (std::size_t i = 0; i < inputs_.size(); ++i) now[base_[inputs_[i]]] = given.at(i);
    try {
      for (std::size_t s = 0; s < steps_.size(); ++s) {
        const Step& step = steps_[s];
        if (step.host) {
          for (const ir::NodeId id : step.nodes) {
            const auto at = now.begin() + static_cast<std::ptrdiff_t>(base_[id]);
            const auto outputs = static_cast<std::ptrdiff_t>(graph_.node(id).outputs.size());
            if (const auto known = said.find(id); known != said.end()) {
              std::copy(known->second.begin(), known->second.end(), at);
              continue;
            }
            run_host(graph_.node(id), now);
            if (ops_[id]->stateful) said.emplace(id, std::vector<Tensor>(at, at + outputs));
          }
        } else {
          run_segment(step, *segments_[step.segment], now);
        }
        for (std::size_t at = 0; at < slots_; ++at) {
          if (last_use_[at] == s) now[at] = Tensor{};
        }
      }
    } catch (const Replan&) {
      plan();
      continue;
    }
    const auto read = [&](ir::Value value) {
      const std::size_t at = slot(value);
      return constants_[at].present() ? constants_[at] : now[at];
    };
    std::vector<Tensor> out;
    const ir::Node& sink = graph_.node(net_output_);
    for (const ir::Input& input : sink.inputs) {
      if (!input.value) bad(Errc::kInvalidGraph, "NetOutput has an input that nothing feeds", sink.name);
      out.push_back(read(read_as(input.value, net_output_)));
      if (!out.back().present())
        bad(Errc::kInvalidGraph, "an output that its operator does not compute is returned", graph_.node(input.value.node).name);
    }
    if (refs != nullptr) {
      for (const auto& [position, value] : final_refs_) {
        Tensor written = read(value);
        (*refs)[position] = written.reshaped(given.at(position).shape);
      }
    }
    return out;
  }
}

Session::Layout Executable::layout() const {
  Session::Layout out;
  for (const auto& segment : segments_) ++(segment->direct ? out.direct_parts : out.plugin_parts);
  for (const Step& step : steps_) (step.host ? out.host_nodes : out.plugin_nodes) += static_cast<int>(step.nodes.size());
  return out;
}

void Executable::collect_times(std::map<std::string, double>& out) const {
  for (const auto& segment : segments_) {
    for (const auto& [name, time] : segment->times) out[name] += time;
  }
}

}  // namespace airloom::runtime
