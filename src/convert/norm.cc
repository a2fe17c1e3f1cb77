// Normalisations.
#include <limits>

#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/registry.h"

namespace airloom::convert {

namespace {

/// Statistics are float32 in GE. float64 has no kernel and is kept for the run on a CPU.
DType stat_dtype(DType dtype) { return dtype == DType::kDouble ? DType::kDouble : DType::kFloat; }

/// Shape of the statistics over the last `count` dims.
Shape kept_shape(Shape shape, std::size_t count) {
  if (count > shape.size()) throw Unsupported("normalized_shape has more dims than the input");
  for (std::size_t i = shape.size() - count; i < shape.size(); ++i) shape[i] = Expr(1);
  return shape;
}

std::vector<Value> layer_norms(Build& b, Value input, const Shape& normalized_shape, std::optional<Value> weight, std::optional<Value> bias,
                               double eps) {
  const TensorType stat{stat_dtype(b.dtype(input)), kept_shape(b.shape(input), normalized_shape.size()), false};
  return b.ops<ge::LayerNormV4>({b.out(), stat, stat}, {input, b.sizes(normalized_shape), weight, bias}, {.epsilon = eps});
}
// aten::layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool
// cudnn_enable=True) -> Tensor
Value layer_norm(Build& b, Value input, Shape normalized_shape, std::optional<Value> weight, std::optional<Value> bias, double eps,
                 Ignored) {
  return layer_norms(b, input, normalized_shape, weight, bias, eps)[0];
}
// aten::native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)
std::vector<Value> native_layer_norm(Build& b, Value input, Shape normalized_shape, std::optional<Value> weight, std::optional<Value> bias,
                                     double eps) {
  const std::vector<Value> all = layer_norms(b, input, normalized_shape, weight, bias, eps);
  return {all[0], b.cast(all[1], b.out(1).dtype), b.cast(all[2], b.out(2).dtype)};
}

std::vector<Value> rms_norms(Build& b, Value input, const Shape& normalized_shape, std::optional<Value> weight, std::optional<double> eps) {
  const DType dtype = b.dtype(input);
  if (!ir::is_floating(dtype)) throw Unsupported(fmt::format("rms_norm of {}", ir::info(dtype).torch));
  // A weight of another dtype multiplies before torch rounds to the input's.
  const DType compute = weight && b.dtype(*weight) != dtype ? stat_dtype(dtype) : dtype;
  const Value gamma = weight ? b.cast(*weight, compute) : b.full(1, compute, normalized_shape);
  // torch's kernels take the epsilon of the type they compute in, float32 for half types.
  const double default_eps =
      dtype == DType::kDouble ? std::numeric_limits<double>::epsilon() : double{std::numeric_limits<float>::epsilon()};
  const TensorType stat{stat_dtype(dtype), kept_shape(b.shape(input), normalized_shape.size()), false};
  const std::vector<Value> both =
      b.ops<ge::RmsNorm>({b.type(input).with(compute), stat}, {b.cast(input, compute), gamma}, {.epsilon = eps.value_or(default_eps)});
  return {b.cast(both[0], b.out().dtype), both[1]};
}
// aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor
Value rms_norm(Build& b, Value input, Shape normalized_shape, std::optional<Value> weight, std::optional<double> eps) {
  return rms_norms(b, input, normalized_shape, weight, eps)[0];
}
// aten::_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)
std::vector<Value> fused_rms_norm(Build& b, Value input, Ints normalized_shape, std::optional<Value> weight, std::optional<double> eps) {
  const std::vector<Value> both = rms_norms(b, input, Shape(normalized_shape.begin(), normalized_shape.end()), weight, eps);
  return {both[0], b.cast(both[1], b.out(1).dtype)};
}

/// N and C with the other dims folded into two: what NCHW operators take.
Value to_image(Build& b, Value x) {
  const Shape& from = b.shape(x);
  if (from.size() < 2) throw Unsupported(fmt::format("an input of rank {} has no channels", from.size()));
  Shape shape{from[0], from[1], Expr(1), Expr(1)};
  for (std::size_t i = 2; i < from.size(); ++i) shape[i == 2 ? 2 : 3] = shape[i == 2 ? 2 : 3] * from[i];
  return b.reshape(x, shape);
}

/// A per-channel vector, `fill` when absent.
Value channels(Build& b, Value x, const std::optional<Value>& vector, int fill, DType dtype) {
  return vector ? b.cast(*vector, dtype) : b.full(fill, dtype, {b.shape(x).at(1)});
}

Value batch_norm_inference(Build& b, Value input, const std::optional<Value>& weight, const std::optional<Value>& bias, Value mean,
                           Value var, double eps) {
  const Value x = to_image(b, input);
  const DType stat = stat_dtype(b.dtype(input));
  const Value y = b.op<ge::BNInfer>(
      b.type(x), {x, channels(b, x, weight, 1, stat), channels(b, x, bias, 0, stat), b.cast(mean, stat), b.cast(var, stat)},
      {.epsilon = eps});
  b.layout(y, Format::kNCHW, {0, 1, 2, 3, 4});
  return b.reshape(y, b.out().shape);
}
// aten::_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float
// momentum, float eps) -> (Tensor, Tensor, Tensor)
std::vector<Value> batch_norm_no_training(Build& b, Value input, std::optional<Value> weight, std::optional<Value> bias, Value running_mean,
                                          Value running_var, double, double eps) {
  // What a backward pass would need is empty in inference.
  return {batch_norm_inference(b, input, weight, bias, running_mean, running_var, eps), b.full(0, b.out(1).dtype, b.out(1).shape),
          b.full(0, b.out(2).dtype, b.out(2).shape)};
}

/// y, mean, variance of GroupNorm (GroupNormV2 asks for a multiple of 8 or 16 channels a group), in the dtype computed in.
std::vector<Value> group_norms(Build& b, Value input, const std::optional<Value>& weight, const std::optional<Value>& bias,
                               std::int64_t groups, double eps) {
  const DType dtype = b.dtype(input);
  // One dtype for all, and no bfloat16: anything else is computed in float32, as torch does.
  const auto differs = [&](const std::optional<Value>& v) { return v && b.dtype(*v) != dtype; };
  const DType compute = dtype == DType::kBFloat16 || differs(weight) || differs(bias) ? stat_dtype(dtype) : dtype;
  const Value x = to_image(b, b.cast(input, compute));
  const TensorType stat{compute, {b.shape(x)[0], Expr(groups)}, false};
  std::vector<Value> all =
      b.ops<ge::GroupNorm>({b.type(x), stat, stat}, {x, channels(b, x, weight, 1, compute), channels(b, x, bias, 0, compute)},
                           {.num_groups = groups, .eps = eps});
  b.layout(all[0], Format::kNCHW, {0, 1, 2});
  all[0] = b.cast(b.reshape(all[0], b.out().shape), b.out().dtype);
  return all;
}
// aten::group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool cudnn_enabled=True) ->
// Tensor
Value group_norm(Build& b, Value input, std::int64_t num_groups, std::optional<Value> weight, std::optional<Value> bias, double eps,
                 Ignored) {
  return group_norms(b, input, weight, bias, num_groups, eps)[0];
}
// aten::native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, float eps) -> (Tensor,
// Tensor, Tensor)
std::vector<Value> native_group_norm(Build& b, Value input, std::optional<Value> weight, std::optional<Value> bias, Expr, Expr, Expr,
                                     std::int64_t group, double eps) {
  const std::vector<Value> all = group_norms(b, input, weight, bias, group, eps);
  // A usual epsilon is a subnormal number in float16.
  const Value variance = b.cast(all[2], stat_dtype(b.dtype(all[2])));
  const TensorType stat = b.type(variance);
  const Value rstd = b.op<ge::Rsqrt>(stat, {b.op<ge::Add>(stat, {variance, b.scalar(eps, stat.dtype)})});
  return {all[0], b.cast(all[1], b.out(1).dtype), b.cast(rstd, b.out(2).dtype)};
}

// aten::instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float
// momentum, float eps, bool cudnn_enabled) -> Tensor
Value instance_norm(Build& b, Value input, std::optional<Value> weight, std::optional<Value> bias, std::optional<Value> running_mean,
                    std::optional<Value> running_var, bool use_input_stats, double, double eps, Ignored) {
  if (!use_input_stats) {
    if (!running_mean || !running_var) throw Unsupported("instance_norm with neither the input's statistics nor running ones");
    return batch_norm_inference(b, input, weight, bias, *running_mean, *running_var, eps);
  }
  if (running_mean || running_var) throw Unsupported("instance_norm that updates its running statistics: call model.eval()");
  const auto count = b.rank(input) < 2 ? std::nullopt : b.shape(input)[1].value();
  if (!count) throw Unsupported("instance_norm over a symbolic number of channels");
  return group_norms(b, input, weight, bias, *count, eps)[0];  // a group for each channel
}

constexpr Converter table[] = {
    {"aten.layer_norm.default", bind<layer_norm>},
    {"aten.native_layer_norm.default", bind<native_layer_norm>},
    {"aten.rms_norm.default", bind<rms_norm>},
    {"aten._fused_rms_norm.default", bind<fused_rms_norm>},
    {"aten._native_batch_norm_legit_no_training.default", bind<batch_norm_no_training>},
    {"aten.group_norm.default", bind<group_norm>},
    {"aten.native_group_norm.default", bind<native_group_norm>},
    {"aten.instance_norm.default", bind<instance_norm>},
};

}  // namespace

std::span<const Converter> norm_table() { return table; }

}  // namespace airloom::convert
