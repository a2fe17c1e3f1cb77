#include "convert/build.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace airloom::convert {

namespace {

/// Node names hold only characters that ATC's options do not split at.
std::string safe_name(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const bool ok =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '-' || c == '/';
    if (!ok) c = '_';
  }
  return out.empty() ? "node" : out;
}

int category(DType dtype) {
  if (dtype == DType::kBool) return 0;
  if (ir::is_integral(dtype)) return 1;
  if (ir::is_floating(dtype)) return 2;
  return 3;
}

}  // namespace

double Scalar::to_double() const {
  if (const auto* i = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*i);
  if (const auto* d = std::get_if<double>(&value_)) return *d;
  if (const auto* f = std::get_if<bool>(&value_)) return *f ? 1.0 : 0.0;
  if (auto constant = std::get<Expr>(value_).value()) return static_cast<double>(*constant);
  throw Unsupported(fmt::format("the number {} depends on a symbolic dimension", std::get<Expr>(value_).str()));
}

std::int64_t Scalar::to_int() const {
  if (const auto* i = std::get_if<std::int64_t>(&value_)) return *i;
  const double v = to_double();
  if (!(v > -9.3e18 && v < 9.3e18)) throw Unsupported(fmt::format("the number {} is not an integer of 64 bits", v));
  return static_cast<std::int64_t>(v);
}

DType Scalar::default_dtype() const {
  if (std::holds_alternative<double>(value_)) return DType::kFloat;
  if (std::holds_alternative<bool>(value_)) return DType::kBool;
  return DType::kInt64;
}

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  const int ca = category(a);
  const int cb = category(b);
  if (ca == 3 || cb == 3) {
    const bool wide = a == DType::kComplex128 || b == DType::kComplex128 || a == DType::kDouble || b == DType::kDouble;
    if (wide) return DType::kComplex128;
    const auto half = [](DType d) { return d == DType::kComplex32 || d == DType::kFloat16 || category(d) < 2; };
    return half(a) && half(b) ? DType::kComplex32 : DType::kComplex64;
  }
  if (ca != cb) return ca > cb ? a : b;
  if (ca == 2) {
    if (a == DType::kDouble || b == DType::kDouble) return DType::kDouble;
    return DType::kFloat;  // f16 with bf16, or anything with f32
  }
  // integers of unequal type: an unsigned one needs the next wider signed type
  const auto is_unsigned = [](DType d) { return d == DType::kUInt8 || d == DType::kUInt16 || d == DType::kUInt32 || d == DType::kUInt64; };
  const std::int64_t sa = ir::item_size(a);
  const std::int64_t sb = ir::item_size(b);
  if (is_unsigned(a) == is_unsigned(b)) return sa >= sb ? a : b;
  const DType u = is_unsigned(a) ? a : b;
  const DType s = is_unsigned(a) ? b : a;
  if (ir::item_size(s) > ir::item_size(u)) return s;
  if (u == DType::kUInt8) return DType::kInt16;
  throw Unsupported(fmt::format("torch has no common type of {} and {}", ir::info(a).torch, ir::info(b).torch));
}

DType result_type(std::span<const Operand> operands) {
  std::optional<DType> by_rank[3];
  for (const Operand& operand : operands) {
    auto& slot = by_rank[static_cast<std::size_t>(operand.rank)];
    slot = slot ? promote_types(*slot, operand.dtype) : operand.dtype;
  }
  // A lower rank matters only when its category is higher.
  const auto combine = [](std::optional<DType> high, std::optional<DType> low) {
    if (!high) return low;
    if (!low || category(*high) >= category(*low)) return high;
    return std::optional(promote_types(*high, *low));
  };
  const auto numbers = by_rank[static_cast<std::size_t>(Operand::Rank::kNumber)];
  const auto zero_dim = by_rank[static_cast<std::size_t>(Operand::Rank::kZeroDim)];
  const auto tensors = by_rank[static_cast<std::size_t>(Operand::Rank::kTensor)];
  const auto result = combine(combine(tensors, zero_dim), numbers);
  if (!result) throw Unsupported("no operand to take a type from");
  return *result;
}

const TensorType& Build::out(std::size_t i) const {
  if (i < node_.outputs.size()) {
    if (const auto* type = std::get_if<TensorType>(&node_.outputs[i].type)) return *type;
  }
  throw Unsupported(fmt::format("output {} is not a tensor", i));
}

