#include "runtime/check.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace airloom::runtime {
namespace {

/// Attributes of no prototype that change no numbers.
constexpr std::string_view kNotes[] = {"nn_module_stack", "input_layout_info", "output_layout_info", "reference"};

template <class... T>
bool holds(const ir::Attr& attr) {
  return (std::holds_alternative<T>(attr) || ...);
}
bool empty_list(const ir::Attr& attr) {
  const auto empty = [](const auto* list) { return list != nullptr && list->empty(); };
  return empty(std::get_if<ir::Ints>(&attr)) || empty(std::get_if<ir::Floats>(&attr)) || empty(std::get_if<ir::Strings>(&attr));
}
/// Whether NodeView reads the attribute as this kind: exporters differ in numbers, and an empty list says nothing of its kind.
bool reads_as(opdb::AttrKind kind, const ir::Attr& attr) {
  using opdb::AttrKind;
  switch (kind) {
    case AttrKind::kInt:
    case AttrKind::kType: return holds<std::int64_t, DType, bool>(attr);
    case AttrKind::kFloat: return holds<double, std::int64_t>(attr);
    case AttrKind::kBool: return holds<bool, std::int64_t>(attr);
    case AttrKind::kString: return holds<std::string>(attr);
    case AttrKind::kTensor: return holds<ir::TensorRef>(attr);
    case AttrKind::kListInt: return holds<ir::Ints, std::int64_t>(attr) || empty_list(attr);
    case AttrKind::kListFloat: return holds<ir::Floats, ir::Ints>(attr);
    case AttrKind::kListBool: return holds<ir::Bools>(attr) || empty_list(attr);
    case AttrKind::kListString: return holds<ir::Strings>(attr) || empty_list(attr);
    case AttrKind::kListType: return holds<ir::DTypes>(attr) || empty_list(attr);
    case AttrKind::kListListInt: return holds<ir::IntLists>(attr);
    case AttrKind::kOther: return true;
  }
  return false;
}

bool known_elements(DType dtype) {
  const ir::DTypeInfo& info = ir::info(dtype);
  return ir::item_size(dtype) != 0 && !info.torch.empty() && !info.torch.starts_with("float8");
}
bool names_dtype(const opdb::AttrInfo& attr) {
  return attr.kind == opdb::AttrKind::kType ||
         (attr.kind == opdb::AttrKind::kInt && (attr.name == "dst_type" || attr.name.ends_with("dtype")));
}

/// Place in the prototype of a slot called `name`; slots of a dynamic port are numbered.
std::optional<std::size_t> port_of(std::span<const opdb::Port> ports, std::string_view name) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].kind != opdb::Kind::kDynamic && ports[i].name == name) return i;
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].kind != opdb::Kind::kDynamic || !name.starts_with(ports[i].name)) continue;
    const std::string_view number = name.substr(ports[i].name.size());
    if (!number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos) return i;
  }
  return std::nullopt;
}
bool any_dynamic(std::span<const opdb::Port> ports) {
  return std::any_of(ports.begin(), ports.end(), [](const opdb::Port& port) { return port.kind == opdb::Kind::kDynamic; });
}

void check_elements(CheckCtx& c) {
  for (const ir::Output& output : c.node().outputs) {
    const DType dtype = output.type.dtype;
    if (dtype != DType::kUndefined && !known_elements(dtype)) return c.refuse(fmt::format("with elements of type {}", ir::info(dtype).ge));
  }
}

void check_attrs(CheckCtx& c, const opdb::OpInfo& info) {
  for (const auto& [name, value] : c.node().attrs) {
    if (name.starts_with('_') || std::find(std::begin(kNotes), std::end(kNotes), name) != std::end(kNotes)) continue;
    const auto row = std::find_if(info.attrs.begin(), info.attrs.end(), [&n = name](const opdb::AttrInfo& attr) { return attr.name == n; });
    if (row == info.attrs.end()) {
      c.refuse(fmt::format("with the attribute '{}', which its prototype does not have", name));
    } else if (!reads_as(row->kind, value)) {
      c.refuse(fmt::format("with '{}' of another kind than in its prototype", name));
    } else if (names_dtype(*row) && row->default_text != fmt::to_string(c.attr_int(name))) {
      const std::int64_t number = c.attr_int(name);
      const std::optional<DType> dtype = number == static_cast<int>(number) ? ir::dtype_from_ge(static_cast<int>(number)) : std::nullopt;
      if (!dtype || (!known_elements(*dtype) && (*dtype != DType::kUndefined || row->default_text != "\"DT_UNDEFINED\"")))
        c.refuse(fmt::format("with {} = {}", name, dtype ? std::string(ir::info(*dtype).ge) : fmt::to_string(number)));
    }
  }
  for (const opdb::AttrInfo& attr : info.attrs) {
    if (attr.required && !c.has_attr(attr.name)) c.refuse(fmt::format("without the attribute '{}'", attr.name));
  }
}

