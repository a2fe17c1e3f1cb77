// ModelDef on the wire -> IR module. Messages are walked by hand down to attribute values, so that tensor bytes stay where they are;
// protobuf parses only the small rest.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <span>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include "air/air.h"
#include "air/encode.h"

namespace airloom::air {

namespace {

namespace pb = detail::pb;
using Bytes = std::span<const std::byte>;
using List = pb::AttrDef::ListValue;

/// A node without its tensors is a few KiB; this leaves room for giant lists but bounds what a hostile file makes protobuf allocate.
constexpr std::size_t kMaxMessage = std::size_t{64} << 20;

constexpr int kMapKey = 1;
constexpr int kMapValue = 2;

/// Layout texts that GE knows although airloom has no Format for them.
constexpr std::string_view kForeignLayouts[] = {"NC1HWC0",
                                                "FRACTAL_Z",
                                                "NC1C0HWPAD",
                                                "NHWC1C0",
                                                "FSR_NCHW",
                                                "FRACTAL_DECONV",
                                                "C1HWNC0",
                                                "FRACTAL_DECONV_TRANSPOSE",
                                                "FRACTAL_DECONV_SP_STRIDE_TRANS",
                                                "NC1HWC0_C04",
                                                "FRACTAL_Z_C04",
                                                "CHWN",
                                                "DECONV_SP_STRIDE8_TRANS",
                                                "HWCN",
                                                "NC1KHKWHWC0",
                                                "BN_WEIGHT",
                                                "FILTER_HWCK",
                                                "LOOKUP_LOOKUPS",
                                                "LOOKUP_KEYS",
                                                "LOOKUP_VALUE",
                                                "LOOKUP_OUTPUT",
                                                "LOOKUP_HITS",
                                                "C1HWNCoC0",
                                                "MD",
                                                "FRACTAL_NZ",
                                                "DHWCN",
                                                "NDC1HWC0",
                                                "FRACTAL_Z_3D",
                                                "CN",
                                                "NC",
                                                "DHWNC",
                                                "FRACTAL_Z_3D_TRANSPOSE",
                                                "FRACTAL_ZN_LSTM",
                                                "FRACTAL_Z_G",
                                                "ND_RNN_BIAS",
                                                "FRACTAL_ZN_RNN",
                                                "NYUV",
                                                "NYUV_A",
                                                "NCL",
                                                "FRACTAL_Z_WINO",
                                                "C1HWC0",
                                                "FRACTAL_NZ_C0_16"};

/// Fields of one message, in order.
class Cursor {
 public:
  explicit Cursor(Bytes message) : at_(message.data()), end_(message.data() + message.size()) {}

  std::uint32_t number = 0;
  int wire = 0;
  std::uint64_t value = 0;  // of a varint
  Bytes bytes;              // of a length-delimited field
  Bytes whole;              // tag included

  /// False at the end, and after the first malformed byte.
  bool next() {
    if (at_ == end_ || !good_) return false;
    const std::byte* start = at_;
    std::uint64_t tag = 0;
    good_ = varint(tag) && tag <= UINT32_MAX && (tag >> 3) != 0;
    if (!good_) return false;
    number = static_cast<std::uint32_t>(tag >> 3);
    wire = static_cast<int>(tag & 7);
    value = 0;
    bytes = {};
    switch (wire) {
      case 0: good_ = varint(value); break;
      case 1: good_ = take(8); break;
      case 2: good_ = varint(value) && take(value); break;
      case 5: good_ = take(4); break;
      default: good_ = false;  // groups: nothing here ever had them
    }
    if (good_) whole = Bytes(start, at_);
    return good_;
  }
  [[nodiscard]] bool good() const { return good_; }

