// Matrix products, decompositions, transforms.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/check.h"
#include "runtime/families.h"
#include "runtime/ov.h"

namespace airloom::runtime {
namespace {

// ---------------------------------------------------------------- host

Dims leading(const Dims& shape) { return {shape.begin(), shape.end() - 2}; }

template <class T>
struct Matrices {
  std::vector<T> v;
  std::int64_t rows = 0, cols = 0;
  bool transposed = false;
  [[nodiscard]] std::int64_t m() const { return transposed ? cols : rows; }
  [[nodiscard]] std::int64_t k() const { return transposed ? rows : cols; }
  [[nodiscard]] T at(std::int64_t batch, std::int64_t i, std::int64_t j) const {
    return v[static_cast<std::size_t>(batch * rows * cols + (transposed ? j * cols + i : i * cols + j))];
  }
};

DType product_type(DType dtype) { return dtype == DType::kInt8 ? DType::kInt32 : dtype; }

/// Offsets are those of quantised operands.
void check_matmul(CheckCtx& c) {
  c.unread("offset_w", 3);
  c.only("offset_x", 0, 0);
}
void host_matmul(HostCtx& c) {
  const bool batch_form = c.node().type.starts_with("Batch");
  Tensor a = c.in("x1", 0);
  Tensor b = c.in("x2", 1);
  if (a.dtype != b.dtype) bad_value(fmt::format("operands are {} and {}", ir::info(a.dtype).torch, ir::info(b.dtype).torch));
  if (a.rank() == 0 || b.rank() == 0) bad_value("a scalar operand");
  const bool vector_a = a.rank() == 1;
  const bool vector_b = b.rank() == 1;
  if (vector_a) a = a.reshaped({1, a.shape[0]});
  if (vector_b) b = b.reshaped({b.shape[0], 1});
  if (!batch_form && (a.rank() != 2 || b.rank() != 2))
    bad_value(fmt::format("{} is for matrices, not {} and {}", c.node().type, dims_text(a.shape), dims_text(b.shape)));
  const bool ta = !vector_a && c.attr_bool(batch_form ? "adj_x1" : "transpose_x1", false);
  const bool tb = !vector_b && c.attr_bool(batch_form ? "adj_x2" : "transpose_x2", false);
  const Dims batch = broadcast(leading(a.shape), leading(b.shape));
  const std::vector<std::int64_t> batch_a = broadcast_map(leading(a.shape), batch);
  const std::vector<std::int64_t> batch_b = broadcast_map(leading(b.shape), batch);
  const Tensor bias = c.maybe("bias", 2);
  const DType dtype = product_type(a.dtype);
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    const Matrices<T> x{values<T>(a), a.shape[a.shape.size() - 2], a.shape.back(), ta};
    const Matrices<T> y{values<T>(b), b.shape[b.shape.size() - 2], b.shape.back(), tb};
    if (x.k() != y.m()) bad_value(fmt::format("inner dimensions {} and {} differ", x.k(), y.m()));
    Dims shape = batch;
    shape.insert(shape.end(), {x.m(), y.k()});
    std::vector<T> out(static_cast<std::size_t>(count(shape)));
    std::size_t at = 0;
    for (std::size_t n = 0; n < batch_a.size(); ++n) {
      for (std::int64_t i = 0; i < x.m(); ++i, at += static_cast<std::size_t>(y.k())) {
        for (std::int64_t k = 0; k < x.k(); ++k) {
          const T left = x.at(batch_a[n], i, k);
          for (std::int64_t j = 0; j < y.k(); ++j) out[at + static_cast<std::size_t>(j)] += left * y.at(batch_b[n], k, j);
        }
      }
    }
    if (bias.present()) {
      const std::vector<T> add = stretched<T>(bias, shape);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += add[i];
    }
    Tensor y_out = make(dtype, shape, out);
    if (vector_a != vector_b) {  // the added dimension goes again; with two vectors it stays
      Dims cut = shape;
      cut.erase(cut.end() - (vector_a ? 2 : 1));
      y_out = y_out.reshaped(cut);
    }
    c.out(0, y_out);
  };
  if (ir::is_complex(a.dtype)) return run(Complex{});
  if (ir::is_floating(a.dtype)) return run(double{});
  run(std::uint64_t{});
}
void host_gemm(HostCtx& c) {
  const Tensor& bias = c.in("c", 2);
  const double alpha = values<double>(c.in("alpha", 3)).at(0);
  const double beta = values<double>(c.in("beta", 4)).at(0);
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  if (a.rank() != 2 || b.rank() != 2) bad_value("GEMM is for matrices");
  const Matrices<double> x{values<double>(a), a.shape[0], a.shape[1], c.attr_bool("transpose_a", false)};
  const Matrices<double> y{values<double>(b), b.shape[0], b.shape[1], c.attr_bool("transpose_b", false)};
  if (x.k() != y.m() || bias.shape != Dims{x.m(), y.k()}) bad_value("GEMM: shapes do not fit");
  std::vector<double> out = values<double>(bias);
  for (std::int64_t i = 0; i < x.m(); ++i) {
    for (std::int64_t j = 0; j < y.k(); ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < x.k(); ++k) sum += x.at(0, i, k) * y.at(0, k, j);
      double& e = out[static_cast<std::size_t>(i * y.k() + j)];
      e = alpha * sum + beta * e;
    }
  }
  c.out(0, make(bias.dtype, bias.shape, out));
}
void host_dot(HostCtx& c) {
  if (c.in(0).shape != c.in(1).shape || c.in(0).rank() != 1) bad_value("Dot is for two vectors of one length");
  with_domain(c.in(0).dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> x = values<T>(c.in(0));
    const std::vector<T> y = values<T>(c.in(1));
    c.out(0, make(c.in(0).dtype, {1}, std::vector<T>{std::inner_product(x.begin(), x.end(), y.begin(), T{})}));
  });
}
void host_cross(HostCtx& c) {
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  if (a.shape != b.shape || a.dtype != b.dtype) bad_value("Cross needs equal shapes and types");
  std::int64_t dim = c.attr_int("dim", -65530);
  if (dim == -65530) {
    const auto it = std::find(a.shape.begin(), a.shape.end(), 3);
    dim = it - a.shape.begin();
  }
  dim = wrap_axis(dim, a.rank());
  const Split3 s = split_at(a.shape, dim);
  if (s.mid != 3) bad_value("Cross needs a dimension of 3");
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> x = values<T>(a);
    const std::vector<T> y = values<T>(b);
    std::vector<T> out(x.size());
    const auto at = [&](std::int64_t o, std::int64_t k, std::int64_t i) { return static_cast<std::size_t>((o * 3 + k % 3) * s.inner + i); };
    for (std::int64_t o = 0; o < s.outer; ++o) {
      for (std::int64_t k = 0; k < 3; ++k) {
        for (std::int64_t i = 0; i < s.inner; ++i)
          out[at(o, k, i)] = x[at(o, k + 1, i)] * y[at(o, k + 2, i)] - x[at(o, k + 2, i)] * y[at(o, k + 1, i)];
      }
    }
    c.out(0, make(a.dtype, a.shape, out));
  };
  if (ir::is_complex(a.dtype)) return run(Complex{});
  if (ir::is_floating(a.dtype)) return run(double{});
  run(std::uint64_t{});
}
void host_trace(HostCtx& c) {
  const Tensor& x = c.in(0);
  if (x.rank() != 2) bad_value("Trace is for matrices");
  const DType to = ir::is_floating(x.dtype) || ir::is_complex(x.dtype) || x.dtype == DType::kUInt64 ? x.dtype : DType::kInt64;
  with_domain(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    const std::vector<T> v = values<T>(x);
    T sum{};
    for (std::int64_t i = 0; i < std::min(x.shape[0], x.shape[1]); ++i) sum += v[static_cast<std::size_t>(i * (x.shape[1] + 1))];
    c.out(0, make(to, {}, std::vector<T>{sum}));
  });
}
void host_cdist(HostCtx& c) {
  const Tensor& a = c.in(0);
  const Tensor& b = c.in(1);
  const double p = c.attr_float("p", 2.0);
  if (a.rank() < 2 || b.rank() != a.rank() || leading(a.shape) != leading(b.shape) || a.shape.back() != b.shape.back())
    bad_value("Cdist: shapes do not fit");
  const std::vector<double> x = values<double>(a);
  const std::vector<double> y = values<double>(b);
  const std::int64_t batches = count(leading(a.shape));
  const std::int64_t rows = a.shape[a.shape.size() - 2];
  const std::int64_t cols = b.shape[b.shape.size() - 2];
  const std::int64_t m = a.shape.back();
  std::vector<double> out;
  for (std::int64_t n = 0; n < batches; ++n) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < m; ++k) {
          const double d =
              std::fabs(x[static_cast<std::size_t>((n * rows + i) * m + k)] - y[static_cast<std::size_t>((n * cols + j) * m + k)]);
          if (p == 0)
            sum += d != 0 ? 1 : 0;
          else if (std::isinf(p))
            sum = std::max(sum, d);
          else
            sum += p == 1 ? d : p == 2 ? d * d : std::pow(d, p);
        }
        out.push_back(p == 0 || p == 1 || std::isinf(p) ? sum : p == 2 ? std::sqrt(sum) : std::pow(sum, 1 / p));
      }
    }
  }
  Dims shape = leading(a.shape);
  shape.insert(shape.end(), {rows, cols});
  c.out(0, make(a.dtype, shape, out));
}

