// IR module -> ModelDef on the wire. Protobuf serialises everything but tensor bytes; those are spliced in by length.
#include <climits>
#include <cmath>

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "air/air.h"
#include "air/encode.h"

namespace airloom::air {

namespace detail {

using List = pb::AttrDef::ListValue;

bool is_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    const unsigned lead = *p++;
    if (lead < 0x80) continue;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || end - p < more) return false;
    unsigned code = lead & (0x3FU >> more);
    for (int k = 0; k < more; ++k) {
      if ((*p & 0xC0U) != 0x80) return false;
      code = (code << 6) | (*p++ & 0x3FU);
    }
    if ((more == 2 && code < 0x800) || (more == 3 && (code < 0x10000 || code > 0x10FFFF)) || (code >= 0xD800 && code <= 0xDFFF))
      return false;
  }
  return true;
}

ir::Attrs derived_attrs(DescKind kind, const ir::Ints& dims, ir::Format format) {
  ir::Attrs attrs;
  attrs["origin_shape_initialized"] = kind == DescKind::kKnown;
  if (kind == DescKind::kKnown) attrs["origin_shape"] = dims;
  if (kind == DescKind::kUnfed) {
    attrs["_is_unfed_optional"] = std::int64_t{1};
    attrs["format_for_int"] = static_cast<std::int64_t>(ir::ge_number(ir::Format::kReserved));
    format = ir::Format::kND;
  } else if (format != ir::Format::kOther) {
    attrs["format_for_int"] = static_cast<std::int64_t>(ir::ge_number(format));
  }
  if (format != ir::Format::kOther) {
    attrs["origin_format"] = std::string(ir::to_string(format));
    attrs["origin_format_for_int"] = static_cast<std::int64_t>(ir::ge_number(format));
  }
  return attrs;
}