const program::Group& Build::group(std::string_view name) const {
  for (const program::Group& group : context_.program_.groups) {
    if (group.name == name) return group;
  }
  throw Unsupported(fmt::format("process group \"{}\" is not among the program's groups", name));
}

const TensorType& Build::type(Value v) const { return context_.graph_.type(v); }

std::int64_t Build::dim_index(std::int64_t dim, std::int64_t rank) const {
  const std::int64_t limit = std::max<std::int64_t>(rank, 1);
  if (dim < -limit || dim >= limit) throw Unsupported(fmt::format("dim {} is out of range for rank {}", dim, rank));
  return dim < 0 ? dim + limit : dim;
}

std::vector<Value> Build::emit(std::string_view op_type, std::span<const std::string_view> input_names,
                               std::span<const std::string_view> output_names, std::vector<TensorType> types, std::span<const In> inputs,
                               ir::Attrs attrs) {
  ir::Node node;
  node.name = safe_name(fmt::format("{}.{}", node_.name, op_type));
  node.type = op_type;
  node.attrs = std::move(attrs);
  node.origin = context_.origin;
  if (inputs.size() > input_names.size())
    throw std::logic_error(fmt::format("{}: {} inputs given, {} known", op_type, inputs.size(), input_names.size()));
  for (std::size_t i = 0; i < input_names.size(); ++i) {
    std::string_view name = input_names[i];
    const bool dynamic = name.ends_with('*');
    const bool optional = name.ends_with('?');
    if (dynamic || optional) name.remove_suffix(1);
    if (i >= inputs.size()) {
      if (!optional) throw std::logic_error(fmt::format("{}: input {} is missing", op_type, name));
      continue;
    }
    if (dynamic) {
      int k = 0;
      for (Value value : inputs[i].values()) node.inputs.push_back({fmt::format("{}{}", name, k++), value, Format::kND, {}});
      continue;
    }
    const Value value = inputs[i].values().at(0);
    if (!value && !optional) throw std::logic_error(fmt::format("{}: input {} is not optional", op_type, name));
    node.inputs.push_back({std::string(name), value, Format::kND, {}});
  }
  while (!node.inputs.empty() && !node.inputs.back().value) node.inputs.pop_back();
  std::size_t next = 0;
  for (std::string_view name : output_names) {
    if (name.ends_with('*')) {
      name.remove_suffix(1);
      for (int k = 0; next < types.size(); ++k)
        node.outputs.push_back({fmt::format("{}{}", name, k), std::move(types[next++]), Format::kND, false, {}});
    } else {
      if (next >= types.size()) throw std::logic_error(fmt::format("{}: output {} has no type", op_type, name));
      node.outputs.push_back({std::string(name), std::move(types[next++]), Format::kND, false, {}});
    }
  }
  const std::size_t count = node.outputs.size();
  const ir::NodeId id = context_.graph_.add(std::move(node));
  std::vector<Value> values;
  for (std::uint32_t i = 0; i < count; ++i) values.push_back({id, i});
  return values;
}

void Build::layout(Value v, Format format, std::initializer_list<std::size_t> input_slots) {
  ir::Node& node = context_.graph_.node(v.node);
  for (std::size_t slot : input_slots) {
    if (slot < node.inputs.size() && node.inputs[slot].value) node.inputs[slot].format = format;
  }
  for (ir::Output& output : node.outputs) output.format = format;
}

void Build::set_attr(Value v, std::string name, ir::Attr value) { context_.graph_.node(v.node).attrs[std::move(name)] = std::move(value); }

void Build::keep(Value v) { context_.kept.push_back(v.node); }

ir::TensorRef Build::const_value(Value v) const { return v.index == 0 ? ir::const_value(context_.graph_, v.node) : nullptr; }

// -- constants

Value Build::constant(ir::Tensor tensor) { return context_.constant(std::move(tensor), node_.name + ".const"); }

Value Build::scalar(const Scalar& value, DType dtype) { return full(value, dtype, {}); }

