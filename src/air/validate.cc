// The checklist of what a loader and the operators' prototypes ask of a file.
#include <algorithm>
#include <charconv>
#include <climits>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "air/air.h"
#include "opdb/opdb.h"

namespace airloom::air {

namespace {

namespace fs = std::filesystem;

constexpr Rule kRules[] = {
    // The file as a whole, and what a reader had to repair
    {"file-size", "the file holds at most 2^31-1 bytes"},
    {"not-writable", "the module can be encoded"},
    {"no-graph", "there is at least one graph, the first is the root"},
    {"unsupported-attr", "attributes are of kinds that can be checked"},
    {"unknown-dtype", "data types have known numbers"},
    {"list-val-type", "every list attribute has the val_type of its items, empty lists too"},
    {"empty-attr", "every attribute has a value"},
    {"unknown-layout", "layouts are names that a loader knows"},
    {"name-map-size", "the key and value lists of the slot names have one length"},
    {"missing-name", "every input and output slot has a name"},
    {"missing-input-desc", "there is an input descriptor for every input"},
    {"input-desc-mismatch", "an input's descriptor agrees with its producer's output"},
    {"bad-shape", "dimensions are -1 or more; an unknown rank is a single -2"},
    {"origin-shape", "a descriptor's origin_shape equals its shape"},
    // Names, edges and order
    {"duplicate-node-name", "node names are unique in the whole model"},
    {"duplicate-graph-name", "graph names are unique"},
    {"node-name", "node names are not empty and hold only [A-Za-z0-9_./-]"},
    {"unknown-input-source", "inputs name nodes that exist"},
    {"bad-index", "inputs name outputs that exist"},
    {"cycle", "the graph has no cycle, control edges included"},
    {"node-order", "nodes are stored in topological order"},
    // Graph inputs and outputs
    {"data-desc", "a graph input has the input descriptor x and the output descriptor y, and they are equal"},
    {"input-index", "the 'index' attributes of the root's inputs are exactly 0..n-1"},
    {"net-output-count", "every graph has exactly one NetOutput"},
    {"net-output-last", "NetOutput is the last node"},
    {"net-output-inputs", "NetOutput has the inputs input0..n-1, all of them fed, or at least control inputs"},
    {"output-tensor-names", "either all of the root's outputs have a text '_origin_output_tensor_name' or none"},
    // Constants
    {"const-value", "a Const has a 'value' or a 'location'"},
    {"const-byte-size", "a Const has exactly as many bytes as its descriptor asks for"},
    {"const-desc", "a Const's output descriptor equals that of its value"},
    {"location-path", "a Const's 'location' is the path of a file, relative to the .air"},
    {"location-size", "a Const's 'length' is above zero and the size of its file, which is that of its output"},
    {"file-constant-attrs", "a FileConstant has 'shape', 'dtype' and one of 'file_path' and 'location'"},
    {"file-constant-desc", "a FileConstant's output has the shape and data type of its attributes"},
    {"file-constant-path", "a FileConstant's file exists"},
    {"file-constant-size", "a FileConstant's file holds offset + size bytes, and 'length' is the size"},
    {"file-constant-shared", "FileConstants that share a place in a file have one size"},
    // Prototypes
    {"unknown-op-type", "operator types have a prototype"},
    {"forbidden-op", "there is no operator whose value lives in one process only (ConstPlaceHolder, Variable)"},
    {"input-name", "inputs are named as in the prototype, each once"},
    {"input-order", "inputs stand in the prototype's order"},
    {"input-missing", "required inputs are there"},
    {"input-unfed", "required and dynamic inputs are fed"},
    {"input-hole", "an optional input without a value keeps its slot when later inputs have one"},
    {"input-numbering", "slots of a dynamic input are numbered from 0 without gaps"},
    {"output-name", "outputs are named as in the prototype, each once"},
    {"output-order", "outputs stand in the prototype's order"},
    {"output-missing", "the prototype's outputs are all there"},
    {"output-numbering", "slots of a dynamic output are numbered from 0 without gaps"},
    {"slot-count", "an attribute that counts slots (N, num_split, ...) equals their number"},
    {"attr-name", "attributes are those of the prototype or start with '_'"},
    {"attr-kind", "attributes have the prototype's kind"},
    {"attr-missing", "required attributes are there"},
    {"attr-dtype", "int attributes that hold a data type hold one of GE's numbers"},
    {"cast-dtype", "Cast.dst_type is the data type of its output"},
    {"ir-names", "recorded prototype names ('_ir_...'), when there are any, begin like the prototype"},
    {"ref-output", "an output has an input's name only where the prototype writes that input in place"},
    {"ref-const", "an input that is written in place is not a constant"},
    {"layout", "operators with a channel axis have a layout that names it (NCHW, NCDHW, ...)"},
    // Meaning
    {"side-effect-pruned", "nodes with effects lead to NetOutput, by control edges if need be; others are removed"},
    {"skip-prune", "collectives without outputs have '_force_skip_prune' = true"},
    {"unknown-shape-mark", "Gather and Pack nodes that make the sizes of dynamic tensors have '_force_unknown_shape' = true"},
    {"hcom-group", "a collective's 'group' is not empty and has at most 127 bytes"},
    {"hcom-reduction", "a collective's 'reduction' is sum, prod, max or min"},
    {"hcom-fusion", "a collective's 'fusion' is 0, 1 or 2, and 1 only with 'fusion_id' -1"},
    {"hcom-rank-size", "a collective's 'rank_size' is above zero"},
    // Subgraphs
    {"subgraph-missing", "graphs that nodes name exist"},
    {"subgraph-unused", "every graph but the root is reached from it"},
    {"subgraph-shared", "a graph has one parent, the root none"},
    {"subgraph-count", "a node names as many graphs as its prototype has slots"},
    {"parent-index", "a subgraph's inputs and outputs have the '_parent_node_index' of one of the parent's inputs and outputs"},
};

/// A cause that the reader reports, and what follows from it: said once is enough.
struct Consequence {
  std::string_view cause, effect;
};
constexpr Consequence kConsequences[] = {
    {"const-byte-size", "const-value"},
    {"unsupported-attr", "attr-missing"},
    {"unsupported-attr", "const-value"},
    {"unknown-dtype", "attr-missing"},
    {"unknown-dtype", "const-desc"},
    {"unknown-dtype", "file-constant-attrs"},
    {"unknown-dtype", "file-constant-desc"},
    {"unknown-dtype", "cast-dtype"},
    {"empty-attr", "attr-missing"},
    {"empty-attr", "const-value"},
    {"list-val-type", "attr-kind"},
    {"missing-name", "input-name"},
    {"missing-name", "output-name"},
    {"name-map-size", "missing-name"},
    {"name-map-size", "input-name"},
    {"name-map-size", "output-name"},
    {"unknown-input-source", "input-unfed"},
    {"unknown-input-source", "net-output-inputs"},
    {"bad-index", "input-unfed"},
    {"bad-index", "net-output-inputs"},
    {"missing-input-desc", "missing-name"},
    {"missing-input-desc", "input-name"},
    {"bad-shape", "data-desc"},
    {"bad-shape", "input-desc-mismatch"},
    {"bad-shape", "origin-shape"},
};

/// The int attribute that counts a dynamic port's slots.
struct Counter {
  std::string_view type, attr, port;
  bool output;
};
constexpr Counter kCounters[] = {
    {"AccumulateNV2", "N", "x", false},
    {"AddN", "N", "x", false},
    {"Concat", "N", "x", false},
    {"ConcatD", "N", "x", false},
    {"ConcatOffset", "N", "x", false},
    {"ConcatOffsetD", "N", "x", false},
    {"ConcatV2", "N", "x", false},
    {"ConcatV2D", "N", "x", false},
    {"Copy", "N", "y", true},
    {"DynamicPartition", "num_partitions", "y", true},
    {"DynamicStitch", "N", "x", false},
    {"Einsum", "N", "x", false},
    {"Eltwise", "N", "x", false},
    {"GetDynamicDims", "N", "input", false},
    {"Pack", "N", "x", false},
    {"ParallelConcat", "N", "values", false},
    {"ParallelDynamicStitch", "N", "x", false},
    {"Split", "num_split", "y", true},
    {"SplitD", "num_split", "y", true},
    {"SplitV", "num_split", "y", true},
    {"SplitVD", "num_split", "y", true},
    {"StringJoin", "N", "x", false},
    {"Unpack", "num", "y", true},
};

/// Ports whose descriptor must name the channel axis; `spatial` 0 is 3 for inputs of rank 5, else 2.
struct LayoutRule {
  std::string_view type;
  int spatial;
  std::string_view ports;
};
constexpr LayoutRule kLayouts[] = {
    {"AvgPool3D", 3, "x y"},
    {"AvgPoolV2", 2, "x y"},
    {"BNInfer", 2, "x scale offset mean variance y"},
    {"BatchNormV3", 0, "x y"},
    {"Conv2D", 2, "x filter y"},
    {"Conv2DTranspose", 2, "x filter y"},
    {"Conv3D", 3, "x filter y"},
    {"Conv3DTranspose", 3, "x filter y"},
    {"DepthwiseConv2D", 2, "x filter y"},
    {"GroupNorm", 2, "x y"},
    {"MaxPoolWithArgmaxV1", 2, "x y argmax"},
    {"ResizeBilinearV2", 2, "x y"},
    {"ResizeNearestNeighborV2", 2, "x y"},
};

/// Attributes of no prototype that are known all the same.
struct ExtraAttr {
  std::string_view name;
  opdb::AttrKind kind;
  bool constants_only;
};
constexpr ExtraAttr kExtraAttrs[] = {
    {"nn_module_stack", opdb::AttrKind::kString, false},
    {"input_layout_info", opdb::AttrKind::kOther, false},
    {"output_layout_info", opdb::AttrKind::kOther, false},
    {"value", opdb::AttrKind::kTensor, true},
    {"location", opdb::AttrKind::kString, true},
    {"offset", opdb::AttrKind::kInt, true},
    {"length", opdb::AttrKind::kInt, true},
};

constexpr std::string_view kForbidden[] = {"ConstPlaceHolder", "Variable"};
/// No outputs, and nothing is lost without them.
constexpr std::string_view kIdle[] = {"ControlTrigger", "NoOp"};
/// Inputs that take a list of sizes.
constexpr std::string_view kSizePorts[] = {"begin", "dims", "end", "input_size", "multiples", "offsets", "shape", "size"};
constexpr std::string_view kReductions[] = {"max", "min", "prod", "sum"};
constexpr std::size_t kMaxGroup = 127;

template <class List, class T>
bool contains(const List& list, const T& wanted) {
  return std::find(std::begin(list), std::end(list), wanted) != std::end(list);
}

template <class T>
const T* get(const ir::Attrs& attrs, std::string_view key) {
  const auto at = attrs.find(key);
  return at == attrs.end() ? nullptr : std::get_if<T>(&at->second);
}

template <class Row>
const Row* find_row(std::span<const Row> rows, std::string_view type) {
  const auto at = std::find_if(rows.begin(), rows.end(), [type](const Row& row) { return row.type == type; });
  return at == rows.end() ? nullptr : &*at;
}

std::string_view kind_name(opdb::AttrKind kind) {
  switch (kind) {
    case opdb::AttrKind::kInt: return "int";
    case opdb::AttrKind::kFloat: return "float";
    case opdb::AttrKind::kBool: return "bool";
    case opdb::AttrKind::kString: return "string";
    case opdb::AttrKind::kType: return "data type";
    case opdb::AttrKind::kTensor: return "tensor";
    case opdb::AttrKind::kListInt: return "list of ints";
    case opdb::AttrKind::kListFloat: return "list of floats";
    case opdb::AttrKind::kListBool: return "list of bools";
    case opdb::AttrKind::kListString: return "list of strings";
    case opdb::AttrKind::kListType: return "list of data types";
    case opdb::AttrKind::kListListInt: return "list of lists of ints";
    case opdb::AttrKind::kOther: break;
  }
  return "value";
}

struct KindOf {
  opdb::AttrKind operator()(std::int64_t) const { return opdb::AttrKind::kInt; }
  opdb::AttrKind operator()(double) const { return opdb::AttrKind::kFloat; }
  opdb::AttrKind operator()(bool) const { return opdb::AttrKind::kBool; }
  opdb::AttrKind operator()(const std::string&) const { return opdb::AttrKind::kString; }
  opdb::AttrKind operator()(ir::DType) const { return opdb::AttrKind::kType; }
  opdb::AttrKind operator()(const ir::TensorRef&) const { return opdb::AttrKind::kTensor; }
  opdb::AttrKind operator()(const ir::Ints&) const { return opdb::AttrKind::kListInt; }
  opdb::AttrKind operator()(const ir::Floats&) const { return opdb::AttrKind::kListFloat; }
  opdb::AttrKind operator()(const ir::Bools&) const { return opdb::AttrKind::kListBool; }
  opdb::AttrKind operator()(const ir::Strings&) const { return opdb::AttrKind::kListString; }
  opdb::AttrKind operator()(const ir::DTypes&) const { return opdb::AttrKind::kListType; }
  opdb::AttrKind operator()(const ir::IntLists&) const { return opdb::AttrKind::kListListInt; }
};

std::optional<std::int64_t> to_int(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string dims_text(const ir::Ints& dims) { return fmt::format("[{}]", fmt::join(dims, ", ")); }

/// Bytes of a tensor of this type; nothing for dynamic shapes and elements of no fixed size.
std::optional<std::int64_t> bytes_of(ir::DType dtype, const ir::Ints& dims) {
  ir::Tensor tensor;
  tensor.dtype = dtype;
  tensor.shape = dims;
  const std::int64_t bytes = tensor.nbytes();
  if (bytes < 0 || (ir::info(dtype).bits == 0 && tensor.numel() != 0)) return std::nullopt;
  return bytes;
}

/// A slot's place in a prototype.
struct Place {
  std::size_t port;
  std::int64_t number;  // of a dynamic port's slot
};

std::optional<Place> find_port(std::span<const opdb::Port> ports, std::string_view name) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].kind != opdb::Kind::kDynamic && ports[i].name == name) return Place{i, 0};
  }
  // "x1" may be slot 1 of the dynamic x, or slot "" of none: the longest base that leaves digits wins.
  std::optional<Place> best;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::string_view base = ports[i].name;
    if (ports[i].kind != opdb::Kind::kDynamic || name.size() <= base.size() || name.substr(0, base.size()) != base) continue;
    const std::string_view digits = name.substr(base.size());
    const auto number = to_int(digits);
    if (!number || *number < 0 || (digits.size() > 1 && digits[0] == '0')) continue;
    if (!best || base.size() > ports[best->port].name.size()) best = Place{i, *number};
  }
  return best;
}

