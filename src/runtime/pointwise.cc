// Unary and binary arithmetic, comparisons, logic, activations.
#include <cmath>

#include "runtime/check.h"
#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

// ---------------------------------------------------------------- host helpers

using Unary = double (*)(const NodeView&, double);

template <class F>
Tensor map_real(const Tensor& x, F&& f) {
  std::vector<double> v = values<double>(x);
  for (double& e : v) e = f(e);
  return make(x.dtype, x.shape, v);
}

void need_float(const HostCtx& c, const Tensor& x) {
  if (!ir::is_floating(x.dtype)) {
    bad(Errc::kRuntime, fmt::format("{} is not defined for {}", c.node().type, ir::info(x.dtype).torch), c.node().name,
        "cast to a float type first");
  }
}

template <Unary F>
void host_float(HostCtx& c) {
  const Tensor& x = c.in(0);
  need_float(c, x);
  c.out(0, map_real(x, [&](double e) { return F(c, e); }));
}

/// Floats and complex numbers through the same std function.
#define AIRLOOM_ANALYTIC(name, expr)                \
  void name(HostCtx& c) {                           \
    const Tensor& x0 = c.in(0);                     \
    const auto f = [](auto x) { return expr; };     \
    if (ir::is_complex(x0.dtype)) {                 \
      std::vector<Complex> v = values<Complex>(x0); \
      for (auto& e : v) e = f(e);                   \
      c.out(0, make(x0.dtype, x0.shape, v));        \
    } else {                                        \
      need_float(c, x0);                            \
      c.out(0, map_real(x0, f));                    \
    }                                               \
  }
AIRLOOM_ANALYTIC(host_sqrt, std::sqrt(x))
AIRLOOM_ANALYTIC(host_rsqrt, 1.0 / std::sqrt(x))
AIRLOOM_ANALYTIC(host_reciprocal, 1.0 / x)
AIRLOOM_ANALYTIC(host_sin, std::sin(x))
AIRLOOM_ANALYTIC(host_cos, std::cos(x))
AIRLOOM_ANALYTIC(host_tan, std::tan(x))
AIRLOOM_ANALYTIC(host_asin, std::asin(x))
AIRLOOM_ANALYTIC(host_acos, std::acos(x))
AIRLOOM_ANALYTIC(host_atan, std::atan(x))
AIRLOOM_ANALYTIC(host_sinh, std::sinh(x))
AIRLOOM_ANALYTIC(host_cosh, std::cosh(x))
AIRLOOM_ANALYTIC(host_tanh, std::tanh(x))
AIRLOOM_ANALYTIC(host_asinh, std::asinh(x))
AIRLOOM_ANALYTIC(host_acosh, std::acosh(x))
AIRLOOM_ANALYTIC(host_atanh, std::atanh(x))
#undef AIRLOOM_ANALYTIC

double log1p_exp(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

double f_expm1(const NodeView&, double x) { return std::expm1(x); }
double f_log1p(const NodeView&, double x) { return std::log1p(x); }
double f_erf(const NodeView&, double x) { return std::erf(x); }
double f_erfc(const NodeView&, double x) { return std::erfc(x); }
double f_floor(const NodeView&, double x) { return std::floor(x); }
double f_ceil(const NodeView&, double x) { return std::ceil(x); }
double f_rint(const NodeView&, double x) { return std::nearbyint(x); }
double f_sigmoid(const NodeView&, double x) { return sigmoid(x); }
double f_leaky(const NodeView& n, double x) { return x > 0 ? x : n.attr_float("negative_slope", 0.0) * x; }
double f_elu(const NodeView& n, double x) {
  const double scale = n.attr_float("scale", 1.0);
  return x > 0 ? scale * x : scale * n.attr_float("alpha", 1.0) * std::expm1(n.attr_float("input_scale", 1.0) * x);
}
double f_selu(const NodeView&, double x) {
  return x > 0 ? 1.0507009873554805 * x : 1.0507009873554805 * 1.6732632423543772 * std::expm1(x);
}
double f_celu(const NodeView& n, double x) {
  return x >= 0 ? n.attr_float("alpha3", 1.0) * x : n.attr_float("alpha1", 1.0) * std::expm1(x / n.attr_float("alpha2", 1.0));
}
double f_celu2(const NodeView& n, double x) {
  const double alpha = n.attr_float("alpha", 1.0);
  return x > 0 ? x : alpha * std::expm1(x / alpha);
}
double gelu_tanh(double x) { return x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x)); }
double f_gelu(const NodeView&, double x) { return std::isinf(x) ? (x > 0 ? x : -0.0) : gelu_tanh(x); }
void check_gelu2(CheckCtx& c) { c.only("approximate", {"none", "tanh"}); }
double f_gelu2(const NodeView& n, double x) {
  if (n.attr_string("approximate", "none") == "tanh") return f_gelu(n, x);
  return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
}
double f_fast_gelu(const NodeView&, double x) { return x * sigmoid(1.702 * x); }
double f_swish(const NodeView& n, double x) { return x * sigmoid(n.attr_float("scale", 1.0) * x); }
double f_softplus(const NodeView&, double x) { return log1p_exp(x); }
double f_softplus2(const NodeView& n, double x) {
  const double beta = n.attr_float("beta", 1.0);
  return beta * x > n.attr_float("threshold", 20.0) ? x : log1p_exp(beta * x) / beta;
}
double f_mish(const NodeView&, double x) { return x * std::tanh(log1p_exp(x)); }
double f_hswish(const NodeView&, double x) { return x * std::fmin(std::fmax(x + 3, 0.0), 6.0) / 6; }
double f_hsigmoid(const NodeView& n, double x) {
  const double y = n.attr_float("alpha", 0.16666666) * x + n.attr_float("beta", 0.5);
  return std::isnan(y) ? y : std::fmin(std::fmax(y, 0.0), 1.0);
}
double f_hshrink(const NodeView& n, double x) { return std::fabs(x) <= n.attr_float("lambd", 0.5) ? 0.0 : x; }
double f_sshrink(const NodeView& n, double x) {
  const double lambd = n.attr_float("lambd", 0.5);
  return std::isnan(x) ? x : x > lambd ? x - lambd : x < -lambd ? x + lambd : 0.0;
}
double f_logsigmoid(const NodeView&, double x) { return -log1p_exp(-x); }
double f_softsign(const NodeView&, double x) { return x / (1 + std::fabs(x)); }
double f_thresholded(const NodeView& n, double x) { return x > n.attr_float("alpha", 1.0) ? x : 0.0; }
double f_nan_to_num(const NodeView& n, double x) {
  if (std::isnan(x)) return n.attr_float("nan", 0.0);
  return std::isinf(x) ? n.attr_float(x > 0 ? "posinf" : "neginf") : x;
}
double f_erfinv(const NodeView&, double x) {
  if (!(std::fabs(x) <= 1)) return std::nan("");
  if (std::fabs(x) == 1) return std::copysign(INFINITY, x);
  const double a = std::log1p(-x * x);
  const double b = 2 / (M_PI * 0.147) + a / 2;
  double y = std::copysign(std::sqrt(std::sqrt(b * b - a / 0.147) - b), x);  // within 2e-3; Newton makes it exact
  for (int i = 0; i < 4; ++i) y -= (std::erf(y) - x) / (2 / std::sqrt(M_PI) * std::exp(-y * y));
  return y;
}
double f_power(const NodeView& n, double x) {
  const double power = n.attr_float("power", 1.0);
  return power == 0 ? 1.0 : std::pow(n.attr_float("scale", 1.0) * x + n.attr_float("shift", 0.0), power);
}

