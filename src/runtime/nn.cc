// Convolutions, pooling, normalisation, resizing, embedding bags, losses.
#include <algorithm>
#include <cmath>
#include <functional>

#include "runtime/check.h"
#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::size_t us(std::int64_t v) { return static_cast<std::size_t>(v); }

/// These operators read their layout from the descriptor.
void channels_first(CheckCtx& c, std::size_t slot, bool nd_allowed) {
  const ir::Format format = slot < c.node().inputs.size() ? c.node().inputs[slot].format : ir::Format::kND;
  if (format == ir::Format::kNCHW || format == ir::Format::kNCDHW || (nd_allowed && format == ir::Format::kND)) return;
  c.refuse(fmt::format("with the layout '{}' on its input: it needs the layout NCHW or NCDHW here", ir::to_string(format)));
}
void no_channels_last(CheckCtx& c, std::size_t slot) {
  if (c.channels_last(slot)) c.refuse(fmt::format("with the layout {} on its input", ir::to_string(c.node().inputs[slot].format)));
}
void check_layout(CheckCtx& c) { channels_first(c, 0, false); }

// ---------------------------------------------------------------- windows (convolution and pooling geometry)

struct Window {
  Dims kernel, stride, dilation, front, back;
};
/// The spatial part of a list in NCHW order: 4 or 5 entries, only the spatial ones, or one for all.
Dims spatial(const Dims& list, std::size_t n, const char* what) {
  if (list.size() == n + 2) {
    if (list[0] != 1 || list[1] != 1) bad_value(fmt::format("{} of batch and channel must be 1", what));
    return {list.begin() + 2, list.end()};
  }
  if (list.size() == n) return list;
  if (list.size() == 1) return Dims(n, list[0]);
  bad_value(fmt::format("{} has {} entries", what, list.size()));
}
void set_pads(Window& w, const Dims& pads, std::size_t n) {
  w.front.clear();
  w.back.clear();
  for (std::size_t i = 0; i < n; ++i) {
    if (pads.size() == 2 * n) {
      w.front.push_back(pads[2 * i]);
      w.back.push_back(pads[2 * i + 1]);
    } else if (pads.size() == n || pads.size() == 1) {
      w.front.push_back(pads[pads.size() == 1 ? 0 : i]);
      w.back.push_back(w.front.back());
    } else {
      bad_value(fmt::format("{} pads for {} dimensions", pads.size(), n));
    }
  }
}
void check_window(const Window& w) {
  for (std::size_t i = 0; i < w.kernel.size(); ++i) {
    if (w.kernel[i] < 1 || w.stride[i] < 1 || w.dilation[i] < 1 || w.front[i] < 0 || w.back[i] < 0)
      bad_value("kernel, stride and dilation must be positive, pads not negative");
  }
}
void same_pads(Window& w, const Dims& in) {
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::int64_t total =
        std::max<std::int64_t>(0, (ceil_div(in[i], w.stride[i]) - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1 - in[i]);
    w.front[i] = total / 2;
    w.back[i] = total - total / 2;
  }
}
/// Output sizes; `ceil` with torch's rule that the last window starts inside the input or the front pad.
Dims out_sizes(const Window& w, const Dims& in, bool ceil) {
  Dims out;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::int64_t span = in[i] + w.front[i] + w.back[i] - (w.kernel[i] - 1) * w.dilation[i] - 1;
    if (span < 0) bad_value(fmt::format("the kernel is larger than the padded input {}", dims_text(in)));
    std::int64_t n = (ceil ? ceil_div(span, w.stride[i]) : span / w.stride[i]) + 1;
    if (ceil && (n - 1) * w.stride[i] >= in[i] + w.front[i]) --n;
    out.push_back(n);
  }
  return out;
}
Dims tail(const Dims& shape) { return {shape.begin() + 2, shape.end()}; }
Dims with_tail(const Dims& shape, const Dims& sizes) {
  Dims out(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(sizes.size()));
  out.insert(out.end(), sizes.begin(), sizes.end());
  return out;
}

// ---------------------------------------------------------------- host: convolution

/// Calls f(in, out, kernel) with flat spatial positions for all that meet.
template <class F>
void sweep(const Window& w, const Dims& in, const Dims& out, F&& f) {
  const Dims in_strides = row_strides(in);
  for_each(out, [&](const Dims& o, std::int64_t out_at) {
    for_each(w.kernel, [&](const Dims& k, std::int64_t k_at) {
      std::int64_t in_at = 0;
      for (std::size_t d = 0; d < in.size(); ++d) {
        const std::int64_t p = o[d] * w.stride[d] - w.front[d] + k[d] * w.dilation[d];
        if (p < 0 || p >= in[d]) return;
        in_at += p * in_strides[d];
      }
      f(in_at, out_at, k_at);
    });
  });
}

/// Offsets are those of quantised operands.
void check_conv(CheckCtx& c) {
  const bool transposed = c.node().type.ends_with("Transpose");
  channels_first(c, c.slot("x", transposed ? 1 : 0), false);
  const std::size_t filter = c.slot("filter", transposed ? 2 : 1);
  if (filter < c.node().inputs.size() && (c.channels_last(filter) || c.node().inputs[filter].format == ir::Format::kOther))
    c.refuse("with a filter whose layout has the channels last");
  c.unread("offset_w", transposed ? 4 : 3);
  c.only("offset_x", 0, 0);
  c.only("pad_mode", {"SPECIFIC"});
}
Window conv_window(const NodeView& n, const Dims& kernel) {
  Window w;
  const std::size_t rank = kernel.size();
  w.kernel = kernel;
  w.stride = spatial(n.attr_ints("strides"), rank, "strides");
  w.dilation = spatial(n.attr_ints("dilations", Dims(rank + 2, 1)), rank, "dilations");
  set_pads(w, n.attr_ints("pads", Dims(2 * rank, 0)), rank);
  check_window(w);
  return w;
}
void host_conv(HostCtx& c) {
  const Tensor& x = c.in("x", 0);
  const Tensor& f = c.in("filter", 1);
  const Tensor bias = c.maybe("bias", 2);
  if (x.rank() < 4 || f.rank() != x.rank() || x.dtype != f.dtype)
    bad_value(fmt::format("{} of {} with filter {}", c.node().type, dims_text(x.shape), dims_text(f.shape)));
  const Window w = conv_window(c, tail(f.shape));
  std::int64_t groups = c.attr_int("groups", 1);
  if (groups == 1 && x.shape[1] != f.shape[1] && f.shape[1] != 0 && x.shape[1] % f.shape[1] == 0)
    groups = x.shape[1] / f.shape[1];  // as shape inference does
  if (groups < 1 || x.shape[1] != f.shape[1] * groups || f.shape[0] % groups != 0)
    bad_value(fmt::format("{} groups do not fit {} and {}", groups, dims_text(x.shape), dims_text(f.shape)));
  const Dims in = tail(x.shape);
  const Dims out = out_sizes(w, in, false);
  Dims full{x.shape[0], f.shape[0]};
  full.insert(full.end(), out.begin(), out.end());
  const std::int64_t in_n = count(in);
  const std::int64_t out_n = count(out);
  const std::int64_t k_n = count(w.kernel);
  const std::int64_t per_in = f.shape[1];
  const std::int64_t per_out = f.shape[0] / groups;
  const std::vector<double> xv = values<double>(x);
  const std::vector<double> fv = values<double>(f);
  std::vector<double> y(us(count(full)), 0.0);
  for (std::int64_t n = 0; n < x.shape[0]; ++n) {
    for (std::int64_t o = 0; o < f.shape[0]; ++o) {
      double* to = y.data() + (n * f.shape[0] + o) * out_n;
      for (std::int64_t i = 0; i < per_in; ++i) {
        const double* from = xv.data() + (n * x.shape[1] + o / per_out * per_in + i) * in_n;
        const double* kernel = fv.data() + (o * per_in + i) * k_n;
        sweep(w, in, out, [&](std::int64_t a, std::int64_t b, std::int64_t k) { to[b] += from[a] * kernel[k]; });
      }
    }
  }
  if (bias.present()) {
    if (bias.numel() != f.shape[0]) bad_value("the bias does not fit the filter");
    const std::vector<double> b = values<double>(bias);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += b[i / us(std::max<std::int64_t>(out_n, 1)) % b.size()];
  }
  c.out(0, make(x.dtype == DType::kInt8 ? DType::kInt32 : x.dtype, full, y));
}

