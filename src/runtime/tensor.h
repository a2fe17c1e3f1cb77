// Host tensors of the exact evaluator. Arithmetic happens in four domains wide enough to be exact for every element type:
// double (all floats), int64 (bool and integers up to 64 bits, wrapping), uint64, complex<double>.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "airloom/dtype.h"
#include "airloom/error.h"

namespace airloom::runtime {

using ir::DType;
using Dims = std::vector<std::int64_t>;
using Complex = std::complex<double>;

[[noreturn]] inline void bad(Errc code, std::string message, std::string where = {}, std::string hint = {}) {
  throw Exception(Error{code, std::move(message), std::move(where), std::move(hint)});
}
[[noreturn]] inline void bad_value(std::string message) { bad(Errc::kRuntime, std::move(message)); }

/// Elements of `shape`; throws when it has a negative dimension or does not fit in memory.
std::int64_t count(const Dims& shape);
std::string dims_text(const Dims& shape);
/// Sums and products of sizes and positions from a file; throw where they leave 64 bits.
std::int64_t plus(std::int64_t a, std::int64_t b);
std::int64_t times(std::int64_t a, std::int64_t b);

/// Shape, type and shared immutable elements. A default one is "not there" (unfed optional input).
struct Tensor {
  DType dtype = DType::kUndefined;
  Dims shape;
  const std::byte* data = nullptr;
  std::shared_ptr<const void> owner;

  [[nodiscard]] bool present() const { return dtype != DType::kUndefined; }
  [[nodiscard]] std::int64_t numel() const { return count(shape); }
  [[nodiscard]] std::int64_t nbytes() const { return numel() * ir::item_size(dtype); }
  [[nodiscard]] std::int64_t rank() const { return static_cast<std::int64_t>(shape.size()); }
  /// The same elements under another shape of as many elements.
  [[nodiscard]] Tensor reshaped(Dims to) const;
};

/// New memory, 64-byte aligned, not initialised; `data` may be written until the tensor is shared.
Tensor allocate(DType dtype, Dims shape);
Tensor zeros(DType dtype, Dims shape);
inline std::byte* writable(const Tensor& tensor) { return const_cast<std::byte*>(tensor.data); }

float half_to_float(std::uint16_t bits);
std::uint16_t half_from_double(double value);  // to nearest even
float bfloat_to_float(std::uint16_t bits);
std::uint16_t bfloat_from_double(double value);  // to nearest even
/// float -> integer as GE's Cast does: toward zero, NaN to 0, saturated at the int64 range.
std::int64_t saturate_int64(double value);

/// Calls f(T{}) with the C++ storage type; half types come as their 16-bit tag types.
struct HalfBits {
  std::uint16_t bits;
};
struct BfloatBits {
  std::uint16_t bits;
};
template <class F>
decltype(auto) with_storage(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat: return f(float{});
    case DType::kDouble: return f(double{});
    case DType::kFloat16: return f(HalfBits{});
    case DType::kBFloat16: return f(BfloatBits{});
    case DType::kInt8: return f(std::int8_t{});
    case DType::kInt16: return f(std::int16_t{});
    case DType::kInt32: return f(std::int32_t{});
    case DType::kInt64: return f(std::int64_t{});
    case DType::kUInt8: return f(std::uint8_t{});
    case DType::kUInt16: return f(std::uint16_t{});
    case DType::kUInt32: return f(std::uint32_t{});
    case DType::kUInt64: return f(std::uint64_t{});
    case DType::kBool: return f(bool{});
    case DType::kComplex64: return f(std::complex<float>{});
    case DType::kComplex128: return f(std::complex<double>{});
    default: bad(Errc::kUnsupported, fmt::format("element type {} cannot be computed with", ir::info(dtype).ge));
  }
}
/// Calls f(T{}) with the domain type of `dtype`.
template <class F>
decltype(auto) with_domain(DType dtype, F&& f) {
  if (ir::is_complex(dtype)) return f(Complex{});
  if (ir::is_floating(dtype)) return f(double{});
  if (dtype == DType::kUInt64) return f(std::uint64_t{});
  return f(std::int64_t{});
}
/// As with_domain for types that have an order (no complex).
template <class F>
decltype(auto) with_real(DType dtype, F&& f) {
  if (ir::is_complex(dtype)) bad_value(fmt::format("{} elements have no order", ir::info(dtype).torch));
  if (ir::is_floating(dtype)) return f(double{});
  if (dtype == DType::kUInt64) return f(std::uint64_t{});
  return f(std::int64_t{});
}