void host_exp(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (ir::is_complex(x.dtype)) {
    std::vector<Complex> v = values<Complex>(x);
    for (Complex& e : v) e = std::exp(e);
    return c.out(0, make(x.dtype, x.shape, v));
  }
  need_float(c, x);
  const double base = c.attr_float("base", -1.0);
  const double scale = c.attr_float("scale", 1.0);
  const double shift = c.attr_float("shift", 0.0);
  if (base != -1.0 && base <= 0) bad_value("Exp needs base -1 or a positive one");
  c.out(0, map_real(x, [&](double e) {
          return base == 2.0 ? std::exp2(scale * e + shift) : std::exp((base == -1.0 ? 1.0 : std::log(base)) * (scale * e + shift));
        }));
}

void host_log(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (ir::is_complex(x.dtype)) {
    std::vector<Complex> v = values<Complex>(x);
    for (Complex& e : v) e = std::log(e);
    return c.out(0, make(x.dtype, x.shape, v));
  }
  const double base = c.attr_float("base", -1.0);
  const double scale = c.attr_float("scale", 1.0);
  const double shift = c.attr_float("shift", 0.0);
  if (base != -1.0 && (base <= 0 || base == 1)) bad_value("Log needs base -1 or a positive one other than 1");
  const Tensor y = ir::is_floating(x.dtype) ? x : cast(x, DType::kFloat);  // integers give float32
  c.out(0, map_real(y, [&](double e) {
          const double t = scale * e + shift;
          return base == -1.0 ? std::log(t) : base == 2.0 ? std::log2(t) : base == 10.0 ? std::log10(t) : std::log(t) / std::log(base);
        }));
}

void host_round(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t decimals = c.attr_int("decimals", 0);
  if (!ir::is_floating(x.dtype) && decimals >= 0) return c.out(0, x);
  const double factor = std::pow(10.0, static_cast<double>(std::llabs(decimals)));
  c.out(0, map_real(x, [&](double e) {
          if (decimals == 0) return std::nearbyint(e);
          return decimals > 0 ? std::nearbyint(e * factor) / factor : std::nearbyint(e / factor) * factor;
        }));
}

void host_trunc(HostCtx& c) {
  const Tensor& x = c.in(0);
  c.out(0, ir::is_floating(x.dtype) ? map_real(x, [](double e) { return std::trunc(e); }) : x);
}

/// Same function in every ordered or complex domain.
template <class F>
void any_unary(HostCtx& c, F&& f) {
  const Tensor& x = c.in(0);
  with_domain(x.dtype, [&](auto tag) {
    auto v = values<decltype(tag)>(x);
    for (auto& e : v) e = f(e);
    c.out(0, make(x.dtype, x.shape, v));
  });
}
std::int64_t wrap_neg(std::int64_t x) { return static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(x)); }

void host_neg(HostCtx& c) {
  any_unary(c, [](auto x) {
    if constexpr (std::is_same_v<decltype(x), std::int64_t>)
      return wrap_neg(x);
    else
      return static_cast<decltype(x)>(decltype(x){} - x);
  });
}
void host_neg_float(HostCtx& c) {
  if (ir::is_floating(c.in(0).dtype)) return c.out(0, map_real(c.in(0), [](double e) { return -e; }));
  host_neg(c);
}
void host_abs(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (ir::is_complex(x.dtype)) {
    const std::vector<Complex> v = values<Complex>(x);
    std::vector<double> out;
    out.reserve(v.size());
    for (const Complex& e : v) out.push_back(std::abs(e));
    return c.out(0, make(x.dtype == DType::kComplex128 ? DType::kDouble : DType::kFloat, x.shape, out));
  }
  any_unary(c, [](auto e) {
    if constexpr (std::is_same_v<decltype(e), double>)
      return std::fabs(e);
    else if constexpr (std::is_same_v<decltype(e), std::int64_t>)
      return e < 0 ? wrap_neg(e) : e;
    else
      return e;
  });
}
void host_sign(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (ir::is_complex(x.dtype)) {
    std::vector<Complex> v = values<Complex>(x);
    for (Complex& e : v) e = std::abs(e) == 0 ? Complex{} : e / std::abs(e);
    return c.out(0, make(x.dtype, x.shape, v));
  }
  with_real(x.dtype, [&](auto tag) {
    auto v = values<decltype(tag)>(x);
    for (auto& e : v) e = static_cast<decltype(tag)>(e > decltype(tag){} ? 1 : 0) - static_cast<decltype(tag)>(e < decltype(tag){} ? 1 : 0);
    c.out(0, make(x.dtype, x.shape, v));
  });
}
void host_square(HostCtx& c) {
  any_unary(c, [](auto x) {
    if constexpr (std::is_same_v<decltype(x), std::int64_t>)
      return static_cast<std::int64_t>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(x));
    else
      return x * x;
  });
}
void host_relu(HostCtx& c) {
  const Tensor& x = c.in(0);
  with_real(x.dtype, [&](auto tag) {
    auto v = values<decltype(tag)>(x);
    for (auto& e : v) e = e < decltype(tag){} ? decltype(tag){} : e;  // keeps NaN
    c.out(0, make(x.dtype, x.shape, v));
  });
}
void host_relu6(HostCtx& c) {
  const Tensor& x = c.in(0);
  with_real(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto v = values<T>(x);
    for (auto& e : v) e = e < T{} ? T{} : e > T{6} ? T{6} : e;
    c.out(0, make(x.dtype, x.shape, v));
  });
}
void host_invert(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (ir::is_floating(x.dtype) || x.dtype == DType::kBool) bad_value("Invert is for integers");
  std::vector<std::uint64_t> v = values<std::uint64_t>(x);
  for (auto& e : v) e = ~e;
  c.out(0, make(x.dtype, x.shape, v));
}
void host_logical_not(HostCtx& c) {
  std::vector<std::int64_t> v = values<std::int64_t>(cast(c.in(0), DType::kBool));
  for (auto& e : v) e = e == 0 ? 1 : 0;
  c.out(0, make(DType::kBool, c.in(0).shape, v));
}
template <bool (*F)(double)>
void host_classify(HostCtx& c) {
  std::vector<std::int64_t> out;
  for (const double e : values<double>(c.in(0))) out.push_back(F(e) ? 1 : 0);
  c.out(0, make(DType::kBool, c.in(0).shape, out));
}
bool is_nan(double x) { return std::isnan(x); }
bool is_inf(double x) { return std::isinf(x); }
bool is_finite(double x) { return std::isfinite(x); }

