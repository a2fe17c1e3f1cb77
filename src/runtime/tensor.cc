#include "runtime/tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include <unistd.h>

namespace airloom::runtime {

namespace {
/// More elements than bytes of memory are never computed with, and 2^46 keeps what is made of a count far from overflow.
std::int64_t most_elements() {
  static const std::int64_t most = [] {
    const std::int64_t memory = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGE_SIZE);
    return memory > 0 ? std::min(memory, std::int64_t{1} << 46) : std::int64_t{1} << 46;
  }();
  return most;
}
}  // namespace

std::int64_t count(const Dims& shape) {
  std::int64_t total = 1;
  bool zero = false;
  for (const std::int64_t dim : shape) {
    if (dim < 0) bad_value(fmt::format("negative dimension in shape {}", dims_text(shape)));
    if (dim == 0) {
      zero = true;
    } else if (__builtin_mul_overflow(total, dim, &total) || total > most_elements()) {
      bad_value(fmt::format("shape {} is too large for this machine's memory", dims_text(shape)));
    }
  }
  return zero ? 0 : total;
}

std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) bad_value(fmt::format("{} + {} does not fit 64 bits", a, b));
  return sum;
}

std::int64_t times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) bad_value(fmt::format("{} * {} does not fit 64 bits", a, b));
  return product;
}

std::string dims_text(const Dims& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Tensor Tensor::reshaped(Dims to) const {
  if (count(to) != numel()) bad_value(fmt::format("{} elements of shape {} do not fit shape {}", numel(), dims_text(shape), dims_text(to)));
  Tensor out = *this;
  out.shape = std::move(to);
  return out;
}

Tensor allocate(DType dtype, Dims shape) {
  Tensor out;
  out.dtype = dtype;
  out.shape = std::move(shape);
  const std::int64_t item = ir::item_size(dtype);
  if (item == 0) bad(Errc::kUnsupported, fmt::format("element type {} cannot be computed with", ir::info(dtype).ge));
  const auto bytes = static_cast<std::size_t>((out.numel() * item + 64) & ~std::int64_t{63});
  void* memory = std::aligned_alloc(64, std::max<std::size_t>(bytes, 64));
  if (memory == nullptr) bad_value(fmt::format("out of memory for shape {}", dims_text(out.shape)));
  out.owner = std::shared_ptr<const void>(memory, [](const void* p) { std::free(const_cast<void*>(p)); });
  out.data = static_cast<const std::byte*>(memory);
  return out;
}

Tensor zeros(DType dtype, Dims shape) {
  Tensor out = allocate(dtype, std::move(shape));
  std::memset(writable(out), 0, static_cast<std::size_t>(out.nbytes()));
  return out;
}

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {
    const float tiny = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -tiny : tiny;
  }
  const std::uint32_t wide = exponent == 31 ? 0x7F800000U | (fraction << 13) : ((exponent + 112) << 23) | (fraction << 13);
  return std::bit_cast<float>(sign | wide);
}

namespace {
// Rounds |value| to a multiple of 2^step, ties to even, in double (exact: the quotient has at most 53 bits).
double round_to_step(double value, int step) { return std::ldexp(std::nearbyint(std::ldexp(value, -step)), step); }
}  // namespace

std::uint16_t half_from_double(double value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000U : 0U);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00U);
  double magnitude = std::fabs(value);
  if (magnitude >= 65520.0) return static_cast<std::uint16_t>(sign | 0x7C00U);
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = m * 2^exponent, m in [0.5, 1)
  const int step = std::max(exponent - 11, -24);
  magnitude = round_to_step(magnitude, step);
  if (magnitude < std::ldexp(1.0, -14)) return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::ldexp(magnitude, 24)));
  std::frexp(magnitude, &exponent);
  const auto fraction = static_cast<std::uint32_t>(std::ldexp(magnitude, 11 - exponent)) & 0x3FFU;
  return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(exponent + 14) << 10 | fraction);
}

float bfloat_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t bfloat_from_double(double value) {
  if (std::isnan(value)) return static_cast<std::uint16_t>((std::signbit(value) ? 0x8000U : 0U) | 0x7FC0U);
  if (std::isinf(value) || value == 0) return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16);
  int exponent = 0;
  std::frexp(std::fabs(value), &exponent);
  const double rounded = round_to_step(value, std::max(exponent - 8, -133));
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(rounded)) >> 16);
}

std::int64_t saturate_int64(double value) {
  if (std::isnan(value)) return 0;
  if (value >= 9223372036854775808.0) return INT64_MAX;
  if (value <= -9223372036854775808.0) return INT64_MIN;
  return static_cast<std::int64_t>(value);
}