namespace {

bool readable(const ir::Tensor& tensor) {
  return !ir::is_complex(tensor.dtype) && ir::item_size(tensor.dtype) > 0 && (tensor.data != nullptr || tensor.numel() == 0);
}

std::string element_text(const ir::Tensor& tensor, std::int64_t i) {
  if (tensor.dtype == ir::DType::kBool) return tensor.int_at(i) != 0 ? "True" : "False";
  if (!ir::is_floating(tensor.dtype)) return fmt::format("{}", tensor.int_at(i));
  const double value = tensor.float_at(i);
  std::string text = tensor.dtype == ir::DType::kDouble ? fmt::format("{}", value) : fmt::format("{}", static_cast<float>(value));
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

/// "[1.0, 2.0, ...]": at most 16 elements, so that the cost does not follow the size.
std::string preview(const ir::Tensor& tensor) {
  constexpr std::int64_t kElements = 16;
  if (tensor.shape.empty()) return element_text(tensor, 0);
  std::string text = "[";
  const std::int64_t count = tensor.numel();
  for (std::int64_t i = 0; i < std::min(count, kElements); ++i) text += (i > 0 ? ", " : "") + element_text(tensor, i);
  if (count > kElements) text += ", ...";
  return text + "]";
}

struct AttrEncoder {
  pb::AttrDef& out;
  Style style;

  List& list(List::ListValueType type) const {
    out.mutable_list()->set_val_type(type);
    return *out.mutable_list();
  }
  void operator()(std::int64_t v) const { out.set_i(v); }
  void operator()(double v) const { out.set_f(static_cast<float>(v)); }
  void operator()(bool v) const { out.set_b(v); }
  void operator()(const std::string& v) const { out.set_s(v); }
  void operator()(ir::DType v) const { out.set_dt(static_cast<std::int64_t>(v)); }
  void operator()(const ir::TensorRef& v) const {
    pb::TensorDef& def = *out.mutable_t();
    if (v == nullptr) return;
    encode_tensor_desc(*v, ir::Format::kND, style, *def.mutable_desc());
    if (style == Style::kText || v->data == nullptr) return;
    const std::vector<std::byte> bytes = v->bytes();
    def.set_data(bytes.data(), bytes.size());
  }
  void operator()(const ir::Ints& v) const {
    auto& field = *list(List::VT_LIST_INT).mutable_i();
    field.Add(v.begin(), v.end());
  }
  void operator()(const ir::Floats& v) const {
    List& to = list(List::VT_LIST_FLOAT);
    for (double x : v) to.add_f(static_cast<float>(x));
  }
  void operator()(const ir::Bools& v) const {
    List& to = list(List::VT_LIST_BOOL);
    for (bool x : v) to.add_b(x);
  }
  void operator()(const ir::Strings& v) const {
    List& to = list(List::VT_LIST_STRING);
    for (const std::string& x : v) to.add_s(x);
  }
  void operator()(const ir::DTypes& v) const {
    List& to = list(List::VT_LIST_DATA_TYPE);
    for (ir::DType x : v) to.add_dt(static_cast<std::int64_t>(x));
  }
  void operator()(const ir::IntLists& v) const {
    auto& to = *out.mutable_list_list_int();
    for (const auto& row : v) to.add_list_list_i()->mutable_list_i()->Add(row.begin(), row.end());
  }
};

void encode_attr(const ir::Attr& attr, Style style, pb::AttrDef& out) { std::visit(AttrEncoder{out, style}, attr); }

struct DescSpec {
  DescKind kind;
  std::string_view name;
  ir::DType dtype;
  const ir::Ints& dims;
  ir::Format format;
  bool on_host;
};

/// `extra` (a user's attributes) wins over derived ones of the same key.
void encode_desc(const DescSpec& spec, const ir::Attrs& extra, Style style, pb::TensorDescriptor& desc) {
  desc.set_name(std::string(spec.name));
  desc.set_dtype(static_cast<pb::DataType>(ir::info(spec.dtype).proto));
  std::string_view layout = ir::to_string(spec.format);
  if (spec.format == ir::Format::kOther) {
    const auto found = extra.find(kLayoutKey);
    const auto* text = found == extra.end() ? nullptr : std::get_if<std::string>(&found->second);
    layout = text == nullptr ? std::string_view() : *text;
  }
  if (spec.kind == DescKind::kUnfed) layout = "";
  desc.set_layout(std::string(layout));
  if (spec.kind != DescKind::kUnfed) desc.mutable_shape()->mutable_dim()->Add(spec.dims.begin(), spec.dims.end());
  if (style == Style::kFile || spec.on_host) desc.set_device_type(spec.on_host ? "CPU" : "NPU");
  auto& attrs = *desc.mutable_attr();
  if (style == Style::kFile) {
    for (const auto& [key, value] : derived_attrs(spec.kind, spec.dims, spec.format)) encode_attr(value, style, attrs[key]);
  } else if (spec.kind == DescKind::kUnfed) {
    attrs["_is_unfed_optional"].set_i(1);
  }
  for (const auto& [key, value] : extra) {
    if (spec.format == ir::Format::kOther && key == kLayoutKey) continue;
    attrs[key].Clear();
    encode_attr(value, style, attrs[key]);
  }
  const auto initialized = extra.find("origin_shape_initialized");
  if (initialized != extra.end() && std::holds_alternative<bool>(initialized->second) && !std::get<bool>(initialized->second) &&
      !extra.contains("origin_shape")) {
    attrs.erase("origin_shape");
  }
}

void encode_names(std::string_view direction, const ir::Strings& names, pb::OpDef& op) {
  if (names.empty()) return;
  ir::Ints slots(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) slots[i] = static_cast<std::int64_t>(i);
  auto& attrs = *op.mutable_attr();
  pb::AttrDef& key = attrs[fmt::format("_{}_name_key", direction)];
  pb::AttrDef& value = attrs[fmt::format("_{}_name_value", direction)];
  key.Clear();
  value.Clear();
  encode_attr(names, Style::kFile, key);
  encode_attr(slots, Style::kFile, value);
}

Status check_text(const ir::Node& node, std::string_view what, std::string_view text) {
  if (is_utf8(text)) return {};
  return fail(Errc::kInvalidGraph, fmt::format("{} is not UTF-8, which the format requires", what),
              is_utf8(node.name) ? node.name : node.type, "rename it");
}

Status check_attrs(const ir::Node& node, const ir::Attrs& attrs) {
  for (const auto& [key, value] : attrs) {
    if (auto ok = check_text(node, "an attribute's name", key); !ok) return ok;
  }
  return {};
}

Status check_node(const ir::Graph& graph, const ir::Node& node) {
  if (node.name.empty() || node.type.empty()) return fail(Errc::kInvalidGraph, "a node has no name or no type", node.name + node.type);
  if (auto ok = check_text(node, "the node's name", node.name); !ok) return ok;
  if (auto ok = check_text(node, "the node's type", node.type); !ok) return ok;
  if (auto ok = check_attrs(node, node.attrs); !ok) return ok;
  for (const std::string& name : node.subgraphs) {
    if (auto ok = check_text(node, "a subgraph's name", name); !ok) return ok;
  }
  for (const ir::Input& input : node.inputs) {
    if (auto ok = check_text(node, "an input's name", input.name); !ok) return ok;
    if (auto ok = check_attrs(node, input.attrs); !ok) return ok;
    if (!input.value) continue;
    if (input.value.node >= graph.arena_size() || graph.node(input.value.node).erased ||
        input.value.index >= graph.node(input.value.node).outputs.size()) {
      return fail(Errc::kInvalidGraph, fmt::format("input '{}' names an output that does not exist", input.name), node.name);
    }
  }
  for (const ir::Output& output : node.outputs) {
    if (auto ok = check_text(node, "an output's name", output.name); !ok) return ok;
    if (auto ok = check_attrs(node, output.attrs); !ok) return ok;
  }
  for (ir::NodeId id : node.control) {
    if (id >= graph.arena_size() || graph.node(id).erased) return fail(Errc::kInvalidGraph, "a control input does not exist", node.name);
  }
  return {};
}

Status check_tensor(const ir::Node& node, const std::string& key, const ir::TensorRef& tensor) {
  if (tensor == nullptr) return fail(Errc::kInvalidGraph, fmt::format("tensor attribute '{}' is null", key), node.name);
  if (ir::info(tensor->dtype).bits == 0 && tensor->numel() != 0) {
    return fail(Errc::kUnsupported, fmt::format("tensor attribute '{}' has elements of no fixed size", key), node.name);
  }
  if (tensor->nbytes() < 0) return fail(Errc::kInvalidGraph, fmt::format("tensor attribute '{}' has an impossible shape", key), node.name);
  if (tensor->data == nullptr && tensor->nbytes() > 0)
    return fail(Errc::kInvalidGraph, fmt::format("tensor attribute '{}' has no memory", key), node.name);
  return {};
}

}  // namespace

void encode_tensor_desc(const ir::Tensor& tensor, ir::Format format, Style style, pb::TensorDescriptor& desc) {
  // A constant's own descriptor has no pseudo attribute to take an unusual layout from.
  if (format == ir::Format::kOther) format = ir::Format::kND;
  encode_desc({DescKind::kKnown, "", tensor.dtype, tensor.shape, format, false}, {}, style, desc);
}

Status encode_node(const ir::Graph& graph, ir::NodeId id, std::int64_t position, Style style, pb::OpDef& op,
                   std::vector<TensorAttr>* tensors) {
  const ir::Node& node = graph.node(id);
  if (auto ok = check_node(graph, node); !ok) return ok;
  const bool is_input = ir::is_input_type(node.type);
  op.set_name(node.name);
  op.set_type(node.type);
  op.set_id(position);

  for (const auto& [key, value] : node.attrs) {
    const auto* tensor = std::get_if<ir::TensorRef>(&value);
    if (tensor != nullptr) {
      if (auto ok = check_tensor(node, key, *tensor); !ok) return ok;
      if (style == Style::kFile) {
        const ir::Format format = node.outputs.empty() || !ir::is_const_type(node.type) ? ir::Format::kND : node.outputs[0].format;
        tensors->push_back({key, *tensor, format});
        continue;
      }
      if (readable(**tensor)) (*op.mutable_attr())["_readable_value"].set_s(preview(**tensor));
    }
    encode_attr(value, style, (*op.mutable_attr())[key]);
  }
  // Elements in a file beside the .air: the loader wants a `value` that has a descriptor and no data.
  if (node.type != "FileConstant" && ir::is_const_type(node.type) && node.attrs.contains("location") && !node.attrs.contains("value") &&
      !node.outputs.empty()) {
    const ir::Output& output = node.outputs[0];
    encode_desc({DescKind::kKnown, "", output.type.dtype, output.type.dims(), output.format, output.on_host}, {}, style,
                *(*op.mutable_attr())["value"].mutable_t()->mutable_desc());
  }

  std::size_t count = node.inputs.size();
  while (!is_input && count > 0 && !node.inputs[count - 1].value) --count;
  ir::Strings names;
  for (std::size_t i = 0; i < count; ++i) {
    const ir::Input& input = node.inputs[i];
    names.push_back(input.name);
    pb::TensorDescriptor& desc = *op.add_input_desc();
    if (input.value) {
      const ir::Node& source = graph.node(input.value.node);
      const ir::Output& output = source.outputs[input.value.index];
      op.add_input(fmt::format("{}:{}", source.name, input.value.index));
      encode_desc({DescKind::kKnown, input.name, output.type.dtype, output.type.dims(), input.format, output.on_host}, input.attrs, style,
                  desc);
    } else if (is_input && i == 0 && !node.outputs.empty()) {
      const ir::Output& output = node.outputs[0];
      ir::Attrs attrs = output.attrs;
      for (const auto& [key, value] : input.attrs) attrs[key] = value;
      op.add_input("");
      encode_desc({DescKind::kKnown, input.name, output.type.dtype, output.type.dims(), output.format, output.on_host}, attrs, style, desc);
    } else {
      op.add_input("");
      encode_desc({DescKind::kUnfed, input.name, ir::DType::kUndefined, {}, input.format, false}, input.attrs, style, desc);
    }
  }
  if (is_input && count == 0 && !node.outputs.empty()) {  // the loader takes an input's shape from its input descriptor
    const ir::Output& output = node.outputs[0];
    names.emplace_back("x");
    op.add_input("");
    encode_desc({DescKind::kKnown, "x", output.type.dtype, output.type.dims(), output.format, output.on_host}, output.attrs, style,
                *op.add_input_desc());
  }
  encode_names("input", names, op);
  for (ir::NodeId before : node.control) op.add_input(graph.node(before).name + ":-1");

  names.clear();
  const DescKind kind = node.type == "FileConstant" ? DescKind::kNoOrigin : DescKind::kKnown;
  for (const ir::Output& output : node.outputs) {
    names.push_back(output.name);
    encode_desc({kind, output.name, output.type.dtype, output.type.dims(), output.format, output.on_host}, output.attrs, style,
                *op.add_output_desc());
  }
  encode_names("output", names, op);
  for (const std::string& name : node.subgraphs) op.add_subgraph_name(name);
  return {};
}

}  // namespace detail