void host_muls(HostCtx& c) {
  const double value = static_cast<float>(c.attr_float("value"));
  const Tensor& x = c.in(0);
  if (ir::is_complex(x.dtype))
    return any_unary(c, [&](auto e) {
      if constexpr (std::is_same_v<decltype(e), Complex>)
        return e * value;
      else
        return e;
    });
  c.out(0, ir::is_floating(x.dtype) ? map_real(x, [&](double e) { return e * value; }) : map_real(x, [&](double e) {
          return x.dtype == DType::kInt64 ? std::nearbyint(e * value) : std::trunc(e * value);
        }));
}
void host_adds(HostCtx& c) {
  const double value = static_cast<float>(c.attr_float("value"));
  c.out(0, map_real(c.in(0), [&](double e) { return e + value; }));
}

// Casts -------------------------------------------------------------------------------------------
void host_cast(HostCtx& c) { c.out(0, cast(c.in(0), c.attr_dtype("dst_type"))); }

// Binary ------------------------------------------------------------------------------------------

DType common_dtype(const HostCtx& c, const Tensor& a, const Tensor& b) {
  if (a.dtype == b.dtype) return a.dtype;
  const auto half = [](DType d) { return d == DType::kFloat16 || d == DType::kBFloat16; };
  if ((half(a.dtype) && b.dtype == DType::kFloat) || (a.dtype == DType::kFloat && half(b.dtype))) return DType::kFloat;
  bad(Errc::kRuntime,
      fmt::format("{} gets {} and {}: both operands must have one element type", c.node().type, ir::info(a.dtype).torch,
                  ir::info(b.dtype).torch),
      c.node().name, "insert a Cast");
}

template <class T, class F>
Tensor zip(const Tensor& a, const Tensor& b, DType out, F&& f) {
  const Dims shape = broadcast(a.shape, b.shape);
  std::vector<T> x = stretched<T>(a, shape);
  const std::vector<T> y = stretched<T>(b, shape);
  using R = decltype(f(x[0], y[0]));
  if constexpr (std::is_same_v<R, bool>) {
    std::vector<std::int64_t> r(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) r[i] = f(x[i], y[i]) ? 1 : 0;
    return make(out, shape, r);
  } else {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = f(x[i], y[i]);
    return make(out, shape, x);
  }
}

/// Wrapping integer arithmetic happens in uint64; complex and double in their own.
template <class F>
void ring(HostCtx& c, F&& f) {
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  const DType dtype = common_dtype(c, a, b);
  if (ir::is_complex(dtype)) return c.out(0, zip<Complex>(a, b, dtype, f));
  if (ir::is_floating(dtype)) return c.out(0, zip<double>(a, b, dtype, f));
  c.out(0, zip<std::uint64_t>(a, b, dtype, f));  // bool: make() turns nonzero into true
}
void host_add(HostCtx& c) {
  ring(c, [](auto x, auto y) { return x + y; });
}
void host_sub(HostCtx& c) {
  ring(c, [](auto x, auto y) { return x - y; });
}
void host_mul(HostCtx& c) {
  ring(c, [](auto x, auto y) { return x * y; });
}
void host_squared_difference(HostCtx& c) {
  ring(c, [](auto x, auto y) {
    if constexpr (std::is_same_v<decltype(x), Complex>)
      return std::conj(x - y) * (x - y);
    else
      return (x - y) * (x - y);
  });
}

template <class F>
void ordered(HostCtx& c, F&& f) {
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  const DType dtype = common_dtype(c, a, b);
  with_real(dtype, [&](auto tag) { c.out(0, zip<decltype(tag)>(a, b, dtype, f)); });
}
template <class T>
void no_zero(T y) {
  if (y == T{}) bad_value("integer division by zero");
}
template <class T>
T int_div_trunc(T x, T y) {
  no_zero(y);
  if constexpr (std::is_signed_v<T>) {
    if (y == -1) return wrap_neg(x);
  }
  return x / y;
}
template <class T>
T int_div_floor(T x, T y) {
  const T q = int_div_trunc(x, y);
  if constexpr (std::is_signed_v<T>) {
    if (y != -1 && x % y != 0 && ((x < 0) != (y < 0))) return q - 1;
  }
  return q;
}
template <class T>
T int_mod_trunc(T x, T y) {
  no_zero(y);
  if constexpr (std::is_signed_v<T>) {
    if (y == -1) return 0;
  }
  return x % y;
}
template <class F, class G>
void division(HostCtx& c, F&& real, G&& integer) {
  if (ir::is_complex(c.in(0).dtype))
    return ring(c, [](auto x, auto y) {
      if constexpr (std::is_same_v<decltype(x), Complex>)
        return x / y;
      else
        return x;
    });
  ordered(c, [&](auto x, auto y) {
    if constexpr (std::is_same_v<decltype(x), double>)
      return real(x, y);
    else
      return integer(x, y);
  });
}
float quotient(double x, double y) { return static_cast<float>(x) / static_cast<float>(y); }

void host_div(HostCtx& c) {
  division(
      c, [](double x, double y) { return x / y; }, [](auto x, auto y) { return int_div_floor(x, y); });
}
void host_real_div(HostCtx& c) {
  if (c.in(0).dtype == DType::kBool ||
      (!ir::is_floating(c.in(0).dtype) && !ir::is_complex(c.in(0).dtype) && c.out_dtype(0) == DType::kFloat)) {
    return c.out(0, zip<double>(c.in(0), c.in(1), DType::kFloat, [](double x, double y) { return x / y; }));
  }
  division(
      c, [](double x, double y) { return x / y; }, [](auto x, auto y) { return int_div_trunc(x, y); });
}
void host_floor_div(HostCtx& c) {
  const bool wide = c.in(0).dtype == DType::kDouble;
  division(
      c, [&](double x, double y) { return std::floor(wide ? x / y : static_cast<double>(quotient(x, y))); },
      [](auto x, auto y) { return int_div_floor(x, y); });
}
void host_truncate_div(HostCtx& c) {
  const bool wide = c.in(0).dtype == DType::kDouble;
  division(
      c, [&](double x, double y) { return std::trunc(wide ? x / y : static_cast<double>(quotient(x, y))); },
      [](auto x, auto y) { return int_div_trunc(x, y); });
}
void host_div_no_nan(HostCtx& c) {
  division(
      c, [](double x, double y) { return y == 0 ? 0.0 : x / y; },
      [](auto x, auto y) { return y == decltype(y){} ? decltype(x){} : int_div_trunc(x, y); });
}
void host_mod(HostCtx& c) {
  division(
      c, [](double x, double y) { return std::fmod(x, y); }, [](auto x, auto y) { return int_mod_trunc(x, y); });
}
void host_floor_mod(HostCtx& c) {
  division(
      c,
      [](double x, double y) {
        const double r = std::fmod(x, y);
        return r != 0 && (r < 0) != (y < 0) ? r + y : r;
      },
      [](auto x, auto y) {
        const auto r = int_mod_trunc(x, y);
        return r != decltype(r){} && (r < decltype(r){}) != (y < decltype(y){}) ? r + y : r;
      });
}
template <class T>
T int_pow(T base, T exponent) {
  if (exponent < T{}) {
    if (base == T{1}) return 1;
    if constexpr (std::is_signed_v<T>) {
      if (base == -1) return exponent % 2 == 0 ? 1 : -1;
    }
    return 0;
  }
  std::uint64_t result = 1;
  auto b = static_cast<std::uint64_t>(base);
  for (auto e = static_cast<std::uint64_t>(exponent); e != 0; e >>= 1) {
    if (e & 1U) result *= b;
    b *= b;
  }
  return static_cast<T>(result);
}
void host_pow(HostCtx& c) {
  if (ir::is_complex(c.in(0).dtype))
    return ring(c, [](auto x, auto y) {
      if constexpr (std::is_same_v<decltype(x), Complex>)
        return std::pow(x, y);
      else
        return x;
    });
  ordered(c, [](auto x, auto y) {
    if constexpr (std::is_same_v<decltype(x), double>)
      return std::pow(x, y);
    else
      return int_pow(x, y);
  });
}
void host_atan2(HostCtx& c) {
  division(
      c, [](double y, double x) { return std::atan2(y, x); }, [](auto x, auto) { return (bad_value("Atan2 is for floats"), x); });
}
void host_xlogy(HostCtx& c) {
  division(
      c, [](double x, double y) { return x == 0 && !std::isnan(y) ? 0.0 : x * std::log(y); },
      [](auto x, auto) { return (bad_value("Xlogy is for floats"), x); });
}
template <class T>
bool unordered(T x) {
  if constexpr (std::is_same_v<T, double>)
    return std::isnan(x);
  else
    return false;
}
void host_maximum(HostCtx& c) {
  ordered(c, [](auto x, auto y) { return unordered(x) || x > y ? x : y; });
}
void host_minimum(HostCtx& c) {
  ordered(c, [](auto x, auto y) { return unordered(x) || x < y ? x : y; });
}

