#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <simdjson.h>

#include "program/program.h"

namespace airloom::program {

namespace {

namespace dom = simdjson::dom;

constexpr std::int64_t kVersion = 1;
constexpr int kMaxDepth = 32;

/// Any violation of the message's format; caught once in read().
struct Malformed {
  std::string where, what;
};

class Reader {
 public:
  explicit Reader(const std::vector<WeightMemory>& memory) : memory_(memory) {}

  Program read(const dom::object& root) {
    Program program;
    if (integer(field(root, "version", "/"), "/version") != kVersion) throw Malformed{"/version", "another version of the message"};
    program.name = text(field(root, "name", "/"), "/name");
    program.rank = optional_int(root, "rank", 0);
    program.world_size = optional_int(root, "world_size", 1);
    each(root, "groups", false, [&](const dom::object& o, const std::string& at) {
      program.groups.push_back({text(field(o, "name", at), at), int_list(field(o, "ranks", at), at + "/ranks")});
    });
    read_symbols(root, program);
    symbols_ = program.symbols;
    each(root, "weights", false, [&](const dom::object& o, const std::string& at) { read_weight(o, at); });
    each(root, "inputs", true, [&](const dom::object& o, const std::string& at) { program.inputs.push_back(read_input(o, at)); });
    each(root, "nodes", true, [&](const dom::object& o, const std::string& at) { program.nodes.push_back(read_node(o, at)); });
    each(root, "outputs", true, [&](const dom::object& o, const std::string& at) { program.outputs.push_back(read_output(o, at)); });
    return program;
  }

 private:
  static dom::element field(const dom::object& object, const char* key, const std::string& at) {
    dom::element value;
    if (object.at_key(key).get(value) != simdjson::SUCCESS) throw Malformed{at, fmt::format("\"{}\" is missing", key)};
    return value;
  }
  static std::string text(const dom::element& value, const std::string& at) {
    std::string_view out;
    if (value.get(out) != simdjson::SUCCESS) throw Malformed{at, "not a string"};
    return std::string(out);
  }
  static std::int64_t integer(const dom::element& value, const std::string& at) {
    std::int64_t out = 0;
    if (value.get(out) != simdjson::SUCCESS) throw Malformed{at, "not an integer of 64 bits"};
    return out;
  }
  static std::string optional_text(const dom::object& object, const char* key) {
    std::string_view out;
    return object.at_key(key).get(out) == simdjson::SUCCESS ? std::string(out) : std::string();
  }
  static std::int64_t optional_int(const dom::object& object, const char* key, std::int64_t fallback) {
    std::int64_t out = 0;
    return object.at_key(key).get(out) == simdjson::SUCCESS ? out : fallback;
  }
  static std::vector<std::int64_t> int_list(const dom::element& value, const std::string& at) {
    dom::array items;
    if (value.get(items) != simdjson::SUCCESS) throw Malformed{at, "not a list"};
    std::vector<std::int64_t> out;
    for (dom::element item : items) out.push_back(integer(item, at));
    return out;
  }
  template <class F>
  static void each(const dom::object& root, const char* key, bool required, F&& f) {
    dom::array items;
    const auto error = root.at_key(key).get(items);
    const std::string at = std::string("/") + key;
    if (error == simdjson::NO_SUCH_FIELD && !required) return;
    if (error != simdjson::SUCCESS) throw Malformed{at, "missing or not a list"};
    std::size_t i = 0;
    for (dom::element item : items) {
      const std::string here = fmt::format("{}/{}", at, i++);
      dom::object object;
      if (item.get(object) != simdjson::SUCCESS) throw Malformed{here, "not an object"};
      f(object, here);
    }
  }

  Expr expression(std::string_view source, const std::string& at) {
    // Shapes repeat the same few expressions thousands of times.
    if (const auto known = expressions_.find(source); known != expressions_.end()) return known->second;
    auto parsed = sym::parse(source, symbols_);
    if (!parsed) throw Malformed{at, parsed.error().text()};
    return expressions_.emplace(std::string(source), *parsed).first->second;
  }
  static DType dtype(std::string_view name, const std::string& at) {
    const auto out = ir::dtype_from_torch(name);
    if (!out) throw Malformed{at, fmt::format("unknown dtype \"{}\"", name)};
    return *out;
  }
  Expr dim(const dom::element& value, const std::string& at) {
    std::int64_t number = 0;
    if (value.get(number) == simdjson::SUCCESS) return number;
    return expression(text(value, at), at);
  }
  ir::TensorType tensor_type(const dom::object& object, const std::string& at) {
    ir::TensorType out;
    out.dtype = dtype(text(field(object, "dtype", at), at), at + "/dtype");
    dom::array dims;
    if (field(object, "shape", at).get(dims) != simdjson::SUCCESS) throw Malformed{at + "/shape", "not a list"};
    for (dom::element item : dims) {
      out.shape.push_back(dim(item, at + "/shape"));
      if (const auto fixed = out.shape.back().value(); fixed && *fixed < 0) throw Malformed{at + "/shape", "a negative size"};
    }
    return out;
  }