Tensor aligned(Tensor tensor) {
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::uintptr_t>(ir::item_size(tensor.dtype)) == 0) return tensor;
  Tensor out = allocate(tensor.dtype, tensor.shape);
  std::memcpy(writable(out), tensor.data, static_cast<std::size_t>(tensor.nbytes()));
  return out;
}

Tensor cast(const Tensor& x, DType to) {
  if (x.dtype == to) return x;
  Tensor out = allocate(to, x.shape);
  const std::int64_t n = x.numel();
  std::byte* bytes = writable(out);
  with_storage(x.dtype, [&](auto from_tag) {
    using From = decltype(from_tag);
    with_storage(to, [&](auto to_tag) {
      using To = decltype(to_tag);
      for (std::int64_t i = 0; i < n; ++i) {
        To element;
        if constexpr (std::is_same_v<From, bool>) {
          element = convert<To>(x.data[i] != std::byte{0});
        } else {
          From from;
          std::memcpy(&from, x.data + i * static_cast<std::int64_t>(sizeof(From)), sizeof(From));
          element = convert<To>(from);
        }
        std::memcpy(bytes + i * static_cast<std::int64_t>(sizeof(To)), &element, sizeof(To));
      }
    });
  });
  return out;
}

Dims ints(const Tensor& tensor) {
  if (ir::is_floating(tensor.dtype) || ir::is_complex(tensor.dtype))
    bad_value("an integer tensor is needed, not " + std::string(ir::info(tensor.dtype).torch));
  return values<std::int64_t>(tensor);
}

std::int64_t one_int(const Tensor& tensor) {
  const Dims all = ints(tensor);
  if (all.size() != 1) bad_value(fmt::format("a tensor of one integer is needed, not shape {}", dims_text(tensor.shape)));
  return all[0];
}

Dims broadcast(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) bad_value(fmt::format("shapes {} and {} do not broadcast", dims_text(a), dims_text(b)));
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

Dims row_strides(const Dims& shape) {
  Dims strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<std::int64_t>(shape[i], 1);
  }
  return strides;
}

std::vector<std::int64_t> broadcast_map(const Dims& from, const Dims& to) {
  if (from.size() > to.size()) bad_value(fmt::format("shape {} does not broadcast to {}", dims_text(from), dims_text(to)));
  const std::size_t lead = to.size() - from.size();
  const Dims own = row_strides(from);
  Dims strides(to.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != to[lead + i] && from[i] != 1)
      bad_value(fmt::format("shape {} does not broadcast to {}", dims_text(from), dims_text(to)));
    strides[lead + i] = from[i] == 1 ? 0 : own[i];
  }
  std::vector<std::int64_t> map(static_cast<std::size_t>(count(to)));
  for_each(to, [&](const Dims& index, std::int64_t flat) { map[static_cast<std::size_t>(flat)] = dot(index, strides); });
  return map;
}

Tensor pick(const Tensor& x, Dims shape, const std::vector<std::int64_t>& map, const Tensor& fill) {
  Tensor out = allocate(x.dtype, std::move(shape));
  if (out.numel() != static_cast<std::int64_t>(map.size())) bad_value("index map does not fill its shape");
  const auto item = static_cast<std::size_t>(ir::item_size(x.dtype));
  const std::int64_t limit = x.numel();
  std::byte* to = writable(out);
  for (const std::int64_t from : map) {
    if (from >= limit) bad_value(fmt::format("element {} of {} does not exist", from, limit));
    if (from >= 0) {
      std::memcpy(to, x.data + static_cast<std::size_t>(from) * item, item);
    } else if (fill.present()) {
      std::memcpy(to, fill.data, item);
    } else {
      std::memset(to, 0, item);
    }
    to += item;
  }
  return out;
}

Tensor broadcast_to(const Tensor& x, const Dims& shape) {
  if (x.shape == shape) return x;
  return pick(x, shape, broadcast_map(x.shape, shape));
}

std::int64_t wrap_axis(std::int64_t axis, std::int64_t rank) {
  if (axis < -rank || axis >= rank) bad_value(fmt::format("axis {} is not in rank {}", axis, rank));
  return axis < 0 ? axis + rank : axis;
}

Dims wrap_axes(Dims axes, std::int64_t rank) {
  for (std::int64_t& axis : axes) axis = wrap_axis(axis, rank);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

Split3 split_at(const Dims& shape, std::int64_t axis) {
  Split3 out;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    (at < axis ? out.outer : at == axis ? out.mid : out.inner) *= shape[i];
  }
  return out;
}

}  // namespace airloom::runtime