template <class F>
void compare(HostCtx& c, F&& f) {
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  with_real(common_dtype(c, a, b), [&](auto tag) { c.out(0, zip<decltype(tag)>(a, b, DType::kBool, f)); });
}
template <bool Equal>
void host_equality(HostCtx& c) {
  if (ir::is_complex(c.in(0).dtype)) {
    return c.out(
        0, zip<Complex>(c.in(0), c.in(1), DType::kBool, [](const Complex& x, const Complex& y) -> bool { return (x == y) == Equal; }));
  }
  compare(c, [](auto x, auto y) -> bool { return (x == y) == Equal; });
}
void host_less(HostCtx& c) {
  compare(c, [](auto x, auto y) -> bool { return x < y; });
}
void host_less_equal(HostCtx& c) {
  compare(c, [](auto x, auto y) -> bool { return x <= y; });
}
void host_greater(HostCtx& c) {
  compare(c, [](auto x, auto y) -> bool { return x > y; });
}
void host_greater_equal(HostCtx& c) {
  compare(c, [](auto x, auto y) -> bool { return x >= y; });
}

template <class F>
void logical(HostCtx& c, F&& f) {
  c.out(0, zip<std::int64_t>(cast(c.in(0), DType::kBool), cast(c.in(1), DType::kBool), DType::kBool, f));
}
void host_and(HostCtx& c) {
  logical(c, [](std::int64_t x, std::int64_t y) { return x & y; });
}
void host_or(HostCtx& c) {
  logical(c, [](std::int64_t x, std::int64_t y) { return x | y; });
}
void host_xor(HostCtx& c) {
  logical(c, [](std::int64_t x, std::int64_t y) { return x ^ y; });
}

template <class F>
void bitwise(HostCtx& c, F&& f) {
  const DType dtype = common_dtype(c, c.in(0), c.in(1));
  if (ir::is_floating(dtype) || dtype == DType::kBool)
    bad_value(fmt::format("{} is for integers, not {}", c.node().type, ir::info(dtype).torch));
  const std::int64_t bits = ir::item_size(dtype) * 8;
  const auto run = [&](auto tag) { c.out(0, zip<decltype(tag)>(c.in(0), c.in(1), dtype, [&](auto x, auto y) { return f(x, y, bits); })); };
  if (dtype == DType::kUInt64) return run(std::uint64_t{});
  run(std::int64_t{});
}
template <class T>
std::int64_t clamp_shift(T y, std::int64_t bits) {
  if (y < T{}) return 0;
  return y >= static_cast<T>(bits) ? bits - 1 : static_cast<std::int64_t>(y);
}
void host_bit_and(HostCtx& c) {
  bitwise(c, [](auto x, auto y, std::int64_t) { return x & y; });
}
void host_bit_or(HostCtx& c) {
  bitwise(c, [](auto x, auto y, std::int64_t) { return x | y; });
}
void host_bit_xor(HostCtx& c) {
  bitwise(c, [](auto x, auto y, std::int64_t) { return x ^ y; });
}
void host_left_shift(HostCtx& c) {
  bitwise(
      c, [](auto x, auto y, std::int64_t bits) { return static_cast<decltype(x)>(static_cast<std::uint64_t>(x) << clamp_shift(y, bits)); });
}
void host_right_shift(HostCtx& c) {
  bitwise(c, [](auto x, auto y, std::int64_t bits) { return x >> clamp_shift(y, bits); });
}

// Three and more operands -------------------------------------------------------------------------

Dims shape3(const Tensor& a, const Tensor& b, const Tensor& d) { return broadcast(broadcast(a.shape, b.shape), d.shape); }