struct TransposeGeometry {
  Window w;
  Dims out;
};
TransposeGeometry transpose_geometry(const NodeView& n, const Dims& x, const Dims& filter, const Dims& input_size) {
  TransposeGeometry g;
  g.w = conv_window(n, tail(filter));
  const std::size_t rank = g.w.kernel.size();
  const Dims extra = spatial(
      [&] {
        Dims list = n.attr_ints("output_padding", Dims(rank + 2, 0));
        if (list.size() == rank + 2) list[0] = list[1] = 1;
        return list;
      }(),
      rank, "output_padding");
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t size =
        (x[i + 2] - 1) * g.w.stride[i] - g.w.front[i] - g.w.back[i] + g.w.dilation[i] * (g.w.kernel[i] - 1) + extra[i] + 1;
    const bool derived = std::all_of(input_size.begin(), input_size.end(), [](std::int64_t v) { return v == 0; });
    if (!derived && (input_size.size() != x.size() || input_size[i + 2] != size))
      bad_value(fmt::format("input_size {} does not fit the attributes: dimension {} is {}", dims_text(input_size), i + 2, size));
    if (size < 1) bad_value("an output dimension below 1");
    g.out.push_back(size);
  }
  return g;
}
void host_conv_transpose(HostCtx& c) {
  const Tensor& x = c.in("x", 1);
  const Tensor& f = c.in("filter", 2);
  const Tensor bias = c.maybe("bias", 3);
  const std::int64_t groups = c.attr_int("groups", 1);
  if (x.rank() < 4 || f.rank() != x.rank() || f.shape[0] != x.shape[1] || groups < 1 || x.shape[1] % groups != 0)
    bad_value(fmt::format("{} of {} with filter {}", c.node().type, dims_text(x.shape), dims_text(f.shape)));
  const TransposeGeometry g = transpose_geometry(c, x.shape, f.shape, ints(c.in("input_size", 0)));
  const std::int64_t channels = f.shape[1] * groups;
  Dims full{x.shape[0], channels};
  full.insert(full.end(), g.out.begin(), g.out.end());
  const Dims in = tail(x.shape);
  const std::int64_t in_n = count(in);
  const std::int64_t out_n = count(g.out);
  const std::int64_t k_n = count(g.w.kernel);
  const std::vector<double> xv = values<double>(x);
  const std::vector<double> fv = values<double>(f);
  std::vector<double> y(us(count(full)), 0.0);
  const std::int64_t per_in = x.shape[1] / groups;
  for (std::int64_t n = 0; n < x.shape[0]; ++n) {
    for (std::int64_t i = 0; i < x.shape[1]; ++i) {
      for (std::int64_t o = 0; o < f.shape[1]; ++o) {
        const double* from = xv.data() + (n * x.shape[1] + i) * in_n;
        const double* kernel = fv.data() + (i * f.shape[1] + o) * k_n;
        double* to = y.data() + (n * channels + i / per_in * f.shape[1] + o) * out_n;
        // The forward convolution's geometry with input and output changing places.
        sweep(g.w, g.out, in, [&](std::int64_t a, std::int64_t b, std::int64_t k) { to[a] += from[b] * kernel[k]; });
      }
    }
  }
  if (bias.present()) {
    if (bias.numel() != channels) bad_value("the bias does not fit the filter");
    const std::vector<double> b = values<double>(bias);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += b[i / us(std::max<std::int64_t>(out_n, 1)) % b.size()];
  }
  c.out(0, make(x.dtype, full, y));
}

// ---------------------------------------------------------------- host: pooling

void check_pool(CheckCtx& c) {
  const std::string& type = c.node().type;
  if (type == "MaxPoolWithArgmaxV3" || type == "MaxPool3DWithArgmaxV2") {
    c.only("data_format", {"NCHW", "NCDHW"});
    no_channels_last(c, 0);
    return;
  }
  channels_first(c, 0, type == "MaxPoolV3");
  c.only(type == "MaxPool3D" ? "padding" : "padding_mode", {"CALCULATED", "SAME", "VALID"});
  if (type == "MaxPoolWithArgmaxV1" && c.read(1))
    c.only("dtype", static_cast<std::int64_t>(DType::kInt32), static_cast<std::int64_t>(DType::kInt32));
}
struct Pool {
  Window w;
  Dims out;
  bool ceil = false;
};
Pool pool_of(const NodeView& n, const Dims& x, std::size_t rank) {
  const std::string& type = n.node().type;
  const Dims in(x.end() - static_cast<std::ptrdiff_t>(rank), x.end());
  Pool p;
  if (type == "MaxPoolWithArgmaxV1") {  // [1, kh, kw, 1] whatever the layout
    const auto middle = [&](const char* name, std::optional<Dims> fallback) {
      const Dims list = n.attr_ints(name, std::move(fallback));
      if (list.size() != 4 || list[0] != 1 || list[3] != 1) bad_value(fmt::format("{} must be [1, h, w, 1]", name));
      return Dims{list[1], list[2]};
    };
    p.w = {middle("ksize", {}), middle("strides", {}), middle("dilation", Dims{1, 1, 1, 1}), {}, {}};
    set_pads(p.w, middle("pads", {}), rank);
    p.ceil = n.attr_bool("ceil_mode", false);
  } else {
    p.w.kernel = spatial(n.attr_ints("ksize"), rank, "ksize");
    p.w.stride = spatial(n.attr_ints("strides"), rank, "strides");
    p.w.dilation = spatial(n.attr_ints("dilation", Dims(rank, 1)), rank, "dilation");
    set_pads(p.w, n.attr_ints("pads", Dims(rank, 0)), rank);
    p.ceil = n.attr_bool("ceil_mode", false);
    if (n.attr_bool("global_pooling", false)) {
      p.w.kernel = p.w.stride = in;
      p.w.front = p.w.back = Dims(rank, 0);
    } else {
      const std::string mode = n.attr_string(type == "MaxPool3D" ? "padding" : "padding_mode", "CALCULATED");
      if (mode == "SAME") same_pads(p.w, in);
      if (mode == "VALID") p.w.front = p.w.back = Dims(rank, 0);
      if (mode != "CALCULATED") p.ceil = false;
    }
  }
  check_window(p.w);
  p.out = out_sizes(p.w, in, p.ceil);
  return p;
}
void max_pool(HostCtx& c, std::size_t rank, bool argmax) {
  const Tensor& x = c.in(0);
  if (x.rank() != static_cast<std::int64_t>(rank) + 2 && !(argmax && x.rank() == static_cast<std::int64_t>(rank) + 1))
    bad_value(fmt::format("{} of shape {}", c.node().type, dims_text(x.shape)));
  const Pool p = pool_of(c, x.shape, rank);
  const Dims in(x.shape.end() - static_cast<std::ptrdiff_t>(rank), x.shape.end());
  const Dims shape = with_tail(x.shape, p.out);
  const std::int64_t in_n = count(in);
  const std::int64_t out_n = count(p.out);
  const std::vector<double> v = values<double>(x);
  std::vector<double> y(us(count(shape)), -INFINITY);
  std::vector<std::int64_t> at(y.size(), -1);
  for (std::int64_t plane = 0; in_n != 0 && plane < x.numel() / in_n; ++plane) {
    sweep(p.w, in, p.out, [&](std::int64_t a, std::int64_t b, std::int64_t) {
      const double e = v[us(plane * in_n + a)];
      double& best = y[us(plane * out_n + b)];
      std::int64_t& where = at[us(plane * out_n + b)];
      if (where < 0 || std::isnan(e) || e > best) {
        best = e;
        where = a;
      }
    });
  }
  c.out(0, make(x.dtype, shape, y));
  if (argmax && c.out_count() > 1)
    c.out(1, make(c.attr_int("dtype", 3) == 3 || c.node().type == "MaxPoolWithArgmaxV1" ? DType::kInt32 : DType::kInt64, shape, at));
}
void host_max_pool(HostCtx& c) { max_pool(c, 2, false); }
void host_max_pool3d(HostCtx& c) { max_pool(c, 3, false); }
void host_max_pool_arg(HostCtx& c) { max_pool(c, 2, true); }
void host_max_pool3d_arg(HostCtx& c) { max_pool(c, 3, true); }