/// Violations in order of nodes; those of the whole file first.
void sort_by_node(const ir::Module& module, std::vector<Violation>& found) {
  std::map<std::string_view, std::pair<std::size_t, ir::NodeId>> places;
  for (std::size_t g = 0; g < module.graphs.size(); ++g) {
    const ir::Graph& graph = module.graphs[g];
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
      if (!graph.node(id).erased) places.emplace(graph.node(id).name, std::pair{g, id});
    }
  }
  const auto key = [&places](const Violation& violation) {
    const auto at = places.find(violation.node);
    if (violation.node.empty()) return std::tuple(0, std::size_t{0}, ir::NodeId{0});
    return at == places.end() ? std::tuple(2, std::size_t{0}, ir::NodeId{0}) : std::tuple(1, at->second.first, at->second.second);
  };
  std::stable_sort(found.begin(), found.end(), [&key](const Violation& a, const Violation& b) { return key(a) < key(b); });
}

class Checker {
 public:
  Checker(const ir::Module& module, const ValidateOptions& options) : module_(module), options_(options) {}

  std::vector<Violation> run() {
    if (module_.graphs.empty()) {
      report("no-graph", "", "the model holds no graph");
      return std::move(found_);
    }
    check_tree();
    std::map<std::string_view, std::string_view> owners;  // node name -> its graph
    for (std::size_t g = 0; g < module_.graphs.size(); ++g) {
      graph_ = &module_.graphs[g];
      for (ir::NodeId id = 0; id < graph_->arena_size(); ++id) {
        const ir::Node& node = graph_->node(id);
        if (node.erased) continue;
        if (const auto [at, fresh] = owners.emplace(node.name, graph_->name); !fresh) {
          report("duplicate-node-name", node.name,
                 fmt::format("the graphs '{}' and '{}' both have a node of this name", at->second, graph_->name));
        }
        check_node(node);
      }
      check_edges();
      check_inputs(g);
      check_outputs(g);
      check_effects();
      check_size_chains();
    }
    sort_by_node(module_, found_);
    return std::move(found_);
  }

