// Gathers, scatters and advanced indexing.
#include <numeric>

#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

/// GatherV2, ScatterElements and their like have bool only in newer headers: through uint8.
Value widened(Build& b, Value x) { return b.dtype(x) == DType::kBool ? b.cast(x, DType::kUInt8) : x; }

// aten::embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor
Value embedding(Build& b, Value weight, Value indices, Expr, bool, bool) {
  return b.op<ge::GatherV2>(b.out(), {weight, indices, b.scalar(0, DType::kInt64)});
}

// aten::index_select(Tensor self, int dim, Tensor index) -> Tensor
Value index_select(Build& b, Value self, std::int64_t dim, Value index) {
  const std::int64_t rank = b.rank(self);
  if (rank == 0) return b.identity(self);
  const Value list = b.rank(index) == 0 ? b.reshape(index, {Expr(1)}) : index;
  const Value x = widened(b, self);
  return b.cast(b.op<ge::GatherV2>(b.out().with(b.dtype(x)), {x, list, b.scalar(b.dim_index(dim, rank), DType::kInt64)}), b.out().dtype);
}

// aten::gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor
Value gather(Build& b, Value self, std::int64_t dim, Value index, bool) {
  if (b.rank(self) == 0) return b.rank(index) == 0 ? b.identity(self) : b.broadcast(b.reshape(self, {Expr(1)}), b.out().shape);
  const Value x = widened(b, self);
  return b.cast(b.op<ge::GatherElements>(b.out().with(b.dtype(x)), {x, index}, {.dim = b.dim_index(dim, b.rank(self))}), b.out().dtype);
}

// aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor
Value index(Build& b, Value self, std::vector<std::optional<Value>> indices) {
  std::vector<Value> given;
  Ints indexed;  // per dim of self: 1 where an index tensor stands
  for (const std::optional<Value>& i : indices) {
    indexed.push_back(i ? 1 : 0);
    if (!i) continue;
    const DType dtype = b.dtype(*i);
    if (dtype == DType::kBool || dtype == DType::kUInt8)
      throw Unsupported("a bool mask as an index has a data-dependent shape (use torch.where or masked_fill)");
    given.push_back(dtype == DType::kInt64 || dtype == DType::kInt32 ? *i : b.cast(*i, DType::kInt64));
  }
  if (given.empty()) return b.identity(self);
  const Value x = widened(b, self);
  const TensorType out = b.out().with(b.dtype(x));
  if (given.size() == 1) {
    // One index is a plain gather along its dim.
    const auto axis = std::distance(indexed.begin(), std::find(indexed.begin(), indexed.end(), 1));
    return b.cast(b.op<ge::GatherV2>(out, {x, given[0], b.scalar(std::int64_t{axis}, DType::kInt64)}, {.negative_index_support = true}),
                  b.out().dtype);
  }
  indexed.resize(static_cast<std::size_t>(b.rank(self)), 0);
  // The strides are not read by the operator's shape rule or kernels; the fusion pass of GE hands the mask list over for them.
  const Value mask = b.ints(indexed);
  return b.cast(b.op<ge::Index>(out, {x, mask, mask, given}), b.out().dtype);
}

