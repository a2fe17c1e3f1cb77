// Arithmetic, transcendental, rounding and bitwise operators, and casts.
#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

// aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
Value add(Build& b, Term self, Term other, Scalar alpha) {
  const DType dtype = b.out().dtype;
  const Value x = b.value(self, dtype);
  if (alpha.equals(1)) return b.op<ge::Add>(b.out(), {x, b.value(other, dtype)});
  return b.op<ge::AxpyV2>(b.out(), {x, b.value(other, dtype), b.full(alpha, dtype, {Expr(1)})});
}

Scalar negated(const Scalar& alpha) {
  if (alpha.is_symbolic()) return {Expr(-1) * alpha.expr()};
  return alpha.is_floating() ? Scalar(-alpha.to_double()) : Scalar(-alpha.to_int());
}

// aten::sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
Value sub(Build& b, Term self, Term other, Scalar alpha) {
  if (!alpha.equals(1)) return add(b, self, other, negated(alpha));
  return binary<ge::Sub>(b, self, other);
}

// aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
Value add_scalar(Build& b, Value self, Scalar other, Scalar alpha) { return add(b, self, other, alpha); }
// aten::sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
Value sub_scalar(Build& b, Value self, Scalar other, Scalar alpha) { return sub(b, self, other, alpha); }
// aten::rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
Value rsub(Build& b, Term self, Term other, Scalar alpha) { return sub(b, other, self, alpha); }
// aten::rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
Value rsub_scalar(Build& b, Value self, Scalar other, Scalar alpha) { return sub(b, other, self, alpha); }

// aten::mul.Tensor(Tensor self, Tensor other) -> Tensor
Value mul(Build& b, Term self, Term other) {
  if (self.tensor() == nullptr) std::swap(self, other);
  const DType dtype = b.out().dtype;
  if (dtype == DType::kBool) return b.op<ge::LogicalAnd>(b.out(), {b.value(self, dtype), b.value(other, dtype)});
  if (other.number() != nullptr) return times(b, b.out(), b.value(self, dtype), *other.number());
  return binary<ge::Mul>(b, self, other);
}
// aten::mul.Scalar(Tensor self, Scalar other) -> Tensor
Value mul_scalar(Build& b, Value self, Scalar other) { return mul(b, self, other); }

// aten::div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor
Value div_mode(Build& b, Term self, Term other, std::optional<std::string> rounding_mode) {
  if (!rounding_mode) return binary<ge::RealDiv>(b, self, other);
  if (*rounding_mode == "trunc") return binary<ge::TruncateDiv>(b, self, other);
  if (*rounding_mode == "floor") return binary<ge::FloorDiv>(b, self, other);
  throw Unsupported("rounding_mode is none of None, \"trunc\", \"floor\"");
}
// aten::div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor
Value div_scalar_mode(Build& b, Value self, Scalar other, std::optional<std::string> rounding_mode) {
  return div_mode(b, self, other, std::move(rounding_mode));
}

/// FloorMod and Mod lack small integers: these go through int32, which holds them exactly.
template <class Op>
Value modulo(Build& b, Term self, Term other) {
  const DType dtype = b.out().dtype;
  const bool small = dtype == DType::kInt8 || dtype == DType::kUInt8 || dtype == DType::kInt16;
  const DType compute = small ? DType::kInt32 : dtype;
  return b.cast(b.op<Op>(b.out().with(compute), {b.value(self, compute), b.value(other, compute)}), dtype);
}
// aten::remainder.Scalar(Tensor self, Scalar other) -> Tensor
template <class Op>
Value modulo_scalar(Build& b, Value self, Scalar other) {
  return modulo<Op>(b, self, other);
}

// aten::pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor
Value pow_scalar(Build& b, Value self, Scalar exponent) {
  const DType dtype = b.out().dtype;
  const Value x = b.cast(self, dtype);
  const bool floating = ir::is_floating(dtype);
  if (exponent.equals(1)) return b.identity(x);
  if (exponent.equals(2) && (floating || dtype == DType::kInt32 || dtype == DType::kInt64)) return b.op<ge::Square>(b.out(), {x});
  if (floating && exponent.equals(0.5)) return b.op<ge::Sqrt>(b.out(), {x});
  if (floating && exponent.equals(-0.5)) return b.op<ge::Rsqrt>(b.out(), {x});
  if (floating && exponent.equals(-1)) return b.op<ge::Reciprocal>(b.out(), {x});
  return b.op<ge::Pow>(b.out(), {x, b.scalar(exponent, dtype)});
}
// aten::pow.Scalar(Scalar self, Tensor exponent) -> Tensor
Value pow_base(Build& b, Scalar self, Value exponent) { return binary<ge::Pow>(b, self, exponent); }

