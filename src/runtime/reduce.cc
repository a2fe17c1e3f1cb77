// Reductions, scans, arg-extrema, sorting, softmax.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

// ---------------------------------------------------------------- host

struct Reduced {
  Dims axes;                         // wrapped, sorted
  Dims shape;                        // of the result
  std::vector<std::int64_t> target;  // result position of every element
  std::int64_t size = 1;             // elements per result
};

Reduced plan_reduce(const Dims& shape, Dims axes, bool keep) {
  Reduced r;
  r.axes = wrap_axes(std::move(axes), static_cast<std::int64_t>(shape.size()));
  Dims kept = shape;
  for (const std::int64_t axis : r.axes) {
    r.size *= kept[static_cast<std::size_t>(axis)];
    kept[static_cast<std::size_t>(axis)] = 1;
  }
  Dims strides = row_strides(kept);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const bool reduced = std::binary_search(r.axes.begin(), r.axes.end(), static_cast<std::int64_t>(i));
    if (reduced) strides[i] = 0;
    if (keep || !reduced) r.shape.push_back(kept[i]);
  }
  r.target.resize(static_cast<std::size_t>(count(shape)));
  for_each(shape, [&](const Dims& index, std::int64_t flat) { r.target[static_cast<std::size_t>(flat)] = dot(index, strides); });
  return r;
}

Dims all_axes(std::int64_t rank) {
  Dims axes(static_cast<std::size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

/// Axes of a reduction: the `axes` input or, in the deprecated D forms, the attribute. nullopt: leave x as it is.
std::optional<Dims> reduce_axes(const HostCtx& c, bool noop_default) {
  const Tensor& x = c.in(0);
  const Tensor input = c.maybe("axes", 1);
  Dims axes = input.present() ? ints(input) : c.attr_ints("axes");
  if (x.rank() == 0) return std::nullopt;
  if (!axes.empty()) return axes;
  if (c.attr_bool("noop_with_empty_axes", noop_default)) return std::nullopt;
  return all_axes(x.rank());
}

template <class T, class F>
std::vector<T> fold(const std::vector<T>& v, const Reduced& r, T start, F&& f) {
  std::vector<T> out(static_cast<std::size_t>(count(r.shape)), start);
  for (std::size_t i = 0; i < v.size(); ++i) {
    T& to = out[static_cast<std::size_t>(r.target[i])];
    to = f(to, v[i]);
  }
  return out;
}

template <class T>
bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::isnan(x);
  else
    return false;
}

/// Sums and products: wrapping integers.
template <class F>
void ring_reduce(HostCtx& c, int start, F&& f) {
  const Tensor& x = c.in(0);
  const std::optional<Dims> axes = reduce_axes(c, true);
  if (!axes) return c.out(0, x);
  const Reduced r = plan_reduce(x.shape, *axes, c.attr_bool("keep_dims", false));
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    c.out(0, make(x.dtype, r.shape, fold<T>(values<T>(x), r, T(start), f)));
  };
  if (ir::is_complex(x.dtype)) return run(Complex{});
  if (ir::is_floating(x.dtype)) return run(double{});
  run(std::uint64_t{});
}
void host_sum(HostCtx& c) {
  ring_reduce(c, 0, [](auto a, auto b) { return a + b; });
}
void host_prod(HostCtx& c) {
  ring_reduce(c, 1, [](auto a, auto b) { return a * b; });
}

