// Reductions, scans, sorting, softmax.
#include <cmath>
#include <limits>
#include <numeric>

#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

/// Dims to reduce, normalised; all of them for None or []. Never empty for rank > 0: GE takes empty axes as "none" or "all" depending on
/// the operator.
Ints reduced(Build& b, Value self, const std::optional<Ints>& dim) {
  const std::int64_t rank = b.rank(self);
  Ints axes;
  if (!dim || dim->empty()) {
    axes.resize(static_cast<std::size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
    return axes;
  }
  for (std::int64_t d : *dim) axes.push_back(b.dim_index(d, rank));
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

Shape reduced_shape(const Shape& shape, const Ints& axes, bool keepdim) {
  Shape out;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool gone = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!gone) out.push_back(shape[i]);
    if (gone && keepdim) out.emplace_back(1);
  }
  return out;
}

/// Op over `axes` in dtype `compute`, then a cast to the result's dtype. A 0-d tensor is its own reduction.
template <class Op>
Value reduce(Build& b, Value self, const std::optional<Ints>& dim, bool keepdim, DType compute) {
  const Value x = b.cast(self, compute);
  if (b.rank(self) == 0) return b.identity(b.cast(x, b.out().dtype));
  const Ints axes = reduced(b, self, dim);
  return b.cast(b.op<Op>(b.out().with(compute), {x, b.ints(axes)}, {.keep_dims = keepdim}), b.out().dtype);
}

// aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
template <class Op>
Value sum_dim(Build& b, Value self, std::optional<Ints> dim, bool keepdim, std::optional<DType>) {
  return reduce<Op>(b, self, dim, keepdim, b.out().dtype);
}
// aten::sum(Tensor self, *, ScalarType? dtype=None) -> Tensor
template <class Op>
Value sum_all(Build& b, Value self, std::optional<DType>) {
  return reduce<Op>(b, self, std::nullopt, false, b.out().dtype);
}
// aten::prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
Value prod_dim(Build& b, Value self, std::int64_t dim, bool keepdim, std::optional<DType>) {
  return reduce<ge::ReduceProd>(b, self, Ints{dim}, keepdim, b.out().dtype);
}

/// GE's ReduceMax/Min have neither bool nor int16.
template <class Op, class BoolOp>
Value extreme(Build& b, Value self, const std::optional<Ints>& dim, bool keepdim) {
  const DType dtype = b.dtype(self);
  if (dtype == DType::kBool) return reduce<BoolOp>(b, self, dim, keepdim, dtype);
  return reduce<Op>(b, self, dim, keepdim, dtype == DType::kInt16 ? DType::kInt32 : dtype);
}
// aten::amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor
template <class Op, class BoolOp>
Value amax(Build& b, Value self, Ints dim, bool keepdim) {
  return extreme<Op, BoolOp>(b, self, dim, keepdim);
}
// aten::max(Tensor self) -> Tensor
template <class Op, class BoolOp>
Value max_all(Build& b, Value self) {
  return extreme<Op, BoolOp>(b, self, std::nullopt, false);
}

/// Arg operators take f16 f32 bf16 i32 i64.
DType arg_dtype(DType dtype) {
  if (dtype == DType::kBool || dtype == DType::kInt8 || dtype == DType::kUInt8 || dtype == DType::kInt16) return DType::kInt32;
  return dtype;
}

// aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)
template <class Op>
std::vector<Value> max_dim(Build& b, Value self, std::int64_t dim, bool keepdim) {
  if (b.rank(self) == 0) return {b.identity(self), b.scalar(0, DType::kInt64)};
  const DType compute = arg_dtype(b.dtype(self));
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  // The index output is int32 in every CANN version; the int64 attribute is newer.
  const std::vector<Value> both =
      b.ops<Op>({b.out(1).with(DType::kInt32), b.out(0).with(compute)}, {b.cast(self, compute)}, {.dimension = axis, .keep_dims = keepdim});
  return {b.cast(both[1], b.out(0).dtype), b.cast(both[0], b.out(1).dtype)};
}

// aten::argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
template <class Op>
Value argmax(Build& b, Value self, std::optional<std::int64_t> dim, bool keepdim) {
  if (b.rank(self) == 0) return b.full(0, DType::kInt64, b.out().shape);
  Value x = b.cast(self, arg_dtype(b.dtype(self)));
  std::int64_t axis = 0;
  if (dim) {
    axis = b.dim_index(*dim, b.rank(self));
  } else {
    Expr count(1);
    for (const Expr& size : b.shape(x)) count = count * size;
    x = b.reshape(x, {count});
  }
  const Shape without = reduced_shape(b.shape(x), {axis}, false);
  const Value index = b.op<Op>({DType::kInt64, without}, {x, b.scalar(axis, DType::kInt64)});
  return keepdim ? b.reshape(index, b.out().shape) : index;
}