 private:
  void report(std::string_view rule, std::string_view node, std::string message) {
    found_.push_back({std::string(rule), std::string(node), std::move(message)});
  }

  // -- access that a broken graph cannot upset

  [[nodiscard]] bool alive(ir::NodeId id) const { return id < graph_->arena_size() && !graph_->node(id).erased; }
  [[nodiscard]] const ir::Node* source(const ir::Input& input) const {
    if (!input.value || !alive(input.value.node)) return nullptr;
    const ir::Node& node = graph_->node(input.value.node);
    return input.value.index < node.outputs.size() ? &node : nullptr;
  }

  // -- nodes

  void check_node(const ir::Node& node) {
    check_name(node);
    check_sources(node);
    check_shapes(node);
    if (contains(kForbidden, node.type)) {
      report("forbidden-op", node.name, fmt::format("a {} holds an address or state of one process", node.type));
      return;
    }
    if (ir::is_input_type(node.type)) check_data(node);
    if (node.type == "Const" || node.type == "Constant") check_const(node);
    if (node.type == "FileConstant") check_file_constant(node);
    if (node.type == "NetOutput") return;
    const opdb::OpInfo* info = opdb::find_op(node.type);
    if (info == nullptr) {
      if (!ir::is_input_type(node.type)) report("unknown-op-type", node.name, fmt::format("there is no operator '{}'", node.type));
      return;
    }
    if (!ir::is_input_type(node.type)) {  // check_data() has its own words for those
      check_ports(node, info->inputs, true);
      check_ports(node, info->outputs, false);
    }
    check_refs(node, *info);
    check_attrs(node, *info);
    check_counts(node, *info);
    check_subgraph_count(node, *info);
    check_layout(node);
    if (node.type == "Cast") check_cast(node);
    if (node.type.compare(0, 4, "Hcom") == 0) check_collective(node);
  }