/// Mappings read required inputs and all outputs by place, optional inputs by name.
void check_slots(CheckCtx& c, const opdb::OpInfo& info) {
  const ir::Node& node = c.node();
  const bool many = any_dynamic(info.inputs);
  std::size_t last = 0;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const std::string& name = node.inputs[i].name;
    if (!c.fed(i) || name.empty()) continue;
    const std::optional<std::size_t> port = port_of(info.inputs, name);
    if (port && *port < last) c.refuse(fmt::format("with the input '{}' out of its prototype's order", name));
    if (port) last = *port;
    // Older prototypes have other names for the same places.
    if (!port && !many && (i >= info.inputs.size() || info.inputs[i].kind == opdb::Kind::kOptional))
      c.refuse(fmt::format("with the input '{}', which its prototype does not have", name));
  }
  if (any_dynamic(info.outputs)) return;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (!c.read(i)) continue;
    const std::optional<std::size_t> port = port_of(info.outputs, node.outputs[i].name);
    if (i >= info.outputs.size())
      c.refuse(fmt::format("with the output {} '{}', which its prototype does not have", i, node.outputs[i].name));
    else if (port && *port != i)
      c.refuse(fmt::format("with the output '{}' out of its prototype's order", node.outputs[i].name));
  }
}

std::vector<std::string> problems_of(const ir::Graph& graph, ir::NodeId id, const std::vector<ir::Graph::Use>& uses) {
  const ir::Node& node = graph.node(id);
  const opdb::OpInfo* info = opdb::find_op(node.type);
  std::vector<bool> read(node.outputs.size(), false);
  for (const ir::Graph::Use& use : uses) read[use.output] = true;
  if (node.type == "NetOutput") return {};
  CheckCtx c(graph, node, info, read);
  check_elements(c);
  if (ir::is_input_type(node.type) || ir::is_const_type(node.type)) return c.problems();
  const Op* op = find_op(node.type);
  if (op == nullptr) {
    c.refuse("is not known to the runtime");
    return c.problems();
  }
  if (info != nullptr) {
    check_attrs(c, *info);
    check_slots(c, *info);
  }
  if (op->check == nullptr) return c.problems();
  // Attributes that are reported already do not count for the operator's own limits, which read them without a second look.
  ir::Node readable = node;
  std::erase_if(readable.attrs, [&](const auto& entry) {
    return info == nullptr || std::none_of(info->attrs.begin(), info->attrs.end(), [&](const opdb::AttrInfo& attr) {
             return attr.name == entry.first && reads_as(attr.kind, entry.second);
           });
  });
  CheckCtx own(graph, readable, info, std::move(read));
  op->check(own);
  std::vector<std::string> all = std::move(c.problems());
  all.insert(all.end(), own.problems().begin(), own.problems().end());
  return all;
}

}  // namespace

const opdb::AttrInfo* CheckCtx::attr_info(std::string_view attr) const {
  if (info_ == nullptr) return nullptr;
  const auto row = std::find_if(info_->attrs.begin(), info_->attrs.end(), [&](const opdb::AttrInfo& info) { return info.name == attr; });
  return row == info_->attrs.end() ? nullptr : &*row;
}

void CheckCtx::only(std::string_view attr, std::initializer_list<std::string_view> values) {
  const opdb::AttrInfo* info = attr_info(attr);
  if (!has_attr(attr) && (info == nullptr || info->default_text.size() < 2)) return;
  const std::string value =
      has_attr(attr) ? attr_string(attr, "") : std::string(info->default_text.substr(1, info->default_text.size() - 2));
  if (std::find(values.begin(), values.end(), value) == values.end()) refuse(fmt::format("with {} {:?}", attr, value));
}
void CheckCtx::only(std::string_view attr, std::int64_t low, std::int64_t high) {
  const opdb::AttrInfo* info = attr_info(attr);
  std::int64_t value = low;
  if (has_attr(attr))
    value = attr_int(attr);
  else if (info != nullptr)
    std::from_chars(info->default_text.data(), info->default_text.data() + info->default_text.size(), value);
  if (value < low || value > high) refuse(fmt::format("with {} = {}", attr, value));
}
void CheckCtx::never(std::string_view attr) {
  if (attr_bool(attr, false)) refuse(fmt::format("with {}", attr));
}
void CheckCtx::unread(std::string_view input, std::size_t position) {
  if (fed(input, position)) refuse(fmt::format("with the input '{}'", input));
}
void CheckCtx::reads_only(std::initializer_list<std::string_view> inputs) {
  for (std::size_t i = 0; info_ != nullptr && i < node().inputs.size(); ++i) {
    const std::string& name = node().inputs[i].name;
    if (!fed(i) || name.empty()) continue;
    const std::optional<std::size_t> port = port_of(info_->inputs, name);
    const bool required = port && info_->inputs[*port].kind == opdb::Kind::kRequired;
    if (!required && (!port || std::find(inputs.begin(), inputs.end(), info_->inputs[*port].name) == inputs.end()))
      refuse(fmt::format("with the input '{}'", name));
  }
}

Status check_supported(const ir::Module& module) {
  std::vector<std::string> problems;
  std::size_t nodes = 0;
  for (const ir::Graph& graph : module.graphs) {
    const auto order = graph.topological();
    if (!order) return fail(Errc::kInvalidGraph, "the graph has a cycle", graph.name);
    const auto uses = graph.uses();
    for (const ir::NodeId id : *order) {
      const std::vector<std::string> found = problems_of(graph, id, uses[id]);
      nodes += found.empty() ? 0 : 1;
      for (const std::string& what : found) problems.push_back(fmt::format("{}: {} {}", graph.node(id).name, graph.node(id).type, what));
    }
  }
  if (problems.empty()) return {};
  return fail(Errc::kUnsupported, fmt::format("{} node{} cannot run: {}", nodes, nodes == 1 ? "" : "s", fmt::join(problems, "; ")));
}

}  // namespace airloom::runtime