Value scatter_elements(Build& b, Value self, std::int64_t dim, Value index, Value updates, std::string reduction) {
  const Value x = widened(b, self);
  const Value u = b.cast(updates, b.dtype(x));
  if (b.rank(self) == 0) {
    const TensorType one{b.dtype(x), {Expr(1)}, false};
    const Value flat = b.op<ge::ScatterElements>(one, {b.reshape(x, {Expr(1)}), b.reshape(index, {Expr(1)}), b.reshape(u, {Expr(1)})},
                                                 {.reduction = std::move(reduction)});
    return b.cast(b.reshape(flat, {}), b.out().dtype);
  }
  return b.cast(b.op<ge::ScatterElements>(b.out().with(b.dtype(x)), {x, index, u},
                                          {.axis = b.dim_index(dim, b.rank(self)), .reduction = std::move(reduction)}),
                b.out().dtype);
}
/// torch reads only the part of `src` that index covers; GE wants updates of index's shape.
Value covered(Build& b, Value src, Value index) {
  Value part = src;
  for (std::size_t i = 0; i < b.shape(index).size(); ++i) {
    if (b.shape(part)[i] == b.shape(index)[i]) continue;
    Shape shape = b.shape(part);
    shape[i] = b.shape(index)[i];
    const Value x = widened(b, part);
    const Value cut =
        b.op<ge::StridedSliceV2>({b.dtype(x), shape, false}, {x, b.ints({0}), b.sizes({shape[i]}), b.ints({static_cast<std::int64_t>(i)})});
    part = b.cast(cut, b.dtype(src));
  }
  return part;
}
// aten::scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor
Value scatter(Build& b, Value self, std::int64_t dim, Value index, Value src) {
  return scatter_elements(b, self, dim, index, covered(b, src, index), "none");
}
// aten::scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor
Value scatter_value(Build& b, Value self, std::int64_t dim, Value index, Scalar value) {
  return scatter_elements(b, self, dim, index, b.full(value, b.dtype(self), b.shape(index)), "none");
}
// aten::scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor
Value scatter_add(Build& b, Value self, std::int64_t dim, Value index, Value src) {
  return scatter_elements(b, self, dim, index, covered(b, src, index), "add");
}

// aten::slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor
Value slice_scatter(Build& b, Value self, Value src, std::int64_t dim, std::optional<Expr> start, std::optional<Expr>, Expr step) {
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  const Expr size = b.shape(self)[static_cast<std::size_t>(axis)];
  const Expr count = b.shape(src)[static_cast<std::size_t>(axis)];
  Expr from = start.value_or(Expr(0));
  if (from.value() && *from.value() < 0) from = sym::max(from + size, Expr(0));
  from = sym::min(from, size);
  if (count == size && from == Expr(0) && step == Expr(1)) return b.identity(b.cast(src, b.out().dtype));
  // Positions from, from + step, ... along the axis, spread over src's shape.
  const TensorType positions{DType::kInt64, {count}, false};
  const Value list = b.op<ge::Range>(positions, {b.size(from), b.size(from + count * step), b.size(step)});
  Shape column(b.shape(src).size(), Expr(1));
  column[static_cast<std::size_t>(axis)] = count;
  return scatter_elements(b, self, axis, b.broadcast(b.reshape(list, column), b.shape(src)), src, "none");
}

// aten::select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor
Value select_scatter(Build& b, Value self, Value src, std::int64_t dim, Expr index) {
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  if (index.value() && *index.value() < 0) index = index + b.shape(self)[static_cast<std::size_t>(axis)];
  const Value row = b.unsqueeze(src, axis);
  return scatter_elements(b, self, axis, b.full(Scalar(index), DType::kInt64, b.shape(row)), row, "none");
}

// aten::one_hot(Tensor self, int num_classes=-1) -> Tensor
Value one_hot(Build& b, Value self, std::int64_t num_classes) {
  if (num_classes < 0) throw Unsupported("one_hot without num_classes has a data-dependent shape");
  return b.op<ge::OneHot>(b.out(), {self, b.scalar(num_classes, DType::kInt32), b.scalar(1, DType::kInt64), b.scalar(0, DType::kInt64)});
}

constexpr Converter table[] = {
    {"aten.embedding.default", bind<embedding>},
    {"aten.index_select.default", bind<index_select>},
    {"aten.gather.default", bind<gather>},
    {"aten.index.Tensor", bind<index>},
    {"aten.scatter.src", bind<scatter>},
    {"aten.scatter.value", bind<scatter_value>},
    {"aten.scatter_add.default", bind<scatter_add>},
    {"aten.slice_scatter.default", bind<slice_scatter>},
    {"aten.select_scatter.default", bind<select_scatter>},
    {"aten.one_hot.default", bind<one_hot>},
};

}  // namespace

std::span<const Converter> index_table() { return table; }

}  // namespace airloom::convert