namespace {

using detail::pb::AttrDef;
using detail::pb::GraphDef;
using detail::pb::ModelDef;
using detail::pb::OpDef;
using detail::pb::TensorDef;
using detail::pb::TensorDescriptor;
using google::protobuf::io::CodedOutputStream;
using Wire = google::protobuf::internal::WireFormatLite;

constexpr int kMapKey = 1;
constexpr int kMapValue = 2;

struct Blob {
  std::string before;  // everything up to the tensor's first byte
  ir::TensorRef tensor;
};

struct EncodedOp {
  std::string head;  // tag and length included
  std::vector<Blob> blobs;
};

struct EncodedGraph {
  std::string head;
  std::vector<EncodedOp> ops;
};

struct EncodedModule {
  std::string head;
  std::vector<EncodedGraph> graphs;
  std::int64_t size = 0;
};

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void append_length_tag(std::string& out, int field, std::int64_t size) {
  append_varint(out, Wire::MakeTag(field, Wire::WIRETYPE_LENGTH_DELIMITED));
  append_varint(out, static_cast<std::uint64_t>(size));
}

/// Bytes of a length-delimited field with `size` bytes of payload.
std::int64_t field_size(int field, std::int64_t size) {
  return static_cast<std::int64_t>(CodedOutputStream::VarintSize32(Wire::MakeTag(field, Wire::WIRETYPE_LENGTH_DELIMITED)) +
                                   CodedOutputStream::VarintSize64(static_cast<std::uint64_t>(size))) +
         size;
}

std::string serialise(const google::protobuf::MessageLite& message) {
  std::string out;
  {
    google::protobuf::io::StringOutputStream stream(&out);
    CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps in key order
    message.SerializeToCodedStream(&coded);
  }
  return out;
}

/// The map entry of a tensor attribute around its bytes; adds the whole entry's size to `size`.
Blob make_blob(const detail::TensorAttr& attr, std::int64_t& size) {
  TensorDescriptor desc;
  detail::encode_tensor_desc(*attr.tensor, attr.format, detail::Style::kFile, desc);
  const std::string text = serialise(desc);
  const std::int64_t data = attr.tensor->nbytes();
  const std::int64_t tensor = field_size(TensorDef::kDescFieldNumber, static_cast<std::int64_t>(text.size())) +
                              (data > 0 ? field_size(TensorDef::kDataFieldNumber, data) : 0);
  const std::int64_t value = field_size(AttrDef::kTFieldNumber, tensor);
  const std::int64_t entry = field_size(kMapKey, static_cast<std::int64_t>(attr.key.size())) + field_size(kMapValue, value);
  Blob blob;
  blob.tensor = attr.tensor;
  append_length_tag(blob.before, OpDef::kAttrFieldNumber, entry);
  append_length_tag(blob.before, kMapKey, static_cast<std::int64_t>(attr.key.size()));
  blob.before += attr.key;
  append_length_tag(blob.before, kMapValue, value);
  append_length_tag(blob.before, AttrDef::kTFieldNumber, tensor);
  append_length_tag(blob.before, TensorDef::kDescFieldNumber, static_cast<std::int64_t>(text.size()));
  blob.before += text;
  if (data > 0) append_length_tag(blob.before, TensorDef::kDataFieldNumber, data);
  size += field_size(OpDef::kAttrFieldNumber, entry);
  return blob;
}

Result<EncodedGraph> encode_graph(const ir::Graph& graph, std::int64_t& size) {
  const auto order = graph.topological();
  if (!order) return fail(Errc::kInvalidGraph, "the graph has a cycle", graph.name);
  if (!detail::is_utf8(graph.name)) return fail(Errc::kInvalidGraph, "a graph's name is not UTF-8");
  EncodedGraph out;
  std::int64_t graph_size = 0;
  std::int64_t position = 0;
  for (ir::NodeId id : *order) {
    OpDef op;
    std::vector<detail::TensorAttr> tensors;
    if (auto ok = detail::encode_node(graph, id, position++, detail::Style::kFile, op, &tensors); !ok) return tl::unexpected(ok.error());
    if (op.ByteSizeLong() > INT_MAX) return fail(Errc::kTooLarge, "a node's attributes pass 2^31-1 bytes", graph.node(id).name);
    const std::string text = serialise(op);
    auto op_size = static_cast<std::int64_t>(text.size());
    EncodedOp encoded;
    for (const detail::TensorAttr& attr : tensors) encoded.blobs.push_back(make_blob(attr, op_size));
    append_length_tag(encoded.head, GraphDef::kOpFieldNumber, op_size);
    encoded.head += text;
    graph_size += field_size(GraphDef::kOpFieldNumber, op_size);
    out.ops.push_back(std::move(encoded));
  }
  GraphDef head;
  head.set_name(graph.name);
  for (ir::NodeId id : graph.inputs()) head.add_input(graph.node(id).name + ":0");
  if (const ir::NodeId net = graph.net_output(); net != ir::kNoNode) {
    for (const ir::Input& input : graph.node(net).inputs) {
      if (input.value) head.add_output(fmt::format("{}:{}", graph.node(input.value.node).name, input.value.index));
    }
  }
  const std::string text = serialise(head);
  graph_size += static_cast<std::int64_t>(text.size());
  append_length_tag(out.head, ModelDef::kGraphFieldNumber, graph_size);
  out.head += text;
  size += field_size(ModelDef::kGraphFieldNumber, graph_size);
  return out;
}

Result<EncodedModule> encode(const ir::Module& module) {
  if (module.graphs.empty()) return fail(Errc::kInvalidGraph, "a module without a graph cannot be written", module.name);
  EncodedModule out;
  ModelDef head;
  if (!detail::is_utf8(module.name)) return fail(Errc::kInvalidGraph, "the module's name is not UTF-8");
  head.set_name(module.name);
  for (const auto& [key, value] : module.attrs) {
    if (!detail::is_utf8(key)) return fail(Errc::kInvalidGraph, "a module attribute's name is not UTF-8", module.name);
    if (std::holds_alternative<ir::TensorRef>(value)) return fail(Errc::kInvalidGraph, "a module attribute cannot be a tensor", key);
    std::visit(detail::AttrEncoder{(*head.mutable_attr())[key], detail::Style::kFile}, value);
  }
  out.head = serialise(head);
  out.size = static_cast<std::int64_t>(out.head.size());
  for (const ir::Graph& graph : module.graphs) {
    auto encoded = encode_graph(graph, out.size);
    if (!encoded) return tl::unexpected(encoded.error());
    out.graphs.push_back(std::move(*encoded));
  }
  return out;
}

Status emit(const Blob& blob, const std::string& graph, const Sink& sink) {
  if (auto ok = sink(blob.before.data(), blob.before.size()); !ok) return ok;
  const std::int64_t expected = blob.tensor->nbytes();
  if (expected == 0) return {};
  std::int64_t sent = 0;
  Status status;
  blob.tensor->stream([&](std::span<const std::byte> piece) {
    sent += static_cast<std::int64_t>(piece.size());
    status = sink(piece.data(), piece.size());
    return status.has_value();
  });
  if (status && sent != expected)
    return fail(Errc::kInvalidGraph, fmt::format("a constant gave {} bytes instead of {}", sent, expected), graph);
  return status;
}

}  // namespace