// Square matrices ---------------------------------------------------------------------------------

/// Gaussian elimination with partial pivoting of `n` x `n` beside `extra` right-hand columns. Returns the determinant's sign and log.
struct Det {
  Complex sign{1.0, 0.0};
  double log = 0;
};
Det eliminate(std::vector<Complex>& m, std::int64_t n, std::int64_t width) {
  Det det;
  const auto at = [&](std::int64_t i, std::int64_t j) -> Complex& { return m[static_cast<std::size_t>(i * width + j)]; };
  for (std::int64_t p = 0; p < n; ++p) {
    std::int64_t best = p;
    for (std::int64_t i = p + 1; i < n; ++i) {
      if (std::abs(at(i, p)) > std::abs(at(best, p))) best = i;
    }
    if (std::abs(at(best, p)) == 0) return {Complex{}, -INFINITY};
    if (best != p) {
      for (std::int64_t j = 0; j < width; ++j) std::swap(at(p, j), at(best, j));
      det.sign = -det.sign;
    }
    const Complex pivot = at(p, p);
    det.sign *= pivot / std::abs(pivot);
    det.log += std::log(std::abs(pivot));
    for (std::int64_t j = p; j < width; ++j) at(p, j) /= pivot;
    for (std::int64_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const Complex factor = at(i, p);
      if (factor == Complex{}) continue;
      for (std::int64_t j = p; j < width; ++j) at(i, j) -= factor * at(p, j);
    }
  }
  return det;
}
std::int64_t square(const Tensor& x) {
  if (x.rank() < 2 || x.shape.back() != x.shape[x.shape.size() - 2])
    bad_value(fmt::format("square matrices are needed, not {}", dims_text(x.shape)));
  return x.shape.back();
}
/// Solutions of matrix @ y = rhs.
Tensor solve(const Tensor& a, const Tensor& b, bool adjoint) {
  const std::int64_t n = square(a);
  if (b.rank() != a.rank() || leading(a.shape) != leading(b.shape) || b.shape[b.shape.size() - 2] != n)
    bad_value("the right-hand side does not fit the matrix");
  const std::int64_t k = b.shape.back();
  const std::vector<Complex> x = values<Complex>(a);
  const std::vector<Complex> y = values<Complex>(b);
  std::vector<Complex> out(y.size());
  for (std::int64_t batch = 0; batch < count(leading(a.shape)); ++batch) {
    std::vector<Complex> m(static_cast<std::size_t>(n * (n + k)));
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const Complex e = x[static_cast<std::size_t>(batch * n * n + (adjoint ? j * n + i : i * n + j))];
        m[static_cast<std::size_t>(i * (n + k) + j)] = adjoint ? std::conj(e) : e;
      }
      for (std::int64_t j = 0; j < k; ++j)
        m[static_cast<std::size_t>(i * (n + k) + n + j)] = y[static_cast<std::size_t>((batch * n + i) * k + j)];
    }
    if (eliminate(m, n, n + k).sign == Complex{}) bad_value("the matrix is singular");
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < k; ++j)
        out[static_cast<std::size_t>((batch * n + i) * k + j)] = m[static_cast<std::size_t>(i * (n + k) + n + j)];
    }
  }
  return make(b.dtype, b.shape, out);
}
void host_solve(HostCtx& c) { c.out(0, solve(c.in(0), c.in(1), c.attr_bool("adjoint", false))); }
Tensor identity_like(const Tensor& x) {
  const std::int64_t n = square(x);
  std::vector<double> eye(static_cast<std::size_t>(x.numel()), 0.0);
  for (std::size_t i = 0; i < eye.size(); ++i) {
    const auto cell = static_cast<std::int64_t>(i) % (n * n);
    eye[i] = cell / n == cell % n ? 1 : 0;
  }
  return make(x.dtype, x.shape, eye);
}
void host_inverse(HostCtx& c) { c.out(0, solve(c.in(0), identity_like(c.in(0)), c.attr_bool("adjoint", false))); }
void host_triangular(HostCtx& c) {
  const Tensor& a = c.in(0);
  const std::int64_t n = square(a);
  const bool lower = c.attr_bool("lower", true);
  std::vector<Complex> m = values<Complex>(a);
  for (std::size_t i = 0; i < m.size(); ++i) {
    const auto cell = static_cast<std::int64_t>(i) % (n * n);
    if (lower ? cell % n > cell / n : cell % n < cell / n) m[i] = 0;
  }
  c.out(0, solve(make(a.dtype, a.shape, m), c.in(1), c.attr_bool("adjoint", false)));
}
void host_det(HostCtx& c, bool log) {
  const Tensor& a = c.in(0);
  const std::int64_t n = square(a);
  const std::vector<Complex> x = values<Complex>(a);
  std::vector<Complex> sign;
  std::vector<Complex> value;
  for (std::int64_t batch = 0; batch < count(leading(a.shape)); ++batch) {
    std::vector<Complex> m(x.begin() + batch * n * n, x.begin() + (batch + 1) * n * n);
    const Det det = eliminate(m, n, n);
    sign.push_back(det.sign);
    value.push_back(log ? Complex(det.log) : det.sign * std::exp(det.log));
  }
  if (log) c.out(0, make(a.dtype, leading(a.shape), sign));
  c.out(log ? 1 : 0, make(a.dtype, leading(a.shape), value));
}
void host_matrix_det(HostCtx& c) { host_det(c, false); }
void host_log_det(HostCtx& c) { host_det(c, true); }
void host_cholesky(HostCtx& c) {
  const Tensor& a = c.in(0);
  const std::int64_t n = square(a);
  const std::vector<Complex> x = values<Complex>(a);
  std::vector<Complex> out(x.size());
  for (std::int64_t batch = 0; batch < count(leading(a.shape)); ++batch) {
    const auto at = [&](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>((batch * n + i) * n + j); };
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j <= i; ++j) {
        Complex sum = x[at(i, j)];
        for (std::int64_t k = 0; k < j; ++k) sum -= out[at(i, k)] * std::conj(out[at(j, k)]);
        if (i == j) {
          if (!(sum.real() > 0)) bad_value("the matrix is not positive definite");
          out[at(i, i)] = std::sqrt(sum.real());
        } else {
          out[at(i, j)] = sum / out[at(j, j)];
        }
      }
    }
  }
  c.out(0, make(a.dtype, a.shape, out));
}