Value Build::full(const Scalar& value, DType dtype, const Shape& shape) {
  const bool one = std::all_of(shape.begin(), shape.end(), [](const Expr& dim) { return dim == Expr(1); });
  if (!one) return op<ge::Fill>({dtype, shape}, {sizes(shape), scalar(value, dtype)});
  if (value.is_symbolic() && !value.expr().is_const()) return reshape(cast(size(value.expr()), dtype), shape);
  const Ints dims(shape.size(), 1);
  if (ir::is_floating(dtype) || ir::is_complex(dtype)) {
    const double v = value.to_double();
    return constant(ir::Tensor::from_floats(dtype, dims, {&v, 1}));
  }
  const std::int64_t i = dtype == DType::kBool ? static_cast<std::int64_t>(value.to_double() != 0) : value.to_int();
  return constant(ir::Tensor::from_ints(dtype, dims, {&i, 1}));
}

Value Build::ints(std::span<const std::int64_t> values, DType dtype) {
  return constant(ir::Tensor::from_ints(dtype, {static_cast<std::int64_t>(values.size())}, values));
}

Value Build::size(const Expr& value) { return context_.size(value, node_); }
Value Build::sizes(const Shape& values) { return context_.sizes(values, node_); }

// -- shorthands

Value Build::cast(Value v, DType dtype) {
  if (this->dtype(v) == dtype) return v;
  return op<ge::Cast>(type(v).with(dtype), {v}, {.dst_type = static_cast<std::int64_t>(dtype)});
}

Value Build::reshape(Value v, const Shape& shape) {
  if (type(v).shape == shape) return v;
  const TensorType result = type(v).with(shape);
  const Shape& from = type(v).shape;
  // GE reads 0 as "copy this input dim" and -1 as "what is left": with both, most symbolic shapes are constants.
  Ints dims;
  bool has_zero = false;
  bool inferred = false;
  bool constant_shape = true;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto fixed = shape[i].value();
    if (fixed) {
      has_zero = has_zero || *fixed == 0;
      dims.push_back(*fixed);
    } else if (i < from.size() && from[i] == shape[i]) {
      dims.push_back(0);
    } else if (!inferred) {
      inferred = true;
      dims.push_back(-1);
    } else {
      constant_shape = false;
    }
  }
  if (has_zero) return op<ge::Fill>(result, {sizes(shape), scalar(0, result.dtype)});  // an empty tensor of another shape
  const Value target = constant_shape ? ints(dims) : sizes(shape);
  return op<ge::Reshape>(result, {v, target});
}

Value Build::broadcast(Value v, const Shape& shape) {
  if (type(v).shape == shape) return v;
  const Shape& from = type(v).shape;
  // -1 keeps an existing dim, which makes the target a constant whenever only fixed sizes are new.
  Shape target = shape;
  const std::size_t lead = shape.size() - std::min(shape.size(), from.size());
  for (std::size_t i = lead; i < shape.size(); ++i) {
    if (!shape[i].is_const() && from[i - lead] == shape[i]) target[i] = Expr(-1);
  }
  return op<ge::BroadcastTo>(type(v).with(shape), {v, sizes(target)});
}

Value Build::transpose(Value v, const Ints& perm) {
  bool same = true;
  Shape shape;
  for (std::size_t i = 0; i < perm.size(); ++i) {
    same = same && perm[i] == static_cast<std::int64_t>(i);
    shape.push_back(type(v).shape[static_cast<std::size_t>(perm[i])]);
  }
  if (same) return v;
  return op<ge::Transpose>(type(v).with(std::move(shape)), {v, ints(perm)});
}

Value Build::identity(Value v) { return op<ge::Identity>(type(v), {v}); }

Value Build::unsqueeze(Value v, std::int64_t dim) {
  Shape shape = type(v).shape;
  shape.insert(shape.begin() + dim, Expr(1));
  return op<ge::Unsqueeze>(type(v).with(std::move(shape)), {v}, {.axes = Ints{dim}});
}

Value Build::squeeze(Value v, std::int64_t dim) {
  Shape shape = type(v).shape;
  shape.erase(shape.begin() + dim);
  return op<ge::Squeeze>(type(v).with(std::move(shape)), {v}, {.axis = Ints{dim}});
}

Shape Build::broadcast_shape(const Shape& a, const Shape& b) const {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const std::size_t lead = longer.size() - shorter.size();
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    Expr& dim = result[lead + i];
    const Expr& other = shorter[i];
    if (dim == other || other == Expr(1)) continue;
    if (dim == Expr(1) || (!dim.is_const() && other.is_const())) {
      dim = other;
    } else if (!other.is_const()) {
      continue;  // torch has proved them broadcastable; keep the known one
    } else {
      throw Unsupported(fmt::format("sizes {} and {} do not broadcast", dim.str(), other.str()));
    }
  }
  return result;
}

