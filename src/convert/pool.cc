// Pooling.
#include <algorithm>

#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/registry.h"
#include "convert/spatial.h"

namespace airloom::convert {

namespace {

/// One value per spatial dim; torch pads both ends alike.
struct Window {
  Ints kernel, stride, padding, dilation;
};

/// torch's arguments: one number stands for all dims, an empty stride for the kernel's size.
Window window(std::size_t dims, Ints kernel, Ints stride, Ints padding, Ints dilation) {
  Window w;
  w.kernel = per_dim(std::move(kernel), dims, "kernel_size");
  w.stride = stride.empty() ? w.kernel : per_dim(std::move(stride), dims, "stride");
  w.padding = per_dim(std::move(padding), dims, "padding");
  w.dilation = per_dim(std::move(dilation), dims, "dilation");
  for (std::size_t i = 0; i < dims; ++i) {
    if (w.kernel[i] < 1 || w.stride[i] < 1 || w.dilation[i] < 1 || w.padding[i] < 0)
      throw Unsupported("kernel, stride and dilation must be positive, padding not negative");
  }
  return w;
}
/// A line is an image of height 1.
Window line_window(Ints kernel, Ints stride, Ints padding, Ints dilation) {
  Window w = window(1, std::move(kernel), std::move(stride), std::move(padding), std::move(dilation));
  for (Ints* list : {&w.kernel, &w.stride, &w.dilation}) list->insert(list->begin(), 1);
  w.padding.insert(w.padding.begin(), 0);
  return w;
}

/// Lists over N, C and the spatial dims.
Ints with_channels(const Ints& list) {
  Ints out{1, 1};
  out.insert(out.end(), list.begin(), list.end());
  return out;
}

/// The input as (N, C, dims...), and the way back for the outputs.
class Batched {
 public:
  Batched(Build& b, Value input, std::size_t dims, bool line) : b_(b), line_(line) {
    const auto full = static_cast<std::int64_t>(dims) + 2;
    const std::int64_t rank = b.rank(input);
    if (rank != full && rank != full - 1) throw Unsupported(fmt::format("pooling of rank {}", rank));
    unbatched_ = rank == full - 1;
    if (unbatched_) input = b.unsqueeze(input, 0);
    if (line) input = b.unsqueeze(input, 2);
    x = input;
  }
  /// Output i's type before restore().
  [[nodiscard]] TensorType type(std::size_t i, DType dtype) const {
    Shape shape = b_.out(i).shape;
    if (unbatched_) shape.insert(shape.begin(), Expr(1));
    if (line_) shape.insert(shape.begin() + 2, Expr(1));
    return {dtype, std::move(shape), false};
  }
  [[nodiscard]] Value restore(Value y) const {
    if (line_) y = b_.squeeze(y, 2);
    return unbatched_ ? b_.squeeze(y, 0) : y;
  }
  Value x;

