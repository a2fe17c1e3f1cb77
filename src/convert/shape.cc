// Views, joins, splits and slices.
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)
Value view(Build& b, Value self, Shape) { return b.reshape(self, b.out().shape); }

// aten::unsqueeze(Tensor(a) self, int dim) -> Tensor(a)
Value unsqueeze(Build& b, Value self, std::int64_t dim) { return b.unsqueeze(self, b.dim_index(dim, b.rank(self) + 1)); }

/// Squeeze lists exactly the dims of size 1: GE refuses others, torch ignores them.
Value squeeze_listed(Build& b, Value self, const Ints& dims) {
  Ints axes;
  for (std::int64_t dim : dims) {
    if (b.rank(self) == 0) continue;
    const std::int64_t axis = b.dim_index(dim, b.rank(self));
    if (b.shape(self)[at(axis)] == Expr(1)) axes.push_back(axis);
  }
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  if (axes.empty()) return b.identity(self);
  return b.op<ge::Squeeze>(b.out(), {self}, {.axis = axes});
}
// aten::squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)
Value squeeze_dims(Build& b, Value self, Ints dim) { return squeeze_listed(b, self, dim); }
// aten::squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)
Value squeeze_dim(Build& b, Value self, std::int64_t dim) { return squeeze_listed(b, self, {dim}); }
// aten::squeeze(Tensor(a) self) -> Tensor(a)
Value squeeze(Build& b, Value self) {
  Ints all(at(b.rank(self)));
  std::iota(all.begin(), all.end(), 0);
  return squeeze_listed(b, self, all);
}

// aten::permute(Tensor(a) self, int[] dims) -> Tensor(a)
Value permute(Build& b, Value self, Ints dims) {
  for (std::int64_t& dim : dims) dim = b.dim_index(dim, b.rank(self));
  return b.transpose(self, dims);
}
// aten::transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
Value transpose(Build& b, Value self, std::int64_t dim0, std::int64_t dim1) {
  if (b.rank(self) == 0) return b.identity(self);
  Ints perm(at(b.rank(self)));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[at(b.dim_index(dim0, b.rank(self)))], perm[at(b.dim_index(dim1, b.rank(self)))]);
  return b.transpose(self, perm);
}
// aten::t(Tensor(a) self) -> Tensor(a)
Value t(Build& b, Value self) { return b.rank(self) < 2 ? b.identity(self) : b.transpose(self, {1, 0}); }

// aten::expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)
Value expand(Build& b, Value self, Shape, bool) { return b.broadcast(self, b.out().shape); }
// aten::repeat(Tensor self, SymInt[] repeats) -> Tensor
Value repeat(Build& b, Value self, Shape repeats) {
  if (repeats.empty()) return b.identity(self);
  return b.op<ge::Tile>(b.out(), {self, b.sizes(repeats)});
}

// aten::cat(Tensor[] tensors, int dim=0) -> Tensor
Value cat(Build& b, std::vector<Value> tensors, std::int64_t dim) {
  const DType dtype = b.out().dtype;
  const std::int64_t rank = b.out().rank();
  std::vector<Value> parts;
  for (Value tensor : tensors) {
    // torch skips 1-D tensors of no elements whatever the rank of the others; GE checks ranks.
    if (rank > 1 && b.rank(tensor) == 1) continue;
    parts.push_back(b.cast(tensor, dtype));
  }
  if (parts.empty()) return b.full(0, dtype, b.out().shape);
  if (parts.size() == 1) return b.identity(parts[0]);
  const auto count = static_cast<std::int64_t>(parts.size());
  return b.op<ge::ConcatV2>(b.out(), {parts, b.scalar(b.dim_index(dim, rank), DType::kInt64)}, {.N = count});
}

// aten::stack(Tensor[] tensors, int dim=0) -> Tensor
Value stack(Build& b, std::vector<Value> tensors, std::int64_t dim) {
  for (Value& tensor : tensors) tensor = b.cast(tensor, b.out().dtype);
  const auto count = static_cast<std::int64_t>(tensors.size());
  return b.op<ge::Pack>(b.out(), {tensors}, {.axis = b.dim_index(dim, b.out().rank()), .N = count});
}

std::vector<TensorType> out_types(Build& b) {
  std::vector<TensorType> types;
  for (std::size_t i = 0; i < b.out_count(); ++i) types.push_back(b.out(i));
  return types;
}