Operand Build::operand(Value v) const { return {dtype(v), type(v).shape.empty() ? Operand::Rank::kZeroDim : Operand::Rank::kTensor}; }

// -- Context

Value Context::constant(ir::Tensor tensor, const std::string& name) {
  ir::Node node;
  node.name = safe_name(name);
  node.type = "Const";
  Shape shape(tensor.shape.begin(), tensor.shape.end());
  node.outputs.push_back({"y", {tensor.dtype, std::move(shape), false}, Format::kND, false, {}});
  node.attrs["value"] = std::make_shared<const ir::Tensor>(std::move(tensor));
  return {graph_.add(std::move(node)), 0};
}

Value Context::lookup(const program::Ref& ref) {
  if (const auto found = values_.find(ref.name); found != values_.end()) {
    return ref.index < found->second.size() ? found->second[ref.index] : Value{};
  }
  if (!weights_indexed_) {
    for (const program::Input& input : program_.inputs) {
      if (input.kind == program::InputKind::kWeight) weights_[input.name] = &input;
    }
    weights_indexed_ = true;
  }
  const auto weight = weights_.find(ref.name);
  if (weight == weights_.end()) return {};
  const program::Input& input = *weight->second;
  const Value value = constant(*input.tensor, input.label.empty() ? input.name : input.label);
  values_[ref.name] = {value};
  return value;
}

void Context::learn_dims(Value value) {
  const TensorType& type = graph_.type(value);
  for (std::size_t i = 0; i < type.shape.size(); ++i) {
    const std::set<std::string> symbols = type.shape[i].symbols();
    if (symbols.size() != 1) continue;
    const std::string& symbol = *symbols.begin();
    const bool exact = type.shape[i] == Expr::symbol(symbol);
    const auto known = symbol_dims_.find(symbol);
    if (known == symbol_dims_.end()) {
      if (!sizes_.contains(symbol)) symbol_dims_[symbol] = {value, static_cast<std::int64_t>(i), type.shape[i]};
    } else if (exact && !(known->second.expr == Expr::symbol(symbol))) {
      known->second = {value, static_cast<std::int64_t>(i), type.shape[i]};  // a plain dim beats one to be solved
    }
  }
}

void Context::learn_scalar(Value value, const Expr& symbol) {
  if (symbol.op() == sym::Op::kSymbol) sizes_.emplace(symbol.str(), value);
}

Value Context::symbol(const std::string& name, const program::Node& node) {
  const auto source = symbol_dims_.find(name);
  if (source == symbol_dims_.end()) throw Unsupported(fmt::format("the symbolic size {} is not the size of any tensor", name));
  const DimSource& from = source->second;
  Build b(*this, node);
  const TensorType& type = graph_.type(from.value);
  auto shape = shape_of_.find(from.value);
  if (shape == shape_of_.end()) {
    const Value dims =
        b.op<ge::Shape>({DType::kInt64, {Expr(type.rank())}}, {from.value}, {.dtype = static_cast<std::int64_t>(DType::kInt64)});
    shape = shape_of_.emplace(from.value, dims).first;
  }
  const std::int64_t dim = from.dim;
  const Value index = b.constant(ir::Tensor::from_ints(DType::kInt64, {}, {&dim, 1}));
  Value result = b.op<ge::Gather>({DType::kInt64, {}}, {shape->second, index});
  b.set_attr(result, "_force_unknown_shape", true);
  // The dim may be a*s + b instead of s: solve for s.
  const Expr self = Expr::symbol(name);
  if (!(from.expr == self)) {
    const auto offset = from.expr.eval({{name, 0}});
    const auto at_one = from.expr.eval({{name, 1}});
    if (!offset || !at_one || *at_one == *offset || !(from.expr == Expr(*at_one - *offset) * self + Expr(*offset))) {
      throw Unsupported(fmt::format("the symbolic size {} is known only through {}", name, from.expr.str()));
    }
    if (*offset != 0) result = b.op<ge::Sub>({DType::kInt64, {}}, {result, b.scalar(Scalar(*offset), DType::kInt64)});
    if (*at_one - *offset != 1)
      result = b.op<ge::FloorDiv>({DType::kInt64, {}}, {result, b.scalar(Scalar(*at_one - *offset), DType::kInt64)});
  }
  return result;
}

