// Convolutions and transposed convolutions.
#include <fmt/format.h>

#include "convert/elementwise.h"
#include "convert/registry.h"
#include "convert/spatial.h"

namespace airloom::convert {

namespace {

/// One value per spatial dim; pads are given apart for the two ends.
struct Window {
  Ints stride, begin, end, dilation;
  Ints output_padding;  // of a transposed convolution
};

/// Spatial dims by the weight, which always has [out, in / groups, ...].
std::size_t spatial_dims(Build& b, Value weight) {
  const std::int64_t rank = b.rank(weight);
  if (rank < 3 || rank > 5) throw Unsupported(fmt::format("a convolution weight of rank {}", rank));
  return static_cast<std::size_t>(rank - 2);
}

/// GE lists run over N, C and the spatial dims.
Ints with_channels(const Ints& list, std::int64_t fill) {
  Ints out{fill, fill};
  out.insert(out.end(), list.begin(), list.end());
  return out;
}
Ints pads_of(const Window& w) {
  Ints pads;
  for (std::size_t i = 0; i < w.begin.size(); ++i) {
    pads.push_back(w.begin[i]);
    pads.push_back(w.end[i]);
  }
  return pads;
}

template <class Op>
Value forward(Build& b, const TensorType& type, Value x, Value filter, std::optional<Value> bias, const Window& w, std::int64_t groups,
              std::string_view data_format) {
  return b.op<Op>(type, {x, filter, bias},
                  {.strides = with_channels(w.stride, 1),
                   .pads = pads_of(w),
                   .dilations = with_channels(w.dilation, 1),
                   .groups = groups,
                   .data_format = std::string(data_format)});
}
template <class Op>
Value transposed(Build& b, const TensorType& type, Value x, Value filter, std::optional<Value> bias, const Window& w, std::int64_t groups,
                 std::string_view data_format) {
  // The prototype takes a float32 bias for bfloat16, and none of bfloat16.
  if (bias && b.dtype(*bias) == DType::kBFloat16) bias = b.cast(*bias, DType::kFloat);
  return b.op<Op>(type, {b.sizes(type.shape), x, filter, bias},
                  {.strides = with_channels(w.stride, 1),
                   .pads = pads_of(w),
                   .dilations = with_channels(w.dilation, 1),
                   .groups = groups,
                   .data_format = std::string(data_format),
                   .output_padding = with_channels(w.output_padding, 0)});
}

Value convolve(Build& b, Value input, Value weight, std::optional<Value> bias, Window w, bool is_transposed, std::int64_t groups) {
  const DType dtype = b.out().dtype;
  if (dtype != DType::kFloat && dtype != DType::kFloat16 && dtype != DType::kBFloat16 && dtype != DType::kDouble) {
    throw Unsupported(fmt::format("a convolution of {}; GE has float16, bfloat16 and float32", ir::info(dtype).torch));
  }
  std::size_t dims = spatial_dims(b, weight);
  const auto given = static_cast<std::size_t>(b.rank(input));
  if (given != dims + 1 && given != dims + 2) throw Unsupported(fmt::format("an input of rank {} with {} spatial dims", given, dims));
  Value x = b.cast(input, dtype);
  Value filter = b.cast(weight, dtype);
  if (bias) bias = b.cast(*bias, dtype);
  Shape shape = b.out().shape;
  const bool batched = given == dims + 2;
  if (!batched) {
    x = b.unsqueeze(x, 0);
    shape.insert(shape.begin(), Expr(1));
  }
  // A line is an image of height 1.
  const bool line = dims == 1;
  if (line) {
    x = b.unsqueeze(x, 2);
    filter = b.unsqueeze(filter, 2);
    shape.insert(shape.begin() + 2, Expr(1));
    for (Ints* list : {&w.stride, &w.dilation}) list->insert(list->begin(), 1);
    for (Ints* list : {&w.begin, &w.end, &w.output_padding}) list->insert(list->begin(), 0);
    dims = 2;
  }
  const TensorType type{dtype, std::move(shape), false};
  Value y;
  if (dims == 2 && is_transposed) {
    y = transposed<ge::Conv2DTranspose>(b, type, x, filter, bias, w, groups, "NCHW");
    b.layout(y, Format::kNCHW, {1, 2});
  } else if (dims == 2) {
    y = forward<ge::Conv2D>(b, type, x, filter, bias, w, groups, "NCHW");
    b.layout(y, Format::kNCHW, {0, 1, 2});
  } else if (is_transposed) {
    y = transposed<ge::Conv3DTranspose>(b, type, x, filter, bias, w, groups, "NCDHW");
    b.layout(y, Format::kNCDHW, {1, 2});
  } else {
    y = forward<ge::Conv3D>(b, type, x, filter, bias, w, groups, "NCDHW");
    b.layout(y, Format::kNCDHW, {0, 1});
  }
  if (line) y = b.squeeze(y, 2);
  if (!batched) y = b.squeeze(y, 0);
  return y;
}

// aten::convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed,
// SymInt[] output_padding, SymInt groups) -> Tensor
Value convolution(Build& b, Value input, Value weight, std::optional<Value> bias, Ints stride, Ints padding, Ints dilation,
                  bool is_transposed, Ints output_padding, std::int64_t groups) {
  const std::size_t dims = spatial_dims(b, weight);
  const Ints pads = per_dim(std::move(padding), dims, "padding");
  // Unused by the forward form, where torch passes whatever list it likes.
  const Ints extra = is_transposed ? per_dim(std::move(output_padding), dims, "output_padding") : Ints(dims, 0);
  return convolve(b, input, weight, bias,
                  {per_dim(std::move(stride), dims, "stride"), pads, pads, per_dim(std::move(dilation), dims, "dilation"), extra},
                  is_transposed, groups);
}

// aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] dilation=[1,
// 1], SymInt groups=1) -> Tensor
Value conv(Build& b, Value input, Value weight, std::optional<Value> bias, Ints stride, Ints padding, Ints dilation, std::int64_t groups) {
  return convolution(b, input, weight, bias, std::move(stride), std::move(padding), std::move(dilation), false, {}, groups);
}

// aten::conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], str padding="valid", SymInt[2] dilation=[1,
// 1], SymInt groups=1) -> Tensor
Value conv_padding(Build& b, Value input, Value weight, std::optional<Value> bias, Ints stride, std::string padding, Ints dilation,
                   std::int64_t groups) {
  const std::size_t dims = spatial_dims(b, weight);
  Window w{per_dim(std::move(stride), dims, "stride"), Ints(dims, 0), Ints(dims, 0), per_dim(std::move(dilation), dims, "dilation"),
           Ints(dims, 0)};
  if (padding == "same") {
    for (std::size_t i = 0; i < dims; ++i) {
      const auto kernel = b.shape(weight)[i + 2].value();
      if (!kernel) throw Unsupported("padding=\"same\" with a kernel of symbolic size");
      const std::int64_t total = w.dilation[i] * (*kernel - 1);
      w.begin[i] = total / 2;
      w.end[i] = total - total / 2;
    }
  } else if (padding != "valid") {
    throw Unsupported(fmt::format("padding \"{}\" is neither \"same\" nor \"valid\"", padding));
  }
  return convolve(b, input, weight, bias, std::move(w), false, groups);
}

// aten::conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2]
// output_padding=[0, 0], SymInt groups=1, SymInt[2] dilation=[1, 1]) -> Tensor
Value conv_transpose(Build& b, Value input, Value weight, std::optional<Value> bias, Ints stride, Ints padding, Ints output_padding,
                     std::int64_t groups, Ints dilation) {
  return convolution(b, input, weight, bias, std::move(stride), std::move(padding), std::move(dilation), true, std::move(output_padding),
                     groups);
}

constexpr Converter table[] = {
    {"aten.convolution.default", bind<convolution>},       {"aten.conv1d.default", bind<conv>},
    {"aten.conv1d.padding", bind<conv_padding>},           {"aten.conv2d.default", bind<conv>},
    {"aten.conv2d.padding", bind<conv_padding>},           {"aten.conv3d.default", bind<conv>},
    {"aten.conv3d.padding", bind<conv_padding>},           {"aten.conv_transpose1d.default", bind<conv_transpose>},
    {"aten.conv_transpose2d.input", bind<conv_transpose>}, {"aten.conv_transpose3d.input", bind<conv_transpose>},
};

}  // namespace

std::span<const Converter> conv_table() { return table; }

}  // namespace airloom::convert