// aten::neg(Tensor self) -> Tensor
Value neg(Build& b, Value self) {
  const DType dtype = b.out().dtype;
  if (dtype == DType::kUInt8 || dtype == DType::kInt16) return b.op<ge::Sub>(b.out(), {b.scalar(0, dtype), self});
  return b.op<ge::Neg>(b.out(), {self});
}

// aten::abs(Tensor self) -> Tensor
Value abs(Build& b, Value self) {
  const DType dtype = b.dtype(self);
  if (dtype == DType::kUInt8 || dtype == DType::kBool) return b.identity(self);
  if (ir::is_complex(dtype)) return b.op<ge::ComplexAbs>(b.out(), {self}, {.Tout = b.out().dtype});
  return b.op<ge::Abs>(b.out(), {self});
}

/// Rounding of an integer is the integer.
template <class Op>
Value rounding(Build& b, Value self) {
  if (!ir::is_floating(b.dtype(self))) return b.identity(self);
  return b.op<Op>(b.out(), {self});
}
// aten::round.decimals(Tensor self, *, int decimals) -> Tensor
Value round_decimals(Build& b, Value self, std::int64_t decimals) { return b.op<ge::Round>(b.out(), {self}, {.decimals = decimals}); }

// aten::square(Tensor self) -> Tensor
Value square(Build& b, Value self) { return b.op<ge::Mul>(b.out(), {self, self}); }

// aten::exp2(Tensor self) -> Tensor
Value exp2(Build& b, Value self) {
  const DType dtype = b.out().dtype;
  return b.op<ge::Pow>(b.out(), {b.scalar(2.0, dtype), b.cast(self, dtype)});
}
// aten::log2(Tensor self) -> Tensor
Value log2(Build& b, Value self) { return b.op<ge::Log>(b.out(), {b.cast(self, b.out().dtype)}, {.base = 2.0}); }
// aten::log10(Tensor self) -> Tensor
Value log10(Build& b, Value self) { return b.op<ge::Log>(b.out(), {b.cast(self, b.out().dtype)}, {.base = 10.0}); }

/// Maximum and Minimum lack bool and int16.
template <class Op, class BoolOp>
Value extremum(Build& b, Term self, Term other) {
  const DType dtype = b.out().dtype;
  if (dtype == DType::kBool) return b.op<BoolOp>(b.out(), {b.value(self, dtype), b.value(other, dtype)});
  const DType compute = dtype == DType::kInt16 ? DType::kInt32 : dtype;
  return b.cast(b.op<Op>(b.out().with(compute), {b.value(self, compute), b.value(other, compute)}), dtype);
}

Value clip(Build& b, Value self, std::optional<Term> min, std::optional<Term> max) {
  const DType dtype = b.out().dtype;
  const Value x = b.cast(self, dtype);
  if (min && max) return b.op<ge::ClipByValueV2>(b.out(), {x, b.value(*min, dtype), b.value(*max, dtype)});
  if (min) return b.op<ge::Maximum>(b.out(), {x, b.value(*min, dtype)});
  if (max) return b.op<ge::Minimum>(b.out(), {x, b.value(*max, dtype)});
  throw Unsupported("clamp needs min or max");
}
template <class T>
std::optional<Term> term(const std::optional<T>& v) {
  return v ? std::optional<Term>(Term(*v)) : std::nullopt;
}
// aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor
Value clamp(Build& b, Value self, std::optional<Scalar> min, std::optional<Scalar> max) { return clip(b, self, term(min), term(max)); }
// aten::clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor
Value clamp_tensor(Build& b, Value self, std::optional<Value> min, std::optional<Value> max) { return clip(b, self, term(min), term(max)); }
// aten::clamp_min(Tensor self, Scalar min) -> Tensor
Value clamp_min(Build& b, Value self, Scalar min) { return clip(b, self, Term(min), std::nullopt); }
// aten::clamp_max(Tensor self, Scalar max) -> Tensor
Value clamp_max(Build& b, Value self, Scalar max) { return clip(b, self, std::nullopt, Term(max)); }

