// Comparisons, logic and selection.
#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

/// Comparisons are made in torch.result_type of the operands, so that `int_tensor >= 2.5` compares floats.
// aten::ge.Tensor(Tensor self, Tensor other) -> Tensor
template <class Op>
Value compare(Build& b, Term self, Term other) {
  const DType dtype = b.common_dtype(self, other);
  return b.op<Op>(b.out(), {b.value(self, dtype), b.value(other, dtype)});
}
// aten::ge.Scalar(Tensor self, Scalar other) -> Tensor
template <class Op>
Value compare_scalar(Build& b, Value self, Scalar other) {
  return compare<Op>(b, self, other);
}

// aten::logical_and(Tensor self, Tensor other) -> Tensor
template <class Op>
Value logical(Build& b, Term self, Term other) {
  return b.op<Op>(b.out(), {b.value(self, DType::kBool), b.value(other, DType::kBool)});
}
// aten::logical_not(Tensor self) -> Tensor
Value logical_not(Build& b, Value self) { return b.op<ge::LogicalNot>(b.out(), {b.cast(self, DType::kBool)}); }

// aten::isnan(Tensor self) -> Tensor
Value isnan(Build& b, Value self) { return b.op<ge::NotEqual>(b.out(), {self, self}); }
// aten::isinf(Tensor self) -> Tensor
Value isinf(Build& b, Value self) {
  if (!ir::is_floating(b.dtype(self))) return b.full(false, DType::kBool, b.out().shape);
  return b.op<ge::IsInf>(b.out(), {self});
}

Value select(Build& b, Value condition, const Term& self, const Term& other) {
  const DType dtype = b.out().dtype;
  return b.op<ge::SelectV2>(b.out(), {b.cast(condition, DType::kBool), b.value(self, dtype), b.value(other, dtype)});
}
// aten::where.self(Tensor condition, Tensor self, Tensor other) -> Tensor
Value where(Build& b, Value condition, Term self, Term other) { return select(b, condition, self, other); }
// aten::where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor
Value where_scalar_self(Build& b, Value condition, Scalar self, Term other) { return select(b, condition, self, other); }
// aten::where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor
Value where_scalar_other(Build& b, Value condition, Term self, Scalar other) { return select(b, condition, self, other); }
// aten::where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor
Value where_scalars(Build& b, Value condition, Scalar self, Scalar other) { return select(b, condition, self, other); }

// aten::masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor
Value masked_fill(Build& b, Value self, Value mask, Scalar value) { return select(b, mask, value, self); }
// aten::masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor
Value masked_fill_tensor(Build& b, Value self, Value mask, Term value) { return select(b, mask, value, self); }

constexpr Converter table[] = {
    {"aten.eq.Tensor", bind<compare<ge::Equal>>},
    {"aten.eq.Scalar", bind<compare_scalar<ge::Equal>>},
    {"aten.ne.Tensor", bind<compare<ge::NotEqual>>},
    {"aten.ne.Scalar", bind<compare_scalar<ge::NotEqual>>},
    {"aten.lt.Tensor", bind<compare<ge::Less>>},
    {"aten.lt.Scalar", bind<compare_scalar<ge::Less>>},
    {"aten.le.Tensor", bind<compare<ge::LessEqual>>},
    {"aten.le.Scalar", bind<compare_scalar<ge::LessEqual>>},
    {"aten.gt.Tensor", bind<compare<ge::Greater>>},
    {"aten.gt.Scalar", bind<compare_scalar<ge::Greater>>},
    {"aten.ge.Tensor", bind<compare<ge::GreaterEqual>>},
    {"aten.ge.Scalar", bind<compare_scalar<ge::GreaterEqual>>},
    {"aten.logical_and.default", bind<logical<ge::LogicalAnd>>},
    {"aten.logical_or.default", bind<logical<ge::LogicalOr>>},
    {"aten.logical_xor.default", bind<logical<ge::NotEqual>>},
    {"aten.logical_not.default", bind<logical_not>},
    {"aten.isnan.default", bind<isnan>},
    {"aten.isinf.default", bind<isinf>},
    {"aten.where.self", bind<where>},
    {"aten.where.ScalarSelf", bind<where_scalar_self>},
    {"aten.where.ScalarOther", bind<where_scalar_other>},
    {"aten.where.Scalar", bind<where_scalars>},
    {"aten.masked_fill.Scalar", bind<masked_fill>},
    {"aten.masked_fill.Tensor", bind<masked_fill_tensor>},
};

}  // namespace

std::span<const Converter> compare_table() { return table; }

}  // namespace airloom::convert