void avg_pool(HostCtx& c, std::size_t rank) {
  const Tensor& x = c.in(0);
  if (x.rank() != static_cast<std::int64_t>(rank) + 2) bad_value(fmt::format("{} of shape {}", c.node().type, dims_text(x.shape)));
  const Pool p = pool_of(c, x.shape, rank);
  const Dims in = tail(x.shape);
  const Dims shape = with_tail(x.shape, p.out);
  const bool with_pad = rank == 2 ? !c.attr_bool("exclusive", true) : c.attr_bool("count_include_pad", true);
  const std::int64_t override_by = c.attr_int("divisor_override", 0);
  const std::int64_t in_n = count(in);
  const std::int64_t out_n = count(p.out);
  const std::vector<double> v = values<double>(x);
  std::vector<double> divisor(us(out_n), 0.0);
  for_each(p.out, [&](const Dims& o, std::int64_t at) {
    double n = 1;
    for (std::size_t d = 0; d < rank; ++d) {
      const std::int64_t begin = o[d] * p.w.stride[d] - p.w.front[d];
      const std::int64_t end = begin + p.w.kernel[d];
      n *= static_cast<double>(with_pad ? std::min(end, in[d] + p.w.back[d]) - begin
                                        : std::max<std::int64_t>(0, std::min(end, in[d]) - std::max<std::int64_t>(begin, 0)));
    }
    divisor[us(at)] = override_by != 0 ? static_cast<double>(override_by) : n;
  });
  std::vector<double> y(us(count(shape)), 0.0);
  for (std::int64_t plane = 0; in_n != 0 && plane < x.numel() / in_n; ++plane) {
    sweep(p.w, in, p.out, [&](std::int64_t a, std::int64_t b, std::int64_t) { y[us(plane * out_n + b)] += v[us(plane * in_n + a)]; });
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double d = divisor[i % divisor.size()];
    y[i] = d == 0 ? 0.0 : y[i] / d;
  }
  c.out(0, make(x.dtype, shape, y));
}
void host_avg_pool(HostCtx& c) { avg_pool(c, 2); }
void host_avg_pool3d(HostCtx& c) { avg_pool(c, 3); }

void check_adaptive_avg3(CheckCtx& c) {
  c.only("data_format", {"NCDHW"});
  no_channels_last(c, 0);
}
void adaptive(HostCtx& c, std::size_t rank, bool max) {
  const Tensor& x = c.in(0);
  Dims size = c.attr_ints("output_size");
  if (size.size() == 1) size = Dims(rank, size[0]);
  if (size.size() != rank || x.rank() < static_cast<std::int64_t>(rank) + 1)
    bad_value(fmt::format("{} of shape {}", c.node().type, dims_text(x.shape)));
  const Dims in(x.shape.end() - static_cast<std::ptrdiff_t>(rank), x.shape.end());
  const Dims shape = with_tail(x.shape, size);
  const std::int64_t in_n = count(in);
  if (in_n == 0 || std::any_of(size.begin(), size.end(), [](std::int64_t s) { return s < 1; }))
    bad_value("adaptive pooling of an empty dimension");
  const Dims strides = row_strides(in);
  const std::vector<double> v = values<double>(x);
  std::vector<double> y;
  std::vector<std::int64_t> at;
  for (std::int64_t plane = 0; plane < x.numel() / in_n; ++plane) {
    for_each(size, [&](const Dims& o, std::int64_t) {
      Dims begin;
      Dims span;
      for (std::size_t d = 0; d < rank; ++d) {
        begin.push_back(o[d] * in[d] / size[d]);
        span.push_back(ceil_div((o[d] + 1) * in[d], size[d]) - begin[d]);
      }
      double sum = max ? -INFINITY : 0;
      std::int64_t where = dot(begin, strides);
      for_each(span, [&](const Dims& k, std::int64_t) {
        const std::int64_t p = dot(begin, strides) + dot(k, strides);
        const double e = v[us(plane * in_n + p)];
        if (!max) {
          sum += e;
        } else if (e > sum || std::isnan(e)) {
          sum = e;
          where = p;
        }
      });
      y.push_back(max ? sum : sum / static_cast<double>(count(span)));
      at.push_back(where);
    });
  }
  c.out(0, make(x.dtype, shape, y));
  if (max && c.out_count() > 1) c.out(1, make(c.has_attr("indices_dtype") ? c.attr_dtype("indices_dtype") : c.out_dtype(1), shape, at));
}
void host_adaptive_avg2(HostCtx& c) { adaptive(c, 2, false); }
void host_adaptive_avg3(HostCtx& c) { adaptive(c, 3, false); }
void host_adaptive_max2(HostCtx& c) { adaptive(c, 2, true); }
void host_adaptive_max3(HostCtx& c) { adaptive(c, 3, true); }

// ---------------------------------------------------------------- host: normalisation