  void read_symbols(const dom::object& root, Program& program) {
    dom::object symbols;
    if (root.at_key("symbols").get(symbols) != simdjson::SUCCESS) return;
    for (auto [key, value] : symbols) {
      const std::string at = fmt::format("/symbols/{}", key);
      dom::object bounds;
      if (value.get(bounds) != simdjson::SUCCESS) throw Malformed{at, "not an object"};
      sym::Range range;
      range.lower = optional_int(bounds, "lower", range.lower);
      range.upper = optional_int(bounds, "upper", range.upper);
      program.symbols.emplace(std::string(key), range);
    }
  }

  void read_weight(const dom::object& object, const std::string& at) {
    auto tensor = std::make_shared<ir::Tensor>();
    tensor->weight = text(field(object, "name", at), at + "/name");
    tensor->dtype = dtype(text(field(object, "dtype", at), at), at + "/dtype");
    tensor->shape = int_list(field(object, "shape", at), at + "/shape");
    std::int64_t count = 1;
    for (std::int64_t size : tensor->shape) {
      if (size < 0 || __builtin_mul_overflow(count, size, &count)) throw Malformed{at + "/shape", "not the shape of a tensor"};
    }
    const std::int64_t item = ir::item_size(tensor->dtype);
    if (item == 0 || __builtin_mul_overflow(count, item, &count)) throw Malformed{at, "elements of this dtype cannot be stored"};
    const std::size_t row = weights_.size();
    std::string_view hex;
    if (object.at_key("data").get(hex) == simdjson::SUCCESS) {
      auto bytes = std::make_shared<std::vector<std::byte>>(unhex(hex, at + "/data"));
      if (static_cast<std::int64_t>(bytes->size()) != count)
        throw Malformed{at + "/data", fmt::format("{} bytes, the shape needs {}", bytes->size(), count)};
      tensor->data = bytes->data();
      tensor->owner = std::move(bytes);
    } else {
      if (row >= memory_.size()) throw Malformed{at, "no memory was handed over for this weight"};
      dom::element stride;
      if (object.at_key("stride").get(stride) == simdjson::SUCCESS) tensor->stride = int_list(stride, at + "/stride");
      if (!tensor->stride.empty() && tensor->stride.size() != tensor->shape.size())
        throw Malformed{at + "/stride", "another rank than the shape"};
      tensor->data = memory_[row].data;
      tensor->owner = memory_[row].owner;
      if (tensor->data == nullptr && count > 0) throw Malformed{at, fmt::format("the weight \"{}\" has no memory", tensor->weight)};
    }
    weights_.push_back(std::move(tensor));
  }

  static std::vector<std::byte> unhex(std::string_view hex, const std::string& at) {
    const auto digit = [&](char c) {
      if (c >= '0' && c <= '9') return c - '0';
      if (c >= 'a' && c <= 'f') return c - 'a' + 10;
      throw Malformed{at, "not lower-case hexadecimal"};
    };
    if (hex.size() % 2 != 0) throw Malformed{at, "an odd number of digits"};
    std::vector<std::byte> out(hex.size() / 2);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
    return out;
  }

  Input read_input(const dom::object& object, const std::string& at) {
    Input input;
    input.name = text(field(object, "name", at), at + "/name");
    if (!names_.insert(input.name).second) throw Malformed{at, fmt::format("the name \"{}\" is taken", input.name)};
    input.label = optional_text(object, "label");
    const std::string kind = text(field(object, "kind", at), at + "/kind");
    if (kind == "weight") {
      input.kind = InputKind::kWeight;
      const std::int64_t row = integer(field(object, "weight", at), at + "/weight");
      if (row < 0 || static_cast<std::size_t>(row) >= weights_.size()) throw Malformed{at + "/weight", "no such row in \"weights\""};
      input.tensor = weights_[static_cast<std::size_t>(row)];
      input.label = input.tensor->weight;
      input.type = {input.tensor->dtype, ir::Shape(input.tensor->shape.begin(), input.tensor->shape.end()), false};
    } else if (kind == "symint") {
      input.kind = InputKind::kSymInt;
      input.symint = expression(text(field(object, "symbol", at), at), at + "/symbol");
    } else if (kind == "user") {
      input.type = tensor_type(object, at);
    } else {
      throw Malformed{at + "/kind", fmt::format("unknown kind \"{}\"", kind)};
    }
    if (input.label.empty()) input.label = input.name;
    return input;
  }