Tensor mean_of(const Tensor& x, const Reduced& r, DType to) {
  if (ir::is_complex(x.dtype)) {
    std::vector<Complex> s = fold<Complex>(values<Complex>(x), r, Complex{}, [](Complex a, Complex b) { return a + b; });
    for (Complex& e : s) e /= static_cast<double>(r.size);
    return make(to, r.shape, s);
  }
  if (!ir::is_floating(x.dtype)) {  // integers divide and truncate in their own type
    std::vector<std::int64_t> s = fold<std::int64_t>(values<std::int64_t>(x), r, 0, [](std::int64_t a, std::int64_t b) { return a + b; });
    if (r.size == 0) bad_value("integer mean of no elements");
    for (std::int64_t& e : s) e /= r.size;
    return make(to, r.shape, s);
  }
  std::vector<double> s = fold<double>(values<double>(x), r, 0.0, [](double a, double b) { return a + b; });
  for (double& e : s) e /= static_cast<double>(r.size);
  return make(to, r.shape, s);
}
void host_mean(HostCtx& c) {
  Tensor x = c.in(0);
  if (const DType dtype = c.attr_dtype("dtype", DType::kUndefined); dtype != DType::kUndefined) x = cast(x, dtype);  // ReduceMeanWithCast
  const std::optional<Dims> axes = reduce_axes(c, c.node().type != "ReduceMeanD");
  if (!axes) return c.out(0, x);
  c.out(0, mean_of(x, plan_reduce(x.shape, *axes, c.attr_bool("keep_dims", false)), x.dtype));
}

template <bool Max>
void host_extreme(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::optional<Dims> axes = reduce_axes(c, true);
  if (!axes) return c.out(0, x);
  const Reduced r = plan_reduce(x.shape, *axes, c.attr_bool("keep_dims", false));
  if (r.size == 0 && count(r.shape) != 0) bad_value("maximum or minimum of no elements");
  with_real(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> v = values<T>(x);
    std::vector<T> out(static_cast<std::size_t>(count(r.shape)));
    std::vector<bool> seen(out.size(), false);
    for (std::size_t i = 0; i < v.size(); ++i) {
      const auto to = static_cast<std::size_t>(r.target[i]);
      if (!seen[to] || is_nan(v[i]) || (!is_nan(out[to]) && (Max ? v[i] > out[to] : v[i] < out[to]))) out[to] = v[i];
      seen[to] = true;
    }
    c.out(0, make(x.dtype, r.shape, out));
  });
}

template <bool All>
void host_truth(HostCtx& c) {
  const Tensor x = cast(c.in(0), DType::kBool);
  const Tensor input = c.maybe("axes", 1);
  Dims axes = input.present() ? ints(input) : c.attr_ints("axes");
  if (x.rank() == 0) return c.out(0, x);
  if (axes.empty()) axes = all_axes(x.rank());
  const Reduced r = plan_reduce(x.shape, axes, c.attr_bool("keep_dims", false));
  c.out(0, make(DType::kBool, r.shape, fold<std::int64_t>(values<std::int64_t>(x), r, All ? 1 : 0, [](std::int64_t a, std::int64_t b) {
                  return All ? a & b : a | b;
                })));
}

void host_log_sum(HostCtx& c, bool exponentiate) {
  const Tensor& x = c.in(0);
  const std::optional<Dims> axes = reduce_axes(c, !exponentiate);
  std::vector<double> v = values<double>(x);
  if (exponentiate) {
    for (double& e : v)
      e = x.dtype == DType::kDouble ? std::exp(e) : static_cast<double>(std::exp(static_cast<float>(e)));  // overflows as the operator does
  }
  Dims shape = x.shape;
  if (axes) {
    const Reduced r = plan_reduce(x.shape, *axes, c.attr_bool("keep_dims", false));
    v = fold<double>(v, r, 0.0, [](double a, double b) { return a + b; });
    shape = r.shape;
  }
  for (double& e : v) e = std::log(e);
  c.out(0, make(x.dtype, shape, v));
}
void host_logsum(HostCtx& c) { host_log_sum(c, false); }
void host_logsumexp(HostCtx& c) { host_log_sum(c, true); }