/// Mean and population variance of rows of `n` consecutive elements.
struct Stats {
  std::vector<double> mean, var;
};
Stats row_stats(const std::vector<double>& v, std::int64_t n) {
  Stats s;
  if (n == 0) return s;
  for (std::size_t start = 0; start < v.size(); start += us(n)) {
    double sum = 0;
    for (std::size_t i = start; i < start + us(n); ++i) sum += v[i];
    const double mean = sum / static_cast<double>(n);
    double var = 0;
    for (std::size_t i = start; i < start + us(n); ++i) var += (v[i] - mean) * (v[i] - mean);
    s.mean.push_back(mean);
    s.var.push_back(var / static_cast<double>(n));
  }
  return s;
}
std::vector<double> rstd_of(std::vector<double> var, double eps) {
  for (double& e : var) e = 1 / std::sqrt(e + eps);
  return var;
}
Dims stat_shape(const Dims& x, std::int64_t trailing) {
  Dims shape = x;
  for (std::int64_t i = 0; i < trailing; ++i) shape[shape.size() - 1 - us(i)] = 1;
  return shape;
}
/// Rows normalised over the last `trailing` dimensions.
void layer_norm(HostCtx& c, const Tensor& x, const Tensor& gamma, const Tensor& beta, std::int64_t trailing, double eps, bool variance,
                DType stat_type) {
  if (trailing < 0 || trailing > x.rank()) bad_value("more normalised dimensions than x has");
  const Dims inner(x.shape.end() - trailing, x.shape.end());
  const std::int64_t n = count(inner);
  std::vector<double> v = values<double>(x);
  const Stats s = row_stats(v, n);
  const std::vector<double> rstd = rstd_of(s.var, eps);
  // Parameters may have more dimensions than are normalised: begin_params_axis.
  const auto parameter = [&](const Tensor& t, double none) {
    return t.present() ? stretched<double>(t, t.rank() > trailing ? x.shape : inner) : std::vector<double>(us(n), none);
  };
  const std::vector<double> g = parameter(gamma, 1.0);
  const std::vector<double> b = parameter(beta, 0.0);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = (v[i] - s.mean[i / us(n)]) * rstd[i / us(n)] * g[i % g.size()] + b[i % b.size()];
  c.out(0, make(x.dtype, x.shape, v));
  c.out(1, make(stat_type, stat_shape(x.shape, trailing), s.mean));
  c.out(2, make(stat_type, stat_shape(x.shape, trailing), variance ? s.var : rstd));
}
void host_layer_norm(HostCtx& c) {
  const Tensor& x = c.in(0);
  const bool v3 = c.node().type == "LayerNormV3";
  const std::int64_t axis = wrap_axis(c.attr_int("begin_norm_axis", 0), x.rank());
  layer_norm(c, x, c.in("gamma", 1), c.in("beta", 2), x.rank() - axis, c.attr_float("epsilon", v3 ? 1e-5 : 1e-7), !v3, x.dtype);
}
void host_layer_norm_v4(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims normalized = ints(c.in("normalized_shape", 1));
  const auto k = static_cast<std::int64_t>(normalized.size());
  if (k > x.rank() || !std::equal(normalized.begin(), normalized.end(), x.shape.end() - k))
    bad_value(fmt::format("normalized_shape {} does not end {}", dims_text(normalized), dims_text(x.shape)));
  layer_norm(c, x, c.maybe("gamma", 2), c.maybe("beta", 3), k, c.attr_float("epsilon", 1e-5), false,
             x.dtype == DType::kDouble ? DType::kDouble : DType::kFloat);
}
void host_add_layer_norm(HostCtx& c) {
  const Tensor& a = c.in("x1", 0);
  const Tensor& b = c.in("x2", 1);
  const Tensor bias = c.maybe("bias", 4);
  const DType dtype = a.dtype == b.dtype ? a.dtype : DType::kFloat;
  std::vector<double> v = values<double>(a);
  const std::vector<double> w = stretched<double>(b, a.shape);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += w[i];
  if (bias.present()) {
    const std::vector<double> add = stretched<double>(bias, a.shape);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] += add[i];
  }
  const Tensor& gamma = c.in("gamma", 2);
  layer_norm(c, make(dtype, a.shape, v), gamma, c.in("beta", 3), gamma.rank(), c.attr_float("epsilon", 1e-5), false, DType::kFloat);
  c.out(3, make(dtype, a.shape, v));
}
void rms_norm(HostCtx& c, const Tensor& x, const Tensor& gamma, double eps) {
  const std::int64_t k = gamma.rank();
  if (k > x.rank()) bad_value("gamma has more dimensions than x");
  const Dims inner(x.shape.end() - k, x.shape.end());
  const std::int64_t n = count(inner);
  std::vector<double> v = values<double>(x);
  const std::vector<double> g = stretched<double>(gamma, inner);
  std::vector<double> rstd;
  for (std::size_t start = 0; n != 0 && start < v.size(); start += us(n)) {
    double sum = 0;
    for (std::size_t i = start; i < start + us(n); ++i) sum += v[i] * v[i];
    rstd.push_back(1 / std::sqrt(sum / static_cast<double>(n) + eps));
    for (std::size_t i = start; i < start + us(n); ++i) v[i] = v[i] * rstd.back() * g[i - start];
  }
  c.out(0, make(x.dtype, x.shape, v));
  c.out(1, make(x.dtype == DType::kDouble ? DType::kDouble : DType::kFloat, stat_shape(x.shape, k), rstd));
}
void host_rms_norm(HostCtx& c) { rms_norm(c, c.in(0), c.in("gamma", 1), c.attr_float("epsilon", 1e-6)); }
void host_add_rms_norm(HostCtx& c) {
  const Tensor& a = c.in(0);
  if (a.shape != c.in(1).shape) bad_value("AddRmsNorm needs equal shapes");
  std::vector<double> v = values<double>(a);
  const std::vector<double> w = values<double>(c.in(1));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += w[i];
  const Tensor sum = make(a.dtype, a.shape, v);
  rms_norm(c, sum, c.in("gamma", 2), c.attr_float("epsilon", 1e-6));
  c.out(2, sum);
}
void check_group_norm(CheckCtx& c) {
  if (c.node().type == "GroupNorm") c.only("data_format", {"NCHW"});  // the others go by the descriptor alone
  no_channels_last(c, 0);
}
void host_group_norm(HostCtx& c) {
  const std::string& type = c.node().type;
  const Tensor& x = c.in(0);
  const Tensor gamma = c.maybe("gamma", 1);
  const Tensor beta = c.maybe("beta", 2);
  const std::int64_t groups = c.attr_int("num_groups");
  if (x.rank() < 2 || groups < 1 || x.shape[1] % groups != 0)
    bad_value(fmt::format("{} groups do not divide shape {}", groups, dims_text(x.shape)));
  const double eps = c.attr_float("eps", type == "GroupNorm" ? 1e-4 : 1e-5);
  const std::int64_t plane = x.numel() == 0 ? 1 : x.numel() / (x.shape[0] * x.shape[1]);
  const std::int64_t n = x.shape[1] / groups * plane;
  std::vector<double> v = values<double>(x);
  const Stats s = row_stats(v, n);
  const std::vector<double> rstd = rstd_of(s.var, eps);
  const Dims channels{x.shape[1]};
  const std::vector<double> g = gamma.present() ? stretched<double>(gamma, channels) : std::vector<double>(us(x.shape[1]), 1.0);
  const std::vector<double> b = beta.present() ? stretched<double>(beta, channels) : std::vector<double>(us(x.shape[1]), 0.0);
  const bool silu = type == "GroupNormSilu" && c.attr_bool("activate_silu", true);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::size_t channel = i / us(plane) % us(x.shape[1]);
    double e = (v[i] - s.mean[i / us(n)]) * rstd[i / us(n)] * g[channel] + b[channel];
    v[i] = silu ? e / (1 + std::exp(-e)) : e;
  }
  const Dims stats = type == "GroupNormV2" ? Dims{x.shape[0] * groups} : Dims{x.shape[0], groups};
  c.out(0, make(x.dtype, x.shape, v));
  c.out(1, make(x.dtype, stats, s.mean));
  c.out(2, make(x.dtype, stats, type == "GroupNorm" ? s.var : rstd));
}
void check_instance_norm(CheckCtx& c) { no_channels_last(c, 0); }
void host_instance_norm(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() < 3) bad_value("InstanceNorm needs spatial dimensions");
  const std::int64_t n = count(tail(x.shape));
  std::vector<double> v = values<double>(x);
  const Stats s = row_stats(v, n);
  const std::vector<double> rstd = rstd_of(s.var, c.attr_float("epsilon", 1e-6));
  const std::vector<double> g = stretched<double>(c.in("gamma", 1), {x.shape[1]});
  const std::vector<double> b = stretched<double>(c.in("beta", 2), {x.shape[1]});
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::size_t row = i / us(n);
    v[i] = (v[i] - s.mean[row]) * rstd[row] * g[row % g.size()] + b[row % b.size()];
  }
  const DType stat_type = c.in("gamma", 1).dtype;
  c.out(0, make(x.dtype, x.shape, v));
  c.out(1, make(stat_type, stat_shape(x.shape, x.rank() - 2), s.mean));
  c.out(2, make(stat_type, stat_shape(x.shape, x.rank() - 2), s.var));
}
/// y = (x - mean) * rstd * scale + offset per channel (dimension 1).
Tensor per_channel(const Tensor& x, const std::vector<double>& mean, const std::vector<double>& rstd, const std::vector<double>& scale,
                   const std::vector<double>& offset) {
  const std::int64_t plane = x.numel() == 0 ? 1 : x.numel() / (x.shape[0] * x.shape[1]);
  std::vector<double> v = values<double>(x);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::size_t k = i / us(plane) % mean.size();
    v[i] = (v[i] - mean[k]) * rstd[k] * scale[k] + offset[k];
  }
  return make(x.dtype, x.shape, v);
}
void host_bn_infer(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() < 2) bad_value("batch normalisation needs a channel dimension");
  const Dims channels{x.shape[1]};
  c.out(0, per_channel(x, stretched<double>(c.in("mean", 3), channels),
                       rstd_of(stretched<double>(c.in("variance", 4), channels), c.attr_float("epsilon", 1e-4)),
                       stretched<double>(c.in("scale", 1), channels), stretched<double>(c.in("offset", 2), channels)));
}
void host_batch_norm_v3(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() < 2) bad_value("batch normalisation needs a channel dimension");
  const Dims channels{x.shape[1]};
  const double eps = c.attr_float("epsilon", 1e-5);
  const Tensor& running_mean = c.in("running_mean", 3);
  const Tensor& running_var = c.in("running_var", 4);
  std::vector<double> mean = stretched<double>(running_mean, channels);
  std::vector<double> var = stretched<double>(running_var, channels);
  std::vector<double> new_mean = mean;
  std::vector<double> new_var = var;
  if (c.attr_bool("is_training", true)) {
    const std::int64_t plane = x.numel() == 0 ? 1 : x.numel() / (x.shape[0] * x.shape[1]);
    const auto n = static_cast<double>(plane * x.shape[0]);
    const std::vector<double> v = values<double>(x);
    std::fill(mean.begin(), mean.end(), 0.0);
    std::fill(var.begin(), var.end(), 0.0);
    for (std::size_t i = 0; i < v.size(); ++i) mean[i / us(plane) % mean.size()] += v[i] / n;
    for (std::size_t i = 0; i < v.size(); ++i) {
      const std::size_t k = i / us(plane) % mean.size();
      var[k] += (v[i] - mean[k]) * (v[i] - mean[k]) / n;
    }
    const double momentum = c.attr_float("momentum", 0.1);
    for (std::size_t k = 0; k < mean.size(); ++k) {
      new_mean[k] = (1 - momentum) * new_mean[k] + momentum * mean[k];
      new_var[k] = (1 - momentum) * new_var[k] + momentum * var[k] * n / (n - 1);
    }
  }
  const std::vector<double> rstd = rstd_of(var, eps);
  c.out(0, per_channel(x, mean, rstd, stretched<double>(c.in("weight", 1), channels), stretched<double>(c.in("bias", 2), channels)));
  c.out(1, make(running_mean.dtype, channels, new_mean));
  c.out(2, make(running_var.dtype, channels, new_var));
  c.out(3, make(DType::kFloat, channels, mean));
  c.out(4, make(DType::kFloat, channels, rstd));
}

// ---------------------------------------------------------------- host: resizing, patches, bags

