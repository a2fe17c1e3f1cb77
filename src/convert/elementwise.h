// Forms that elementwise converters share: GE promotes nothing, so every operand is cast to the dtype torch computes in.
#pragma once

#include "convert/build.h"

namespace airloom::convert {

/// y = Op(x) in the result's dtype (torch promotes ints to float for these).
// aten::sqrt(Tensor self) -> Tensor
template <class Op>
Value unary(Build& b, Value self) {
  return b.op<Op>(b.out(), {b.cast(self, b.out().dtype)});
}

/// y = Op(x1, x2), both in the result's dtype.
// aten::div.Tensor(Tensor self, Tensor other) -> Tensor
template <class Op>
Value binary(Build& b, Term self, Term other) {
  const DType dtype = b.out().dtype;
  return b.op<Op>(b.out(), {b.value(self, dtype), b.value(other, dtype)});
}
// aten::div.Scalar(Tensor self, Scalar other) -> Tensor
template <class Op>
Value binary_scalar(Build& b, Value self, Scalar other) {
  return binary<Op>(b, self, other);
}

/// x times a Python number. Muls keeps the number in float32, as torch's kernels do for half types; other dtypes need a constant of their
/// own.
inline Value times(Build& b, const TensorType& type, Value x, const Scalar& factor) {
  const bool muls = type.dtype == DType::kFloat || type.dtype == DType::kFloat16 || type.dtype == DType::kBFloat16;
  if (muls && !factor.is_symbolic()) return b.op<ge::Muls>(type, {x}, {.value = factor.to_double()});
  return b.op<ge::Mul>(type, {x, b.scalar(factor, type.dtype)});
}

}  // namespace airloom::convert