void host_var(HostCtx& c, bool root) {
  const Tensor& x = c.in(0);
  Dims axes = c.attr_ints("dim", Dims{});
  if (axes.empty()) axes = all_axes(x.rank());
  const Reduced r = plan_reduce(x.shape, axes, c.attr_bool("keepdim", false));
  const std::vector<double> v = values<double>(x);
  std::vector<double> mean = fold<double>(v, r, 0.0, [](double a, double b) { return a + b; });
  for (double& e : mean) e /= static_cast<double>(r.size);
  std::vector<double> var(mean.size(), 0.0);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const auto to = static_cast<std::size_t>(r.target[i]);
    var[to] += (v[i] - mean[to]) * (v[i] - mean[to]);
  }
  const double divisor = std::max(0.0, static_cast<double>(r.size) - static_cast<double>(c.attr_int("correction", 1)));
  for (double& e : var) e = root ? std::sqrt(e / divisor) : e / divisor;
  c.out(0, make(x.dtype, r.shape, var));
  c.out(1, make(x.dtype, r.shape, mean));
}
void host_reduce_std(HostCtx& c) { host_var(c, true); }
void host_reduce_var(HostCtx& c) { host_var(c, false); }

void host_lp_norm(HostCtx& c) {
  const Tensor& x = c.in(0);
  double p = c.node().type == "LpNorm" ? static_cast<double>(c.attr_int("p", 2)) : c.attr_float("p", 2.0);
  if (c.node().type == "LpNorm" && std::fabs(p) >= 2147483647.0) p = std::copysign(INFINITY, p);
  Dims axes = c.attr_ints("axes", Dims{});
  if (axes.empty()) axes = all_axes(x.rank());
  const Reduced r = plan_reduce(x.shape, axes, c.attr_bool("keepdim", false));
  std::vector<double> v = values<double>(x);
  for (double& e : v) e = std::fabs(e);
  std::vector<double> out;
  if (r.size == 1) {
    out = fold<double>(v, r, 0.0, [](double, double b) { return b; });  // |x| whatever p is
  } else if (std::isinf(p)) {
    if (r.size == 0) bad_value("infinity norm of no elements");
    out = fold<double>(v, r, p > 0 ? 0.0 : INFINITY, [&](double a, double b) { return std::isnan(b) || (p > 0 ? b > a : b < a) ? b : a; });
  } else {
    for (double& e : v) e = p == 0 ? (e != 0 ? 1.0 : 0.0) : p == 1 ? e : p == 2 ? e * e : std::pow(e, p);
    out = fold<double>(v, r, 0.0, [](double a, double b) { return a + b; });
    for (double& e : out) e = p == 0 || p == 1 ? e : p == 2 ? std::sqrt(e) : std::pow(e, 1 / p);
  }
  const double floor = c.attr_float("epsilon", 1e-12);
  for (double& e : out) e = e < floor ? floor : e;
  c.out(0, make(x.dtype, r.shape, out));
}

// Along one axis ----------------------------------------------------------------------------------