void check_resize_nearest(CheckCtx& c) {
  channels_first(c, 0, false);
  if (!c.has_attr("scales")) return;
  const std::vector<double> scales = c.attr_floats("scales");
  if (std::any_of(scales.begin(), scales.end(), [](double scale) { return scale != 0; }))
    c.refuse(fmt::format("with scales = [{}]", fmt::join(scales, ", ")));
}
void host_resize_nearest(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims size = ints(c.in("size", 1));
  if (x.rank() != 4 || size.size() != 2 || x.shape[2] < 1 || x.shape[3] < 1)
    bad_value("ResizeNearestNeighborV2 needs four dimensions and two sizes");
  const bool half = c.attr_bool("half_pixel_centers", false);
  const bool corners = c.attr_bool("align_corners", false);
  const auto source = [&](std::int64_t i, std::int64_t in, std::int64_t out) {
    const float ratio = static_cast<float>(in) / static_cast<float>(out);
    double at = std::floor(static_cast<float>(i) * ratio);
    if (corners && out > 1)
      at = std::round(static_cast<float>(i) * (static_cast<float>(in - 1) / static_cast<float>(out - 1)));
    else if (half)
      at = std::floor((static_cast<float>(i) + 0.5F) * ratio);
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(at), 0, in - 1);
  };
  const Dims shape{x.shape[0], x.shape[1], size[0], size[1]};
  std::vector<std::int64_t> map;
  for_each(shape, [&](const Dims& i, std::int64_t) {
    map.push_back(((i[0] * x.shape[1] + i[1]) * x.shape[2] + source(i[2], x.shape[2], size[0])) * x.shape[3] +
                  source(i[3], x.shape[3], size[1]));
  });
  c.out(0, pick(x, shape, map));
}
/// Linear interpolation over the last `rank` dimensions.
void resize_linear(HostCtx& c, std::size_t rank, DType to) {
  const Tensor& x = c.in(0);
  const Dims size = ints(c.in("size", 1));
  if (x.rank() != static_cast<std::int64_t>(rank) + 2 || size.size() != rank)
    bad_value(fmt::format("{} of {} to {}", c.node().type, dims_text(x.shape), dims_text(size)));
  const bool half = c.attr_bool("half_pixel_centers", false);
  const bool corners = c.attr_bool("align_corners", false);
  const Dims in = tail(x.shape);
  if (count(in) == 0) bad_value("resizing an empty image");
  struct Tap {
    std::int64_t low, high;
    double weight;
  };
  std::vector<std::vector<Tap>> taps(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    for (std::int64_t i = 0; i < size[d]; ++i) {
      const double ratio = static_cast<double>(in[d]) / static_cast<double>(size[d]);
      double at = static_cast<double>(i) * ratio;
      if (corners)
        at = size[d] > 1 ? static_cast<double>(i) * static_cast<double>(in[d] - 1) / static_cast<double>(size[d] - 1) : 0.0;
      else if (half)
        at = std::max(0.0, (static_cast<double>(i) + 0.5) * ratio - 0.5);
      const auto low = std::min(static_cast<std::int64_t>(at), in[d] - 1);
      taps[d].push_back({low, std::min(low + 1, in[d] - 1), at - static_cast<double>(low)});
    }
  }
  const Dims strides = row_strides(in);
  const std::int64_t in_n = count(in);
  const std::vector<double> v = values<double>(x);
  const Dims shape = with_tail(x.shape, size);
  std::vector<double> y;
  for (std::int64_t plane = 0; plane < x.numel() / in_n; ++plane) {
    for_each(size, [&](const Dims& i, std::int64_t) {
      double sum = 0;
      for (std::size_t corner = 0; corner < (std::size_t{1} << rank); ++corner) {
        double weight = 1;
        std::int64_t at = 0;
        for (std::size_t d = 0; d < rank; ++d) {
          const Tap& tap = taps[d][us(i[d])];
          const bool high = ((corner >> d) & 1U) != 0;
          weight *= high ? tap.weight : 1 - tap.weight;
          at += (high ? tap.high : tap.low) * strides[d];
        }
        if (weight != 0) sum += weight * v[us(plane * in_n + at)];
      }
      y.push_back(sum);
    });
  }
  c.out(0, make(to, shape, y));
}
void host_resize_bilinear(HostCtx& c) { resize_linear(c, 2, c.attr_dtype("dtype", DType::kFloat)); }
void host_resize_trilinear(HostCtx& c) { resize_linear(c, 3, c.in(0).dtype); }

void check_im2col(CheckCtx& c) {
  channels_first(c, 0, false);
  c.only("padding_mode", {"CALCULATED", "SAME", "VALID"});
}
void host_im2col(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() != 4) bad_value("Im2col needs four dimensions");
  Window w;
  w.kernel = spatial(c.attr_ints("ksizes"), 2, "ksizes");
  w.stride = spatial(c.attr_ints("strides", Dims{1}), 2, "strides");
  w.dilation = spatial(c.attr_ints("dilations", Dims{1}), 2, "dilations");
  set_pads(w, c.attr_ints("pads", Dims{0}), 2);
  const Dims in = tail(x.shape);
  const std::string mode = c.attr_string("padding_mode", "CALCULATED");
  if (mode == "SAME") same_pads(w, in);
  if (mode == "VALID") w.front = w.back = {0, 0};
  check_window(w);
  const Dims out = out_sizes(w, in, false);
  const std::int64_t in_n = count(in);
  const std::int64_t out_n = count(out);
  const std::int64_t k_n = count(w.kernel);
  const Dims shape{x.shape[0], x.shape[1] * k_n, out[0], out[1]};
  std::vector<std::int64_t> map(us(count(shape)), -1);
  for (std::int64_t plane = 0; plane < x.shape[0] * x.shape[1]; ++plane) {
    sweep(w, in, out, [&](std::int64_t a, std::int64_t b, std::int64_t k) { map[us((plane * k_n + k) * out_n + b)] = plane * in_n + a; });
  }
  c.out(0, pick(x, shape, map));
}
void host_col2im(HostCtx& c) {
  const bool v2 = c.node().type == "Col2ImV2";
  const Tensor& x = c.in(0);
  const Dims size = ints(c.in("output_size", 1));
  Window w;
  w.kernel = v2 ? ints(c.in("kernel_size", 2)) : c.attr_ints("kernel_size");
  w.stride = spatial(c.attr_ints("stride", Dims{1}), 2, "stride");
  w.dilation = spatial(c.attr_ints("dilation", Dims{1}), 2, "dilation");
  set_pads(w, c.attr_ints("padding", Dims{0}), 2);
  if (w.kernel.size() != 2 || size.size() != 2 || x.rank() != (v2 ? 3 : 4)) bad_value("Col2im: shapes do not fit");
  check_window(w);
  const Dims blocks = out_sizes(w, size, false);
  const std::int64_t k_n = count(w.kernel);
  const std::int64_t l = count(blocks);
  const std::int64_t channels = v2 ? x.shape[1] / k_n : x.shape[1];
  if (x.shape.back() != l || x.numel() != x.shape[0] * channels * k_n * l)
    bad_value(fmt::format("Col2im: {} does not hold {} patches", dims_text(x.shape), l));
  const std::vector<double> v = values<double>(x);
  const std::int64_t n = count(size);
  std::vector<double> y(us(x.shape[0] * channels * n), 0.0);
  for (std::int64_t plane = 0; plane < x.shape[0] * channels; ++plane) {
    sweep(w, size, blocks,
          [&](std::int64_t a, std::int64_t b, std::int64_t k) { y[us(plane * n + a)] += v[us((plane * k_n + k) * l + b)]; });
  }
  c.out(0, make(x.dtype, {x.shape[0], channels, size[0], size[1]}, y));
}
void check_embedding_bag(CheckCtx& c) {
  c.only("mode", {"sum", "mean", "max"});
  if (c.fed("per_sample_weights", 3) && c.attr_string("mode", "mean") != "sum") c.refuse("with per_sample_weights outside mode \"sum\"");
}
void host_embedding_bag(HostCtx& c) {
  const Tensor& weight = c.in("weight", 0);
  const Tensor& indices = c.in("indices", 1);
  const Tensor given = c.maybe("offsets", 2);
  const Tensor scale = c.maybe("per_sample_weights", 3);
  const std::string mode = c.attr_string("mode", "mean");
  const std::int64_t padding = c.attr_int("padding_idx", -1);
  const Dims at = ints(indices);
  Dims offsets = given.present() ? ints(given) : Dims{};
  if (!given.present()) {
    if (indices.rank() != 2) bad_value("EmbeddingBag without offsets needs two-dimensional indices");
    for (std::int64_t b = 0; b < indices.shape[0]; ++b) offsets.push_back(b * indices.shape[1]);
  } else if (c.attr_bool("include_last_offset", false)) {
    offsets.pop_back();
  }
  if (weight.rank() != 2) bad_value("EmbeddingBag's weight is a matrix");
  const std::int64_t width = weight.shape[1];
  const std::vector<double> w = values<double>(weight);
  const std::vector<double> s = scale.present() ? values<double>(scale) : std::vector<double>(at.size(), 1.0);
  const auto bags = static_cast<std::int64_t>(offsets.size());
  std::vector<double> y(us(bags * width), 0.0);
  Dims bag_of(at.size(), 0);
  Dims sizes;
  Dims arg(us(bags * width), 0);
  for (std::int64_t b = 0; b < bags; ++b) {
    const std::int64_t end = b + 1 < bags ? offsets[us(b + 1)] : static_cast<std::int64_t>(at.size());
    std::int64_t used = 0;
    for (std::int64_t i = offsets[us(b)]; i < end; ++i) {
      if (i < 0 || i >= static_cast<std::int64_t>(at.size())) bad_value("EmbeddingBag: an offset is outside the indices");
      const std::int64_t row = at[us(i)];
      bag_of[us(i)] = b;
      if (row == padding && padding >= 0) continue;
      if (row < 0 || row >= weight.shape[0]) bad_value(fmt::format("EmbeddingBag: index {} is outside the table", row));
      for (std::int64_t k = 0; k < width; ++k) {
        const double e = w[us(row * width + k)] * s[us(i)];
        double& to = y[us(b * width + k)];
        if (mode == "max") {
          if (used == 0 || e > to) {
            to = e;
            arg[us(b * width + k)] = row;
          }
        } else {
          to += e;
        }
      }
      ++used;
    }
    sizes.push_back(used);
    if (mode == "mean" && used > 0) {
      for (std::int64_t k = 0; k < width; ++k) y[us(b * width + k)] /= static_cast<double>(used);
    }
  }
  c.out(0, make(weight.dtype, {bags, width}, y));
  c.out(1, make(indices.dtype, {static_cast<std::int64_t>(at.size())}, bag_of));
  c.out(2, make(indices.dtype, {bags}, sizes));
  c.out(3, mode == "max" ? make(indices.dtype, {bags, width}, arg) : zeros(indices.dtype, {bags}));
}