  Ref reference(const dom::object& object, const std::string& at) {
    Ref ref{text(field(object, "v", at), at), 0};
    const std::int64_t index = optional_int(object, "i", 0);
    if (index < 0 || index > 100'000) throw Malformed{at + "/i", "not an output number"};
    ref.index = static_cast<std::uint32_t>(index);
    if (!names_.contains(ref.name)) throw Malformed{at, fmt::format("the value \"{}\" is not defined before its use", ref.name)};
    return ref;
  }

  static double special_float(std::string_view name, const std::string& at) {
    if (name == "inf") return std::numeric_limits<double>::infinity();
    if (name == "-inf") return -std::numeric_limits<double>::infinity();
    if (name == "nan") return std::numeric_limits<double>::quiet_NaN();
    throw Malformed{at, fmt::format("unknown number \"{}\"", name)};
  }

  Arg argument(const dom::element& value, const std::string& at, int depth) {
    if (depth > kMaxDepth) throw Malformed{at, "nested too deeply"};
    switch (value.type()) {
      case dom::element_type::NULL_VALUE: return {None{}};
      case dom::element_type::BOOL: return {value.get_bool().value_unsafe()};
      case dom::element_type::INT64: return {Expr(value.get_int64().value_unsafe())};
      case dom::element_type::DOUBLE: return {value.get_double().value_unsafe()};
      case dom::element_type::ARRAY: {
        ArgList items;
        const dom::array elements = value.get_array().value_unsafe();
        for (dom::element item : elements) items.push_back(argument(item, at, depth + 1));
        return {std::move(items)};
      }
      case dom::element_type::OBJECT: return tagged(value.get_object().value_unsafe(), at);
      default: throw Malformed{at, "not an argument"};
    }
  }

  Arg tagged(const dom::object& object, const std::string& at) {
    for (auto [key, value] : object) {
      if (key == "v") return {reference(object, at)};
      const std::string word = text(value, at);
      if (key == "e") return {expression(word, at)};
      if (key == "f") return {special_float(word, at)};
      if (key == "str") return {word};
      if (key == "dtype") return {dtype(word, at)};
      return {Word{std::string(key), word}};
    }
    throw Malformed{at, "an empty object"};
  }

  Node read_node(const dom::object& object, const std::string& at) {
    Node node;
    node.name = text(field(object, "name", at), at + "/name");
    node.target = text(field(object, "target", at), at + "/target");
    dom::array items;
    if (field(object, "args", at).get(items) != simdjson::SUCCESS) throw Malformed{at + "/args", "not a list"};
    for (dom::element item : items) node.args.push_back(argument(item, fmt::format("{}/args/{}", at, node.args.size()), 0));
    if (field(object, "outputs", at).get(items) != simdjson::SUCCESS) throw Malformed{at + "/outputs", "not a list"};
    for (dom::element item : items) {
      dom::object output;
      if (item.is_null()) {
        node.outputs.push_back({None{}});
      } else if (item.get(output) != simdjson::SUCCESS) {
        throw Malformed{at + "/outputs", "not an object"};
      } else if (std::string_view e; output.at_key("e").get(e) == simdjson::SUCCESS) {
        node.outputs.push_back({expression(e, at)});
      } else {
        node.outputs.push_back({tensor_type(output, at + "/outputs")});
      }
    }
    auto origin = std::make_shared<ir::Origin>();
    origin->fx = node.name;
    origin->target = node.target;
    origin->module = optional_text(object, "module");
    origin->source = optional_text(object, "source");
    origin->module_stack = optional_text(object, "stack");
    node.origin = std::move(origin);
    if (!names_.insert(node.name).second) throw Malformed{at, fmt::format("the name \"{}\" is taken", node.name)};
    return node;
  }

  Output read_output(const dom::object& object, const std::string& at) {
    Output output;
    output.label = optional_text(object, "label");
    output.mutates = optional_text(object, "mutates");
    if (!output.mutates.empty() && !names_.contains(output.mutates)) throw Malformed{at + "/mutates", "an unknown input"};
    dom::element value;
    if (object.at_key("v").get(value) == simdjson::SUCCESS) {
      output.value = reference(object, at);
      output.type = tensor_type(object, at);
    } else if (object.at_key("e").get(value) == simdjson::SUCCESS) {
      output.value = value.is_int64() ? Expr(value.get_int64().value_unsafe()) : expression(text(value, at), at);
    } else if (object.at_key("c").get(value) == simdjson::SUCCESS) {
      const Arg constant = argument(value, at, 0);
      if (const auto* d = std::get_if<double>(&constant.value)) {
        output.value = *d;
      } else if (const auto* f = std::get_if<bool>(&constant.value)) {
        output.value = *f;
      } else if (const auto* e = std::get_if<Expr>(&constant.value)) {
        output.value = *e;
      } else {
        throw Malformed{at + "/c", "not a number or bool"};
      }
    }
    return output;
  }

  const std::vector<WeightMemory>& memory_;
  std::vector<ir::TensorRef> weights_;
  std::map<std::string, sym::Range> symbols_;
  std::set<std::string, std::less<>> names_;
  std::map<std::string, Expr, std::less<>> expressions_;
};

}  // namespace

Result<Program> read(std::string_view json, const std::vector<WeightMemory>& memory) {
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root); error != simdjson::SUCCESS) {
    return fail(Errc::kParse, simdjson::error_message(error), "program message");
  }
  dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return fail(Errc::kParse, "not a JSON object", "program message");
  try {
    return Reader(memory).read(object);
  } catch (const Malformed& bad) {
    return fail(Errc::kParse, bad.what, "program message " + bad.where);
  }
}

}  // namespace airloom::program