 private:
  bool varint(std::uint64_t& out) {
    out = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) return false;
      const auto byte = std::to_integer<std::uint64_t>(*at_++);
      if (shift == 63 && byte > 1) return false;
      out |= (byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool take(std::uint64_t size) {
    if (size > static_cast<std::uint64_t>(end_ - at_)) return false;
    bytes = Bytes(at_, static_cast<std::size_t>(size));
    at_ += size;
    return true;
  }

  const std::byte* at_;
  const std::byte* end_;
  bool good_ = true;
};

std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

tl::unexpected<Error> malformed(const std::string& where, std::string_view what) {
  return fail(Errc::kParse, fmt::format("not a valid graph file: {}", what), where);
}

template <class Message>
bool parse(Bytes bytes, Message& message) {
  return bytes.size() <= kMaxMessage && message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

/// An edge's source as text, with its place.
struct Source {
  std::string text;
  bool control = false;
};

/// What an input descriptor says of the value it takes.
struct Described {
  ir::DType dtype = ir::DType::kUndefined;
  ir::Ints dims;
};

struct Pending {
  std::vector<std::string> sources;  // of data slots
  std::vector<std::string> before;   // names of control inputs
  std::vector<Described> described;  // of data slots
  std::vector<bool> shape_missing;   // of outputs
};

class Reader {
 public:
  Reader(std::shared_ptr<const void> owner, std::vector<Violation>* notes) : owner_(std::move(owner)), notes_(notes) {}

  Result<ir::Module> module(Bytes bytes) {
    ir::Module out;
    out.name.clear();
    std::vector<Bytes> graphs;
    std::map<std::string, Bytes, std::less<>> attrs;
    Cursor field(bytes);
    while (field.next()) {
      if (field.wire != 2) continue;
      if (field.number == pb::ModelDef::kNameFieldNumber) {
        out.name = as_text(field.bytes);
        if (!detail::is_utf8(out.name)) return malformed("name", "text that is not UTF-8");
      } else if (field.number == pb::ModelDef::kGraphFieldNumber) {
        graphs.push_back(field.bytes);
      } else if (field.number == pb::ModelDef::kAttrFieldNumber) {
        if (auto ok = map_entry(field.bytes, "attr", attrs); !ok) return tl::unexpected(ok.error());
      } else if (field.number == pb::ModelDef::kAttrGroupsFieldNumber) {
        if (auto ok = note("attr-groups", "", "the model's attribute groups are not read"); !ok) return tl::unexpected(ok.error());
      }
    }
    if (!field.good()) return malformed("ModelDef", "a malformed or truncated field");
    if (graphs.empty()) return malformed("ModelDef", "it holds no graph");
    if (auto ok = decode_attrs(attrs, "", "", out.attrs); !ok) return tl::unexpected(ok.error());
    std::set<std::string> names;
    for (std::size_t g = 0; g < graphs.size(); ++g) {
      auto graph = read_graph(graphs[g], fmt::format("graph[{}]", g));
      if (!graph) return tl::unexpected(graph.error());
      if (!names.insert(graph->name).second) {
        if (auto ok = lossy("duplicate-graph-name", "", fmt::format("two graphs are named '{}'", graph->name)); !ok)
          return tl::unexpected(ok.error());
      }
      out.graphs.push_back(std::move(*graph));
    }
    return out;
  }

 private:
  Status note(std::string rule, const std::string& node, std::string message) {
    if (notes_ != nullptr) notes_->push_back({std::move(rule), node, std::move(message)});
    return {};
  }
  /// Something the module cannot hold: an error for callers that do not take notes.
  Status lossy(std::string rule, const std::string& node, std::string message, Errc code = Errc::kInvalidGraph) {
    if (notes_ == nullptr) return fail(code, fmt::format("{} [{}]", message, rule), node, "airloom validate lists all such places");
    return note(std::move(rule), node, std::move(message));
  }

  /// The last entry of a key wins, as in protobuf.
  static Status map_entry(Bytes bytes, const std::string& where, std::map<std::string, Bytes, std::less<>>& out) {
    std::string key;
    Bytes value;
    Cursor field(bytes);
    while (field.next()) {
      if (field.wire != 2) continue;
      if (field.number == kMapKey) key = as_text(field.bytes);
      if (field.number == kMapValue) value = field.bytes;
    }
    if (!field.good()) return malformed(where, "a malformed map entry");
    if (!detail::is_utf8(key)) return malformed(where, "an attribute's name that is not UTF-8");
    out[key] = value;
    return {};
  }

  // -- attributes

  Status decode_attrs(const std::map<std::string, Bytes, std::less<>>& entries, const std::string& node, const std::string& where,
                      ir::Attrs& out) {
    for (const auto& [key, bytes] : entries) {
      const std::string path = fmt::format("{}{}attr[{}]", where, where.empty() ? "" : ".", key);
      // The kind is a oneof: the last field of it that is present counts.
      bool is_tensor = false;
      Bytes tensor;
      Cursor field(bytes);
      while (field.next()) {
        const bool kind = field.number >= pb::AttrDef::kListFieldNumber && field.number <= pb::AttrDef::kExpressionFieldNumber;
        if (!kind) continue;
        is_tensor = field.number == pb::AttrDef::kTFieldNumber && field.wire == 2;
        if (is_tensor) tensor = field.bytes;
      }
      if (!field.good()) return malformed(path, "a malformed attribute");
      if (is_tensor) {
        auto value = read_tensor(tensor, node, path);
        if (!value) return tl::unexpected(value.error());
        if (*value != nullptr) out[key] = std::move(*value);
        continue;
      }
      pb::AttrDef def;
      if (!parse(bytes, def)) return malformed(path, "a malformed attribute");
      if (auto ok = decode_attr(def, key, node, out); !ok) return ok;
    }
    return {};
  }

  Status decode_attr(const pb::AttrDef& def, const std::string& key, const std::string& node, ir::Attrs& out) {
    switch (def.value_case()) {
      case pb::AttrDef::kS: out[key] = def.s(); return {};
      case pb::AttrDef::kI: out[key] = static_cast<std::int64_t>(def.i()); return {};
      case pb::AttrDef::kF: out[key] = static_cast<double>(def.f()); return {};
      case pb::AttrDef::kB: out[key] = def.b(); return {};
      case pb::AttrDef::kDt: {
        const auto dtype = dtype_of(def.dt());
        if (!dtype)
          return lossy("unknown-dtype", node, fmt::format("attribute '{}' holds the unknown data type {}", key, def.dt()),
                       Errc::kUnsupported);
        out[key] = *dtype;
        return {};
      }
      case pb::AttrDef::kList: return decode_list(def.list(), key, node, out);
      case pb::AttrDef::kListListInt: {
        ir::IntLists lists;
        for (const auto& row : def.list_list_int().list_list_i()) lists.emplace_back(row.list_i().begin(), row.list_i().end());
        out[key] = std::move(lists);
        return {};
      }
      case pb::AttrDef::kT: {  // inside a descriptor; those of nodes are taken from the wire
        auto tensor = make_tensor(def.t().desc(), Bytes(reinterpret_cast<const std::byte*>(def.t().data().data()), def.t().data().size()),
                                  true, node, key);
        if (!tensor) return tl::unexpected(tensor.error());
        if (*tensor != nullptr) out[key] = std::move(*tensor);
        return {};
      }
      case pb::AttrDef::VALUE_NOT_SET: return note("empty-attr", node, fmt::format("attribute '{}' has no value", key));
      default: break;
    }
    const auto* field = pb::AttrDef::descriptor()->FindFieldByNumber(def.value_case());
    return lossy("unsupported-attr", node, fmt::format("attribute '{}' is of the kind '{}', which is not read", key, field->name()),
                 Errc::kUnsupported);
  }

  Status decode_list(const List& list, const std::string& key, const std::string& node, ir::Attrs& out) {
    const List::ListValueType filled = list.s_size() > 0    ? List::VT_LIST_STRING
                                       : list.i_size() > 0  ? List::VT_LIST_INT
                                       : list.f_size() > 0  ? List::VT_LIST_FLOAT
                                       : list.b_size() > 0  ? List::VT_LIST_BOOL
                                       : list.dt_size() > 0 ? List::VT_LIST_DATA_TYPE
                                       : list.bt_size() > 0 ? List::VT_LIST_BYTES
                                       : list.td_size() > 0 ? List::VT_LIST_TENSOR_DESC
                                       : list.t_size() > 0  ? List::VT_LIST_TENSOR
                                       : list.g_size() > 0  ? List::VT_LIST_GRAPH
                                       : list.na_size() > 0 ? List::VT_LIST_NAMED_ATTRS
                                                            : List::VT_LIST_NONE;
    List::ListValueType type = list.val_type();
    if (type == List::VT_LIST_NONE || (filled != List::VT_LIST_NONE && filled != type)) {
      const bool none = type == List::VT_LIST_NONE;
      if (auto ok = note("list-val-type", node,
                         none ? fmt::format("list '{}' has no val_type: a loader drops it", key)
                              : fmt::format("list '{}' holds items of another kind than its val_type: a loader reads it as empty", key));
          !ok) {
        return ok;
      }
      type = filled == List::VT_LIST_NONE ? List::VT_LIST_INT : filled;
    }
    switch (type) {
      case List::VT_LIST_STRING: out[key] = ir::Strings(list.s().begin(), list.s().end()); return {};
      case List::VT_LIST_INT: out[key] = ir::Ints(list.i().begin(), list.i().end()); return {};
      case List::VT_LIST_FLOAT: out[key] = ir::Floats(list.f().begin(), list.f().end()); return {};
      case List::VT_LIST_BOOL: out[key] = ir::Bools(list.b().begin(), list.b().end()); return {};
      case List::VT_LIST_DATA_TYPE: {
        ir::DTypes dtypes;
        for (const std::int64_t number : list.dt()) {
          const auto dtype = dtype_of(number);
          if (!dtype)
            return lossy("unknown-dtype", node, fmt::format("list '{}' holds the unknown data type {}", key, number), Errc::kUnsupported);
          dtypes.push_back(*dtype);
        }
        out[key] = std::move(dtypes);
        return {};
      }
      default:
        return lossy("unsupported-attr", node, fmt::format("list '{}' has val_type {}, which is not read", key, static_cast<int>(type)),
                     Errc::kUnsupported);
    }
  }

  static std::optional<ir::DType> dtype_of(std::int64_t number) {
    return number < 0 || number > INT_MAX ? std::nullopt : ir::dtype_from_ge(static_cast<int>(number));
  }

  Result<ir::DType> desc_dtype(const pb::TensorDescriptor& desc, const std::string& node) {
    if (const auto dtype = ir::dtype_from_proto(desc.dtype())) return *dtype;
    auto ok =
        lossy("unknown-dtype", node,
              fmt::format("descriptor '{}' has the unknown data type {}", desc.name(), static_cast<int>(desc.dtype())), Errc::kUnsupported);
    if (!ok) return tl::unexpected(ok.error());
    return ir::DType::kUndefined;
  }

  Result<ir::TensorRef> read_tensor(Bytes bytes, const std::string& node, const std::string& where) {
    pb::TensorDescriptor desc;
    Bytes data;
    Cursor field(bytes);
    while (field.next()) {
      if (field.wire != 2) continue;
      if (field.number == pb::TensorDef::kDescFieldNumber && !parse(field.bytes, desc))
        return malformed(where + ".t.desc", "a malformed descriptor");
      if (field.number == pb::TensorDef::kDataFieldNumber) data = field.bytes;
    }
    if (!field.good()) return malformed(where + ".t", "a malformed tensor");
    return make_tensor(desc, data, false, node, where);
  }

  /// Null (and a note, unless there simply are no bytes and `location` says where they are) when the bytes do not fit the descriptor.
  Result<ir::TensorRef> make_tensor(const pb::TensorDescriptor& desc, Bytes data, bool copy, const std::string& node,
                                    const std::string& where) {
    auto tensor = std::make_shared<ir::Tensor>();
    const auto dtype = desc_dtype(desc, node);
    if (!dtype) return tl::unexpected(dtype.error());
    tensor->dtype = *dtype;
    tensor->shape.assign(desc.shape().dim().begin(), desc.shape().dim().end());
    if (data.empty() && external_) return ir::TensorRef();
    if (tensor->shape.empty() && data.empty()) tensor->shape = {0};  // the format's other spelling of "empty"
    const std::int64_t expected = tensor->nbytes();
    const bool sized = ir::info(*dtype).bits > 0 || tensor->numel() == 0;
    if (!sized || expected < 0 || static_cast<std::uint64_t>(expected) > data.size() || (expected == 0 && !data.empty())) {
      auto ok = lossy("const-byte-size", node,
                      fmt::format("{} has {} bytes, its descriptor asks for {}", where, data.size(), sized ? expected : -1));
      if (!ok) return tl::unexpected(ok.error());
      return ir::TensorRef();
    }
    if (static_cast<std::uint64_t>(expected) < data.size()) {
      auto ok = lossy("const-byte-size", node, fmt::format("{} has {} bytes, its descriptor asks for {}", where, data.size(), expected));
      if (!ok) return tl::unexpected(ok.error());
    }
    if (copy) {
      auto memory = std::make_shared<std::vector<std::byte>>(data.begin(), data.end());
      tensor->data = memory->data();
      tensor->owner = std::move(memory);
    } else {
      tensor->data = data.data();
      tensor->owner = owner_;
    }
    return ir::TensorRef(std::move(tensor));
  }

  // -- descriptors

  struct Desc {
    ir::DType dtype = ir::DType::kUndefined;
    ir::Ints dims;
    bool origin = false;  // origin_shape_initialized
    ir::Format format = ir::Format::kND;
    bool on_host = false;
    bool unfed = false;
    ir::Attrs attrs;
  };

  Result<Desc> read_desc(const pb::TensorDescriptor& desc, const std::string& node) {
    Desc out;
    const auto dtype = desc_dtype(desc, node);
    if (!dtype) return tl::unexpected(dtype.error());
    out.dtype = *dtype;
    out.dims.assign(desc.shape().dim().begin(), desc.shape().dim().end());
    out.on_host = desc.device_type() == "CPU";
    if (desc.has_attr_groups()) {
      if (auto ok = note("attr-groups", node, fmt::format("attribute groups of descriptor '{}' are not read", desc.name())); !ok)
        return tl::unexpected(ok.error());
    }
    for (const auto& [key, def] : desc.attr()) {
      if (auto ok = decode_attr(def, key, node, out.attrs); !ok) return tl::unexpected(ok.error());
    }
    const auto origin = out.attrs.find("origin_shape_initialized");
    out.origin = origin != out.attrs.end() && origin->second == ir::Attr(true);
    out.format = ir::format_from_string(desc.layout());
    const auto number = out.attrs.find("format_for_int");
    const auto* ge = number == out.attrs.end() ? nullptr : std::get_if<std::int64_t>(&number->second);
    if (desc.layout().empty() && ge != nullptr) {
      for (const ir::Format format : {ir::Format::kND, ir::Format::kNCHW, ir::Format::kNHWC, ir::Format::kNCDHW, ir::Format::kNDHWC}) {
        if (ir::ge_number(format) == *ge) out.format = format;
      }
    }
    out.unfed = out.dtype == ir::DType::kUndefined && out.format == ir::Format::kReserved;
    if (out.format == ir::Format::kOther) {
      if (std::find(std::begin(kForeignLayouts), std::end(kForeignLayouts), desc.layout()) == std::end(kForeignLayouts)) {
        auto ok = note("unknown-layout", node,
                       fmt::format("descriptor '{}' has the layout '{}', which a loader does not know", desc.name(), desc.layout()));
        if (!ok) return tl::unexpected(ok.error());
      }
      out.attrs[std::string(detail::kLayoutKey)] = desc.layout();
    }
    return out;
  }

  /// Removes from `attrs` what the writer would put there again.
  static void drop_derived(ir::Attrs& attrs, const ir::Attrs& derived) {
    for (const auto& [key, value] : derived) {
      const auto found = attrs.find(key);
      if (found != attrs.end() && ir::equal(found->second, value)) attrs.erase(found);
    }
  }

  Result<ir::TensorType> type_of(const Desc& desc, const std::string& node) {
    ir::TensorType type;
    type.dtype = desc.dtype;
    if (desc.dims == ir::Ints{-2}) {
      type.unknown_rank = true;
      return type;
    }
    for (const std::int64_t dim : desc.dims) {
      if (dim < -1) {
        if (auto ok = note("bad-shape", node, fmt::format("a dimension is {}", dim)); !ok) return tl::unexpected(ok.error());
      }
      type.shape.push_back(dim < 0 ? sym::Expr::unknown() : sym::Expr(dim));
    }
    return type;
  }

  /// Names by slot: from the node's key/value lists, else the descriptors', else made up.
  Result<ir::Strings> slot_names(std::string_view direction, ir::Attrs& attrs, ir::Strings from_descs, const std::string& node) {
    const std::string prefix = fmt::format("_{}_name_", direction);
    const auto key = attrs.extract(prefix + "key");
    const auto value = attrs.extract(prefix + "value");
    const auto* keys = key.empty() ? nullptr : std::get_if<ir::Strings>(&key.mapped());
    const auto* values = value.empty() ? nullptr : std::get_if<ir::Ints>(&value.mapped());
    ir::Strings names(from_descs.size());
    if (keys != nullptr && values != nullptr && keys->size() == values->size()) {
      for (std::size_t i = 0; i < keys->size(); ++i) {
        const std::int64_t slot = (*values)[i];
        if (slot >= 0 && static_cast<std::uint64_t>(slot) < names.size() && names[static_cast<std::size_t>(slot)].empty()) {
          names[static_cast<std::size_t>(slot)] = (*keys)[i];
        }
      }
    } else if (keys != nullptr && values != nullptr) {
      auto ok = note("name-map-size", node,
                     fmt::format("{} names for {} {} slots: a loader ignores all", keys->size(), values->size(), direction));
      if (!ok) return tl::unexpected(ok.error());
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!names[i].empty() && detail::is_utf8(names[i])) continue;
      if (auto ok = note("missing-name", node, fmt::format("{} {} has no name", direction, i)); !ok) return tl::unexpected(ok.error());
      names[i] = !from_descs[i].empty() ? from_descs[i] : fmt::format("{}{}", direction, i);
    }
    return names;
  }

  // -- nodes

  Status read_node(Bytes bytes, const std::string& where, ir::Graph& graph, std::vector<Pending>& pending) {
    std::map<std::string, Bytes, std::less<>> entries;
    std::string rest;  // everything but attributes
    Cursor field(bytes);
    while (field.next()) {
      if (field.number == pb::OpDef::kAttrFieldNumber && field.wire == 2) {
        if (auto ok = map_entry(field.bytes, where + ".attr", entries); !ok) return ok;
      } else {
        if (rest.size() + field.whole.size() > kMaxMessage) return malformed(where, "a node of more than 64 MiB without its attributes");
        rest += as_text(field.whole);
      }
    }
    pb::OpDef op;
    if (!field.good() || !op.ParseFromString(rest)) return malformed(where, "a malformed node");
    rest = {};
    if (op.name().empty() || op.type().empty()) return malformed(where, "a node without a name or a type");

    ir::Node node;
    node.name = op.name();
    node.type = op.type();
    node.subgraphs.assign(op.subgraph_name().begin(), op.subgraph_name().end());
    repair_name_lists(entries);
    external_ = entries.contains("location");
    auto attrs_ok = decode_attrs(entries, node.name, fmt::format("{}({})", where, node.name), node.attrs);
    external_ = false;
    if (!attrs_ok) return attrs_ok;
    if (op.has_attr_groups()) {
      if (auto ok = note("attr-groups", node.name, "the node's attribute groups are not read"); !ok) return ok;
    }
    Pending edges;
    for (const std::string& input : op.input()) {
      constexpr std::string_view kControl = ":-1";
      if (input.size() > kControl.size() && input.compare(input.size() - kControl.size(), kControl.size(), kControl) == 0) {
        edges.before.push_back(input.substr(0, input.size() - kControl.size()));
      } else {
        edges.sources.push_back(input);
      }
    }
    if (auto ok = read_outputs(op, node, edges); !ok) return ok;
    if (auto ok = read_inputs(op, node, edges); !ok) return ok;
    const std::string name = node.name;
    const ir::NodeId id = graph.add(std::move(node));
    pending.push_back(std::move(edges));
    if (graph.node(id).name != name) renamed_[id] = name;
    if (!seen_.insert(name).second) {
      return lossy("duplicate-node-name", name,
                   fmt::format("another node has this name; this one is now '{}', edges go to the last", graph.node(id).name));
    }
    return {};
  }

  /// GE itself writes the name lists without val_type, and reads them so.
  void repair_name_lists(std::map<std::string, Bytes, std::less<>>& entries) {
    for (const char* key : {"_input_name_key", "_input_name_value", "_output_name_key", "_output_name_value"}) {
      const auto found = entries.find(key);
      pb::AttrDef def;
      if (found == entries.end() || !parse(found->second, def) || !def.has_list() || def.list().val_type() != List::VT_LIST_NONE) continue;
      def.mutable_list()->set_val_type(std::string_view(key).ends_with("key") ? List::VT_LIST_STRING : List::VT_LIST_INT);
      repaired_[key] = def.SerializeAsString();
      found->second = std::as_bytes(std::span(repaired_[key]));
    }
  }

  Status read_outputs(const pb::OpDef& op, ir::Node& node, Pending& edges) {
    ir::Strings names;
    for (const auto& desc : op.output_desc()) names.push_back(desc.name());
    auto named = slot_names("output", node.attrs, std::move(names), node.name);
    if (!named) return tl::unexpected(named.error());
    const auto value_at = node.attrs.find("value");
    const auto* value = value_at == node.attrs.end() ? nullptr : std::get_if<ir::TensorRef>(&value_at->second);
    const bool file = node.type == "FileConstant";
    const bool rooted = ir::is_input_type(node.type) || ir::is_const_type(node.type);
    for (int i = 0; i < op.output_desc_size(); ++i) {
      auto desc = read_desc(op.output_desc(i), node.name);
      if (!desc) return tl::unexpected(desc.error());
      const bool unknown = desc->dims.empty() && !desc->origin;
      if (unknown && file) {
        if (const auto shape = node.attrs.find("shape"); shape != node.attrs.end() && std::holds_alternative<ir::Ints>(shape->second)) {
          desc->dims = std::get<ir::Ints>(shape->second);
        }
      } else if (unknown && value != nullptr && ir::is_const_type(node.type)) {
        desc->dims = (*value)->shape;
        if (desc->dtype == ir::DType::kUndefined) desc->dtype = (*value)->dtype;
      }
      auto type = type_of(*desc, node.name);
      if (!type) return tl::unexpected(type.error());
      ir::Output output{std::move((*named)[static_cast<std::size_t>(i)]), std::move(*type), desc->format, desc->on_host,
                        std::move(desc->attrs)};
      drop_derived(output.attrs,
                   detail::derived_attrs(file ? detail::DescKind::kNoOrigin : detail::DescKind::kKnown, desc->dims, desc->format));
      edges.shape_missing.push_back(unknown && !rooted);
      if (unknown) output.attrs.erase("origin_shape_initialized");
      if (unknown && !rooted) output.type.unknown_rank = true;
      node.outputs.push_back(std::move(output));
    }
    return {};
  }

  Status read_inputs(const pb::OpDef& op, ir::Node& node, Pending& edges) {
    const bool is_input = ir::is_input_type(node.type);
    const auto descs = static_cast<std::size_t>(op.input_desc_size());
    if (edges.sources.size() > descs && !(is_input && descs == 0)) {
      auto ok = lossy("missing-input-desc", node.name, fmt::format("{} inputs but {} input descriptors", edges.sources.size(), descs));
      if (!ok) return ok;
    }
    const std::size_t count = is_input ? std::max<std::size_t>(1, descs) : std::max(descs, edges.sources.size());
    ir::Strings names;
    for (std::size_t i = 0; i < count; ++i) names.push_back(i < descs ? op.input_desc(static_cast<int>(i)).name() : is_input ? "x" : "");
    auto named = slot_names("input", node.attrs, names, node.name);
    if (!named) return tl::unexpected(named.error());
    edges.sources.resize(count);
    edges.described.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      ir::Input input;
      input.name = std::move((*named)[i]);
      if (i >= descs) {
        if (is_input) {
          if (auto ok = note("data-desc", node.name, "a graph input without an input descriptor, from which a loader takes its shape"); !ok)
            return ok;
        }
        node.inputs.push_back(std::move(input));
        continue;
      }
      auto desc = read_desc(op.input_desc(static_cast<int>(i)), node.name);
      if (!desc) return tl::unexpected(desc.error());
      input.format = desc->format;
      input.attrs = std::move(desc->attrs);
      if (is_input && i == 0 && edges.sources[0].empty()) {
        if (auto ok = read_graph_input(*desc, node, input, edges); !ok) return ok;
      } else if (edges.sources[i].empty() && desc->unfed) {
        drop_derived(input.attrs, detail::derived_attrs(detail::DescKind::kUnfed, {}, ir::Format::kReserved));
        input.format = ir::Format::kND;
      } else {
        drop_derived(input.attrs, detail::derived_attrs(detail::DescKind::kKnown, desc->dims, desc->format));
        // A shape that the file does not vouch for is taken from the producer again.
        if (!desc->origin) input.attrs.erase("origin_shape_initialized");
        edges.described[i] = {desc->dtype, desc->dims};
      }
      node.inputs.push_back(std::move(input));
    }
    return {};
  }

