// Matrix products.
#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/matmul.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

void require_float(Build& b, Value v) {
  const DType dtype = b.dtype(v);
  if (!ir::is_floating(dtype) && dtype != DType::kInt32) {
    throw Unsupported(fmt::format("GE has no matrix product of {} (cast to float32 or int32 first)", ir::info(dtype).torch));
  }
}

}  // namespace

Value matrix_product(Build& b, Value x1, Value x2, const TensorType& out, bool transpose_x2, std::optional<Value> bias) {
  require_float(b, x1);
  if (b.rank(x1) == 2 && b.rank(x2) == 2) return b.op<ge::MatMulV2>(out, {x1, x2, bias}, {.transpose_x2 = transpose_x2});
  return b.op<ge::BatchMatMulV2>(out, {x1, x2, bias}, {.adj_x2 = transpose_x2});
}

namespace {

// aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor
Value linear(Build& b, Value input, Value weight, std::optional<Value> bias) {
  require_float(b, input);
  const Shape& in = b.shape(input);
  const Shape& w = b.shape(weight);
  if (w.size() == 1) {  // a vector weight: dot products, bias is 0-d
    const TensorType column{b.out().dtype, Shape(in.begin(), in.end() - 1), false};
    const Value product = b.op<ge::Mul>(b.type(input), {input, weight});
    const Value sum = b.op<ge::ReduceSum>(column, {product, b.ints({static_cast<std::int64_t>(in.size()) - 1})});
    return bias ? b.op<ge::Add>(b.out(), {sum, *bias}) : sum;
  }
  // GE's bias is 1-D; anything else torch allows is added afterwards.
  const bool fused = !bias || b.rank(*bias) == 1;
  const std::optional<Value> inner = fused ? bias : std::nullopt;
  Value result;
  if (in.size() == 2) {
    result = b.op<ge::MatMulV2>(b.out(), {input, weight, inner}, {.transpose_x2 = true});
  } else if (in.size() == 1) {
    const Value row =
        b.op<ge::MatMulV2>({b.out().dtype, {Expr(1), w[0]}, false}, {b.unsqueeze(input, 0), weight, inner}, {.transpose_x2 = true});
    result = b.squeeze(row, 0);
  } else {
    result = b.op<ge::BatchMatMulV2>(b.out(), {input, weight, inner}, {.adj_x2 = true});
  }
  return fused ? result : b.op<ge::Add>(b.out(), {result, *bias});
}

// aten::mm(Tensor self, Tensor mat2) -> Tensor
Value mm(Build& b, Value self, Value mat2) { return matrix_product(b, self, mat2, b.out(), false, std::nullopt); }

// aten::dot(Tensor self, Tensor tensor) -> Tensor
Value dot(Build& b, Value self, Value tensor) {
  const Value product = b.op<ge::Mul>(b.type(self), {self, tensor});
  return b.op<ge::ReduceSum>(b.out(), {product, b.ints({0})});
}

// aten::matmul(Tensor self, Tensor other) -> Tensor
Value matmul(Build& b, Value self, Value other) {
  // 1-D operands become a row or a column whose dim is dropped again.
  const bool row = b.rank(self) == 1;
  const bool column = b.rank(other) == 1;
  if (row && column) return dot(b, self, other);
  const Value x1 = row ? b.unsqueeze(self, 0) : self;
  const Value x2 = column ? b.unsqueeze(other, 1) : other;
  Shape shape = b.out().shape;
  if (column) shape.emplace_back(1);
  if (row) shape.insert(shape.end() - 1, Expr(1));
  const Value result = matrix_product(b, x1, x2, b.out().with(shape), false, std::nullopt);
  return b.reshape(result, b.out().shape);
}

/// beta * self + alpha * product, without nodes for factors of one and, as in torch, without reading `self` when beta is 0.
Value accumulate(Build& b, Value self, Value product, const Scalar& beta, const Scalar& alpha) {
  const DType dtype = b.out().dtype;
  if (!alpha.equals(1)) product = times(b, b.out(), product, alpha);
  if (beta.equals(0)) return product;
  Value bias = b.cast(self, dtype);
  if (!beta.equals(1)) bias = times(b, b.type(bias), bias, beta);
  return b.op<ge::Add>(b.out(), {product, bias});
}

// aten::addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
Value addmm(Build& b, Value self, Value mat1, Value mat2, Scalar beta, Scalar alpha) {
  const bool fused =
      beta.equals(1) && alpha.equals(1) && b.rank(self) == 1 && b.shape(self)[0] == b.out().shape[1] && b.dtype(self) == b.out().dtype;
  if (fused) return matrix_product(b, mat1, mat2, b.out(), false, self);
  return accumulate(b, self, matrix_product(b, mat1, mat2, b.out(), false, std::nullopt), beta, alpha);
}

// aten::baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
Value baddbmm(Build& b, Value self, Value batch1, Value batch2, Scalar beta, Scalar alpha) {
  return accumulate(b, self, matrix_product(b, batch1, batch2, b.out(), false, std::nullopt), beta, alpha);
}

// aten::mv(Tensor self, Tensor vec) -> Tensor
Value mv(Build& b, Value self, Value vec) { return matmul(b, self, vec); }

constexpr Converter table[] = {
    {"aten.linear.default", bind<linear>}, {"aten.mm.default", bind<mm>},       {"aten.bmm.default", bind<mm>},
    {"aten.matmul.default", bind<matmul>}, {"aten.addmm.default", bind<addmm>}, {"aten.baddbmm.default", bind<baddbmm>},
    {"aten.mv.default", bind<mv>},         {"aten.dot.default", bind<dot>},
};

}  // namespace

std::span<const Converter> linalg_table() { return table; }

}  // namespace airloom::convert