// Fourier -----------------------------------------------------------------------------------------

/// DFT of the last dimension; exact enough for every length by direct summation with reduced angles.
void dft_rows(std::vector<Complex>& v, std::int64_t n, bool inverse) {
  if (n == 0) return;
  std::vector<Complex> twiddle(static_cast<std::size_t>(n));
  for (std::int64_t k = 0; k < n; ++k) {
    const double angle = 2 * M_PI * static_cast<double>(k) / static_cast<double>(n);
    twiddle[static_cast<std::size_t>(k)] = {std::cos(angle), inverse ? std::sin(angle) : -std::sin(angle)};
  }
  std::vector<Complex> row(static_cast<std::size_t>(n));
  for (std::size_t start = 0; start < v.size(); start += static_cast<std::size_t>(n)) {
    for (std::int64_t k = 0; k < n; ++k) {
      Complex sum;
      for (std::int64_t j = 0; j < n; ++j) sum += v[start + static_cast<std::size_t>(j)] * twiddle[static_cast<std::size_t>(k * j % n)];
      row[static_cast<std::size_t>(k)] = inverse ? sum / static_cast<double>(n) : sum;
    }
    std::copy(row.begin(), row.end(), v.begin() + static_cast<std::ptrdiff_t>(start));
  }
}
/// Swaps the last two dimensions.
void swap_last(std::vector<Complex>& v, std::int64_t rows, std::int64_t cols) {
  std::vector<Complex> out(v.size());
  const auto plane = static_cast<std::size_t>(rows * cols);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const auto cell = static_cast<std::int64_t>(i % plane);
    out[i - i % plane + static_cast<std::size_t>(cell % cols * rows + cell / cols)] = v[i];
  }
  v = std::move(out);
}
void host_fft(HostCtx& c, bool inverse, bool two) {
  const Tensor& x = c.in(0);
  if (!ir::is_complex(x.dtype) || x.rank() < (two ? 2 : 1))
    bad_value(fmt::format("{} needs complex elements and enough dimensions", c.node().type));
  std::vector<Complex> v = values<Complex>(x);
  dft_rows(v, x.shape.back(), inverse);
  if (two) {
    const std::int64_t rows = x.shape[x.shape.size() - 2];
    swap_last(v, rows, x.shape.back());
    dft_rows(v, rows, inverse);
    swap_last(v, x.shape.back(), rows);
  }
  c.out(0, make(x.dtype, x.shape, v));
}
void host_fft1(HostCtx& c) { host_fft(c, false, false); }
void host_ifft1(HostCtx& c) { host_fft(c, true, false); }
void host_fft2(HostCtx& c) { host_fft(c, false, true); }
void host_ifft2(HostCtx& c) { host_fft(c, true, true); }
/// Rows of `from` elements cut or padded with zeros to `to`.
std::vector<Complex> fit_rows(const std::vector<Complex>& v, std::int64_t from, std::int64_t to) {
  std::vector<Complex> out;
  if (from == 0) return out;
  for (std::size_t start = 0; start < v.size(); start += static_cast<std::size_t>(from)) {
    for (std::int64_t i = 0; i < to; ++i) out.push_back(i < from ? v[start + static_cast<std::size_t>(i)] : Complex{});
  }
  return out;
}
void host_rfft(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t n = one_int(c.in("fft_length", 1));
  if (x.rank() < 1 || n < 1) bad_value("RFFT needs a dimension and a length");
  std::vector<Complex> v = fit_rows(values<Complex>(x), x.shape.back(), n);
  dft_rows(v, n, false);
  Dims shape = x.shape;
  shape.back() = n / 2 + 1;
  c.out(0, make(x.dtype == DType::kDouble ? DType::kComplex128 : DType::kComplex64, shape, fit_rows(v, n, n / 2 + 1)));
}
void host_irfft(HostCtx& c) {
  const Tensor& x = c.in(0);
  const std::int64_t n = one_int(c.in("fft_length", 1));
  if (x.rank() < 1 || n < 1 || !ir::is_complex(x.dtype)) bad_value("IRFFT needs complex elements, a dimension and a length");
  const std::vector<Complex> half = fit_rows(values<Complex>(x), x.shape.back(), n / 2 + 1);
  std::vector<Complex> full;
  for (std::size_t start = 0; start < half.size(); start += static_cast<std::size_t>(n / 2 + 1)) {
    for (std::int64_t k = 0; k < n; ++k)
      full.push_back(k <= n / 2 ? half[start + static_cast<std::size_t>(k)] : std::conj(half[start + static_cast<std::size_t>(n - k)]));
    full[full.size() - static_cast<std::size_t>(n)] = full[full.size() - static_cast<std::size_t>(n)].real();
    if (n % 2 == 0) full[full.size() - static_cast<std::size_t>(n / 2)] = full[full.size() - static_cast<std::size_t>(n / 2)].real();
  }
  dft_rows(full, n, true);
  std::vector<double> out;
  out.reserve(full.size());
  for (const Complex& e : full) out.push_back(e.real());
  Dims shape = x.shape;
  shape.back() = n;
  c.out(0, make(x.dtype == DType::kComplex128 ? DType::kDouble : DType::kFloat, shape, out));
}