void host_select(HostCtx& c) {
  const Tensor cond = cast(c.in(0), DType::kBool);
  const Tensor& a = c.in(1);
  const Tensor& b = c.in(2);
  if (a.dtype != b.dtype) common_dtype(c, a, b);
  if (a.dtype != b.dtype) bad_value("both branches must have one element type");
  const Dims shape = shape3(cond, a, b);
  const Tensor x = broadcast_to(a, shape);
  const Tensor y = broadcast_to(b, shape);
  const std::vector<std::int64_t> pickers = stretched<std::int64_t>(cond, shape);
  Tensor out = allocate(a.dtype, shape);
  const std::int64_t item = ir::item_size(a.dtype);
  for (std::size_t i = 0; i < pickers.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i) * item;
    std::memcpy(writable(out) + at, (pickers[i] != 0 ? x : y).data + at, static_cast<std::size_t>(item));
  }
  c.out(0, out);
}
void host_masked_fill(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& value = c.in(2);
  if (value.numel() != 1) bad_value(fmt::format("MaskedFill's value must have one element, not shape {}", dims_text(value.shape)));
  if (value.dtype != x.dtype) bad_value("MaskedFill's value must have the element type of x");
  const Dims shape = broadcast(x.shape, c.in(1).shape);
  const std::vector<std::int64_t> mask = stretched<std::int64_t>(cast(c.in(1), DType::kBool), shape);
  std::vector<std::int64_t> map = broadcast_map(x.shape, shape);
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (mask[i] != 0) map[i] = -1;
  }
  c.out(0, pick(x, shape, map, value));
}
void host_clip(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Dims shape = shape3(x, c.in(1), c.in(2));
  for (const std::size_t slot : {1U, 2U}) {
    if (c.in(slot).dtype != x.dtype) bad_value("the bounds must have the element type of x");
  }
  with_real(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> v = stretched<T>(x, shape);
    const std::vector<T> lo = stretched<T>(c.in(1), shape);
    const std::vector<T> hi = stretched<T>(c.in(2), shape);
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (unordered(v[i])) continue;
      v[i] = unordered(lo[i]) || v[i] < lo[i] ? lo[i] : v[i];
      v[i] = unordered(v[i]) ? v[i] : unordered(hi[i]) || v[i] > hi[i] ? hi[i] : v[i];
    }
    c.out(0, make(x.dtype, shape, v));
  });
}
void host_threshold(HostCtx& c) {
  const Tensor& x = c.in(0);
  with_real(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T threshold = values<T>(c.in(1)).at(0);
    const Tensor fill = c.maybe("value", 2);
    const T value = fill.present() ? values<T>(fill).at(0) : T{};
    std::vector<T> v = values<T>(x);
    for (T& e : v) e = e <= threshold ? value : e;
    c.out(0, make(x.dtype, x.shape, v));
  });
}
void host_prelu(HostCtx& c) {
  const Dims shape = broadcast(c.in(0).shape, c.in(1).shape);
  if (shape != c.in(0).shape)
    bad_value(fmt::format("PRelu's weight {} does not broadcast to x {}", dims_text(c.in(1).shape), dims_text(c.in(0).shape)));
  c.out(0, zip<double>(c.in(0), c.in(1), c.in(0).dtype, [](double x, double w) { return x > 0 ? x : w * x; }));
}
/// x1 + alpha * x2 and the like: exact for integers.
template <class F>
void affine3(HostCtx& c, F&& f) {
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  const Tensor& d = c.in(2);
  const Dims shape = shape3(a, b, d);
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> x = stretched<T>(a, shape);
    const std::vector<T> y = stretched<T>(b, shape);
    const std::vector<T> z = stretched<T>(d, shape);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = f(x[i], y[i], z[i]);
    c.out(0, make(a.dtype, shape, x));
  };
  if (ir::is_complex(a.dtype)) return run(Complex{});
  if (ir::is_floating(a.dtype)) return run(double{});
  run(std::uint64_t{});
}
void host_axpy_v2(HostCtx& c) {
  affine3(c, [](auto x, auto y, auto alpha) { return x + y * alpha; });
}
void host_fused_mul_add(HostCtx& c) {
  affine3(c, [](auto x, auto y, auto z) { return x * y + z; });
}
void host_lerp(HostCtx& c) {
  affine3(c, [](auto start, auto end, auto w) {
    if constexpr (std::is_same_v<decltype(w), double>)
      return w < 0.5 ? start + w * (end - start) : end - (1 - w) * (end - start);
    else
      return start;
  });
}
template <bool Divide>
void host_addc(HostCtx& c) {
  const Tensor& x = c.in(0);
  const Tensor& value = c.in("value", 3);
  if (value.numel() != 1) bad_value("value must have one element");
  const Dims shape = shape3(x, c.in(1), c.in(2));
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> v = stretched<T>(x, shape);
    const std::vector<T> a = stretched<T>(c.in(1), shape);
    const std::vector<T> b = stretched<T>(c.in(2), shape);
    const T k = values<T>(value)[0];
    for (std::size_t i = 0; i < v.size(); ++i) {
      if constexpr (Divide)
        v[i] += k * a[i] / b[i];
      else
        v[i] += k * a[i] * b[i];
    }
    c.out(0, make(x.dtype, shape, v));
  };
  if (ir::is_floating(x.dtype)) return run(double{});
  if (Divide) bad_value("Addcdiv is for floats");
  if constexpr (!Divide) run(std::uint64_t{});
}
void host_axpy(HostCtx& c) {
  const double alpha = static_cast<float>(c.attr_float("alpha"));
  const DType dtype = common_dtype(c, c.in(0), c.in(1));
  c.out(0, zip<double>(c.in(0), c.in(1), dtype,
                       [&](double x, double y) { return ir::is_floating(dtype) ? x + alpha * y : std::trunc(x + alpha * y); }));
}
void host_glu(HostCtx& c, bool swiglu) {
  const Tensor& x = c.in(0);
  const std::int64_t axis = wrap_axis(c.attr_int("dim", -1), x.rank());
  const auto at = static_cast<std::size_t>(axis);
  if (x.shape[at] % 2 != 0) bad_value("the split dimension must be even");
  const Split3 s = split_at(x.shape, axis);
  const std::int64_t half = s.mid / 2;
  const std::vector<double> v = values<double>(x);
  Dims shape = x.shape;
  shape[at] = half;
  std::vector<double> out;
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (std::int64_t m = 0; m < half * s.inner; ++m) {
      const double a = v[static_cast<std::size_t>(o * s.mid * s.inner + m)];
      const double b = v[static_cast<std::size_t>((o * s.mid + half) * s.inner + m)];
      out.push_back(swiglu ? a * sigmoid(a) * b : a * sigmoid(b));
    }
  }
  c.out(0, make(x.dtype, shape, out));
}
void host_glu(HostCtx& c) { host_glu(c, false); }
void host_swiglu(HostCtx& c) { host_glu(c, true); }

// Complex -----------------------------------------------------------------------------------------
/// The result's type follows from the input's.
void check_complex_type(CheckCtx& c) {
  const DType from = c.dtype(0);
  if (!c.has_attr("Tout") || from == DType::kUndefined) return;
  const bool wide = from == DType::kDouble || from == DType::kComplex128;
  const DType gives = c.node().type == "Complex" ? (wide ? DType::kComplex128 : DType::kComplex64) : wide ? DType::kDouble : DType::kFloat;
  if (c.attr_int("Tout") != static_cast<std::int64_t>(gives))
    c.refuse(fmt::format("with Tout = {} for {}", c.attr_int("Tout"), ir::info(from).torch));
}
void host_complex(HostCtx& c) {
  const std::vector<double> re = values<double>(c.in(0));
  const std::vector<double> im = stretched<double>(c.in(1), c.in(0).shape);
  std::vector<Complex> out;
  for (std::size_t i = 0; i < re.size(); ++i) out.emplace_back(re[i], im[i]);
  c.out(0, make(c.in(0).dtype == DType::kDouble ? DType::kComplex128 : DType::kComplex64, c.in(0).shape, out));
}
template <class F>
void complex_part(HostCtx& c, F&& f) {
  const Tensor& x = c.in(0);
  if (!ir::is_complex(x.dtype)) bad_value(fmt::format("{} needs complex elements", c.node().type));
  std::vector<double> out;
  for (const Complex& e : values<Complex>(x)) out.push_back(f(e));
  c.out(0, make(x.dtype == DType::kComplex128 ? DType::kDouble : DType::kFloat, x.shape, out));
}
void host_real(HostCtx& c) {
  if (!ir::is_complex(c.in(0).dtype)) return c.out(0, c.in(0));
  complex_part(c, [](const Complex& e) { return e.real(); });
}
void host_imag(HostCtx& c) {
  complex_part(c, [](const Complex& e) { return e.imag(); });
}
void host_angle(HostCtx& c) {
  complex_part(c, [](const Complex& e) { return std::arg(e); });
}
void host_conj(HostCtx& c) {
  std::vector<Complex> v = values<Complex>(c.in(0));
  for (Complex& e : v) e = std::conj(e);
  c.out(0, make(c.in(0).dtype, c.in(0).shape, v));
}