Value Context::size(const Expr& value, const program::Node& node) {
  Build b(*this, node);
  if (const auto fixed = value.value()) return b.scalar(Scalar(*fixed), DType::kInt64);
  const std::string key = value.str();
  if (const auto known = sizes_.find(key); known != sizes_.end()) return known->second;
  const TensorType scalar{DType::kInt64, {}, false};
  const TensorType flag{DType::kBool, {}, false};
  Value result;
  const auto& operands = value.operands();
  const auto fold = [&](auto&& combine) {
    Value total = size(operands[0], node);
    for (std::size_t i = 1; i < operands.size(); ++i) total = combine(total, size(operands[i], node));
    return total;
  };
  const auto two = [&](std::size_t i) { return size(operands[i], node); };
  switch (value.op()) {
    case sym::Op::kSymbol: result = symbol(value.name(), node); break;
    case sym::Op::kAdd: result = fold([&](Value x, Value y) { return b.op<ge::Add>(scalar, {x, y}); }); break;
    case sym::Op::kMul: result = fold([&](Value x, Value y) { return b.op<ge::Mul>(scalar, {x, y}); }); break;
    case sym::Op::kMin: result = fold([&](Value x, Value y) { return b.op<ge::Minimum>(scalar, {x, y}); }); break;
    case sym::Op::kMax: result = fold([&](Value x, Value y) { return b.op<ge::Maximum>(scalar, {x, y}); }); break;
    case sym::Op::kFloorDiv: result = b.op<ge::FloorDiv>(scalar, {two(0), two(1)}); break;
    case sym::Op::kCeilDiv: {
      const Value negated = b.op<ge::Neg>(scalar, {two(0)});
      result = b.op<ge::Neg>(scalar, {b.op<ge::FloorDiv>(scalar, {negated, two(1)})});
      break;
    }
    case sym::Op::kMod: result = b.op<ge::FloorMod>(scalar, {two(0), two(1)}); break;
    case sym::Op::kPow: result = b.op<ge::Pow>(scalar, {two(0), two(1)}); break;
    case sym::Op::kEq: result = b.cast(b.op<ge::Equal>(flag, {two(0), two(1)}), DType::kInt64); break;
    case sym::Op::kNe: result = b.cast(b.op<ge::NotEqual>(flag, {two(0), two(1)}), DType::kInt64); break;
    case sym::Op::kLt: result = b.cast(b.op<ge::Less>(flag, {two(0), two(1)}), DType::kInt64); break;
    case sym::Op::kLe: result = b.cast(b.op<ge::LessEqual>(flag, {two(0), two(1)}), DType::kInt64); break;
    case sym::Op::kGt: result = b.cast(b.op<ge::Greater>(flag, {two(0), two(1)}), DType::kInt64); break;
    case sym::Op::kGe: result = b.cast(b.op<ge::GreaterEqual>(flag, {two(0), two(1)}), DType::kInt64); break;
    case sym::Op::kAnd: result = fold([&](Value x, Value y) { return b.op<ge::Minimum>(scalar, {x, y}); }); break;
    case sym::Op::kOr: result = fold([&](Value x, Value y) { return b.op<ge::Maximum>(scalar, {x, y}); }); break;
    case sym::Op::kNot: result = b.op<ge::Sub>(scalar, {b.scalar(1, DType::kInt64), two(0)}); break;
    case sym::Op::kWhere: result = b.op<ge::SelectV2>(scalar, {b.cast(two(0), DType::kBool), two(1), two(2)}); break;
    case sym::Op::kConst:
    case sym::Op::kUnknown: throw Unsupported("a size that nothing is known about");
  }
  sizes_[key] = result;
  return result;
}

Value Context::sizes(const Shape& values, const program::Node& node) {
  Build b(*this, node);
  const bool fixed = std::all_of(values.begin(), values.end(), [](const Expr& e) { return e.is_const(); });
  if (fixed) {
    Ints dims;
    for (const Expr& e : values) dims.push_back(*e.value());
    return b.ints(dims);
  }
  std::vector<Value> parts;
  parts.reserve(values.size());
  for (const Expr& e : values) parts.push_back(size(e, node));
  const auto count = static_cast<std::int64_t>(parts.size());
  const Value packed = b.op<ge::Pack>({DType::kInt64, {Expr(count)}}, {parts}, {.axis = 0, .N = count});
  b.set_attr(packed, "_force_unknown_shape", true);
  return packed;
}

}  // namespace airloom::convert