  /// A graph input's type is that of its input descriptor; the output's should equal it.
  Status read_graph_input(const Desc& desc, ir::Node& node, ir::Input& input, Pending& edges) {
    auto type = type_of(desc, node.name);
    if (!type) return tl::unexpected(type.error());
    drop_derived(input.attrs, detail::derived_attrs(detail::DescKind::kKnown, desc.dims, desc.format));
    if (!desc.origin) input.attrs.erase("origin_shape_initialized");
    if (node.outputs.empty()) {
      node.outputs.push_back({"y", std::move(*type), desc.format, desc.on_host, {}});
      edges.shape_missing.push_back(false);
      return note("data-desc", node.name, "a graph input without an output descriptor");
    }
    ir::Output& output = node.outputs[0];
    const bool equal = output.type.dtype == desc.dtype && output.type.dims() == desc.dims && output.format == desc.format;
    output.type = std::move(*type);
    output.on_host = output.on_host || desc.on_host;
    drop_derived(input.attrs, output.attrs);
    if (equal) return {};
    return note("data-desc", node.name, "the input and output descriptors of a graph input differ");
  }

  // -- graphs

  Result<ir::Graph> read_graph(Bytes bytes, const std::string& where) {
    ir::Graph graph;
    graph.name.clear();
    std::vector<Pending> pending;
    std::vector<std::string> listed;
    std::size_t count = 0;
    Cursor field(bytes);
    while (field.next()) {
      if (field.wire != 2) continue;
      switch (field.number) {
        case pb::GraphDef::kNameFieldNumber: graph.name = as_text(field.bytes); break;
        case pb::GraphDef::kOpFieldNumber:
          if (auto ok = read_node(field.bytes, fmt::format("{}.op[{}]", where, count++), graph, pending); !ok)
            return tl::unexpected(ok.error());
          break;
        case pb::GraphDef::kInputFieldNumber:
        case pb::GraphDef::kOutputFieldNumber: listed.emplace_back(as_text(field.bytes)); break;
        case pb::GraphDef::kAttrFieldNumber:
          if (auto ok = note("graph-attr", "", fmt::format("attributes of graph '{}' are not read", graph.name)); !ok)
            return tl::unexpected(ok.error());
          break;
        case pb::GraphDef::kAttrGroupsFieldNumber:
          if (auto ok = note("attr-groups", "", fmt::format("attribute groups of graph '{}' are not read", graph.name)); !ok)
            return tl::unexpected(ok.error());
          break;
        default: break;
      }
    }
    if (!field.good()) return malformed(where, "a malformed or truncated field");
    if (!detail::is_utf8(graph.name)) return malformed(where, "a graph's name that is not UTF-8");
    if (auto ok = link(graph, pending); !ok) return tl::unexpected(ok.error());
    for (const std::string& text : listed) {
      const std::string name = text.substr(0, text.rfind(':'));
      if (last_.contains(name)) continue;
      auto ok = lossy("unknown-input-source", "", fmt::format("graph '{}' lists the node '{}', which does not exist", graph.name, name));
      if (!ok) return tl::unexpected(ok.error());
    }
    return graph;
  }