/// ReduceAll and ReduceAny over bool. A result of uint8 input stays uint8 in torch.
template <class Op>
Value truth(Build& b, Value self, const std::optional<Ints>& dim, bool keepdim) {
  return reduce<Op>(b, self, dim, keepdim, DType::kBool);
}
// aten::any(Tensor self) -> Tensor
template <class Op>
Value any_all(Build& b, Value self) {
  return truth<Op>(b, self, std::nullopt, false);
}
// aten::any.dim(Tensor self, int dim, bool keepdim=False) -> Tensor
template <class Op>
Value any_dim(Build& b, Value self, std::int64_t dim, bool keepdim) {
  return truth<Op>(b, self, Ints{dim}, keepdim);
}
// aten::any.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor
template <class Op>
Value any_dims(Build& b, Value self, std::optional<Ints> dim, bool keepdim) {
  return truth<Op>(b, self, dim, keepdim);
}

/// sum((x - mean)^2) / max(0, n - correction): the plain formula, exact for any correction and for symbolic sizes.
Value variance(Build& b, Value self, const std::optional<Ints>& dim, const std::optional<Scalar>& correction, bool keepdim,
               const TensorType& out, Value* mean_out) {
  const DType dtype = out.dtype;
  if (!ir::is_floating(dtype)) throw Unsupported("variance of a complex tensor");
  const Value x = b.cast(self, dtype);
  const Ints axes = reduced(b, self, dim);
  const TensorType kept{dtype, reduced_shape(b.shape(self), axes, true), false};
  Value mean = x;
  if (!axes.empty()) mean = b.op<ge::ReduceMean>(kept, {x, b.ints(axes)}, {.keep_dims = true});
  const Value square = b.op<ge::Square>(b.type(x), {b.op<ge::Sub>(b.type(x), {x, mean})});
  const Value sum = axes.empty() ? square : b.op<ge::ReduceSum>(out, {square, b.ints(axes)}, {.keep_dims = keepdim});
  Expr count(1);
  for (std::int64_t axis : axes) count = count * b.shape(self)[static_cast<std::size_t>(axis)];
  const double less = correction ? correction->to_double() : 1.0;
  if (mean_out != nullptr) *mean_out = keepdim || axes.empty() ? mean : b.reshape(mean, out.shape);
  Value divisor;
  if (const auto n = count.value()) {
    divisor = b.scalar(std::max(0.0, static_cast<double>(*n) - less), dtype);
  } else {
    const Value total = b.scalar(Scalar(count), dtype);
    divisor =
        b.op<ge::Maximum>({dtype, {}, false}, {b.op<ge::Sub>({dtype, {}, false}, {total, b.scalar(less, dtype)}), b.scalar(0.0, dtype)});
  }
  return b.op<ge::RealDiv>(out, {sum, divisor});
}
// aten::var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor
Value var(Build& b, Value self, std::optional<Ints> dim, std::optional<Scalar> correction, bool keepdim) {
  return variance(b, self, dim, correction, keepdim, b.out(), nullptr);
}
// aten::std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor
Value std_correction(Build& b, Value self, std::optional<Ints> dim, std::optional<Scalar> correction, bool keepdim) {
  return b.op<ge::Sqrt>(b.out(), {variance(b, self, dim, correction, keepdim, b.out(), nullptr)});
}
// aten::var_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor, Tensor)
std::vector<Value> var_mean(Build& b, Value self, std::optional<Ints> dim, std::optional<Scalar> correction, bool keepdim) {
  Value mean;
  const Value result = variance(b, self, dim, correction, keepdim, b.out(0), &mean);
  return {result, mean};
}

// aten::logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor
Value logsumexp(Build& b, Value self, Ints dim, bool keepdim) {
  const DType dtype = b.out().dtype;
  const Value x = b.cast(self, dtype);
  if (b.rank(self) == 0) return b.identity(x);
  const Ints axes = reduced(b, self, dim);
  const TensorType kept{dtype, reduced_shape(b.shape(self), axes, true), false};
  const Value top = b.op<ge::ReduceMax>(kept, {x, b.ints(axes)}, {.keep_dims = true});
  // An infinite maximum would give inf - inf.
  const Value infinite =
      b.op<ge::Equal>(kept.with(DType::kBool), {b.op<ge::Abs>(kept, {top}), b.scalar(std::numeric_limits<double>::infinity(), dtype)});
  const Value shift = b.op<ge::SelectV2>(kept, {infinite, b.scalar(0.0, dtype), top});
  const Value total =
      b.op<ge::ReduceSum>(kept, {b.op<ge::Exp>(b.type(x), {b.op<ge::Sub>(b.type(x), {x, shift})}), b.ints(axes)}, {.keep_dims = true});
  const Value result = b.op<ge::Add>(kept, {b.op<ge::Log>(kept, {total}), shift});
  return keepdim ? result : b.reshape(result, b.out().shape);
}

