// Tensors made from numbers.
#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

Value filled(Build& b, const Scalar& value) { return b.full(value, b.out().dtype, b.out().shape); }

// aten::full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None)
// -> Tensor
Value full(Build& b, Shape, Scalar fill_value, std::optional<DType>, Ignored, Ignored, Ignored) { return filled(b, fill_value); }
// aten::full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
// pin_memory=None, MemoryFormat? memory_format=None) -> Tensor
Value full_like(Build& b, Value, Scalar fill_value, std::optional<DType>, Ignored, Ignored, Ignored, Ignored) {
  return filled(b, fill_value);
}
// aten::zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
template <int kValue>
Value filled_size(Build& b, Shape, std::optional<DType>, Ignored, Ignored, Ignored) {
  return filled(b, kValue);
}
// aten::zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat?
// memory_format=None) -> Tensor
template <int kValue>
Value filled_like(Build& b, Value, std::optional<DType>, Ignored, Ignored, Ignored, Ignored) {
  return filled(b, kValue);
}
// aten::empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None,
// MemoryFormat? memory_format=None) -> Tensor
Value empty(Build& b, Shape, std::optional<DType>, Ignored, Ignored, Ignored, Ignored) {
  return filled(b, 0);
}  // any content is right; zeros are repeatable
// aten::new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
// pin_memory=None) -> Tensor
Value new_full(Build& b, Value, Shape, Scalar fill_value, std::optional<DType>, Ignored, Ignored, Ignored) { return filled(b, fill_value); }
// aten::new_zeros(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None)
// -> Tensor
template <int kValue>
Value new_filled(Build& b, Value, Shape, std::optional<DType>, Ignored, Ignored, Ignored) {
  return filled(b, kValue);
}
// aten::scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
Value scalar_tensor(Build& b, Scalar s, std::optional<DType>, Ignored, Ignored, Ignored) { return b.scalar(s, b.out().dtype); }
// aten::fill.Scalar(Tensor self, Scalar value) -> Tensor
Value fill(Build& b, Value, Scalar value) { return filled(b, value); }

/// Range in the result's dtype. A constant one is stored: GE's device and folding kernels round float sums differently.
Value range(Build& b, const Scalar& start, const Scalar& end, const Scalar& step) {
  const DType dtype = b.out().dtype;
  const auto count = b.out().shape.at(0).value();
  if (count && !start.is_symbolic() && !step.is_symbolic() && *count <= 65536) {
    if (ir::is_floating(dtype)) {
      ir::Floats values;
      for (std::int64_t i = 0; i < *count; ++i) values.push_back(start.to_double() + static_cast<double>(i) * step.to_double());
      return b.constant(ir::Tensor::from_floats(dtype, {*count}, values));
    }
    Ints values;
    for (std::int64_t i = 0; i < *count; ++i) values.push_back(start.to_int() + i * step.to_int());
    return b.constant(ir::Tensor::from_ints(dtype, {*count}, values));
  }
  const DType compute = dtype == DType::kInt64 || dtype == DType::kInt32 || dtype == DType::kFloat ? dtype
                        : ir::is_floating(dtype)                                                   ? DType::kFloat
                                                                                                   : DType::kInt64;
  return b.cast(b.op<ge::Range>(b.out().with(compute), {b.scalar(start, compute), b.scalar(end, compute), b.scalar(step, compute)}), dtype);
}
// aten::arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
// bool? pin_memory=None) -> Tensor
Value arange_step(Build& b, Scalar start, Scalar end, Scalar step, std::optional<DType>, Ignored, Ignored, Ignored) {
  return range(b, start, end, step);
}
// aten::arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None)
// -> Tensor
Value arange_start(Build& b, Scalar start, Scalar end, std::optional<DType>, Ignored, Ignored, Ignored) { return range(b, start, end, 1); }
// aten::arange(Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
Value arange(Build& b, Scalar end, std::optional<DType>, Ignored, Ignored, Ignored) { return range(b, 0, end, 1); }

constexpr Converter table[] = {
    {"aten.full.default", bind<full>},
    {"aten.full_like.default", bind<full_like>},
    {"aten.zeros.default", bind<filled_size<0>>},
    {"aten.ones.default", bind<filled_size<1>>},
    {"aten.zeros_like.default", bind<filled_like<0>>},
    {"aten.ones_like.default", bind<filled_like<1>>},
    {"aten.empty.memory_format", bind<empty>},
    {"aten.empty_like.default", bind<filled_like<0>>},
    {"aten.new_full.default", bind<new_full>},
    {"aten.new_zeros.default", bind<new_filled<0>>},
    {"aten.new_ones.default", bind<new_filled<1>>},
    {"aten.new_empty.default", bind<new_filled<0>>},
    {"aten.scalar_tensor.default", bind<scalar_tensor>},
    {"aten.fill.Scalar", bind<fill>},
    {"aten.arange.default", bind<arange>},
    {"aten.arange.start", bind<arange_start>},
    {"aten.arange.start_step", bind<arange_step>},
};

}  // namespace

std::span<const Converter> creation_table() { return table; }

}  // namespace airloom::convert