// ---------------------------------------------------------------- plugin

template <class T>
void ov_unary(OvCtx& c) {
  c.out(0, mk<T>(c.in(0)));
}
template <class T>
void ov_float(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<T>(c.in(0)));
}
template <class T>
void ov_binary(OvCtx& c) {
  OvValue a = c.in(0);
  OvValue b = c.in(1);
  if (a.get_element_type() != b.get_element_type())
    bad(Errc::kInvalidGraph, "both operands must have one element type", c.node().name, "insert a Cast");
  if (a.get_element_type() == ov::element::boolean) throw NeedsHost{};
  c.out(0, mk<T>(a, b));
}
/// Only floats: the plugin's integer form rounds differently from GE's.
template <class T>
void ov_binary_float(OvCtx& c) {
  if (!is_real(c.in(0)) || !is_real(c.in(1))) throw NeedsHost{};
  c.out(0, mk<T>(c.in(0), c.in(1)));
}
void ov_add(OvCtx& c) {
  if (c.in(0).get_element_type() == ov::element::boolean && c.in(1).get_element_type() == ov::element::boolean)
    return c.out(0, mk<op::LogicalOr>(c.in(0), c.in(1)));
  ov_binary<op::Add>(c);
}
void ov_mul(OvCtx& c) {
  if (c.in(0).get_element_type() == ov::element::boolean && c.in(1).get_element_type() == ov::element::boolean)
    return c.out(0, mk<op::LogicalAnd>(c.in(0), c.in(1)));
  ov_binary<op::Multiply>(c);
}
void ov_compare_guard(OvCtx& c) {
  if (c.in(0).get_element_type() != c.in(1).get_element_type()) {
    bad(Errc::kInvalidGraph, fmt::format("{} needs one element type on both sides", c.node().type), c.node().name, "insert a Cast");
  }
}
template <class T>
void ov_compare(OvCtx& c) {
  ov_compare_guard(c);
  if (c.in(0).get_element_type() == ov::element::boolean && !std::is_same_v<T, op::Equal> && !std::is_same_v<T, op::NotEqual>)
    throw NeedsHost{};
  c.out(0, mk<T>(c.in(0), c.in(1)));
}
template <class T>
void ov_logical(OvCtx& c) {
  for (const std::size_t slot : {0U, 1U}) {
    if (c.in(slot).get_element_type() != ov::element::boolean) throw NeedsHost{};
  }
  c.out(0, mk<T>(c.in(0), c.in(1)));
}
void ov_logical_not(OvCtx& c) {
  if (c.in(0).get_element_type() != ov::element::boolean) throw NeedsHost{};
  c.out(0, mk<op::LogicalNot>(c.in(0)));
}
void ov_cast(OvCtx& c) {
  const DType to = c.attr_dtype("dst_type");
  const OvValue x = c.in(0);
  const ov::element::Type type = plugin_type(to);
  if (x.get_element_type() == type) return c.out(0, x);
  if (type == ov::element::boolean) return c.out(0, mk<op::NotEqual>(x, num(x, 0)));
  if (x.get_element_type() == ov::element::boolean)
    return c.out(0, mk<op::Select>(x, num(mk<op::Constant>(type, ov::Shape{}, 1), 1), num(mk<op::Constant>(type, ov::Shape{}, 0), 0)));
  c.out(0, mk<op::Convert>(x, type));
}
void ov_rsqrt(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Power>(c.in(0), num(c.in(0), -0.5)));
}
void ov_reciprocal(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Divide>(num(c.in(0), 1), c.in(0)));
}
void ov_square(OvCtx& c) { c.out(0, mk<op::Multiply>(c.in(0), c.in(0))); }
void ov_exp(OvCtx& c) {
  if (!is_real(c.in(0)) || c.attr_float("base", -1.0) != -1.0 || c.attr_float("scale", 1.0) != 1.0 || c.attr_float("shift", 0.0) != 0.0)
    throw NeedsHost{};
  c.out(0, mk<op::Exp>(c.in(0)));
}
void ov_log(OvCtx& c) {
  if (!is_real(c.in(0)) || c.attr_float("base", -1.0) != -1.0 || c.attr_float("scale", 1.0) != 1.0 || c.attr_float("shift", 0.0) != 0.0)
    throw NeedsHost{};
  c.out(0, mk<op::Log>(c.in(0)));
}
void ov_relu(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Relu>(c.in(0)));
}
void ov_relu6(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Clamp>(c.in(0), 0.0, 6.0));
}
void ov_leaky(OvCtx& c) {
  c.out(0, mk<op::PRelu>(c.in(0), mk<op::Constant>(c.in(0).get_element_type(), ov::Shape{1},
                                                   std::vector<double>{c.attr_float("negative_slope", 0.0)})));
}
void ov_elu(OvCtx& c) {
  if (c.attr_float("scale", 1.0) != 1.0 || c.attr_float("input_scale", 1.0) != 1.0) throw NeedsHost{};
  c.out(0, mk<op::Elu>(c.in(0), c.attr_float("alpha", 1.0)));
}
void ov_gelu(OvCtx& c) { c.out(0, mk<op::Gelu>(c.in(0), ov::op::GeluApproximationMode::TANH)); }
void ov_gelu2(OvCtx& c) {
  const std::string mode = c.attr_string("approximate", "none");
  c.out(0, mk<op::Gelu>(c.in(0), mode == "tanh" ? ov::op::GeluApproximationMode::TANH : ov::op::GeluApproximationMode::ERF));
}
void ov_swish(OvCtx& c) {
  const double scale = c.attr_float("scale", 1.0);
  c.out(0,
        scale == 1.0 ? mk<op::Swish>(c.in(0)) : mk<op::Multiply>(c.in(0), mk<op::Sigmoid>(mk<op::Multiply>(c.in(0), num(c.in(0), scale)))));
}
void ov_fast_gelu(OvCtx& c) { c.out(0, mk<op::Multiply>(c.in(0), mk<op::Sigmoid>(mk<op::Multiply>(c.in(0), num(c.in(0), 1.702))))); }
void ov_hsigmoid(OvCtx& c) {
  const OvValue line =
      mk<op::Add>(mk<op::Multiply>(c.in(0), num(c.in(0), c.attr_float("alpha", 0.16666666))), num(c.in(0), c.attr_float("beta", 0.5)));
  c.out(0, mk<op::Clamp>(line, 0.0, 1.0));
}
void ov_muls(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Multiply>(c.in(0), num(c.in(0), c.attr_float("value"))));
}
void ov_adds(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Add>(c.in(0), num(c.in(0), c.attr_float("value"))));
}
void ov_select(OvCtx& c) {
  if (c.in(0).get_element_type() != ov::element::boolean) throw NeedsHost{};
  if (c.in(1).get_element_type() != c.in(2).get_element_type())
    bad(Errc::kInvalidGraph, "both branches must have one element type", c.node().name);
  c.out(0, mk<op::Select>(c.in(0), c.in(1), c.in(2)));
}
void ov_masked_fill(OvCtx& c) {
  if (c.in(1).get_element_type() != ov::element::boolean) throw NeedsHost{};
  if (c.in(2).get_element_type() != c.in(0).get_element_type())
    bad(Errc::kInvalidGraph, "MaskedFill's value must have the element type of x", c.node().name);
  const OvValue value = mk<op::Reshape>(c.in(2), i64({}), false);
  c.out(0, mk<op::Select>(c.in(1), value, c.in(0)));
}
void ov_clip(OvCtx& c) { c.out(0, mk<op::Minimum>(mk<op::Maximum>(c.in(0), c.in(1)), c.in(2))); }
void ov_clip_float(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  ov_clip(c);
}
void ov_prelu(OvCtx& c) {
  const OvValue x = c.in(0);
  c.out(0, mk<op::Select>(mk<op::Greater>(x, num(x, 0)), x, mk<op::Multiply>(x, c.in(1))));
}
void ov_axpy_v2(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  const OvValue alpha = mk<op::Reshape>(c.in(2), i64({}), false);
  c.out(0, mk<op::Add>(c.in(0), mk<op::Multiply>(c.in(1), alpha)));
}
void ov_glu_of(OvCtx& c, bool swiglu) {
  const OvValue x = c.in(0);
  const auto split = std::make_shared<op::Split>(x, i64_scalar(wrap_axis(c.attr_int("dim", -1), OvCtx::rank(x))), 2);
  const OvValue a = split->output(0);
  const OvValue b = split->output(1);
  c.out(0, swiglu ? mk<op::Multiply>(mk<op::Swish>(a), b) : mk<op::Multiply>(a, mk<op::Sigmoid>(b)));
}
void ov_glu(OvCtx& c) { ov_glu_of(c, false); }
void ov_swiglu(OvCtx& c) { ov_glu_of(c, true); }
void ov_rint(OvCtx& c) { c.out(0, mk<op::Round>(c.in(0), op::Round::RoundMode::HALF_TO_EVEN)); }
void ov_round(OvCtx& c) {
  if (!is_real(c.in(0)) || c.attr_int("decimals", 0) != 0) throw NeedsHost{};
  ov_rint(c);
}
/// Where |x| is small, log(1 + x) and exp(x) - 1 lose what x holds; these forms keep it.
void ov_log1p(OvCtx& c) {
  const OvValue x = c.in(0);
  const OvValue one = num(x, 1);
  const OvValue u = mk<op::Add>(x, one);
  const OvValue log = mk<op::Log>(u);
  const OvValue corrected = mk<op::Divide>(mk<op::Multiply>(x, log), mk<op::Subtract>(u, one));
  c.out(0, mk<op::Select>(mk<op::Equal>(u, one), x, mk<op::Select>(mk<op::Greater>(x, one), log, corrected)));
}
void ov_expm1(OvCtx& c) {
  const OvValue x = c.in(0);
  const OvValue one = num(x, 1);
  const OvValue u = mk<op::Exp>(x);
  const OvValue plain = mk<op::Subtract>(u, one);
  const OvValue corrected = mk<op::Divide>(mk<op::Multiply>(plain, x), mk<op::Log>(u));
  c.out(0, mk<op::Select>(mk<op::Equal>(u, one), x, mk<op::Select>(mk<op::Less>(mk<op::Abs>(x), one), corrected, plain)));
}
void ov_sign(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  const OvValue x = c.in(0);
  const OvValue zero = num(x, 0);
  c.out(0, mk<op::Select>(mk<op::Greater>(x, zero), num(x, 1), mk<op::Select>(mk<op::Less>(x, zero), num(x, -1), zero)));
}
void ov_trunc(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  const OvValue x = c.in(0);
  c.out(0, mk<op::Select>(mk<op::Less>(x, num(x, 0)), mk<op::Ceiling>(x), mk<op::Floor>(x)));
}
void ov_floor_div(OvCtx& c) {
  if (!is_real(c.in(0)) || !is_real(c.in(1))) throw NeedsHost{};
  c.out(0, mk<op::Floor>(mk<op::Divide>(c.in(0), c.in(1))));
}
void ov_softplus_v2(OvCtx& c) {
  const OvValue x = c.in(0);
  const double beta = c.attr_float("beta", 1.0);
  const OvValue scaled = mk<op::Multiply>(x, num(x, beta));
  const OvValue soft = mk<op::Divide>(mk<op::SoftPlus>(scaled), num(x, beta));
  c.out(0, mk<op::Select>(mk<op::Greater>(scaled, num(x, c.attr_float("threshold", 20.0))), x, soft));
}
void ov_selu(OvCtx& c) {
  const OvValue x = c.in(0);
  c.out(0, mk<op::Selu>(x, num(x, 1.6732632423543772), num(x, 1.0507009873554805)));
}
void ov_addcmul(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  const OvValue value = mk<op::Reshape>(c.in(3), i64({}), false);
  c.out(0, mk<op::Add>(c.in(0), mk<op::Multiply>(value, mk<op::Multiply>(c.in(1), c.in(2)))));
}
void ov_fused_mul_add(OvCtx& c) {
  if (!is_real(c.in(0))) throw NeedsHost{};
  c.out(0, mk<op::Add>(mk<op::Multiply>(c.in(0), c.in(1)), c.in(2)));
}
void ov_logsigmoid(OvCtx& c) { c.out(0, mk<op::Negative>(mk<op::SoftPlus>(mk<op::Negative>(c.in(0))))); }