/// Pieces of the sizes that torch promises for the outputs.
std::vector<Value> split_into(Build& b, Value self, std::int64_t dim) {
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  std::vector<TensorType> types = out_types(b);
  if (types.size() == 1) return {b.identity(self)};
  Shape sizes;
  for (const TensorType& type : types) sizes.push_back(type.shape[at(axis)]);
  const auto count = static_cast<std::int64_t>(types.size());
  const Value list = b.sizes(sizes);
  return b.ops<ge::SplitV>(std::move(types), {self, list, b.constant(ir::Tensor::from_ints(DType::kInt32, {}, {&axis, 1}))},
                           {.num_split = count});
}
// aten::split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]
std::vector<Value> split(Build& b, Value self, Expr, std::int64_t dim) { return split_into(b, self, dim); }
// aten::split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]
std::vector<Value> split_with_sizes(Build& b, Value self, Shape, std::int64_t dim) { return split_into(b, self, dim); }
// aten::unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]
std::vector<Value> unbind(Build& b, Value self, std::int64_t dim) {
  std::vector<TensorType> types = out_types(b);
  const auto count = static_cast<std::int64_t>(types.size());
  if (count == 0) return {};
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  if (b.dtype(self) != DType::kBool) return b.ops<ge::Unpack>(std::move(types), {self}, {.num = count, .axis = axis});
  // Unpack has no bool: through uint8.
  for (TensorType& type : types) type.dtype = DType::kUInt8;
  std::vector<Value> parts = b.ops<ge::Unpack>(std::move(types), {b.cast(self, DType::kUInt8)}, {.num = count, .axis = axis});
  for (Value& part : parts) part = b.cast(part, DType::kBool);
  return parts;
}

/// [start, end) clamped to [0, size] as torch's slice does; symbolic bounds are left to the operator, which clamps too.
Expr clamped(const Expr& bound, const Expr& size) {
  const auto fixed = bound.value();
  const auto limit = size.value();
  if (!fixed) return bound;
  if (limit) return {std::clamp(*fixed < 0 ? *fixed + *limit : *fixed, std::int64_t{0}, *limit)};
  return *fixed > std::numeric_limits<std::int32_t>::max() ? Expr(std::int64_t{std::numeric_limits<std::int32_t>::max()}) : bound;
}

Value strided_slice(Build& b, Value self, std::int64_t axis, const Expr& start, const Expr& end, std::int64_t step, const TensorType& out) {
  const DType dtype = b.dtype(self);
  // The operator has bool only in newer headers.
  const Value x = dtype == DType::kBool ? b.cast(self, DType::kUInt8) : self;
  const std::optional<Value> strides = step == 1 ? std::nullopt : std::optional(b.ints({step}));
  const Value result = b.op<ge::StridedSliceV2>(out.with(b.dtype(x)), {x, b.sizes({start}), b.sizes({end}), b.ints({axis}), strides});
  return b.cast(result, dtype);
}

// aten::slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)
Value slice(Build& b, Value self, std::int64_t dim, std::optional<Expr> start, std::optional<Expr> end, Expr step) {
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  const Expr size = b.shape(self)[at(axis)];
  const auto stride = step.value();
  if (!stride) throw Unsupported("a slice with a symbolic step");
  const Expr from = start ? clamped(*start, size) : Expr(0);
  const Expr to = end ? clamped(*end, size) : size;
  const Expr full(std::int64_t{std::numeric_limits<std::int32_t>::max()});
  if (from == Expr(0) && *stride == 1 && (to == size || to == full)) return b.identity(self);
  return strided_slice(b, self, axis, from, to == size && !size.is_const() ? full : to, *stride, b.out());
}

// aten::select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)
Value select(Build& b, Value self, std::int64_t dim, Expr index) {
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  const Expr size = b.shape(self)[at(axis)];
  const DType dtype = b.dtype(self);
  const bool negative = index.value() && *index.value() < 0;
  if (negative && size.is_const()) index = index + size;
  const bool wraps = index.value() && *index.value() < 0;
  const Value x = dtype == DType::kBool ? b.cast(self, DType::kUInt8) : self;
  const Value result =
      b.op<ge::GatherV2>(b.out().with(b.dtype(x)), {x, b.size(index), b.scalar(axis, DType::kInt64)}, {.negative_index_support = wraps});
  return b.cast(result, dtype);
}

// aten::flip(Tensor self, int[] dims) -> Tensor
Value flip(Build& b, Value self, Ints dims) {
  if (dims.empty() || b.rank(self) == 0) return b.identity(self);
  for (std::int64_t& dim : dims) dim = b.dim_index(dim, b.rank(self));
  return b.op<ge::ReverseV2>(b.out(), {self, b.ints(dims)});
}