// aten::linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
Value vector_norm(Build& b, Value self, Scalar ord, std::optional<Ints> dim, bool keepdim, std::optional<DType>) {
  const DType dtype = b.out().dtype;
  if (!ir::is_floating(b.dtype(self)) && !ir::is_integral(b.dtype(self))) throw Unsupported("the norm of a complex or bool tensor");
  const Value size = b.op<ge::Abs>(b.type(self).with(dtype), {b.cast(self, dtype)});
  if (b.rank(self) == 0 && !ord.equals(0)) return size;
  const double p = ord.to_double();
  const Ints axes = reduced(b, self, dim);
  const auto over = [&](Value x, bool max, bool min) {
    const Value list = b.ints(axes);
    if (max) return b.op<ge::ReduceMax>(b.out(), {x, list}, {.keep_dims = keepdim});
    if (min) return b.op<ge::ReduceMin>(b.out(), {x, list}, {.keep_dims = keepdim});
    return b.op<ge::ReduceSum>(b.out(), {x, list}, {.keep_dims = keepdim});
  };
  if (std::isinf(p)) return over(size, p > 0, p < 0);
  if (p == 0.0) {
    const Value nonzero = b.cast(b.op<ge::NotEqual>(b.type(size).with(DType::kBool), {size, b.scalar(0.0, dtype)}), dtype);
    return axes.empty() ? nonzero : over(nonzero, false, false);
  }
  if (p == 1.0) return over(size, false, false);
  if (p == 2.0) return b.op<ge::Sqrt>(b.out(), {over(b.op<ge::Square>(b.type(size), {size}), false, false)});
  const Value powers = b.op<ge::Pow>(b.type(size), {size, b.scalar(p, dtype)});
  return b.op<ge::Pow>(b.out(), {over(powers, false, false), b.scalar(1.0 / p, dtype)});
}

// aten::cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor
template <class Op>
Value scan(Build& b, Value self, std::int64_t dim, std::optional<DType>) {
  const Value x = b.cast(self, b.out().dtype);
  if (b.rank(self) == 0) return b.identity(x);
  return b.op<Op>(b.out(), {x, b.scalar(b.dim_index(dim, b.rank(self)), DType::kInt64)});
}

/// Only the last axis is safe in TopKV2 and Sort: bring `axis` there and back.
struct LastAxis {
  Ints perm;  // empty when nothing moves
  Value x;
};
LastAxis to_last(Build& b, Value self, std::int64_t dim) {
  const std::int64_t rank = b.rank(self);
  const std::int64_t axis = b.dim_index(dim, rank);
  if (rank == 0) return {{}, b.reshape(self, {Expr(1)})};
  if (axis == rank - 1) return {{}, self};
  Ints perm(static_cast<std::size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[static_cast<std::size_t>(axis)], perm.back());  // its own inverse
  return {perm, b.transpose(self, perm)};
}
std::vector<Value> from_last(Build& b, const LastAxis& moved, Value values, Value indices) {
  const Value index = b.cast(indices, DType::kInt64);
  if (moved.perm.empty()) return {b.reshape(values, b.out(0).shape), b.reshape(index, b.out(1).shape)};
  return {b.transpose(values, moved.perm), b.transpose(index, moved.perm)};
}

// aten::topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)
std::vector<Value> topk(Build& b, Value self, Expr k, std::int64_t dim, bool largest, bool sorted) {
  const LastAxis moved = to_last(b, self, dim);
  Shape shape = b.shape(moved.x);
  shape.back() = k;
  const DType dtype = b.dtype(self);
  const std::vector<Value> both = b.ops<ge::TopKV2>({{dtype, shape, false}, {DType::kInt32, shape, false}},
                                                    {moved.x, b.scalar(Scalar(k), DType::kInt32)}, {.sorted = sorted, .largest = largest});
  return from_last(b, moved, both[0], both[1]);
}

std::vector<Value> sorted_by(Build& b, Value self, bool stable, std::int64_t dim, bool descending) {
  const LastAxis moved = to_last(b, self, dim);
  const TensorType type = b.type(moved.x);
  const DType compute = type.dtype == DType::kBool ? DType::kInt32 : type.dtype;
  const std::vector<Value> both = b.ops<ge::Sort>({type.with(compute), type.with(DType::kInt32)}, {b.cast(moved.x, compute)},
                                                  {.descending = descending, .stable = stable});
  return from_last(b, moved, b.cast(both[0], type.dtype), both[1]);
}
// aten::sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)
std::vector<Value> sort(Build& b, Value self, std::int64_t dim, bool descending) { return sorted_by(b, self, false, dim, descending); }
// aten::sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)
std::vector<Value> sort_stable(Build& b, Value self, std::optional<bool> stable, std::int64_t dim, bool descending) {
  return sorted_by(b, self, stable.value_or(false), dim, descending);
}