Result<std::int64_t> byte_size(const ir::Module& module) {
  const auto encoded = encode(module);
  if (!encoded) return tl::unexpected(encoded.error());
  return encoded->size;
}

Status write(const ir::Module& module, const Sink& sink) {
  const auto encoded = encode(module);
  if (!encoded) return tl::unexpected(encoded.error());
  if (encoded->size > INT_MAX) {
    return fail(Errc::kTooLarge, fmt::format("the graph needs {} bytes, a protobuf file holds at most {}", encoded->size, INT_MAX),
                module.name, "keep the weights in files beside it (external weights \"auto\" or \"always\")");
  }
  if (auto ok = sink(encoded->head.data(), encoded->head.size()); !ok) return ok;
  for (std::size_t g = 0; g < encoded->graphs.size(); ++g) {
    const EncodedGraph& graph = encoded->graphs[g];
    if (auto ok = sink(graph.head.data(), graph.head.size()); !ok) return ok;
    for (const EncodedOp& op : graph.ops) {
      if (auto ok = sink(op.head.data(), op.head.size()); !ok) return ok;
      for (const Blob& blob : op.blobs) {
        if (auto ok = emit(blob, module.graphs[g].name, sink); !ok) return ok;
      }
    }
  }
  return {};
}

}  // namespace airloom::air