/// torch lists pads from the last dim, (front, back) pairs; GE from the first dim, all dims.
Value paddings(Build& b, Value self, const Shape& pad) {
  const auto rank = at(b.rank(self));
  if (pad.size() % 2 != 0 || pad.size() > 2 * rank) throw Unsupported(fmt::format("{} pads for a tensor of rank {}", pad.size(), rank));
  Shape list(2 * rank, Expr(0));
  for (std::size_t i = 0; i < pad.size() / 2; ++i) {
    const std::size_t dim = rank - 1 - i;
    list[2 * dim] = pad[2 * i];
    list[2 * dim + 1] = pad[2 * i + 1];
  }
  return b.sizes(list);
}
// aten::constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor
Value constant_pad(Build& b, Value self, Shape pad, Scalar value) {
  const bool nothing = std::all_of(pad.begin(), pad.end(), [](const Expr& e) { return e == Expr(0); });
  if (nothing || b.rank(self) == 0) return b.identity(self);
  const DType dtype = b.dtype(self);
  const DType compute = dtype == DType::kBool ? DType::kUInt8 : dtype;  // bool only in newer headers
  const Value x = b.cast(self, compute);
  return b.cast(b.op<ge::PadV3>(b.out().with(compute), {x, paddings(b, self, pad), b.scalar(value, compute)}), dtype);
}
// aten::pad(Tensor self, SymInt[] pad, str mode="constant", float? value=None) -> Tensor
Value pad(Build& b, Value self, Shape list, std::string mode, std::optional<double> value) {
  if (mode == "constant") return constant_pad(b, self, std::move(list), value ? Scalar(*value) : Scalar(0));
  if (mode == "reflect") return b.op<ge::PadV3>(b.out(), {self, paddings(b, self, list)}, {.mode = "reflect"});
  if (mode == "replicate") return b.op<ge::PadV3>(b.out(), {self, paddings(b, self, list)}, {.mode = "edge"});
  throw Unsupported(fmt::format("padding mode \"{}\" exists only on the newest chips", mode));
}

// aten::tril(Tensor self, int diagonal=0) -> Tensor
template <class Op>
Value triangle(Build& b, Value self, std::int64_t diagonal) {
  const DType dtype = b.dtype(self);
  const DType compute = dtype == DType::kBool ? DType::kUInt8 : dtype;
  return b.cast(b.op<Op>(b.out().with(compute), {b.cast(self, compute)}, {.diagonal = diagonal}), dtype);
}

// aten::_local_scalar_dense(Tensor self) -> Scalar
Value item(Build& b, Value self) {
  if (!ir::is_integral(b.dtype(self)) && b.dtype(self) != DType::kBool)
    throw Unsupported("item() of a float tensor makes a Python float that the graph cannot hold");
  return b.cast(b.reshape(self, {}), DType::kInt64);
}

constexpr Converter table[] = {
    {"aten.view.default", bind<view>},
    {"aten._unsafe_view.default", bind<view>},
    {"aten.unsqueeze.default", bind<unsqueeze>},
    {"aten.squeeze.default", bind<squeeze>},
    {"aten.squeeze.dim", bind<squeeze_dim>},
    {"aten.squeeze.dims", bind<squeeze_dims>},
    {"aten.permute.default", bind<permute>},
    {"aten.transpose.int", bind<transpose>},
    {"aten.t.default", bind<t>},
    {"aten.expand.default", bind<expand>},
    {"aten.repeat.default", bind<repeat>},
    {"aten.cat.default", bind<cat>},
    {"aten.stack.default", bind<stack>},
    {"aten.split.Tensor", bind<split>},
    {"aten.split_with_sizes.default", bind<split_with_sizes>},
    {"aten.unbind.int", bind<unbind>},
    {"aten.slice.Tensor", bind<slice>},
    {"aten.select.int", bind<select>},
    {"aten.flip.default", bind<flip>},
    {"aten.constant_pad_nd.default", bind<constant_pad>},
    {"aten.pad.default", bind<pad>},
    {"aten.tril.default", bind<triangle<ge::Tril>>},
    {"aten.triu.default", bind<triangle<ge::Triu>>},
    {"aten._local_scalar_dense.default", bind<item>},
};

}  // namespace

std::span<const Converter> shape_table() { return table; }

}  // namespace airloom::convert