template <class Op>
Value soft(Build& b, Value self, std::int64_t dim) {
  // Half inputs asked for as float32 (half_to_float, dtype=) are widened first, as torch does.
  const Value x = b.cast(self, b.out().dtype);
  return b.op<Op>(b.out(), {x}, {.axes = {b.rank(self) == 0 ? -1 : b.dim_index(dim, b.rank(self))}});
}
// aten::softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor
template <class Op>
Value softmax_int(Build& b, Value self, std::int64_t dim, std::optional<DType>) {
  return soft<Op>(b, self, dim);
}
// aten::_softmax(Tensor self, int dim, bool half_to_float) -> Tensor
template <class Op>
Value softmax_half(Build& b, Value self, std::int64_t dim, bool) {
  return soft<Op>(b, self, dim);
}
// aten::_safe_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor
Value safe_softmax(Build& b, Value self, std::int64_t dim, std::optional<DType>) {
  const DType dtype = b.out().dtype;
  const Value x = b.cast(self, dtype);
  const Value result = soft<ge::SoftmaxV2>(b, x, dim);
  if (b.rank(self) == 0) return result;
  // A row of nothing but -inf gives zeros.
  const Ints axes{b.dim_index(dim, b.rank(self))};
  const TensorType kept{DType::kBool, reduced_shape(b.shape(self), axes, true), false};
  const Value masked = b.op<ge::Equal>(b.type(x).with(DType::kBool), {x, b.scalar(-std::numeric_limits<double>::infinity(), dtype)});
  return b.op<ge::SelectV2>(b.out(),
                            {b.op<ge::ReduceAll>(kept, {masked, b.ints(axes)}, {.keep_dims = true}), b.scalar(0.0, dtype), result});
}

constexpr Converter table[] = {
    {"aten.sum.dim_IntList", bind<sum_dim<ge::ReduceSum>>},
    {"aten.sum.default", bind<sum_all<ge::ReduceSum>>},
    {"aten.mean.dim", bind<sum_dim<ge::ReduceMean>>},
    {"aten.mean.default", bind<sum_all<ge::ReduceMean>>},
    {"aten.prod.default", bind<sum_all<ge::ReduceProd>>},
    {"aten.prod.dim_int", bind<prod_dim>},
    {"aten.amax.default", bind<amax<ge::ReduceMax, ge::ReduceAny>>},
    {"aten.amin.default", bind<amax<ge::ReduceMin, ge::ReduceAll>>},
    {"aten.max.default", bind<max_all<ge::ReduceMax, ge::ReduceAny>>},
    {"aten.min.default", bind<max_all<ge::ReduceMin, ge::ReduceAll>>},
    {"aten.max.dim", bind<max_dim<ge::ArgMaxWithValue>>},
    {"aten.min.dim", bind<max_dim<ge::ArgMinWithValue>>},
    {"aten.argmax.default", bind<argmax<ge::ArgMaxV2>>},
    {"aten.argmin.default", bind<argmax<ge::ArgMin>>},
    {"aten.any.default", bind<any_all<ge::ReduceAny>>},
    {"aten.any.dim", bind<any_dim<ge::ReduceAny>>},
    {"aten.any.dims", bind<any_dims<ge::ReduceAny>>},
    {"aten.all.default", bind<any_all<ge::ReduceAll>>},
    {"aten.all.dim", bind<any_dim<ge::ReduceAll>>},
    {"aten.all.dims", bind<any_dims<ge::ReduceAll>>},
    {"aten.var.correction", bind<var>},
    {"aten.std.correction", bind<std_correction>},
    {"aten.var_mean.correction", bind<var_mean>},
    {"aten.logsumexp.default", bind<logsumexp>},
    {"aten.linalg_vector_norm.default", bind<vector_norm>},
    {"aten.cumsum.default", bind<scan<ge::Cumsum>>},
    {"aten.cumprod.default", bind<scan<ge::Cumprod>>},
    {"aten.topk.default", bind<topk>},
    {"aten.sort.default", bind<sort>},
    {"aten.sort.stable", bind<sort_stable>},
    {"aten.softmax.int", bind<softmax_int<ge::SoftmaxV2>>},
    {"aten._softmax.default", bind<softmax_half<ge::SoftmaxV2>>},
    {"aten.log_softmax.int", bind<softmax_int<ge::LogSoftmaxV2>>},
    {"aten._log_softmax.default", bind<softmax_half<ge::LogSoftmaxV2>>},
    {"aten._safe_softmax.default", bind<safe_softmax>},
};

}  // namespace

std::span<const Converter> reduce_table() { return table; }

}  // namespace airloom::convert