  Status link(ir::Graph& graph, const std::vector<Pending>& pending) {
    last_.clear();
    // Of equal names the loader takes the last.
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) last_[original_name(graph, id)] = id;
    renamed_.clear();
    seen_.clear();
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      const Pending& edges = pending[id];
      for (std::size_t i = 0; i < edges.sources.size(); ++i) {
        if (edges.sources[i].empty()) continue;
        auto value = resolve(graph, id, edges.sources[i]);
        if (!value) return tl::unexpected(value.error());
        graph.node(id).inputs[i].value = *value;
      }
      for (const std::string& name : edges.before) {
        const auto found = last_.find(name);
        if (found != last_.end()) {
          graph.node(id).control.push_back(found->second);
        } else if (auto ok = lossy("unknown-input-source", graph.node(id).name, fmt::format("control input '{}' names no node", name));
                   !ok) {
          return ok;
        }
      }
    }
    return compare(graph, pending);
  }

  std::string original_name(const ir::Graph& graph, ir::NodeId id) const {
    const auto found = renamed_.find(id);
    return found == renamed_.end() ? graph.node(id).name : found->second;
  }

  /// "name:index" to a value; a value that does not exist becomes an unfed slot.
  Result<ir::Value> resolve(const ir::Graph& graph, ir::NodeId user, const std::string& text) {
    const std::string& node = graph.node(user).name;
    const std::size_t colon = text.rfind(':');
    const std::string name = text.substr(0, colon);
    const std::string_view digits = colon == std::string::npos ? std::string_view() : std::string_view(text).substr(colon + 1);
    std::uint64_t index = 0;
    bool numeric = !digits.empty() && digits.size() <= 9;
    for (const char c : digits) {
      numeric = numeric && c >= '0' && c <= '9';
      if (numeric) index = index * 10 + static_cast<std::uint64_t>(c - '0');
    }
    const auto found = last_.find(name);
    Status ok;
    if (found == last_.end()) {
      ok = lossy("unknown-input-source", node, fmt::format("input '{}' names no node", text));
    } else if (!numeric) {
      ok = lossy("bad-index", node, fmt::format("input '{}' has no output number", text));
    } else if (index >= graph.node(found->second).outputs.size()) {
      ok = lossy("bad-index", node, fmt::format("input '{}' names an output that does not exist", text));
    } else {
      return ir::Value{found->second, static_cast<std::uint32_t>(index)};
    }
    if (!ok) return tl::unexpected(ok.error());
    return ir::Value{};
  }