template <class T, class F>
void scan(std::vector<T>& v, const Dims& shape, std::int64_t axis, bool exclusive, bool reverse, T start, F&& f) {
  const Split3 s = split_at(shape, axis);
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (std::int64_t i = 0; i < s.inner; ++i) {
      T carry = start;
      for (std::int64_t k = 0; k < s.mid; ++k) {
        T& e = v[static_cast<std::size_t>((o * s.mid + (reverse ? s.mid - 1 - k : k)) * s.inner + i)];
        const T next = f(carry, e);
        e = exclusive ? carry : next;
        carry = next;
      }
    }
  }
}
template <class F>
void host_scan(HostCtx& c, int start, F&& f) {
  const Tensor& x = c.in(0);
  if (x.rank() == 0) return c.out(0, x);
  const std::int64_t axis = wrap_axis(one_int(c.in("axis", 1)), x.rank());
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> v = values<T>(x);
    scan<T>(v, x.shape, axis, c.attr_bool("exclusive", false), c.attr_bool("reverse", false), T(start), f);
    c.out(0, make(x.dtype, x.shape, v));
  };
  if (ir::is_complex(x.dtype)) return run(Complex{});
  if (ir::is_floating(x.dtype)) return run(double{});
  run(std::uint64_t{});
}
void host_cumsum(HostCtx& c) {
  host_scan(c, 0, [](auto a, auto b) { return a + b; });
}
void host_cumprod(HostCtx& c) {
  host_scan(c, 1, [](auto a, auto b) { return a * b; });
}
void host_cumlogsumexp(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t axis = wrap_axis(one_int(c.in("axis", 1)), x.rank());
  std::vector<double> v = values<double>(x);
  scan<double>(v, x.shape, axis, c.attr_bool("exclusive", false), c.attr_bool("reverse", false), -INFINITY, [](double a, double b) {
    const double m = std::fmax(a, b);
    return std::isinf(m) ? (m > 0 ? m : a + b) : m + std::log(std::exp(a - m) + std::exp(b - m));
  });
  c.out(0, make(x.dtype, x.shape, v));
}
template <bool Max>
void host_cumext(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t axis = wrap_axis(c.attr_int(Max ? "dim" : "axis"), std::max<std::int64_t>(x.rank(), 1));
  const Split3 s = split_at(x.shape, axis);
  with_real(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> v = values<T>(x);
    std::vector<std::int64_t> at(v.size());
    for (std::int64_t o = 0; o < s.outer; ++o) {
      for (std::int64_t i = 0; i < s.inner; ++i) {
        T best{};
        std::int64_t where = 0;
        for (std::int64_t k = 0; k < s.mid; ++k) {
          const auto p = static_cast<std::size_t>((o * s.mid + k) * s.inner + i);
          if (k == 0 || is_nan(v[p]) || (!is_nan(best) && (Max ? v[p] >= best : v[p] <= best))) {
            best = v[p];
            where = k;
          }
          v[p] = best;
          at[p] = where;
        }
      }
    }
    c.out(0, make(x.dtype, x.shape, v));
    if (c.out_count() > 1) c.out(1, make(c.out_dtype(1), x.shape, at));
  });
}

/// Calls f(at), where at(flat) is an element in a type that holds it exactly and has an order.
template <class F>
void with_ordered(const Tensor& x, F&& f) {
  if (ir::is_complex(x.dtype)) bad_value(fmt::format("{} elements have no order", ir::info(x.dtype).torch));
  with_storage(x.dtype, [&](auto tag) {
    using S = decltype(tag);
    const auto bits = [data = x.data](std::int64_t flat) {
      S element;
      std::memcpy(&element, data + flat * static_cast<std::int64_t>(sizeof(S)), sizeof(S));
      return element;
    };
    if constexpr (std::is_same_v<S, bool>)
      f([data = x.data](std::int64_t flat) -> char { return data[flat] != std::byte{0} ? 1 : 0; });
    else if constexpr (std::is_same_v<S, HalfBits>)
      f([bits](std::int64_t flat) { return half_to_float(bits(flat).bits); });
    else if constexpr (std::is_same_v<S, BfloatBits>)
      f([bits](std::int64_t flat) { return bfloat_to_float(bits(flat).bits); });
    else if constexpr (std::is_arithmetic_v<S>)
      f(bits);
  });
}

