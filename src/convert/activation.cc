// Activation functions.
#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

// aten::relu(Tensor self) -> Tensor
Value relu(Build& b, Value self) {
  const DType dtype = b.dtype(self);
  if (dtype == DType::kInt16 || dtype == DType::kUInt8) return b.op<ge::Maximum>(b.out(), {self, b.scalar(0, dtype)});
  return b.op<ge::Relu>(b.out(), {self});
}

// aten::gelu(Tensor self, *, str approximate='none') -> Tensor
Value gelu(Build& b, Value self, std::string approximate) { return b.op<ge::GeluV2>(b.out(), {self}, {.approximate = approximate}); }

// aten::silu(Tensor self) -> Tensor
Value silu(Build& b, Value self) { return b.op<ge::Swish>(b.out(), {self}); }

// aten::leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor
Value leaky_relu(Build& b, Value self, Scalar negative_slope) {
  return b.op<ge::LeakyRelu>(b.out(), {self}, {.negative_slope = negative_slope.to_double()});
}

// aten::elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor
Value elu(Build& b, Value self, Scalar alpha, Scalar scale, Scalar input_scale) {
  return b.op<ge::Elu>(b.out(), {self}, {.alpha = alpha.to_double(), .scale = scale.to_double(), .input_scale = input_scale.to_double()});
}

// aten::celu(Tensor self, Scalar alpha=1.0) -> Tensor
Value celu(Build& b, Value self, Scalar alpha) { return b.op<ge::CeluV2>(b.out(), {self}, {.alpha = alpha.to_double()}); }

// aten::softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor
Value softplus(Build& b, Value self, Scalar beta, Scalar threshold) {
  return b.op<ge::SoftplusV2>(b.out(), {self}, {.beta = beta.to_double(), .threshold = threshold.to_double()});
}

// aten::hardswish(Tensor self) -> Tensor
Value hardswish(Build& b, Value self) {
  // The prototype has no bf16.
  if (b.dtype(self) != DType::kBFloat16) return b.op<ge::HardSwish>(b.out(), {self});
  return b.cast(b.op<ge::HardSwish>(b.out().with(DType::kFloat), {b.cast(self, DType::kFloat)}), DType::kBFloat16);
}

// aten::hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor
Value hardtanh(Build& b, Value self, Scalar min_val, Scalar max_val) {
  const DType dtype = b.out().dtype;
  return b.op<ge::ClipByValueV2>(b.out(), {self, b.scalar(min_val, dtype), b.scalar(max_val, dtype)});
}

// aten::threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor
Value threshold(Build& b, Value self, Scalar limit, Scalar value) {
  const DType dtype = b.out().dtype;
  return b.op<ge::ThresholdV2>(b.out(), {self, b.full(limit, dtype, {Expr(1)}), b.full(value, dtype, {Expr(1)})});
}

// aten::prelu(Tensor self, Tensor weight) -> Tensor
Value prelu(Build& b, Value self, Value weight) {
  // The operator broadcasts plainly; torch's weight runs along dim 1.
  const std::int64_t rank = b.rank(self);
  const Expr count = b.rank(weight) == 0 ? Expr(1) : b.shape(weight)[0];
  if (count == Expr(1)) return b.op<ge::PRelu>(b.out(), {self, b.reshape(weight, {Expr(1)})});
  Shape shape(static_cast<std::size_t>(rank), Expr(1));
  shape.at(1) = count;
  return b.op<ge::PRelu>(b.out(), {self, b.reshape(weight, shape)});
}

// aten::glu(Tensor self, int dim=-1) -> Tensor
Value glu(Build& b, Value self, std::int64_t dim) {
  const std::int64_t axis = b.dim_index(dim, b.rank(self));
  const Expr half = b.out().shape[static_cast<std::size_t>(axis)];
  const std::vector<Value> parts =
      b.ops<ge::Split>({b.out(), b.out()}, {b.constant(ir::Tensor::from_ints(DType::kInt32, {}, {&axis, 1})), self}, {.num_split = 2});
  return b.op<ge::Mul>(b.out(), {parts[0], b.op<ge::Sigmoid>(b.out(), {parts[1]})});
}

// aten::log_sigmoid_forward(Tensor self) -> (Tensor output, Tensor buffer)
std::vector<Value> log_sigmoid_forward(Build& b, Value self) {
  // The buffer is for the backward pass only and has no elements on CPU.
  return {b.op<ge::LogSigmoid>(b.out(), {self}), b.full(0, b.out(1).dtype, b.out(1).shape)};
}

// aten::rrelu_with_noise_functional(Tensor self, Tensor noise, Scalar lower=0.125, Scalar upper=0.3333333333333333, bool training=False,
// Generator? generator=None) -> (Tensor, Tensor noise_out)
std::vector<Value> rrelu(Build& b, Value self, Value noise, Scalar lower, Scalar upper, bool training, Ignored) {
  if (training) throw Unsupported("rrelu draws random slopes in training mode: call model.eval()");
  return {b.op<ge::LeakyRelu>(b.out(), {self}, {.negative_slope = (lower.to_double() + upper.to_double()) / 2}), b.identity(noise)};
}

constexpr Converter table[] = {
    {"aten.relu.default", bind<relu>},
    {"aten.relu6.default", bind<unary<ge::Relu6>>},
    {"aten.gelu.default", bind<gelu>},
    {"aten.silu.default", bind<silu>},
    {"aten.sigmoid.default", bind<unary<ge::Sigmoid>>},
    {"aten.tanh.default", bind<unary<ge::Tanh>>},
    {"aten.leaky_relu.default", bind<leaky_relu>},
    {"aten.elu.default", bind<elu>},
    {"aten.selu.default", bind<unary<ge::Selu>>},
    {"aten.celu.default", bind<celu>},
    {"aten.softplus.default", bind<softplus>},
    {"aten.mish.default", bind<unary<ge::Mish>>},
    {"aten.hardswish.default", bind<hardswish>},
    {"aten.hardsigmoid.default", bind<unary<ge::HardSigmoid>>},
    {"aten.hardtanh.default", bind<hardtanh>},
    {"aten.threshold.default", bind<threshold>},
    {"aten.prelu.default", bind<prelu>},
    {"aten._prelu_kernel.default", bind<binary<ge::PRelu>>},
    {"aten.glu.default", bind<glu>},
    {"aten.log_sigmoid.default", bind<unary<ge::LogSigmoid>>},
    {"aten.rrelu_with_noise_functional.default", bind<rrelu>},
    {"aten.log_sigmoid_forward.default", bind<log_sigmoid_forward>},
};

}  // namespace

std::span<const Converter> activation_table() { return table; }

}  // namespace airloom::convert