  /// Fills types that only the consumer's descriptor tells (TorchAir writes shapes on NetOutput's inputs only), reports contradictions.
  Status compare(ir::Graph& graph, const std::vector<Pending>& pending) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      const ir::Node& node = graph.node(id);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const ir::Value value = node.inputs[i].value;
        const Described& said = pending[id].described[i];
        if (!value) continue;
        ir::TensorType& type = graph.node(value.node).outputs[value.index].type;
        if (type.dtype == ir::DType::kUndefined) type.dtype = said.dtype;
        if (pending[value.node].shape_missing[value.index] && type.unknown_rank && !said.dims.empty()) {
          Desc desc;
          desc.dtype = type.dtype;
          desc.dims = said.dims;
          auto better = type_of(desc, node.name);
          if (!better) return tl::unexpected(better.error());
          type = std::move(*better);
        }
        const bool other_dtype = said.dtype != ir::DType::kUndefined && said.dtype != type.dtype;
        if (other_dtype || (!said.dims.empty() && !type.unknown_rank && said.dims != type.dims())) {
          auto ok = note("input-desc-mismatch", node.name,
                         fmt::format("the descriptor of input '{}' differs from its producer's output", node.inputs[i].name));
          if (!ok) return ok;
        }
      }
    }
    return {};
  }

  std::shared_ptr<const void> owner_;
  std::vector<Violation>* notes_;
  bool external_ = false;                                // the node being read keeps its elements in another file
  std::map<std::string, std::string> repaired_;          // serialised name lists of the node being read
  std::map<ir::NodeId, std::string> renamed_;            // names in the file of nodes whose name was taken, of the graph being read
  std::set<std::string> seen_;                           // names of the graph being read
  std::map<std::string, ir::NodeId, std::less<>> last_;  // by name in the file, of the graph being read
};