// ---------------------------------------------------------------- host: losses

void check_loss(CheckCtx& c) {
  if (c.node().type == "KLDivV2") return c.only("reduction", {"none", "mean", "sum", "batchmean"});
  c.only("reduction", {"none", "mean", "sum"});
  c.only("p", 1, 1);
}
void reduce_loss(HostCtx& c, const Tensor& like, std::vector<double> loss) {
  const std::string reduction = c.attr_string("reduction", "mean");
  if (reduction == "none") return c.out(0, make(like.dtype, like.shape, loss));
  double sum = 0;
  for (const double e : loss) sum += e;
  if (reduction == "mean")
    sum /= static_cast<double>(loss.size());
  else if (reduction == "batchmean")
    sum /= static_cast<double>(like.shape.at(0));
  c.out(0, make(like.dtype, {}, std::vector<double>{sum}));
}
template <class F>
void loss2(HostCtx& c, F&& f) {
  const Tensor& x = c.in(0);
  const Tensor& y = c.in(1);
  if (x.shape != y.shape || x.dtype != y.dtype)
    bad_value(fmt::format("{} needs equal shapes and types, not {} and {}", c.node().type, dims_text(x.shape), dims_text(y.shape)));
  std::vector<double> v = values<double>(x);
  const std::vector<double> w = values<double>(y);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = f(v[i], w[i]);
  reduce_loss(c, x, std::move(v));
}
void host_mse(HostCtx& c) {
  loss2(c, [](double x, double y) { return (x - y) * (x - y); });
}
void host_lp_loss(HostCtx& c) {
  loss2(c, [](double x, double y) { return std::fabs(x - y); });
}
void host_smooth_l1(HostCtx& c) {
  const double sigma = c.attr_float("sigma", 1.0);
  loss2(c, [&](double x, double y) {
    const double d = std::fabs(x - y);
    return d < sigma ? 0.5 * d * d / sigma : d - 0.5 * sigma;
  });
}
void host_soft_margin(HostCtx& c) {
  loss2(c, [](double x, double y) { return std::log1p(std::exp(-y * x)); });
}
void host_kl_div(HostCtx& c) {
  const bool log_target = c.attr_bool("log_target", false);
  loss2(c, [&](double x, double t) { return log_target ? std::exp(t) * (t - x) : t == 0 ? 0.0 : t * (std::log(t) - x); });
}
void host_bce(HostCtx& c) {
  const Tensor weight = c.maybe("weight", 2);
  const std::vector<double> w = weight.present() ? stretched<double>(weight, c.in(0).shape) : std::vector<double>{};
  std::size_t i = 0;
  loss2(c, [&](double x, double y) {
    return -(w.empty() ? 1.0 : w[i++]) * (y * std::max(std::log(x), -100.0) + (1 - y) * std::max(std::log(1 - x), -100.0));
  });
}
void host_bce_logits(HostCtx& c) {
  const Tensor weight = c.maybe("weight", 2);
  const Tensor pos = c.maybe("pos_weight", 3);
  const std::vector<double> w = weight.present() ? stretched<double>(weight, c.in(0).shape) : std::vector<double>{};
  const std::vector<double> p = pos.present() ? stretched<double>(pos, c.in(0).shape) : std::vector<double>{};
  std::size_t next = 0;
  loss2(c, [&](double x, double t) {
    const std::size_t i = next++;
    const double loss = (1 - t) * x + (1 + ((p.empty() ? 1.0 : p[i]) - 1) * t) * (std::log1p(std::exp(-std::fabs(x))) + std::max(-x, 0.0));
    return (w.empty() ? 1.0 : w[i]) * loss;
  });
}
void host_nll(HostCtx& c) {
  const Tensor& x = c.in("x", 0);
  const Dims target = ints(c.in("target", 1));
  const Tensor weight = c.maybe("weight", 2);
  const std::int64_t ignore = c.attr_int("ignore_index", -100);
  const std::string reduction = c.attr_string("reduction", "mean");
  const Tensor y = x.rank() == 1 ? x.reshaped({1, x.shape[0]}) : x;
  if (y.rank() != 2 && y.rank() != 4) bad_value(fmt::format("NLLLoss of shape {}", dims_text(x.shape)));
  const std::int64_t classes = y.shape[1];
  const std::int64_t plane = y.rank() == 4 ? y.shape[2] * y.shape[3] : 1;
  if (static_cast<std::int64_t>(target.size()) != y.shape[0] * plane) bad_value("NLLLoss: the target does not fit");
  const std::vector<double> v = values<double>(y);
  const std::vector<double> w = weight.present() ? values<double>(weight) : std::vector<double>(us(classes), 1.0);
  std::vector<double> loss;
  double total = 0;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const std::int64_t t = target[i];
    if (t == ignore) {
      loss.push_back(0);
      continue;
    }
    if (t < 0 || t >= classes) bad_value(fmt::format("NLLLoss: target {} is not a class", t));
    const auto at = static_cast<std::int64_t>(i);
    loss.push_back(-w[us(t)] * v[us((at / plane * classes + t) * plane + at % plane)]);
    total += w[us(t)];
  }
  if (reduction == "none") {
    Dims shape = c.in("target", 1).shape;
    c.out(0, make(x.dtype, shape, loss));
  } else {
    double sum = 0;
    for (const double e : loss) sum += e;
    c.out(0, make(x.dtype, {}, std::vector<double>{reduction == "mean" ? sum / total : sum}));
  }
  c.out(1, make(x.dtype, {}, std::vector<double>{total}));
}

// ---------------------------------------------------------------- plugin