  void check_name(const ir::Node& node) {
    const auto good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '/' || c == '-';
    };
    if (node.name.empty() || !std::all_of(node.name.begin(), node.name.end(), good)) {
      report("node-name", node.name, fmt::format("'{}' is not a name of [A-Za-z0-9_./-]", node.name));
    }
  }

  void check_sources(const ir::Node& node) {
    for (const ir::Input& input : node.inputs) {
      if (!input.value || source(input) != nullptr) continue;
      if (!alive(input.value.node)) {
        report("unknown-input-source", node.name, fmt::format("input '{}' names no node", input.name));
      } else {
        const ir::Node& other = graph_->node(input.value.node);
        report(
            "bad-index", node.name,
            fmt::format("input '{}' is output {} of '{}', which has {}", input.name, input.value.index, other.name, other.outputs.size()));
      }
    }
    for (const ir::NodeId before : node.control) {
      if (!alive(before)) report("unknown-input-source", node.name, "a control input names no node");
    }
  }

  void check_shapes(const ir::Node& node) {
    for (const ir::Output& output : node.outputs) {
      const ir::Ints dims = output.type.dims();
      const bool bad = output.type.unknown_rank ? !output.type.shape.empty()
                                                : std::any_of(dims.begin(), dims.end(), [](std::int64_t d) { return d < -1; });
      if (bad) report("bad-shape", node.name, fmt::format("output '{}' has the shape {}", output.name, dims_text(dims)));
      const auto* origin = get<ir::Ints>(output.attrs, "origin_shape");
      if (origin == nullptr || origin->empty() || output.format == ir::Format::kOther || output.type.unknown_rank || *origin == dims)
        continue;
      report("origin-shape", node.name,
             fmt::format("output '{}' has the shape {} and the origin_shape {}", output.name, dims_text(dims), dims_text(*origin)));
    }
  }

  void check_data(const ir::Node& node) {
    if (node.inputs.size() > 1 || (node.inputs.size() == 1 && (node.inputs[0].name != "x" || node.inputs[0].value))) {
      report("data-desc", node.name, "a graph input has one input descriptor, x, which nothing feeds");
    } else if (node.outputs.size() != 1 || node.outputs[0].name != "y") {
      report("data-desc", node.name, "a graph input has one output descriptor, y");
    }
  }

  // -- constants

  void check_const(const ir::Node& node) {
    const auto* location = get<std::string>(node.attrs, "location");
    const auto* value = get<ir::TensorRef>(node.attrs, "value");
    const ir::Tensor* tensor = value == nullptr ? nullptr : value->get();
    const ir::TensorType* type = node.outputs.size() == 1 ? &node.outputs[0].type : nullptr;
    if (location != nullptr) check_location(node, *location, type);
    if (tensor == nullptr) {
      if (location == nullptr) report("const-value", node.name, "the attribute 'value' with the elements is missing");
      return;
    }
    const auto bytes = bytes_of(tensor->dtype, tensor->shape);
    if (!bytes) {
      report("const-byte-size", node.name,
             fmt::format("elements of type {} and shape {} have no size in bytes", ir::info(tensor->dtype).ge, dims_text(tensor->shape)));
    } else if (tensor->data == nullptr && *bytes > 0 && location == nullptr) {
      report("const-value", node.name, "the attribute 'value' holds no elements and there is no 'location'");
    }
    if (type == nullptr) return;
    const ir::Ints dims = type->dims();
    const bool empty_scalar = dims.empty() && tensor->shape == std::vector<std::int64_t>{0};  // a scalar of 0 bytes stands for "empty"
    if (type->dtype != tensor->dtype || (dims != tensor->shape && !empty_scalar)) {
      report("const-desc", node.name,
             fmt::format("the output is {} {}, the value {} {}", ir::info(type->dtype).ge, dims_text(dims), ir::info(tensor->dtype).ge,
                         dims_text(tensor->shape)));
    }
  }

  void check_location(const ir::Node& node, const std::string& location, const ir::TensorType* type) {
    if (location.empty() || location[0] == '/') {
      report("location-path", node.name, fmt::format("'{}' is not relative to the model's folder", location));
      return;
    }
    const auto* length = get<std::int64_t>(node.attrs, "length");
    if (length == nullptr || *length <= 0) {
      report("location-size", node.name, "the attribute 'length' is not a number of bytes above 0");
      return;
    }
    const fs::path path = fs::path(options_.directory.empty() ? "." : options_.directory) / location;
    const auto size = file_size(path);
    if (!size) {
      report("location-path", node.name, fmt::format("there is no file {}", path.string()));
    } else if (*size != *length) {
      report("location-size", node.name, fmt::format("{} has {} bytes, 'length' is {}", path.string(), *size, *length));
    } else if (const auto wanted = type == nullptr ? std::nullopt : bytes_of(type->dtype, type->dims()); wanted && *wanted != *length) {
      report("location-size", node.name, fmt::format("'length' is {}, the output has {} bytes", *length, *wanted));
    }
  }

  void check_file_constant(const ir::Node& node) {
    const auto* shape = get<ir::Ints>(node.attrs, "shape");
    const auto* dtype = get<ir::DType>(node.attrs, "dtype");
    if (shape == nullptr || dtype == nullptr || *dtype == ir::DType::kUndefined) {
      report("file-constant-attrs", node.name, "it needs the attributes 'shape' (ints) and 'dtype' (a data type)");
      return;
    }
    if (node.outputs.size() == 1) {
      const ir::TensorType& type = node.outputs[0].type;
      if (type.dtype != *dtype || type.dims() != *shape) {
        report("file-constant-desc", node.name,
               fmt::format("the output is {} {}, the attributes say {} {}", ir::info(type.dtype).ge, dims_text(type.dims()),
                           ir::info(*dtype).ge, dims_text(*shape)));
      }
    }
    const auto text = [&node](std::string_view key) {
      const auto* found = get<std::string>(node.attrs, key);
      return found == nullptr ? std::string() : *found;
    };
    const std::string name = text("location").empty() ? text("file_path") : text("location");
    if (name.empty()) {
      report("file-constant-attrs", node.name, "neither 'file_path' nor 'location' says where the elements are");
      return;
    }
    const auto bytes = bytes_of(*dtype, *shape);
    if (!bytes) {
      report("file-constant-desc", node.name,
             fmt::format("elements of type {} and shape {} have no size in bytes", ir::info(*dtype).ge, dims_text(*shape)));
      return;
    }
    const auto number = [&node](std::string_view key) {
      const auto* found = get<std::int64_t>(node.attrs, key);
      return found == nullptr ? std::int64_t{0} : *found;
    };
    const std::int64_t offset = number("offset");
    const std::int64_t length = number("length");
    if (offset < 0 || (length != 0 && length != *bytes)) {
      report("file-constant-size", node.name,
             fmt::format("offset {} and length {} do not fit {} bytes of elements", offset, length, *bytes));
      return;
    }
    const auto size = find_weight(name);
    if (!size) {
      report("file-constant-path", node.name,
             fmt::format("there is no file '{}' (relative paths start where the model is compiled)", name));
    } else if (*size < *bytes || *size - *bytes < offset) {
      report("file-constant-size", node.name, fmt::format("'{}' has {} bytes, {} at {} are asked for", name, *size, *bytes, offset));
    }
    const auto [at, fresh] = weights_.emplace(std::pair{name, offset}, std::pair{*bytes, &node.name});
    if (!fresh && at->second.first != *bytes) {
      report("file-constant-shared", node.name,
             fmt::format("'{}' takes {} bytes from the place in '{}' where this one takes {}", *at->second.second, at->second.first, name,
                         *bytes));
    }
  }

  static std::optional<std::int64_t> file_size(const fs::path& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return std::nullopt;
    const auto size = fs::file_size(path, error);
    if (error) return std::nullopt;
    return static_cast<std::int64_t>(size);
  }

  [[nodiscard]] std::optional<std::int64_t> find_weight(const std::string& name) const {
    const fs::path path(name);
    if (path.is_absolute()) return file_size(path);
    if (const auto size = file_size(fs::path(options_.working_dir.empty() ? "." : options_.working_dir) / path)) return size;
    std::error_code error;
    const fs::path folder = fs::weakly_canonical(options_.directory.empty() ? "." : options_.directory, error);
    if (error) return std::nullopt;
    if (const auto size = file_size(folder.parent_path() / path)) return size;
    return file_size(folder / path);
  }

  // -- prototypes

  struct Slot {
    std::string_view name;
    bool fed;
  };

  void check_ports(const ir::Node& node, std::span<const opdb::Port> ports, bool input) {
    std::vector<Slot> slots;
    if (input) {
      for (const ir::Input& i : node.inputs) slots.push_back({i.name, static_cast<bool>(i.value)});
    } else {
      for (const ir::Output& o : node.outputs) slots.push_back({o.name, true});
    }
    const std::string_view what = input ? "input" : "output";
    const auto complain = [&](std::string_view rule, std::string message) {
      report(fmt::format("{}-{}", what, rule), node.name, std::move(message));
    };

    std::vector<std::int64_t> counts(ports.size(), 0);  // slots of each port
    std::size_t last = 0;
    bool all_known = true;
    for (const Slot& slot : slots) {
      const auto place = find_port(ports, slot.name);
      if (!place) {
        all_known = false;
        if (!input && is_input_name(node, slot.name)) continue;  // ref-output says it
        complain("name", fmt::format("{} has no {} '{}'", node.type, what, slot.name));
        continue;
      }
      const opdb::Port& port = ports[place->port];
      if (place->port < last) {
        complain("order", fmt::format("'{}' stands after '{}'", slot.name, ports[last].name));
        return;
      }
      last = place->port;
      std::int64_t& count = counts[place->port];
      if (port.kind == opdb::Kind::kDynamic) {
        if (place->number != count) {
          complain("numbering", fmt::format("'{}' stands where '{}{}' belongs", slot.name, port.name, count));
          return;
        }
      } else if (count > 0) {
        complain("name", fmt::format("there are two {}s '{}'", what, slot.name));
        return;
      }
      ++count;
      if (!slot.fed && port.kind != opdb::Kind::kOptional) complain("unfed", fmt::format("input '{}' has no value", slot.name));
    }
    if (!all_known) return;  // a missing one may be there under a wrong name
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (counts[i] > 0 || ports[i].kind == opdb::Kind::kDynamic) continue;
      if (ports[i].kind == opdb::Kind::kRequired) {
        complain("missing", fmt::format("{} needs the {} '{}'", node.type, what, ports[i].name));
      } else if (input && i < last) {
        complain("hole", fmt::format("the optional input '{}' has no slot though '{}' has one", ports[i].name, ports[last].name));
      }
    }
  }

  static bool is_input_name(const ir::Node& node, std::string_view name) {
    return std::any_of(node.inputs.begin(), node.inputs.end(), [name](const ir::Input& input) { return input.name == name; });
  }

  void check_refs(const ir::Node& node, const opdb::OpInfo& info) {
    for (const ir::Output& output : node.outputs) {
      const auto at =
          std::find_if(node.inputs.begin(), node.inputs.end(), [&](const ir::Input& input) { return input.name == output.name; });
      if (at == node.inputs.end()) continue;
      const auto in = find_port(info.inputs, output.name);
      const auto out = find_port(info.outputs, output.name);
      if (!in || !out || info.inputs[in->port].name != info.outputs[out->port].name) {
        report("ref-output", node.name,
               fmt::format("output '{}' has an input's name, but {} does not write that input", output.name, node.type));
        continue;
      }
      const ir::Node* producer = source(*at);
      if (producer != nullptr && ir::is_const_type(producer->type)) {
        report("ref-const", node.name,
               fmt::format("'{}' is written in place, but comes from the {} '{}'", at->name, producer->type, producer->name));
      }
    }
  }

  void check_attrs(const ir::Node& node, const opdb::OpInfo& info) {
    const bool constant = ir::is_const_type(node.type);
    for (const auto& [name, value] : node.attrs) {
      if (!name.empty() && name[0] == '_') {
        check_ir_names(node, info, name, value);
        continue;
      }
      const auto row =
          std::find_if(info.attrs.begin(), info.attrs.end(), [&n = name](const opdb::AttrInfo& attr) { return attr.name == n; });
      opdb::AttrKind kind{};
      if (row != info.attrs.end()) {
        kind = row->kind;
      } else {
        const auto extra = std::find_if(std::begin(kExtraAttrs), std::end(kExtraAttrs), [&n = name, constant](const ExtraAttr& attr) {
          return attr.name == n && (constant || !attr.constants_only);
        });
        if (extra == std::end(kExtraAttrs)) {
          report("attr-name", node.name, fmt::format("{} has no attribute '{}'", node.type, name));
          continue;
        }
        kind = extra->kind;
      }
      const opdb::AttrKind actual = std::visit(KindOf{}, value);
      if (kind != opdb::AttrKind::kOther && kind != actual) {
        report("attr-kind", node.name,
               fmt::format("attribute '{}' is a {}, {} wants a {}", name, kind_name(actual), node.type, kind_name(kind)));
      } else if (row != info.attrs.end() && kind == opdb::AttrKind::kInt) {
        check_dtype_number(node, *row, std::get<std::int64_t>(value));
      }
    }
    if (node.type == "FileConstant") return;  // file-constant-attrs says it
    for (const opdb::AttrInfo& attr : info.attrs) {
      if (attr.required && !node.attrs.contains(attr.name))
        report("attr-missing", node.name, fmt::format("{} needs the attribute '{}'", node.type, attr.name));
    }
  }

  void check_dtype_number(const ir::Node& node, const opdb::AttrInfo& attr, std::int64_t value) {
    constexpr std::string_view kSuffix = "dtype";
    const bool dtype =
        attr.name == "dst_type" || (attr.name.size() >= kSuffix.size() && attr.name.substr(attr.name.size() - kSuffix.size()) == kSuffix);
    if (!dtype || to_int(attr.default_text) == value) return;
    if (value >= 0 && value <= INT_MAX && ir::dtype_from_ge(static_cast<int>(value))) return;
    report("attr-dtype", node.name, fmt::format("attribute '{}' is {}, which is no data type", attr.name, value));
  }

  void check_ir_names(const ir::Node& node, const opdb::OpInfo& info, const std::string& key, const ir::Attr& value) {
    std::vector<std::string_view> wanted;
    if (key == "_ir_inputs_key") {
      for (const opdb::Port& port : info.inputs) wanted.push_back(port.name);
    } else if (key == "_ir_outputs_key") {
      for (const opdb::Port& port : info.outputs) wanted.push_back(port.name);
    } else if (key == "_ir_attr_names") {
      for (const opdb::AttrInfo& attr : info.attrs) wanted.push_back(attr.name);
    } else {
      return;
    }
    const auto* names = std::get_if<ir::Strings>(&value);
    if (names != nullptr && names->size() <= wanted.size() && std::equal(names->begin(), names->end(), wanted.begin())) return;
    report("ir-names", node.name, fmt::format("'{}' is not how the prototype of {} begins: {}", key, node.type, fmt::join(wanted, ", ")));
  }

  void check_counts(const ir::Node& node, const opdb::OpInfo& info) {
    const Counter* row = find_row(std::span<const Counter>(kCounters), node.type);
    if (row == nullptr) return;
    const auto attr = std::find_if(info.attrs.begin(), info.attrs.end(), [row](const opdb::AttrInfo& a) { return a.name == row->attr; });
    if (attr == info.attrs.end()) return;
    const auto ports = row->output ? info.outputs : info.inputs;
    std::int64_t slots = 0;
    const auto count = [&](std::string_view name) {
      const auto place = find_port(ports, name);
      if (place && ports[place->port].name == row->port) ++slots;
    };
    if (row->output) {
      for (const ir::Output& output : node.outputs) count(output.name);
    } else {
      for (const ir::Input& input : node.inputs) count(input.name);
    }
    const bool given = node.attrs.contains(row->attr);
    const auto* number = get<std::int64_t>(node.attrs, row->attr);
    if (number == nullptr && (given || attr->required)) return;  // attr-kind and attr-missing say it
    const std::optional<std::int64_t> value = number != nullptr ? *number : to_int(attr->default_text);
    if (value == slots) return;
    report("slot-count", node.name,
           fmt::format("{} is {}{}, there are {} slots of '{}'", row->attr, value ? fmt::to_string(*value) : "not set",
                       given ? "" : " by default", slots, row->port));
  }

  void check_layout(const ir::Node& node) {
    const LayoutRule* row = find_row(std::span<const LayoutRule>(kLayouts), node.type);
    if (row == nullptr) return;
    int spatial = row->spatial;
    if (spatial == 0) spatial = !node.outputs.empty() && node.outputs[0].type.rank() == 5 ? 3 : 2;
    const auto check = [&](std::string_view name, ir::Format format) {
      if (!has_word(row->ports, name) || format == ir::Format::kOther) return;
      const bool good = spatial == 3 ? format == ir::Format::kNCDHW || format == ir::Format::kNDHWC
                                     : format == ir::Format::kNCHW || format == ir::Format::kNHWC;
      if (!good) {
        report(
            "layout", node.name,
            fmt::format("'{}' has the layout '{}', {} needs {}", name, ir::to_string(format), node.type, spatial == 3 ? "NCDHW" : "NCHW"));
      }
    };
    for (const ir::Input& input : node.inputs) {
      if (input.value) check(input.name, input.format);
    }
    for (const ir::Output& output : node.outputs) check(output.name, output.format);
  }

  static bool has_word(std::string_view words, std::string_view word) {
    while (!words.empty()) {
      const std::size_t end = std::min(words.find(' '), words.size());
      if (words.substr(0, end) == word) return true;
      words.remove_prefix(std::min(end + 1, words.size()));
    }
    return false;
  }

  void check_cast(const ir::Node& node) {
    const auto* to = get<std::int64_t>(node.attrs, "dst_type");
    if (to == nullptr || node.outputs.size() != 1) return;
    const ir::DType dtype = node.outputs[0].type.dtype;
    if (*to == static_cast<std::int64_t>(dtype) || *to < 0 || *to > INT_MAX || !ir::dtype_from_ge(static_cast<int>(*to))) return;
    report("cast-dtype", node.name,
           fmt::format("dst_type is {}, the output {}", ir::info(*ir::dtype_from_ge(static_cast<int>(*to))).ge, ir::info(dtype).ge));
  }

  void check_collective(const ir::Node& node) {
    if (const auto* group = get<std::string>(node.attrs, "group"); group != nullptr && (group->empty() || group->size() > kMaxGroup)) {
      report("hcom-group", node.name, fmt::format("the group's name has {} bytes", group->size()));
    }
    if (const auto* reduction = get<std::string>(node.attrs, "reduction"); reduction != nullptr && !contains(kReductions, *reduction)) {
      report("hcom-reduction", node.name, fmt::format("'{}' is not one of sum, prod, max and min", *reduction));
    }
    if (const auto* fusion = get<std::int64_t>(node.attrs, "fusion"); fusion != nullptr) {
      const auto* id = get<std::int64_t>(node.attrs, "fusion_id");
      if (*fusion < 0 || *fusion > 2) {
        report("hcom-fusion", node.name, fmt::format("fusion is {}", *fusion));
      } else if (*fusion == 1 && id != nullptr && *id != -1) {
        report("hcom-fusion", node.name, fmt::format("fusion 1 goes with fusion_id -1, not {}", *id));
      }
    }
    if (const auto* size = get<std::int64_t>(node.attrs, "rank_size"); size != nullptr && *size <= 0) {
      report("hcom-rank-size", node.name, fmt::format("rank_size is {}", *size));
    }
    const auto* keep = get<bool>(node.attrs, "_force_skip_prune");
    if (node.outputs.empty() && (keep == nullptr || !*keep))
      report("skip-prune", node.name, fmt::format("a {} has no outputs and may be removed", node.type));
  }

  // -- whole graphs

  void check_edges() {
    if (!graph_->topological()) {
      const std::vector<ir::NodeId> loop = find_cycle();
      std::string text;
      for (const ir::NodeId id : loop) text += graph_->node(id).name + " -> ";
      report("cycle", graph_->node(loop.front()).name, text + graph_->node(loop.front()).name);
      return;
    }
    for (ir::NodeId id = 0; id < graph_->arena_size(); ++id) {
      const ir::Node& node = graph_->node(id);
      if (node.erased) continue;
      const auto later = [&](ir::NodeId from) { return alive(from) && from >= id; };
      ir::NodeId wrong = ir::kNoNode;
      for (const ir::Input& input : node.inputs) {
        if (input.value && later(input.value.node)) wrong = input.value.node;
      }
      for (const ir::NodeId before : node.control) {
        if (later(before)) wrong = before;
      }
      if (wrong != ir::kNoNode)
        report("node-order", node.name, fmt::format("it is stored before its input '{}'", graph_->node(wrong).name));
    }
  }

  [[nodiscard]] std::vector<ir::NodeId> predecessors(ir::NodeId id) const {
    std::vector<ir::NodeId> out;
    for (const ir::Input& input : graph_->node(id).inputs) {
      if (input.value && alive(input.value.node)) out.push_back(input.value.node);
    }
    for (const ir::NodeId before : graph_->node(id).control) {
      if (alive(before)) out.push_back(before);
    }
    return out;
  }

  /// The nodes of one cycle in the direction of the data, the one stored first at the front. There must be a cycle.
  [[nodiscard]] std::vector<ir::NodeId> find_cycle() const {
    enum class Mark : std::uint8_t { kNew, kOpen, kDone };
    std::vector<Mark> marks(graph_->arena_size(), Mark::kNew);
    struct Frame {
      ir::NodeId id;
      std::vector<ir::NodeId> open;
    };
    for (ir::NodeId root = 0; root < graph_->arena_size(); ++root) {
      if (graph_->node(root).erased || marks[root] != Mark::kNew) continue;
      std::vector<Frame> path{{root, predecessors(root)}};
      marks[root] = Mark::kOpen;
      while (!path.empty()) {
        if (path.back().open.empty()) {
          marks[path.back().id] = Mark::kDone;
          path.pop_back();
          continue;
        }
        const ir::NodeId next = path.back().open.back();
        path.back().open.pop_back();
        if (marks[next] == Mark::kOpen) {
          std::vector<ir::NodeId> loop;
          for (std::size_t k = path.size(); k > 0 && (loop.empty() || loop.back() != next); --k) loop.push_back(path[k - 1].id);
          std::rotate(loop.begin(), std::min_element(loop.begin(), loop.end()), loop.end());
          return loop;
        }
        if (marks[next] == Mark::kDone) continue;
        marks[next] = Mark::kOpen;
        path.push_back({next, predecessors(next)});
      }
    }
    return {};
  }

  void check_inputs(std::size_t g) {
    const std::vector<ir::NodeId> inputs = graph_->inputs();
    if (g != 0) {
      for (const ir::NodeId id : inputs) {
        const ir::Node& node = graph_->node(id);
        if (const Parent& parent = parents_[g]; parent.node != nullptr)
          check_parent_index(node, node.attrs, "input", parent.node->inputs.size());
      }
      return;
    }
    std::map<std::int64_t, const ir::Node*> seen;
    for (const ir::NodeId id : inputs) {
      const ir::Node& node = graph_->node(id);
      const auto* index = get<std::int64_t>(node.attrs, "index");
      if (index == nullptr) {
        if (!node.attrs.contains("index")) report("input-index", node.name, "the attribute 'index' is missing");
        continue;  // of another kind: attr-kind says it
      }
      if (*index < 0 || *index >= static_cast<std::int64_t>(inputs.size())) {
        report("input-index", node.name, fmt::format("index {} is not one of {} inputs", *index, inputs.size()));
      } else if (const auto [at, fresh] = seen.emplace(*index, &node); !fresh) {
        report("input-index", node.name, fmt::format("'{}' has the index {} too", at->second->name, *index));
      }
    }
  }

  void check_parent_index(const ir::Node& node, const ir::Attrs& attrs, std::string_view what, std::size_t count) {
    const auto* index = get<std::int64_t>(attrs, "_parent_node_index");
    if (index == nullptr) {
      report("parent-index", node.name, fmt::format("an {} of graph '{}' has no int '_parent_node_index'", what, graph_->name));
    } else if (*index < 0 || static_cast<std::uint64_t>(*index) >= count) {
      report("parent-index", node.name, fmt::format("'_parent_node_index' is {}, the parent has {} {}s", *index, count, what));
    }
  }

  void check_outputs(std::size_t g) {
    const ir::NodeId id = graph_->net_output();
    if (id == ir::kNoNode) {
      report("net-output-count", "", fmt::format("graph '{}' has no NetOutput", graph_->name));
      return;
    }
    bool last = true;
    for (ir::NodeId other = id + 1; other < graph_->arena_size(); ++other) {
      const ir::Node& node = graph_->node(other);
      if (node.erased) continue;
      last = false;
      if (node.type == "NetOutput")
        report("net-output-count", node.name, fmt::format("'{}' is a NetOutput of this graph too", graph_->node(id).name));
    }
    const ir::Node& node = graph_->node(id);
    if (!last) report("net-output-last", node.name, "other nodes are stored after it");
    if (node.inputs.empty() && node.control.empty())
      report("net-output-inputs", node.name, "it has no inputs: a loader removes the whole graph");
    std::size_t labelled = 0;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::Input& input = node.inputs[i];
      if (input.name != fmt::format("input{}", i)) {
        report("net-output-inputs", node.name, fmt::format("input {} is named '{}'", i, input.name));
      } else if (!input.value) {
        report("net-output-inputs", node.name, fmt::format("'{}' has no value", input.name));
      }
      if (get<std::string>(input.attrs, "_origin_output_tensor_name") != nullptr) ++labelled;
      const Parent& parent = parents_[g];
      if (g != 0 && parent.node != nullptr && !parent.condition)
        check_parent_index(node, input.attrs, "output", parent.node->outputs.size());
    }
    const bool some = labelled > 0 || std::any_of(node.inputs.begin(), node.inputs.end(), [](const ir::Input& input) {
                        return input.attrs.contains("_origin_output_tensor_name");
                      });
    if (g == 0 && some && labelled != node.inputs.size()) {
      report("output-tensor-names", node.name,
             fmt::format("{} of {} outputs have a text '_origin_output_tensor_name'", labelled, node.inputs.size()));
    }
  }

  /// Nodes that exist for what they do rather than for what they give.
  static bool has_effect(const ir::Node& node) {
    if (node.type == "NetOutput" || ir::is_input_type(node.type) || contains(kIdle, node.type)) return false;
    const opdb::OpInfo* info = opdb::find_op(node.type);
    if (info == nullptr) return false;
    if (info->outputs.empty()) return true;
    return std::any_of(node.outputs.begin(), node.outputs.end(),
                       [&node](const ir::Output& output) { return is_input_name(node, output.name); });
  }

  void check_effects() {
    std::vector<bool> needed(graph_->arena_size(), false);
    std::vector<ir::NodeId> open;
    for (ir::NodeId id = 0; id < graph_->arena_size(); ++id) {
      if (!graph_->node(id).erased && graph_->node(id).type == "NetOutput") open.push_back(id);
    }
    if (open.empty()) return;  // net-output-count says it
    for (const ir::NodeId id : open) needed[id] = true;
    while (!open.empty()) {
      const ir::NodeId id = open.back();
      open.pop_back();
      for (const ir::NodeId before : predecessors(id)) {
        if (!needed[before]) {
          needed[before] = true;
          open.push_back(before);
        }
      }
    }
    for (ir::NodeId id = 0; id < graph_->arena_size(); ++id) {
      const ir::Node& node = graph_->node(id);
      if (node.erased || needed[id] || !has_effect(node)) continue;
      report("side-effect-pruned", node.name, fmt::format("nothing leads from this {} to NetOutput, so it is removed", node.type));
    }
  }

  /// Scalars that are read from the shape of a dynamic tensor, and what is computed of them.
  void check_size_chains() {
    const auto order = graph_->topological();
    if (!order) return;
    std::vector<bool> size(graph_->arena_size(), false);
    const auto uses = graph_->uses();
    const auto marked = [](const ir::Node& node) {
      const auto* mark = get<bool>(node.attrs, "_force_unknown_shape");
      return mark != nullptr && *mark;
    };
    for (const ir::NodeId id : *order) {
      const ir::Node& node = graph_->node(id);
      bool from_size = false;
      for (const ir::Input& input : node.inputs) from_size = from_size || (source(input) != nullptr && size[input.value.node]);
      const bool scalar = node.outputs.size() == 1 && !node.outputs[0].type.unknown_rank && node.outputs[0].type.shape.empty();
      const bool gather =
          (node.type == "Gather" || node.type == "GatherV2") && scalar && !node.inputs.empty() && is_dynamic_shape(node.inputs[0]);
      size[id] = gather || (scalar && from_size);
      const bool pack = node.type == "Pack" && from_size && makes_shape(uses[id]);
      if ((gather || pack) && !marked(node))
        report("unknown-shape-mark", node.name, fmt::format("this {} computes sizes of dynamic tensors", node.type));
    }
  }

  [[nodiscard]] bool makes_shape(const std::vector<ir::Graph::Use>& uses) const {
    return std::any_of(uses.begin(), uses.end(),
                       [this](const ir::Graph::Use& use) { return contains(kSizePorts, graph_->node(use.user).inputs[use.slot].name); });
  }

  [[nodiscard]] bool is_dynamic_shape(const ir::Input& input) const {
    const ir::Node* shape = source(input);
    if (shape == nullptr || shape->type != "Shape" || shape->inputs.empty()) return false;
    const ir::Node* origin = source(shape->inputs[0]);
    return origin != nullptr && !origin->outputs[shape->inputs[0].value.index].type.is_static();
  }

  // -- graphs of graphs

  struct Parent {
    const ir::Node* node = nullptr;
    bool condition = false;  // of a loop: its output is none of the parent's
  };

  void check_tree() {
    parents_.resize(module_.graphs.size());
    std::map<std::string_view, std::size_t> by_name;
    std::vector<bool> reached(module_.graphs.size(), false);
    reached[0] = true;
    for (std::size_t g = 0; g < module_.graphs.size(); ++g) {
      const std::string& name = module_.graphs[g].name;
      if (by_name.emplace(name, g).second) continue;
      report("duplicate-graph-name", "", fmt::format("two graphs are named '{}'", name));
      reached[g] = true;  // it cannot be named, which need not be said again
    }
    std::vector<std::size_t> open{0};
    while (!open.empty()) {
      const ir::Graph& graph = module_.graphs[open.back()];
      open.pop_back();
      for (ir::NodeId id = 0; id < graph.arena_size(); ++id) {
        const ir::Node& node = graph.node(id);
        if (node.erased) continue;
        for (std::size_t slot = 0; slot < node.subgraphs.size(); ++slot) {
          const auto at = by_name.find(node.subgraphs[slot]);
          if (at == by_name.end()) {
            report("subgraph-missing", node.name, fmt::format("there is no graph '{}'", node.subgraphs[slot]));
          } else if (reached[at->second]) {
            report("subgraph-shared", node.name, fmt::format("the graph '{}' is the root or has a parent already", node.subgraphs[slot]));
          } else {
            reached[at->second] = true;
            const opdb::OpInfo* info = opdb::find_op(node.type);
            parents_[at->second] = {&node, info != nullptr && slot < info->subgraphs.size() && info->subgraphs[slot] == "cond"};
            open.push_back(at->second);
          }
        }
      }
    }
    for (std::size_t g = 0; g < reached.size(); ++g) {
      if (!reached[g])
        report("subgraph-unused", "", fmt::format("nothing leads to the graph '{}', a loader drops it", module_.graphs[g].name));
    }
  }

  void check_subgraph_count(const ir::Node& node, const opdb::OpInfo& info) {
    std::size_t fixed = 0;
    bool open_ended = false;
    for (const std::string_view slot : info.subgraphs) {
      if (!slot.empty() && slot.back() == '*') {
        open_ended = true;
      } else {
        ++fixed;
      }
    }
    const std::size_t count = node.subgraphs.size();
    if (count == fixed || (open_ended && count > fixed)) return;
    report("subgraph-count", node.name,
           fmt::format("{} takes {}{} graphs, {} are named", node.type, open_ended ? "more than " : "", fixed, count));
  }

  const ir::Module& module_;
  const ValidateOptions& options_;
  const ir::Graph* graph_ = nullptr;                                                                     // the one being checked
  std::vector<Parent> parents_;                                                                          // of each graph
  std::map<std::pair<std::string, std::int64_t>, std::pair<std::int64_t, const std::string*>> weights_;  // (file, offset) -> bytes, node
  std::vector<Violation> found_;
};

}  // namespace