// ---------------------------------------------------------------- plugin

void ov_matmul(OvCtx& c) {
  const bool batch_form = c.node().type.starts_with("Batch");
  const OvValue a = c.in("x1", 0);
  const OvValue b = c.in("x2", 1);
  if (!is_real(a) || OvCtx::rank(a) < 2 || OvCtx::rank(b) < 2) throw NeedsHost{};
  if (!batch_form && (OvCtx::rank(a) != 2 || OvCtx::rank(b) != 2)) throw NeedsHost{};  // the host says what is wrong
  if (c.dtype(c.slot("x1", 0)) != c.dtype(c.slot("x2", 1)))
    bad(Errc::kInvalidGraph, "both operands must have one element type", c.node().name, "insert a Cast");
  OvValue y = mk<op::MatMul>(a, b, c.attr_bool(batch_form ? "adj_x1" : "transpose_x1", false),
                             c.attr_bool(batch_form ? "adj_x2" : "transpose_x2", false));
  if (c.fed("bias", 2)) y = mk<op::Add>(y, c.in("bias", 2));
  c.out(0, y);
}

constexpr Op kTable[] = {
    {"MatMul", host_matmul, ov_matmul},
    checked({"MatMulV2", host_matmul, ov_matmul}, check_matmul),
    checked({"MatMulV3", host_matmul, ov_matmul}, check_matmul),
    {"BatchMatMul", host_matmul, ov_matmul},
    checked({"BatchMatMulV2", host_matmul, ov_matmul}, check_matmul),
    checked({"BatchMatMulV3", host_matmul, ov_matmul}, check_matmul),
    {"GEMM", host_gemm, nullptr},
    {"Dot", host_dot, nullptr},
    {"Cross", host_cross, nullptr},
    {"Trace", host_trace, nullptr},
    {"Cdist", host_cdist, nullptr},
    {"MatrixSolve", host_solve, nullptr},
    {"MatrixTriangularSolve", host_triangular, nullptr},
    {"MatrixInverse", host_inverse, nullptr},
    {"MatrixDeterminant", host_matrix_det, nullptr},
    {"LogMatrixDeterminant", host_log_det, nullptr},
    {"Cholesky", host_cholesky, nullptr},
    {"FFT", host_fft1, nullptr},
    {"IFFT", host_ifft1, nullptr},
    {"FFT2D", host_fft2, nullptr},
    {"IFFT2D", host_ifft2, nullptr},
    {"RFFT", host_rfft, nullptr},
    {"IRFFT", host_irfft, nullptr},
};

}  // namespace

std::span<const Op> linalg_ops() { return kTable; }

}  // namespace airloom::runtime