ov::Strides strides_of(const Dims& v) { return {v.begin(), v.end()}; }
ov::CoordinateDiff diffs_of(const Dims& v) { return {v.begin(), v.end()}; }
Dims static_shape(const OvValue& value) {
  const ov::PartialShape& shape = value.get_partial_shape();
  if (shape.is_dynamic()) throw NeedsHost{};
  const ov::Shape known = shape.to_shape();
  return {known.begin(), known.end()};
}
OvValue channel_bias(const OvValue& y, const OvValue& bias, std::size_t rank) {
  Dims shape(rank + 2, 1);
  shape[1] = -1;
  return mk<op::Add>(y, mk<op::Reshape>(bias, i64(shape), false));
}
void ov_conv(OvCtx& c) {
  const OvValue x = c.in("x", 0);
  const OvValue f = c.in("filter", 1);
  if (!is_real(x)) throw NeedsHost{};
  const Dims filter = static_shape(f);
  const auto rank = filter.size() - 2;
  if (OvCtx::rank(x) != static_cast<std::int64_t>(filter.size()) || filter.size() < 4) throw NeedsHost{};
  const Window w = conv_window(c, tail(filter));
  const ov::Dimension channels = x.get_partial_shape()[1];
  if (channels.is_dynamic()) throw NeedsHost{};
  std::int64_t groups = c.attr_int("groups", 1);
  if (groups == 1 && channels.get_length() != filter[1] && filter[1] != 0 && channels.get_length() % filter[1] == 0)
    groups = channels.get_length() / filter[1];
  if (groups < 1 || channels.get_length() != filter[1] * groups || filter[0] % groups != 0) throw NeedsHost{};
  OvValue y;
  if (groups == 1) {
    y = mk<op::Convolution>(x, f, strides_of(w.stride), diffs_of(w.front), diffs_of(w.back), strides_of(w.dilation));
  } else {
    Dims grouped{groups, filter[0] / groups, filter[1]};
    grouped.insert(grouped.end(), w.kernel.begin(), w.kernel.end());
    y = mk<op::GroupConvolution>(x, mk<op::Reshape>(f, i64(grouped), false), strides_of(w.stride), diffs_of(w.front), diffs_of(w.back),
                                 strides_of(w.dilation));
  }
  if (c.fed("bias", 2)) y = channel_bias(y, c.in("bias", 2), rank);
  c.out(0, y);
}
void ov_conv_transpose(OvCtx& c) {
  const OvValue x = c.in("x", 1);
  const OvValue f = c.in("filter", 2);
  if (!is_real(x)) throw NeedsHost{};
  const Dims filter = static_shape(f);
  const Dims shape = static_shape(x);
  const std::int64_t groups = c.attr_int("groups", 1);
  if (shape.size() != filter.size() || filter.size() < 4 || filter[0] != shape[1] || groups < 1 || shape[1] % groups != 0)
    throw NeedsHost{};
  const TransposeGeometry g = transpose_geometry(c, shape, filter, c.constant("input_size", 0));
  ov::CoordinateDiff extra;
  for (std::size_t i = 0; i < g.out.size(); ++i) {
    extra.push_back(g.out[i] -
                    ((shape[i + 2] - 1) * g.w.stride[i] - g.w.front[i] - g.w.back[i] + g.w.dilation[i] * (g.w.kernel[i] - 1) + 1));
  }
  OvValue y;
  if (groups == 1) {
    y = mk<op::ConvolutionBackpropData>(x, f, strides_of(g.w.stride), diffs_of(g.w.front), diffs_of(g.w.back), strides_of(g.w.dilation),
                                        ov::op::PadType::EXPLICIT, extra);
  } else {
    Dims grouped{groups, filter[0] / groups, filter[1]};
    grouped.insert(grouped.end(), g.w.kernel.begin(), g.w.kernel.end());
    y = mk<op::GroupConvolutionBackpropData>(x, mk<op::Reshape>(f, i64(grouped), false), strides_of(g.w.stride), diffs_of(g.w.front),
                                             diffs_of(g.w.back), strides_of(g.w.dilation), ov::op::PadType::EXPLICIT, extra);
  }
  if (c.fed("bias", 3)) y = channel_bias(y, c.in("bias", 3), filter.size() - 2);
  c.out(0, y);
}
ov::Shape shape_of(const Dims& v) { return {v.begin(), v.end()}; }
/// Spatial sizes must be known for ceil mode and odd windows; floor mode without SAME does not need them.
void ov_max_pool(OvCtx& c) {
  const std::string& type = c.node().type;
  const std::size_t rank = type.find("3D") != std::string::npos ? 3 : 2;
  const OvValue x = c.in(0);
  const bool arg = type.find("Argmax") != std::string::npos;
  if (!is_real(x) || OvCtx::rank(x) != static_cast<std::int64_t>(rank) + 2) throw NeedsHost{};
  if (arg && c.read(1)) throw NeedsHost{};  // index rules for ties and NaN are the host's
  const Dims shape = static_shape(x);
  const Pool p = pool_of(c, shape, rank);
  Dims back = p.w.back;  // widened so that floor rounding gives the sizes that ceil mode asks for
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t reach = (p.out[i] - 1) * p.w.stride[i] + (p.w.kernel[i] - 1) * p.w.dilation[i] + 1;
    back[i] = std::max<std::int64_t>(back[i], reach - shape[i + 2] - p.w.front[i]);
    if (p.w.front[i] >= p.w.kernel[i] || back[i] >= p.w.kernel[i]) throw NeedsHost{};
  }
  c.out(0, mk<ov::op::v8::MaxPool>(x, strides_of(p.w.stride), strides_of(p.w.dilation), shape_of(p.w.front), shape_of(back),
                                   shape_of(p.w.kernel)));
}
void ov_avg_pool(OvCtx& c) {
  const std::size_t rank = c.node().type == "AvgPool3D" ? 3 : 2;
  const OvValue x = c.in(0);
  if (!is_real(x) || OvCtx::rank(x) != static_cast<std::int64_t>(rank) + 2 || c.attr_int("divisor_override", 0) != 0) throw NeedsHost{};
  const Pool p = pool_of(c, static_shape(x), rank);
  const bool with_pad = rank == 2 ? !c.attr_bool("exclusive", true) : c.attr_bool("count_include_pad", true);
  if (p.ceil) throw NeedsHost{};
  c.out(0, mk<ov::op::v1::AvgPool>(x, strides_of(p.w.stride), shape_of(p.w.front), shape_of(p.w.back), shape_of(p.w.kernel), !with_pad,
                                   ov::op::RoundingType::FLOOR, ov::op::PadType::EXPLICIT));
}
void ov_adaptive_avg(OvCtx& c) {
  const OvValue x = c.in(0);
  const Dims size = c.attr_ints("output_size");
  if (!is_real(x) || OvCtx::rank(x) != static_cast<std::int64_t>(size.size()) + 2) throw NeedsHost{};
  c.out(0, mk<op::AdaptiveAvgPool>(x, i64(size)));
}
OvValue normalised(const OvValue& x, const Dims& axes, double eps) {
  return mk<op::MVN>(x, i64(axes), true, static_cast<float>(eps), ov::op::MVNEpsMode::INSIDE_SQRT);
}
void ov_stats(OvCtx& c, const OvValue& x, const Dims& axes, double eps, bool variance) {
  const OvValue mean = mk<op::ReduceMean>(x, i64(axes), true);
  const OvValue centred = mk<op::Subtract>(x, mean);
  const OvValue var = mk<op::ReduceMean>(mk<op::Multiply>(centred, centred), i64(axes), true);
  c.out(1, mean);
  c.out(2, variance ? var : mk<op::Power>(mk<op::Add>(var, num(var, eps)), num(var, -0.5)));
}
Dims last_axes(std::int64_t rank, std::int64_t k) {
  Dims axes;
  for (std::int64_t i = rank - k; i < rank; ++i) axes.push_back(i);
  return axes;
}
void ov_layer_norm(OvCtx& c) {
  const std::string& type = c.node().type;
  const OvValue x = c.in(0);
  const std::int64_t rank = OvCtx::rank(x);
  std::int64_t k = 0;
  double eps = 0;
  const bool v4 = type == "LayerNormV4";
  if (v4) {
    const ov::PartialShape& shape = c.in("normalized_shape", 1).get_partial_shape();
    if (shape.is_dynamic() || shape.size() != 1) throw NeedsHost{};
    k = shape[0].get_length();
    eps = c.attr_float("epsilon", 1e-5);
  } else {
    k = rank - wrap_axis(c.attr_int("begin_norm_axis", 0), rank);
    eps = c.attr_float("epsilon", type == "LayerNormV3" ? 1e-5 : 1e-7);
  }
  if (k < 1 || k > rank || !is_real(x)) throw NeedsHost{};
  const Dims axes = last_axes(rank, k);
  OvValue y = normalised(x, axes, eps);
  if (c.fed("gamma", v4 ? 2 : 1)) y = mk<op::Multiply>(y, c.in("gamma", v4 ? 2 : 1));
  if (c.fed("beta", v4 ? 3 : 2)) y = mk<op::Add>(y, c.in("beta", v4 ? 3 : 2));
  c.out(0, y);
  ov_stats(c, x, axes, eps, type == "LayerNorm");
}
void ov_rms(OvCtx& c, const OvValue& x, const OvValue& gamma, double eps) {
  const std::int64_t k = OvCtx::rank(gamma);
  const Dims axes = last_axes(OvCtx::rank(x), k);
  if (k < 1) throw NeedsHost{};
  const OvValue mean = mk<op::ReduceMean>(mk<op::Power>(x, num(x, 2)), i64(axes), true);
  const OvValue rstd = mk<op::Divide>(num(x, 1), mk<op::Sqrt>(mk<op::Add>(mean, num(x, eps))));
  c.out(0, mk<op::Multiply>(mk<op::Multiply>(x, rstd), gamma));
  c.out(1, rstd);
}
void ov_rms_norm(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  ov_rms(c, c.in(0), c.in("gamma", 1), c.attr_float("epsilon", 1e-6));
}
void ov_add_rms_norm(OvCtx& c) {
  const OvValue sum = mk<op::Add>(c.in(0), c.in(1));
  ov_rms(c, sum, c.in("gamma", 2), c.attr_float("epsilon", 1e-6));
  c.out(2, sum);
}
void ov_group_norm(OvCtx& c) {
  const OvValue x = c.in(0);
  const Dims shape = static_shape(x);
  const std::int64_t groups = c.attr_int("num_groups");
  if (!is_real(x) || shape.size() < 2 || groups < 1 || shape[1] % groups != 0 || c.read(1) || c.read(2)) throw NeedsHost{};
  const double eps = c.attr_float("eps", c.node().type == "GroupNorm" ? 1e-4 : 1e-5);
  const OvValue flat = mk<op::Reshape>(x, i64({shape[0], groups, -1}), false);
  OvValue y = mk<op::Reshape>(normalised(flat, {2}, eps), i64(shape), false);
  Dims channel(shape.size(), 1);
  channel[1] = shape[1];
  if (c.fed("gamma", 1)) y = mk<op::Multiply>(y, mk<op::Reshape>(c.in("gamma", 1), i64(channel), false));
  if (c.fed("beta", 2)) y = mk<op::Add>(y, mk<op::Reshape>(c.in("beta", 2), i64(channel), false));
  if (c.node().type == "GroupNormSilu" && c.attr_bool("activate_silu", true)) y = mk<op::Swish>(y);
  c.out(0, y);
}
void ov_bn_infer(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::BatchNormInference>(c.in(0), c.in("scale", 1), c.in("offset", 2), c.in("mean", 3), c.in("variance", 4),
                                      c.attr_float("epsilon", 1e-4)));
}
void ov_resize_nearest(OvCtx& c) {
  if (!is_real(c.in(0)) || OvCtx::rank(c.in(0)) != 4) throw NeedsHost{};
  using Interpolate = op::Interpolate;
  Interpolate::InterpolateAttrs attrs;
  attrs.mode = Interpolate::InterpolateMode::NEAREST;
  attrs.shape_calculation_mode = Interpolate::ShapeCalcMode::SIZES;
  attrs.coordinate_transformation_mode = Interpolate::CoordinateTransformMode::ASYMMETRIC;
  attrs.nearest_mode = Interpolate::NearestMode::FLOOR;
  if (c.attr_bool("half_pixel_centers", false) || c.attr_bool("align_corners", false)) throw NeedsHost{};
  c.out(0, mk<Interpolate>(c.in(0), c.in("size", 1), i64({2, 3}), attrs));
}
void ov_resize_bilinear(OvCtx& c) {
  if (!is_real(c.in(0)) || OvCtx::rank(c.in(0)) != 4 || c.attr_dtype("dtype", DType::kFloat) != DType::kFloat) throw NeedsHost{};
  using Interpolate = op::Interpolate;
  Interpolate::InterpolateAttrs attrs;
  attrs.mode = Interpolate::InterpolateMode::LINEAR_ONNX;
  attrs.shape_calculation_mode = Interpolate::ShapeCalcMode::SIZES;
  attrs.coordinate_transformation_mode = c.attr_bool("align_corners", false)        ? Interpolate::CoordinateTransformMode::ALIGN_CORNERS
                                         : c.attr_bool("half_pixel_centers", false) ? Interpolate::CoordinateTransformMode::HALF_PIXEL
                                                                                    : Interpolate::CoordinateTransformMode::ASYMMETRIC;
  c.out(0, mk<Interpolate>(c.in(0), c.in("size", 1), i64({2, 3}), attrs));
}