struct Best {
  Tensor index, value;
};
Best arg_extreme(const Tensor& x, std::int64_t axis, bool keep, bool max, DType index_dtype) {
  Split3 s = split_at(x.shape, axis);
  if (s.mid == 0) bad_value("arg-extremum over no elements");
  Dims shape;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (static_cast<std::int64_t>(i) != axis)
      shape.push_back(x.shape[i]);
    else if (keep)
      shape.push_back(1);
  }
  Best best;
  best.value = allocate(x.dtype, shape);
  std::vector<std::int64_t> index(static_cast<std::size_t>(count(shape)));
  with_ordered(x, [&](auto at) {  // in the tensor's own type: it may be as large as a vocabulary times a batch
    std::size_t to = 0;
    for (std::int64_t o = 0; o < s.outer; ++o) {
      for (std::int64_t i = 0; i < s.inner; ++i) {
        const std::int64_t first = o * s.mid * s.inner + i;
        std::int64_t where = 0;
        auto top = at(first);
        for (std::int64_t k = 1; k < s.mid && !is_nan(top); ++k) {
          const auto e = at(first + k * s.inner);
          if (is_nan(e) || (max ? e > top : e < top)) {
            top = e;
            where = k;
          }
        }
        const auto item = static_cast<std::size_t>(ir::item_size(x.dtype));
        std::memcpy(writable(best.value) + to * item, x.data + static_cast<std::size_t>(first + where * s.inner) * item, item);
        index[to++] = where;
      }
    }
  });
  best.index = make(index_dtype, shape, index);
  return best;
}
template <bool Max>
void host_arg(HostCtx& c) {
  const Tensor& x = c.in(0);
  const DType dtype = c.attr_dtype("dtype", DType::kInt64);
  if (x.rank() == 0) return c.out(0, zeros(dtype, {}));
  const std::int64_t axis = x.rank() == 1 ? 0 : wrap_axis(one_int(c.in("dimension", 1)), x.rank());
  c.out(0, arg_extreme(x, axis, false, Max, dtype).index);
}
template <bool Max>
void host_arg_value(HostCtx& c) {
  const Tensor& x = c.in(0);
  const DType dtype = c.attr_dtype("indice_dtype", DType::kInt32);
  if (x.rank() == 0) {
    c.out(0, zeros(dtype, {}));
    return c.out(1, x);
  }
  Best best = arg_extreme(x, wrap_axis(c.attr_int("dimension"), x.rank()), c.attr_bool("keep_dims", false), Max, dtype);
  c.out(0, best.index);
  c.out(1, best.value);
}

/// The first `keep` positions along an axis ordered by value; NaN counts as the largest. Equal items keep their order.
template <class T>
std::vector<std::int64_t> order_of(const std::vector<T>& row, std::int64_t keep, bool descending) {
  std::vector<std::int64_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto less = [&](const T& x, const T& y) { return is_nan(x) || is_nan(y) ? !is_nan(x) && is_nan(y) : x < y; };
  const auto before = [&](std::int64_t a, std::int64_t b) {
    const T& x = row[static_cast<std::size_t>(descending ? b : a)];
    const T& y = row[static_cast<std::size_t>(descending ? a : b)];
    return less(x, y) || (!less(y, x) && a < b);
  };
  if (keep < static_cast<std::int64_t>(row.size()) / 8)
    std::partial_sort(order.begin(), order.begin() + keep, order.end(), before);
  else
    std::sort(order.begin(), order.end(), before);
  return order;
}

void sort_along(HostCtx& c, const Tensor& x, std::int64_t axis, std::int64_t keep, bool descending, DType index_dtype) {
  const Split3 s = split_at(x.shape, axis);
  if (keep < 0 || keep > s.mid) bad_value(fmt::format("k = {} is not in [0, {}]", keep, s.mid));
  Dims shape = x.shape;
  if (!shape.empty()) shape[static_cast<std::size_t>(axis)] = keep;
  const Tensor sorted = allocate(x.dtype, shape);
  const auto item = static_cast<std::size_t>(ir::item_size(x.dtype));
  std::vector<std::int64_t> index(static_cast<std::size_t>(count(shape)));
  with_ordered(x, [&](auto at) {
    std::vector<decltype(at(0))> row(static_cast<std::size_t>(s.mid));
    for (std::int64_t o = 0; o < s.outer; ++o) {
      for (std::int64_t i = 0; i < s.inner; ++i) {
        const std::int64_t first = o * s.mid * s.inner + i;
        for (std::int64_t k = 0; k < s.mid; ++k) row[static_cast<std::size_t>(k)] = at(first + k * s.inner);
        const std::vector<std::int64_t> order = order_of(row, keep, descending);
        for (std::int64_t k = 0; k < keep; ++k) {
          const std::int64_t from = order[static_cast<std::size_t>(k)];
          const auto to = static_cast<std::size_t>((o * keep + k) * s.inner + i);
          index[to] = from;
          std::memcpy(writable(sorted) + to * item, x.data + static_cast<std::size_t>(first + from * s.inner) * item, item);
        }
      }
    }
  });
  c.out(0, sorted);
  c.out(1, make(index_dtype, shape, index));
}
void host_sort(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t axis = wrap_axis(c.attr_int("axis", -1), std::max<std::int64_t>(x.rank(), 1));
  sort_along(c, x, axis, split_at(x.shape, axis).mid, c.attr_bool("descending", false), c.attr_dtype("y2_dtype", DType::kInt32));
}
void host_topk(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() == 0) bad_value("TopKV2 needs at least one dimension");
  sort_along(c, x, wrap_axis(c.attr_int("dim", -1), x.rank()), one_int(c.in("k", 1)), c.attr_bool("largest", true),
             c.attr_dtype("indices_dtype", DType::kInt32));
}