/// Bitwise operators are logical ones on bool.
template <class Op, class BoolOp>
Value bitwise(Build& b, Term self, Term other) {
  const DType dtype = b.out().dtype;
  const Value x = b.value(self, dtype);
  const Value y = b.value(other, dtype);
  return dtype == DType::kBool ? b.op<BoolOp>(b.out(), {x, y}) : b.op<Op>(b.out(), {x, y});
}
template <class Op, class BoolOp>
Value bitwise_scalar(Build& b, Value self, Scalar other) {
  return bitwise<Op, BoolOp>(b, self, other);
}
// aten::bitwise_not(Tensor self) -> Tensor
Value bitwise_not(Build& b, Value self) {
  return b.dtype(self) == DType::kBool ? b.op<ge::LogicalNot>(b.out(), {self}) : b.op<ge::Invert>(b.out(), {self});
}

// aten::addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor
template <class Op>
Value addc(Build& b, Value self, Value tensor1, Value tensor2, Scalar value) {
  const DType dtype = b.out().dtype;
  return b.op<Op>(b.out(), {b.cast(self, dtype), b.cast(tensor1, dtype), b.cast(tensor2, dtype), b.scalar(value, dtype)});
}

// aten::lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor
Value lerp_scalar(Build& b, Value self, Value end, Scalar weight) {
  return b.op<ge::Lerp>(b.out(), {self, end, b.scalar(weight, b.out().dtype)});
}
// aten::lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor
Value lerp(Build& b, Value self, Value end, Value weight) { return b.op<ge::Lerp>(b.out(), {self, end, weight}); }

// aten::_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool
// non_blocking=False, MemoryFormat? memory_format=None) -> Tensor
Value to_copy(Build& b, Value self, std::optional<DType>, Ignored, Ignored, Ignored, Ignored, Ignored) {
  return b.dtype(self) == b.out().dtype ? b.identity(self) : b.cast(self, b.out().dtype);
}
// prims::convert_element_type(Tensor a, ScalarType dtype) -> Tensor
Value convert_element_type(Build& b, Value self, DType dtype) { return b.dtype(self) == dtype ? b.identity(self) : b.cast(self, dtype); }

// aten::clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor
Value clone(Build& b, Value self, Ignored) { return b.identity(self); }
// aten::alias(Tensor(a) self) -> Tensor(a)
Value identity(Build& b, Value self) { return b.identity(self); }

// aten::copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor
Value copy(Build& b, Value self, Value src, bool) {
  const Value value = b.broadcast(b.cast(src, b.dtype(self)), b.shape(self));
  return value == src ? b.identity(src) : value;
}