/// A file's bytes, mapped as long as somebody holds it.
struct Mapping {
  void* data = nullptr;
  std::size_t size = 0;
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data != nullptr) ::munmap(data, size);
  }
};

struct Descriptor {
  int fd;
  explicit Descriptor(int number) : fd(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Result<ir::Module> read_bytes(const void* data, std::size_t size, std::shared_ptr<const void> owner, std::vector<Violation>* notes) {
  if (size > INT_MAX) return fail(Errc::kTooLarge, fmt::format("{} bytes: a protobuf file holds at most {}", size, INT_MAX));
  if (data == nullptr || size == 0) return malformed("ModelDef", "it is empty");
  const google::protobuf::LogSilencer quiet;  // malformed text is reported by the error that is returned, not on stderr
  try {
    return Reader(std::move(owner), notes).module(Bytes(static_cast<const std::byte*>(data), size));
  } catch (const std::bad_alloc&) {
    return malformed("ModelDef", "reading it needs more memory than there is");
  }
}

Result<ir::Module> read(const std::string& path, std::vector<Violation>* notes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // does not wait for a pipe's writer
  if (file.fd < 0) return fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, fmt::format("cannot open: {}", std::strerror(errno)), path);
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) return fail(Errc::kIo, fmt::format("cannot examine: {}", std::strerror(errno)), path);
  if (!S_ISREG(info.st_mode)) return fail(Errc::kIo, "cannot read: not a regular file", path);
  auto mapping = std::make_shared<Mapping>();
  if (info.st_size > 0 && info.st_size <= INT_MAX) {
    void* data = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (data == MAP_FAILED) return fail(Errc::kIo, fmt::format("cannot map: {}", std::strerror(errno)), path);
    mapping->data = data;
    mapping->size = static_cast<std::size_t>(info.st_size);
  }
  auto module = read_bytes(mapping->data, static_cast<std::size_t>(info.st_size), mapping, notes);
  if (!module) {
    Error error = std::move(module.error());
    error.where = error.where.empty() ? path : fmt::format("{}: {}", path, error.where);
    return tl::unexpected(std::move(error));
  }
  return module;
}

void release(std::span<const std::byte> mapped) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(mapped.data()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(mapped.data()) + mapped.size()) / page * page;
  // Advice only: where it is refused, the pages stay until the mapping goes.
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace airloom::air