// Softmax -----------------------------------------------------------------------------------------
void softmax(HostCtx& c, bool log) {
  const Tensor& x = c.in(0);
  Dims axes = c.attr_ints("axes", Dims{-1});
  const DType to = !log && c.attr_bool("half_to_float", false) && x.dtype == DType::kFloat16 ? DType::kFloat : x.dtype;
  const Tensor y = x.rank() == 0 ? x.reshaped({1}) : x;
  const Reduced r = plan_reduce(y.shape, axes, true);
  std::vector<double> v = values<double>(y);
  const std::vector<double> top = fold<double>(v, r, -INFINITY, [](double a, double b) { return std::isnan(b) || b > a ? b : a; });
  std::vector<double> sum(top.size(), 0.0);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const auto t = static_cast<std::size_t>(r.target[i]);
    v[i] -= top[t];
    sum[t] += std::exp(v[i]);
  }
  for (std::size_t i = 0; i < v.size(); ++i) {
    const double s = sum[static_cast<std::size_t>(r.target[i])];
    v[i] = log ? v[i] - std::log(s) : std::exp(v[i]) / s;
  }
  c.out(0, make(to, x.shape, v));
}
void host_softmax(HostCtx& c) { softmax(c, false); }
void host_log_softmax(HostCtx& c) { softmax(c, true); }