constexpr Converter table[] = {
    {"aten.add.Tensor", bind<add>},
    {"aten.add.Scalar", bind<add_scalar>},
    {"aten.sub.Tensor", bind<sub>},
    {"aten.sub.Scalar", bind<sub_scalar>},
    {"aten.rsub.Tensor", bind<rsub>},
    {"aten.rsub.Scalar", bind<rsub_scalar>},
    {"aten.mul.Tensor", bind<mul>},
    {"aten.mul.Scalar", bind<mul_scalar>},
    {"aten.div.Tensor", bind<binary<ge::RealDiv>>},
    {"aten.div.Scalar", bind<binary_scalar<ge::RealDiv>>},
    {"aten.div.Tensor_mode", bind<div_mode>},
    {"aten.div.Scalar_mode", bind<div_scalar_mode>},
    {"aten.floor_divide.default", bind<binary<ge::FloorDiv>>},
    {"aten.remainder.Tensor", bind<modulo<ge::FloorMod>>},
    {"aten.remainder.Scalar", bind<modulo_scalar<ge::FloorMod>>},
    {"aten.fmod.Tensor", bind<modulo<ge::Mod>>},
    {"aten.fmod.Scalar", bind<modulo_scalar<ge::Mod>>},
    {"aten.pow.Tensor_Scalar", bind<pow_scalar>},
    {"aten.pow.Tensor_Tensor", bind<binary<ge::Pow>>},
    {"aten.pow.Scalar", bind<pow_base>},
    {"aten.neg.default", bind<neg>},
    {"aten.abs.default", bind<abs>},
    {"aten.sign.default", bind<unary<ge::Sign>>},
    {"aten.square.default", bind<square>},
    {"aten.sqrt.default", bind<unary<ge::Sqrt>>},
    {"aten.rsqrt.default", bind<unary<ge::Rsqrt>>},
    {"aten.reciprocal.default", bind<unary<ge::Reciprocal>>},
    {"aten.exp.default", bind<unary<ge::Exp>>},
    {"aten.exp2.default", bind<exp2>},
    {"aten.expm1.default", bind<unary<ge::Expm1>>},
    {"aten.log.default", bind<unary<ge::Log>>},
    {"aten.log1p.default", bind<unary<ge::Log1p>>},
    {"aten.log2.default", bind<log2>},
    {"aten.log10.default", bind<log10>},
    {"aten.sin.default", bind<unary<ge::Sin>>},
    {"aten.cos.default", bind<unary<ge::Cos>>},
    {"aten.tan.default", bind<unary<ge::Tan>>},
    {"aten.asin.default", bind<unary<ge::Asin>>},
    {"aten.acos.default", bind<unary<ge::Acos>>},
    {"aten.atan.default", bind<unary<ge::Atan>>},
    {"aten.sinh.default", bind<unary<ge::Sinh>>},
    {"aten.cosh.default", bind<unary<ge::Cosh>>},
    {"aten.asinh.default", bind<unary<ge::Asinh>>},
    {"aten.acosh.default", bind<unary<ge::Acosh>>},
    {"aten.atanh.default", bind<unary<ge::Atanh>>},
    {"aten.atan2.default", bind<binary<ge::Atan2>>},
    {"aten.erf.default", bind<unary<ge::Erf>>},
    {"aten.erfc.default", bind<unary<ge::Erfc>>},
    {"aten.floor.default", bind<rounding<ge::Floor>>},
    {"aten.ceil.default", bind<rounding<ge::Ceil>>},
    {"aten.trunc.default", bind<rounding<ge::Trunc>>},
    {"aten.round.default", bind<rounding<ge::Round>>},
    {"aten.round.decimals", bind<round_decimals>},
    {"aten.maximum.default", bind<extremum<ge::Maximum, ge::LogicalOr>>},
    {"aten.minimum.default", bind<extremum<ge::Minimum, ge::LogicalAnd>>},
    {"aten.clamp.default", bind<clamp>},
    {"aten.clamp.Tensor", bind<clamp_tensor>},
    {"aten.clamp_min.default", bind<clamp_min>},
    {"aten.clamp_max.default", bind<clamp_max>},
    {"aten.bitwise_and.Tensor", bind<bitwise<ge::BitwiseAnd, ge::LogicalAnd>>},
    {"aten.bitwise_and.Scalar", bind<bitwise_scalar<ge::BitwiseAnd, ge::LogicalAnd>>},
    {"aten.bitwise_or.Tensor", bind<bitwise<ge::BitwiseOr, ge::LogicalOr>>},
    {"aten.bitwise_or.Scalar", bind<bitwise_scalar<ge::BitwiseOr, ge::LogicalOr>>},
    {"aten.bitwise_xor.Tensor", bind<bitwise<ge::BitwiseXor, ge::NotEqual>>},
    {"aten.bitwise_xor.Scalar", bind<bitwise_scalar<ge::BitwiseXor, ge::NotEqual>>},
    {"aten.bitwise_not.default", bind<bitwise_not>},
    {"aten.addcmul.default", bind<addc<ge::Addcmul>>},
    {"aten.addcdiv.default", bind<addc<ge::Addcdiv>>},
    {"aten.lerp.Scalar", bind<lerp_scalar>},
    {"aten.lerp.Tensor", bind<lerp>},
    {"aten.xlogy.Tensor", bind<binary<ge::Xlogy>>},
    {"aten._to_copy.default", bind<to_copy>},
    {"prims.convert_element_type.default", bind<convert_element_type>},
    {"aten.clone.default", bind<clone>},
    {"aten.copy.default", bind<copy>},
    {"aten.alias.default", bind<identity>},
    {"aten.detach.default", bind<identity>},
};

}  // namespace

std::span<const Converter> pointwise_table() { return table; }

}  // namespace airloom::convert