template <class To, class From>
To convert(From from) {
  if constexpr (std::is_same_v<From, HalfBits>) {
    return convert<To>(static_cast<double>(half_to_float(from.bits)));
  } else if constexpr (std::is_same_v<From, BfloatBits>) {
    return convert<To>(static_cast<double>(bfloat_to_float(from.bits)));
  } else if constexpr (std::is_same_v<To, HalfBits>) {
    return HalfBits{half_from_double(convert<double>(from))};
  } else if constexpr (std::is_same_v<To, BfloatBits>) {
    return BfloatBits{bfloat_from_double(convert<double>(from))};
  } else if constexpr (std::is_same_v<From, std::complex<float>> || std::is_same_v<From, Complex>) {
    if constexpr (std::is_same_v<To, std::complex<float>> || std::is_same_v<To, Complex>) {
      return To(static_cast<typename To::value_type>(from.real()), static_cast<typename To::value_type>(from.imag()));
    } else if constexpr (std::is_same_v<To, bool>) {
      return from != From{};
    } else {
      return convert<To>(from.real());
    }
  } else if constexpr (std::is_same_v<To, std::complex<float>> || std::is_same_v<To, Complex>) {
    return To(convert<typename To::value_type>(from));
  } else if constexpr (std::is_same_v<To, bool>) {
    return from != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if constexpr (std::is_same_v<To, std::uint64_t>) {
      if (from >= 9223372036854775808.0) return from >= 18446744073709551616.0 ? UINT64_MAX : static_cast<std::uint64_t>(from);
    } else if constexpr (std::is_same_v<To, std::int32_t>) {
      const std::int64_t wide = saturate_int64(from);  // saturates at its own range; narrower types keep the low bits
      return static_cast<To>(wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : wide);
    }
    return static_cast<To>(saturate_int64(from));
  } else {
    return static_cast<To>(from);
  }
}

template <class T>
std::vector<T> values(const Tensor& tensor) {
  std::vector<T> out(static_cast<std::size_t>(tensor.numel()));
  with_storage(tensor.dtype, [&](auto tag) {
    using S = decltype(tag);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if constexpr (std::is_same_v<S, bool>) {
        out[i] = convert<T>(tensor.data[i] != std::byte{0});
      } else {
        S element;
        std::memcpy(&element, tensor.data + i * sizeof(S), sizeof(S));
        out[i] = convert<T>(element);
      }
    }
  });
  return out;
}

template <class Values>
Tensor make(DType dtype, Dims shape, const Values& from) {
  Tensor out = allocate(dtype, std::move(shape));
  if (out.numel() != static_cast<std::int64_t>(from.size())) {
    bad_value(fmt::format("{} elements do not fill shape {}", from.size(), dims_text(out.shape)));
  }
  std::byte* bytes = writable(out);
  with_storage(dtype, [&](auto tag) {
    using S = decltype(tag);
    for (std::size_t i = 0; i < from.size(); ++i) {
      const S element = convert<S>(static_cast<typename Values::value_type>(from[i]));
      std::memcpy(bytes + i * sizeof(S), &element, sizeof(S));
    }
  });
  return out;
}

/// The tensor itself where its elements stand at a multiple of their size, else a copy.
Tensor aligned(Tensor tensor);
Tensor cast(const Tensor& x, DType to);
/// Any tensor of integers (or bools) as int64.
Dims ints(const Tensor& tensor);
std::int64_t one_int(const Tensor& tensor);

/// NumPy broadcasting; throws when the shapes do not go together.
Dims broadcast(const Dims& a, const Dims& b);
/// For each element of `to` (row-major) the flat index into `from` stretched to it.
std::vector<std::int64_t> broadcast_map(const Dims& from, const Dims& to);
/// out[i] = map[i] < 0 ? fill : x[map[i]]; `fill` holds one element or is not present (zero).
Tensor pick(const Tensor& x, Dims shape, const std::vector<std::int64_t>& map, const Tensor& fill = {});
Tensor broadcast_to(const Tensor& x, const Dims& shape);
template <class T>
std::vector<T> stretched(const Tensor& x, const Dims& shape) {
  std::vector<T> from = values<T>(x);
  if (x.shape == shape) return from;
  std::vector<T> out;
  const std::vector<std::int64_t> map = broadcast_map(x.shape, shape);
  out.reserve(map.size());
  for (const std::int64_t i : map) out.push_back(from[static_cast<std::size_t>(i)]);
  return out;
}

Dims row_strides(const Dims& shape);
/// Axis in [0, rank) from one in [-rank, rank); throws otherwise.
std::int64_t wrap_axis(std::int64_t axis, std::int64_t rank);
/// Sorted, distinct, wrapped.
Dims wrap_axes(Dims axes, std::int64_t rank);
/// Next multi-index in row-major order; false after the last.
inline bool advance(Dims& index, const Dims& shape) {
  for (std::size_t i = index.size(); i-- > 0;) {
    if (++index[i] < shape[i]) return true;
    index[i] = 0;
  }
  return false;
}
inline std::int64_t dot(const Dims& index, const Dims& strides) {
  std::int64_t flat = 0;
  for (std::size_t i = 0; i < index.size(); ++i) flat += index[i] * strides[i];
  return flat;
}
/// Calls f(multi-index, flat index) for every element of `shape`.
template <class F>
void for_each(const Dims& shape, F&& f) {
  if (count(shape) == 0) return;
  Dims index(shape.size(), 0);
  std::int64_t flat = 0;
  do f(static_cast<const Dims&>(index), flat++);
  while (advance(index, shape));
}
/// shape[0..axis), shape[axis], shape(axis..] as three factors.
struct Split3 {
  std::int64_t outer = 1, mid = 1, inner = 1;
};
Split3 split_at(const Dims& shape, std::int64_t axis);

}  // namespace airloom::runtime