constexpr Op kTable[] = {
    checked({"Conv2D", host_conv, ov_conv}, check_conv),
    checked({"Conv2DV2", host_conv, ov_conv}, check_conv),
    checked({"Conv3D", host_conv, ov_conv}, check_conv),
    checked({"Conv2DTranspose", host_conv_transpose, ov_conv_transpose}, check_conv),
    checked({"Conv3DTranspose", host_conv_transpose, ov_conv_transpose}, check_conv),
    checked({"MaxPoolV3", host_max_pool, ov_max_pool}, check_pool),
    checked({"MaxPool3D", host_max_pool3d, ov_max_pool}, check_pool),
    checked({"MaxPoolWithArgmaxV1", host_max_pool_arg, ov_max_pool, Ints::kIndex}, check_pool),
    checked({"MaxPoolWithArgmaxV3", host_max_pool_arg, ov_max_pool, Ints::kIndex}, check_pool),
    checked({"MaxPool3DWithArgmaxV2", host_max_pool3d_arg, ov_max_pool, Ints::kIndex}, check_pool),
    checked({"AvgPoolV2", host_avg_pool, ov_avg_pool}, check_pool),
    checked({"AvgPool3D", host_avg_pool3d, ov_avg_pool}, check_pool),
    {"AdaptiveAvgPool2d", host_adaptive_avg2, ov_adaptive_avg},
    checked({"AdaptiveAvgPool3d", host_adaptive_avg3, ov_adaptive_avg}, check_adaptive_avg3),
    {"AdaptiveMaxPool2d", host_adaptive_max2, nullptr, Ints::kIndex},
    {"AdaptiveMaxPool3d", host_adaptive_max3, nullptr, Ints::kIndex},
    {"LayerNorm", host_layer_norm, ov_layer_norm},
    {"LayerNormV3", host_layer_norm, ov_layer_norm},
    {"LayerNormV4", host_layer_norm_v4, ov_layer_norm},
    {"AddLayerNorm", host_add_layer_norm, nullptr},
    {"RmsNorm", host_rms_norm, ov_rms_norm},
    {"AddRmsNorm", host_add_rms_norm, ov_add_rms_norm},
    checked({"GroupNorm", host_group_norm, ov_group_norm}, check_group_norm),
    checked({"GroupNormV2", host_group_norm, ov_group_norm}, check_group_norm),
    checked({"GroupNormSilu", host_group_norm, ov_group_norm}, check_group_norm),
    checked({"InstanceNorm", host_instance_norm, nullptr}, check_instance_norm),
    checked({"BNInfer", host_bn_infer, ov_bn_infer}, check_layout),
    checked({"BatchNormV3", host_batch_norm_v3, nullptr}, check_layout),
    checked({"ResizeNearestNeighborV2", host_resize_nearest, ov_resize_nearest}, check_resize_nearest),
    checked({"ResizeBilinearV2", host_resize_bilinear, ov_resize_bilinear}, check_layout),
    checked({"ResizeTrilinear", host_resize_trilinear, nullptr}, check_layout),
    checked({"Im2col", host_im2col, nullptr}, check_im2col),
    {"Col2im", host_col2im, nullptr},
    {"Col2ImV2", host_col2im, nullptr},
    checked({"EmbeddingBag", host_embedding_bag, nullptr}, check_embedding_bag),
    checked({"MseLoss", host_mse, nullptr}, check_loss),
    checked({"LpLoss", host_lp_loss, nullptr}, check_loss),
    checked({"SmoothL1LossV2", host_smooth_l1, nullptr}, check_loss),
    checked({"SoftMarginLoss", host_soft_margin, nullptr}, check_loss),
    checked({"KLDivV2", host_kl_div, nullptr}, check_loss),
    checked({"BinaryCrossEntropy", host_bce, nullptr}, check_loss),
    checked({"SigmoidCrossEntropyWithLogitsV2", host_bce_logits, nullptr}, check_loss),
    checked({"NLLLoss", host_nll, nullptr}, check_loss),
};

}  // namespace

std::span<const Op> nn_ops() { return kTable; }

}  // namespace airloom::runtime