constexpr Op kTable[] = {
    {"Abs", host_abs, ov_unary<op::Abs>, Ints::kArith},
    {"ComplexAbs", host_abs, nullptr},
    {"Neg", host_neg_float, ov_unary<op::Negative>, Ints::kArith},
    {"Sign", host_sign, ov_sign, Ints::kArith},
    {"Sqrt", host_sqrt, ov_float<op::Sqrt>},
    {"Rsqrt", host_rsqrt, ov_rsqrt},
    {"Reciprocal", host_reciprocal, ov_reciprocal},
    {"Exp", host_exp, ov_exp},
    {"Log", host_log, ov_log},
    {"Log1p", host_float<f_log1p>, ov_log1p},
    {"Expm1", host_float<f_expm1>, ov_expm1},
    {"Square", host_square, ov_square, Ints::kArith},
    {"Sin", host_sin, ov_float<op::Sin>},
    {"Cos", host_cos, ov_float<op::Cos>},
    {"Tan", host_tan, ov_float<op::Tan>},
    {"Asin", host_asin, ov_float<op::Asin>},
    {"Acos", host_acos, ov_float<op::Acos>},
    {"Atan", host_atan, ov_float<op::Atan>},
    {"Sinh", host_sinh, ov_float<op::Sinh>},
    {"Cosh", host_cosh, ov_float<op::Cosh>},
    {"Asinh", host_asinh, nullptr},
    {"Acosh", host_acosh, nullptr},
    {"Atanh", host_atanh, nullptr},
    {"Tanh", host_tanh, ov_float<op::Tanh>},
    {"Erf", host_float<f_erf>, ov_float<op::Erf>},
    {"Erfc", host_float<f_erfc>, nullptr},
    {"Erfinv", host_float<f_erfinv>, nullptr},
    {"Floor", host_float<f_floor>, ov_float<op::Floor>},
    {"Ceil", host_float<f_ceil>, ov_float<op::Ceiling>},
    {"Rint", host_float<f_rint>, ov_rint},
    {"Round", host_round, ov_round},
    {"Trunc", host_trunc, ov_trunc},
    {"Sigmoid", host_float<f_sigmoid>, ov_float<op::Sigmoid>},
    {"Relu", host_relu, ov_relu},
    {"Relu6", host_relu6, ov_relu6},
    {"LeakyRelu", host_float<f_leaky>, ov_leaky},
    {"Elu", host_float<f_elu>, ov_elu},
    {"Selu", host_float<f_selu>, ov_selu},
    {"Celu", host_float<f_celu>, nullptr},
    {"CeluV2", host_float<f_celu2>, nullptr},
    {"Gelu", host_float<f_gelu>, ov_gelu},
    checked({"GeluV2", host_float<f_gelu2>, ov_gelu2}, check_gelu2),
    {"FastGelu", host_float<f_fast_gelu>, ov_fast_gelu},
    {"Swish", host_float<f_swish>, ov_swish},
    {"Softplus", host_float<f_softplus>, ov_float<op::SoftPlus>},
    {"SoftplusV2", host_float<f_softplus2>, ov_softplus_v2},
    {"Mish", host_float<f_mish>, ov_float<op::Mish>},
    {"HardSwish", host_float<f_hswish>, ov_float<op::HSwish>},
    {"HardSigmoid", host_float<f_hsigmoid>, ov_hsigmoid},
    {"HardShrink", host_float<f_hshrink>, nullptr},
    {"SoftShrink", host_float<f_sshrink>, nullptr},
    {"LogSigmoid", host_float<f_logsigmoid>, ov_logsigmoid},
    {"Softsign", host_float<f_softsign>, nullptr},
    {"ThresholdedRelu", host_float<f_thresholded>, nullptr},
    {"NanToNum", host_float<f_nan_to_num>, nullptr},
    {"Power", host_float<f_power>, nullptr},
    {"Muls", host_muls, ov_muls},
    {"Adds", host_adds, ov_adds},
    {"Cast", host_cast, ov_cast, Ints::kMove},
    {"Add", host_add, ov_add, Ints::kArith},
    {"AddV2", host_add, ov_add, Ints::kArith},
    {"Sub", host_sub, ov_binary<op::Subtract>, Ints::kArith},
    {"Mul", host_mul, ov_mul, Ints::kArith},
    {"SquaredDifference", host_squared_difference, ov_binary_float<op::SquaredDifference>},
    {"Div", host_div, ov_binary_float<op::Divide>},
    {"RealDiv", host_real_div, ov_binary_float<op::Divide>},
    {"FloorDiv", host_floor_div, ov_floor_div},
    {"TruncateDiv", host_truncate_div, nullptr},
    {"DivNoNan", host_div_no_nan, nullptr},
    {"FloorMod", host_floor_mod, nullptr},
    {"Mod", host_mod, nullptr},
    {"TruncateMod", host_mod, nullptr},
    {"Pow", host_pow, ov_binary_float<op::Power>},
    {"Atan2", host_atan2, nullptr},
    {"Xlogy", host_xlogy, nullptr},
    {"Maximum", host_maximum, ov_binary<op::Maximum>, Ints::kArith},
    {"Minimum", host_minimum, ov_binary<op::Minimum>, Ints::kArith},
    {"Equal", host_equality<true>, ov_compare<op::Equal>, Ints::kArith},
    {"NotEqual", host_equality<false>, ov_compare<op::NotEqual>, Ints::kArith},
    {"Less", host_less, ov_compare<op::Less>, Ints::kArith},
    {"LessEqual", host_less_equal, ov_compare<op::LessEqual>, Ints::kArith},
    {"Greater", host_greater, ov_compare<op::Greater>, Ints::kArith},
    {"GreaterEqual", host_greater_equal, ov_compare<op::GreaterEqual>, Ints::kArith},
    {"LogicalAnd", host_and, ov_logical<op::LogicalAnd>},
    {"LogicalOr", host_or, ov_logical<op::LogicalOr>},
    {"LogicalXor", host_xor, ov_logical<op::LogicalXor>},
    {"LogicalNot", host_logical_not, ov_logical_not},
    {"BitwiseAnd", host_bit_and, nullptr},
    {"BitwiseOr", host_bit_or, nullptr},
    {"BitwiseXor", host_bit_xor, nullptr},
    {"Invert", host_invert, nullptr},
    {"LeftShift", host_left_shift, nullptr},
    {"RightShift", host_right_shift, nullptr},
    {"IsNan", host_classify<is_nan>, ov_float<op::IsNaN>},
    {"IsInf", host_classify<is_inf>, ov_float<op::IsInf>},
    {"IsFinite", host_classify<is_finite>, ov_float<op::IsFinite>},
    {"Select", host_select, ov_select, Ints::kMove},
    {"SelectV2", host_select, ov_select, Ints::kMove},
    {"MaskedFill", host_masked_fill, ov_masked_fill, Ints::kMove},
    {"ClipByValue", host_clip, ov_clip_float},
    {"ClipByValueV2", host_clip, ov_clip_float},
    {"ThresholdV2", host_threshold, nullptr},
    {"PRelu", host_prelu, ov_prelu},
    {"AxpyV2", host_axpy_v2, ov_axpy_v2},
    {"Axpy", host_axpy, nullptr},
    {"FusedMulAdd", host_fused_mul_add, ov_fused_mul_add},
    {"Addcmul", host_addc<false>, ov_addcmul},
    {"Addcdiv", host_addc<true>, nullptr},
    {"Lerp", host_lerp, nullptr},
    {"GLU", host_glu, ov_glu},
    {"SwiGlu", host_swiglu, ov_swiglu},
    checked({"Complex", host_complex, nullptr}, check_complex_type),
    {"Real", host_real, nullptr},
    checked({"Imag", host_imag, nullptr}, check_complex_type),
    checked({"Angle", host_angle, nullptr}, check_complex_type),
    {"Conj", host_conj, nullptr},
};

}  // namespace

std::span<const Op> pointwise_ops() { return kTable; }

}  // namespace airloom::runtime