// Counting ----------------------------------------------------------------------------------------
void host_bincount(HostCtx& c) {
  const Dims array = ints(c.in(0));
  const std::int64_t size = one_int(c.in(1));
  const Tensor& weights = c.in(2);
  std::vector<double> bins(static_cast<std::size_t>(count({size})), 0.0);
  const std::vector<double> w = values<double>(weights);
  if (!w.empty() && w.size() != array.size()) bad_value("Bincount's weights must be empty or as long as the array");
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (array[i] < 0 || array[i] >= size) bad_value(fmt::format("Bincount value {} is not in [0, {})", array[i], size));
    bins[static_cast<std::size_t>(array[i])] += w.empty() ? 1.0 : w[i];
  }
  c.out(0, make(weights.dtype, {size}, bins));
}
void host_histogram(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t bins = c.attr_int("bins", 100);
  double lo = c.attr_float("min", 0.0);
  double hi = c.attr_float("max", 0.0);
  const std::vector<double> v = values<double>(x);
  if (bins <= 0) bad_value("Histogram needs at least one bin");
  if (lo == hi && !v.empty()) {
    lo = *std::min_element(v.begin(), v.end());
    hi = *std::max_element(v.begin(), v.end());
  }
  if (lo == hi) {
    lo -= 1;
    hi += 1;
  }
  std::vector<double> out(static_cast<std::size_t>(bins), 0.0);
  for (const double e : v) {
    if (!(e >= lo && e <= hi)) continue;
    const auto bin = static_cast<std::int64_t>((e - lo) / (hi - lo) * static_cast<double>(bins));
    out[static_cast<std::size_t>(std::min(bin, bins - 1))] += 1;
  }
  c.out(0, make(c.out_dtype(0), {bins}, out));
}
void host_search_sorted(HostCtx& c) {
  const Tensor& seq = c.in(0);
  const Tensor& val = c.in(1);
  const Tensor sorter = c.maybe("sorter", 2);
  const bool right = c.attr_bool("right", false);
  if (seq.dtype != val.dtype) bad_value("SearchSorted's inputs must have one element type");
  if (seq.rank() == 0) bad_value("SearchSorted needs a sequence of rank 1 or more");
  const std::int64_t n = seq.shape.back();
  const std::int64_t m = seq.rank() == 1 || val.rank() == 0 ? val.numel() : val.shape.back();
  if (seq.rank() > 1 && (val.rank() != seq.rank() || !std::equal(seq.shape.begin(), seq.shape.end() - 1, val.shape.begin()))) {
    bad_value(fmt::format("SearchSorted: leading dimensions of {} and {} differ", dims_text(seq.shape), dims_text(val.shape)));
  }
  with_real(seq.dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> s = values<T>(seq);
    const std::vector<T> v = values<T>(val);
    const Dims perm = sorter.present() ? ints(sorter) : Dims{};
    if (sorter.present() && perm.size() != s.size()) bad_value("SearchSorted's sorter must have the sequence's shape");
    std::vector<std::int64_t> out;
    for (std::size_t i = 0; i < v.size(); ++i) {
      const std::int64_t base = seq.rank() == 1 ? 0 : static_cast<std::int64_t>(i) / m * n;
      std::int64_t lo = 0;
      std::int64_t hi = n;
      while (lo < hi) {
        const std::int64_t mid = (lo + hi) / 2;
        std::int64_t at = mid;
        if (sorter.present()) {
          at = perm[static_cast<std::size_t>(base + mid)];
          if (at < 0 || at >= n) bad_value("SearchSorted's sorter points outside the sequence");
        }
        const T e = s[static_cast<std::size_t>(base + at)];
        const bool before = is_nan(v[i]) || (right ? e <= v[i] : e < v[i]);
        (before ? lo : hi) = before ? mid + 1 : mid;
      }
      out.push_back(lo);
    }
    c.out(0, make(c.attr_dtype("dtype", DType::kInt64), val.shape, out));
  });
}
void host_bucketize(HostCtx& c) {
  const std::vector<double> boundaries = c.attr_floats("boundaries");
  const bool right = c.attr_bool("right", true);
  std::vector<std::int64_t> out;
  for (const double x : values<double>(c.in(0))) {
    const auto e = static_cast<double>(static_cast<float>(x));
    std::int64_t below = 0;
    for (const double b : boundaries) below += std::isnan(e) || (right ? b <= e : b < e) ? 1 : 0;
    out.push_back(below);
  }
  c.out(0, make(c.attr_dtype("dtype", DType::kInt32), c.in(0).shape, out));
}

// ---------------------------------------------------------------- plugin

std::optional<Dims> ov_axes(const OvCtx& c, bool noop_default) {
  const std::int64_t rank = OvCtx::rank(c.in(0));
  Dims axes = c.fed("axes", 1) ? c.constant("axes", 1) : c.attr_ints("axes");
  if (rank == 0) return std::nullopt;
  if (axes.empty()) {
    if (c.attr_bool("noop_with_empty_axes", noop_default)) return std::nullopt;
    axes = all_axes(rank);
  }
  return wrap_axes(std::move(axes), rank);
}
template <class T>
void ov_reduce(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  const std::optional<Dims> axes = ov_axes(c, c.node().type != "ReduceMeanD");
  c.out(0, axes ? mk<T>(c.in(0), i64(*axes), c.attr_bool("keep_dims", false)) : c.in(0));
}
template <class T>
void ov_truth(OvCtx& c) {
  if (c.in(0).get_element_type() != ov::element::boolean || OvCtx::rank(c.in(0)) == 0) throw NeedsHost{};
  Dims axes = c.fed("axes", 1) ? c.constant("axes", 1) : c.attr_ints("axes");
  if (axes.empty()) axes = all_axes(OvCtx::rank(c.in(0)));
  c.out(0, mk<T>(c.in(0), i64(wrap_axes(axes, OvCtx::rank(c.in(0)))), c.attr_bool("keep_dims", false)));
}
void ov_softmax(OvCtx& c) {
  const Dims axes = c.attr_ints("axes", Dims{-1});
  if (axes.size() != 1 || OvCtx::rank(c.in(0)) == 0) throw NeedsHost{};
  c.out(0, mk<op::Softmax>(c.in(0), wrap_axis(axes[0], OvCtx::rank(c.in(0)))));
}
void ov_log_softmax(OvCtx& c) {
  const Dims axes = c.attr_ints("axes", Dims{-1});
  if (axes.size() != 1 || OvCtx::rank(c.in(0)) == 0) throw NeedsHost{};
  c.out(0, mk<op::LogSoftmax>(c.in(0), wrap_axis(axes[0], OvCtx::rank(c.in(0)))));
}
void ov_cumsum(OvCtx& c) {
  if (!is_real(c.in(0)) || OvCtx::rank(c.in(0)) == 0) throw NeedsHost{};
  const Dims axis = c.constant("axis", 1);
  if (axis.size() != 1) throw NeedsHost{};
  c.out(0, mk<op::CumSum>(c.in(0), i64_scalar(wrap_axis(axis[0], OvCtx::rank(c.in(0)))), c.attr_bool("exclusive", false),
                          c.attr_bool("reverse", false)));
}