std::span<const Rule> rules() { return kRules; }

std::vector<Violation> validate(const ir::Module& module, const ValidateOptions& options) {
  std::vector<Violation> found = Checker(module, options).run();
  const auto size = byte_size(module);
  if (size && *size > INT_MAX) {
    found.insert(found.begin(), {"file-size", "", fmt::format("the file would have {} bytes", *size)});
  } else if (!size && size.error().code == Errc::kTooLarge) {
    found.insert(found.begin(), {"file-size", size.error().where, size.error().message});
  } else if (!size && found.empty()) {  // else it has been said in other words
    found.push_back({"not-writable", size.error().where, size.error().message});
  }
  return found;
}

Result<std::vector<Violation>> validate_file(const std::string& path, const std::string& working_dir) {
  std::vector<Violation> notes;
  const auto module = read(path, &notes);
  if (!module) {
    if (module.error().code != Errc::kTooLarge) return tl::unexpected(module.error());
    return std::vector<Violation>{{"file-size", "", module.error().message}};
  }
  ValidateOptions options;
  options.directory = fs::path(path).parent_path().string();
  options.working_dir = working_dir;
  std::vector<Violation> found;
  std::set<std::pair<std::string, std::string>> said;     // (node, rule) of the reader
  std::set<std::pair<std::string, std::string>> implied;  // what follows from it
  for (Violation& note : notes) {
    if (note.rule == "attr-groups" || note.rule == "graph-attr") continue;  // legal, though airloom has no use for them
    if (implied.contains({note.node, note.rule})) continue;
    said.emplace(note.node, note.rule);
    for (const Consequence& row : kConsequences) {
      if (row.cause == note.rule) implied.emplace(note.node, row.effect);
    }
    found.push_back(std::move(note));
  }
  for (Violation& violation : Checker(*module, options).run()) {
    const std::pair key{violation.node, violation.rule};
    if (!said.contains(key) && !implied.contains(key)) found.push_back(std::move(violation));
  }
  sort_by_node(*module, found);
  return found;
}

}  // namespace airloom::air