 private:
  Build& b_;
  bool line_;
  bool unbatched_ = false;
};

void need_float(Build& b, Value v, std::string_view what) {
  if (!ir::is_floating(b.dtype(v)))
    throw Unsupported(fmt::format("{} of {}; GE has floating types only", what, ir::info(b.dtype(v)).torch));
}

/// The dtype for maxima with indices, which GE takes of floats only: float32 holds the small integers exactly.
DType argmax_dtype(DType dtype) {
  if (ir::is_floating(dtype)) return dtype;
  if (dtype == DType::kInt8 || dtype == DType::kUInt8 || dtype == DType::kInt16) return DType::kFloat;
  throw Unsupported(fmt::format("max pooling with indices or dilation of {}; GE has floating types only", ir::info(dtype).torch));
}

constexpr std::int64_t kIndexDType = static_cast<std::int64_t>(DType::kInt64);

/// Maxima and their flat indices; the outputs' shapes are alike, and the second need not be among the FX node's.
std::vector<Value> max_with_indices(Build& b, Value self, const Window& w, bool line, bool ceil_mode) {
  const std::size_t dims = w.kernel.size() - (line ? 1 : 0);
  const DType dtype = b.dtype(self);
  const DType compute = argmax_dtype(dtype);
  const Batched in(b, b.cast(self, compute), line ? 1 : dims, line);
  const TensorType values = in.type(0, compute);
  const TensorType indices = values.with(DType::kInt64);
  std::vector<Value> both;
  if (dims == 3) {
    both = b.ops<ge::MaxPool3DWithArgmaxV2>(
        {values, indices}, {in.x},
        {.ksize = w.kernel, .strides = w.stride, .pads = w.padding, .dilation = w.dilation, .ceil_mode = ceil_mode, .dtype = kIndexDType});
    b.layout(both[0], Format::kNCDHW, {0});
  } else {
    both = b.ops<ge::MaxPoolWithArgmaxV3>(
        {values, indices}, {in.x},
        {.ksize = w.kernel, .strides = w.stride, .pads = w.padding, .dtype = kIndexDType, .dilation = w.dilation, .ceil_mode = ceil_mode});
    b.layout(both[0], Format::kNCHW, {0});
  }
  return {b.cast(in.restore(both[0]), dtype), both[1]};
}

Value max_plane(Build& b, Value self, const Window& w, bool line, bool ceil_mode) {
  if (std::any_of(w.dilation.begin(), w.dilation.end(), [](std::int64_t d) { return d != 1; }))
    return max_with_indices(b, self, w, line, ceil_mode)[0];
  const Batched in(b, self, line ? 1 : 2, line);
  const Value y = b.op<ge::MaxPoolV3>(in.type(0, b.dtype(self)), {in.x},
                                      {.ksize = with_channels(w.kernel),
                                       .strides = with_channels(w.stride),
                                       .pads = {w.padding[0], w.padding[0], w.padding[1], w.padding[1]},
                                       .ceil_mode = ceil_mode});
  b.layout(y, Format::kNCHW, {0});
  return in.restore(y);
}
// aten::max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0, int[1] dilation=1, bool ceil_mode=False) -> Tensor
Value max_pool1d(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, Ints dilation, bool ceil_mode) {
  return max_plane(b, self, line_window(std::move(kernel_size), std::move(stride), std::move(padding), std::move(dilation)), true,
                   ceil_mode);
}
// aten::max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor
Value max_pool2d(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, Ints dilation, bool ceil_mode) {
  return max_plane(b, self, window(2, std::move(kernel_size), std::move(stride), std::move(padding), std::move(dilation)), false,
                   ceil_mode);
}
// aten::max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor
Value max_pool3d(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, Ints dilation, bool ceil_mode) {
  return max_with_indices(b, self, window(3, std::move(kernel_size), std::move(stride), std::move(padding), std::move(dilation)), false,
                          ceil_mode)[0];
}
// aten::max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool
// ceil_mode=False) -> (Tensor, Tensor)
template <std::size_t dims>
std::vector<Value> max_pool_with_indices(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, Ints dilation, bool ceil_mode) {
  const Window w = window(dims, std::move(kernel_size), std::move(stride), std::move(padding), std::move(dilation));
  std::vector<Value> both = max_with_indices(b, self, w, false, ceil_mode);
  if (b.rank(self) == static_cast<std::int64_t>(dims) + 1) both[1] = b.squeeze(both[1], 0);
  return both;
}

/// How one dim's rounding up can be had from GE. Its ceil_mode keeps a last window that starts in the end pad, which torch drops.
struct Rounding {
  bool floor;          // torch's size is that of rounding down
  bool ceil;           // torch's size is that of GE's rounding up
  std::int64_t extra;  // end pad that gives torch's size when rounding down; -1 when not known
};
Rounding rounding(const Expr& size, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  const auto in = size.value();
  // Of an unknown size: the last window can start in the end pad only if stride + padding > kernel.
  if (!in) return {stride == 1, stride == 1 || stride + padding <= kernel, stride == 1 ? 0 : -1};
  const std::int64_t span = *in + 2 * padding - kernel;
  if (span < 0) throw Unsupported(fmt::format("a kernel of {} over a padded input of {}", kernel, *in + 2 * padding));
  const std::int64_t rest = span % stride;
  if (rest == 0) return {true, true, 0};
  const bool dropped = (span / stride + 1) * stride >= *in + padding;
  return {dropped, !dropped, dropped ? 0 : stride - rest};
}

Value average_plane(Build& b, Value self, const Window& w, bool line, bool ceil_mode, bool count_include_pad,
                    std::optional<std::int64_t> divisor_override) {
  need_float(b, self, "average pooling");
  const std::int64_t divisor = divisor_override.value_or(0);
  if (divisor_override && (divisor < 1 || divisor > 255)) throw Unsupported(fmt::format("divisor_override {}; GE takes 1 to 255", divisor));
  const Batched in(b, self, line ? 1 : 2, line);
  Ints pads{w.padding[0], w.padding[0], w.padding[1], w.padding[1]};
  bool exclusive = !count_include_pad;
  if (ceil_mode) {
    const auto dim = [&](std::size_t i) { return rounding(b.shape(in.x)[i + 2], w.kernel[i], w.stride[i], w.padding[i]); };
    const Rounding h = dim(0);
    const Rounding v = dim(1);
    if (h.floor && v.floor) {
      ceil_mode = false;
    } else if (!h.ceil || !v.ceil) {
      // Mixed: round down over a larger end pad, where that pad is never counted.
      const bool no_pad = w.padding[0] == 0 && w.padding[1] == 0;
      if (h.extra < 0 || v.extra < 0 || !(exclusive || no_pad || divisor != 0))
        throw Unsupported("ceil_mode in which torch drops the last window and GE does not");
      exclusive = exclusive || no_pad;
      pads[1] += h.extra;
      pads[3] += v.extra;
      ceil_mode = false;
    }
  }
  const Value y = b.op<ge::AvgPoolV2>(in.type(0, b.dtype(self)), {in.x},
                                      {.ksize = with_channels(w.kernel),
                                       .strides = with_channels(w.stride),
                                       .pads = std::move(pads),
                                       .ceil_mode = ceil_mode,
                                       .exclusive = exclusive,
                                       .divisor_override = divisor});
  b.layout(y, Format::kNCHW, {0});
  return in.restore(y);
}
// aten::avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0, bool ceil_mode=False, bool count_include_pad=True)
// -> Tensor
Value avg_pool1d(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, bool ceil_mode, bool count_include_pad) {
  return average_plane(b, self, line_window(std::move(kernel_size), std::move(stride), std::move(padding), {1}), true, ceil_mode,
                       count_include_pad, std::nullopt);
}
// aten::avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True,
// int? divisor_override=None) -> Tensor
Value avg_pool2d(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, bool ceil_mode, bool count_include_pad,
                 std::optional<std::int64_t> divisor_override) {
  return average_plane(b, self, window(2, std::move(kernel_size), std::move(stride), std::move(padding), {1}), false, ceil_mode,
                       count_include_pad, divisor_override);
}
// aten::avg_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True,
// int? divisor_override=None) -> Tensor
Value avg_pool3d(Build& b, Value self, Ints kernel_size, Ints stride, Ints padding, bool ceil_mode, bool count_include_pad,
                 std::optional<std::int64_t> divisor_override) {
  need_float(b, self, "average pooling");
  if (divisor_override && *divisor_override < 1)
    throw Unsupported(fmt::format("divisor_override {}; GE takes positive ones", *divisor_override));
  const Window w = window(3, std::move(kernel_size), std::move(stride), std::move(padding), {1});
  const Batched in(b, self, 3, false);
  const Ints& p = w.padding;
  const Value y = b.op<ge::AvgPool3D>(in.type(0, b.dtype(self)), {in.x},
                                      {.ksize = w.kernel,
                                       .strides = w.stride,
                                       .pads = {p[0], p[0], p[1], p[1], p[2], p[2]},
                                       .ceil_mode = ceil_mode,
                                       .count_include_pad = count_include_pad,
                                       .divisor_override = divisor_override.value_or(0),
                                       .data_format = "NCDHW"});
  b.layout(y, Format::kNCDHW, {0});
  return in.restore(y);
}

void need_bins(const Ints& output_size) {
  if (std::any_of(output_size.begin(), output_size.end(), [](std::int64_t n) { return n < 1; }))
    throw Unsupported("an adaptive pooling to an empty output");
}

// aten::adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor
Value adaptive_avg_pool2d(Build& b, Value self, Ints output_size) {
  need_float(b, self, "average pooling");
  const Ints size = per_dim(std::move(output_size), 2, "output_size");
  need_bins(size);
  if (size == Ints{1, 1}) return b.op<ge::ReduceMean>(b.out(), {self, b.ints({b.rank(self) - 2, b.rank(self) - 1})}, {.keep_dims = true});
  return b.op<ge::AdaptiveAvgPool2d>(b.out(), {self}, {.output_size = size});
}
// aten::adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor
Value adaptive_avg_pool1d(Build& b, Value self, Ints output_size) {
  need_float(b, self, "average pooling");
  const Ints size = per_dim(std::move(output_size), 1, "output_size");
  need_bins(size);
  const std::int64_t last = b.rank(self) - 1;
  if (size[0] == 1) return b.op<ge::ReduceMean>(b.out(), {self, b.ints({last})}, {.keep_dims = true});
  TensorType type = b.out();
  type.shape.insert(type.shape.end() - 1, Expr(1));
  return b.squeeze(b.op<ge::AdaptiveAvgPool2d>(std::move(type), {b.unsqueeze(self, last)}, {.output_size = {1, size[0]}}), last);
}

// aten::adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)
std::vector<Value> adaptive_max_pool2d(Build& b, Value self, Ints output_size) {
  need_float(b, self, "adaptive max pooling");
  const Ints size = per_dim(std::move(output_size), 2, "output_size");
  need_bins(size);
  // The prototype has no bfloat16; float32 holds it exactly.
  const DType compute = b.dtype(self) == DType::kBFloat16 ? DType::kFloat : b.dtype(self);
  const std::vector<Value> both =
      b.ops<ge::AdaptiveMaxPool2d>({b.out(0).with(compute), b.out(1)}, {b.cast(self, compute)}, {.output_size = size});
  return {b.cast(both[0], b.out(0).dtype), both[1]};
}

constexpr Converter table[] = {
    {"aten.max_pool1d.default", bind<max_pool1d>},
    {"aten.max_pool2d.default", bind<max_pool2d>},
    {"aten.max_pool3d.default", bind<max_pool3d>},
    {"aten.max_pool2d_with_indices.default", bind<max_pool_with_indices<2>>},
    {"aten.max_pool3d_with_indices.default", bind<max_pool_with_indices<3>>},
    {"aten.avg_pool1d.default", bind<avg_pool1d>},
    {"aten.avg_pool2d.default", bind<avg_pool2d>},
    {"aten.avg_pool3d.default", bind<avg_pool3d>},
    {"aten.adaptive_avg_pool1d.default", bind<adaptive_avg_pool1d>},
    {"aten.adaptive_avg_pool2d.default", bind<adaptive_avg_pool2d>},
    {"aten._adaptive_avg_pool2d.default", bind<adaptive_avg_pool2d>},
    {"aten.adaptive_max_pool2d.default", bind<adaptive_max_pool2d>},
};

}  // namespace

std::span<const Converter> pool_table() { return table; }

}  // namespace airloom::convert