constexpr Op kTable[] = {
    {"ReduceSum", host_sum, ov_reduce<op::ReduceSum>},
    {"ReduceSumD", host_sum, ov_reduce<op::ReduceSum>},
    {"ReduceMean", host_mean, ov_reduce<op::ReduceMean>},
    {"ReduceMeanD", host_mean, ov_reduce<op::ReduceMean>},
    {"ReduceMeanWithCast", host_mean, nullptr},
    {"ReduceMax", host_extreme<true>, ov_reduce<op::ReduceMax>},
    {"ReduceMin", host_extreme<false>, ov_reduce<op::ReduceMin>},
    {"ReduceProd", host_prod, ov_reduce<op::ReduceProd>},
    {"ReduceProdD", host_prod, ov_reduce<op::ReduceProd>},
    {"ReduceAll", host_truth<true>, ov_truth<op::ReduceLogicalAnd>},
    {"ReduceAny", host_truth<false>, ov_truth<op::ReduceLogicalOr>},
    {"ReduceLogSum", host_logsum, nullptr},
    {"ReduceLogSumExp", host_logsumexp, nullptr},
    {"ReduceStdV2", host_reduce_std, nullptr},
    {"ReduceVar", host_reduce_var, nullptr},
    {"LpNorm", host_lp_norm, nullptr},
    {"LpNormV2", host_lp_norm, nullptr},
    {"Cumsum", host_cumsum, ov_cumsum},
    {"Cumprod", host_cumprod, nullptr},
    {"CumulativeLogsumexp", host_cumlogsumexp, nullptr},
    {"Cummax", host_cumext<true>, nullptr},
    {"Cummin", host_cumext<false>, nullptr},
    {"ArgMaxV2", host_arg<true>, nullptr, Ints::kIndex},
    {"ArgMin", host_arg<false>, nullptr, Ints::kIndex},
    {"ArgMaxWithValue", host_arg_value<true>, nullptr, Ints::kIndex},
    {"ArgMinWithValue", host_arg_value<false>, nullptr, Ints::kIndex},
    {"Sort", host_sort, nullptr, Ints::kIndex},
    {"TopK", host_topk, nullptr, Ints::kIndex},
    {"TopKV2", host_topk, nullptr, Ints::kIndex},
    {"SoftmaxV2", host_softmax, ov_softmax},
    {"LogSoftmaxV2", host_log_softmax, ov_log_softmax},
    {"Bincount", host_bincount, nullptr},
    {"Histogram", host_histogram, nullptr},
    {"SearchSorted", host_search_sorted, nullptr},
    {"Bucketize", host_bucketize, nullptr},
};

}  // namespace

std::span<const Op> reduce_ops() { return kTable; }

}  // namespace airloom::runtime
